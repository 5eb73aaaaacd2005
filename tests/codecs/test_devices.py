"""Every device gives the same bytes and samples: GPUs, on machines that have one, and CPUs of all kinds."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from haarchive.codecs import Bitstream, get_codec
from haarchive.codecs.haar import shipped as haar_models
from haarchive.codecs.haar.presets import PRESETS, Preset
from haarchive.codecs.idf import shipped as idf_models

with_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


def scenes() -> list[NDArray[np.uint8]]:
    """Pictures of one shape, so that they make one batch, and one of another."""
    rng = np.random.Generator(np.random.PCG64(3))
    y, x, c = np.ogrid[:192, :224, :3]
    smooth = 120 + 60 * np.sin(x / 19 + c) + 50 * np.cos(y / 13 + x / 41)
    noisy = [(smooth + rng.normal(0, sigma, smooth.shape)).clip(0, 255).astype(np.uint8) for sigma in (0, 1, 5, 20)]
    return [*noisy, np.ascontiguousarray(noisy[2][:77, :131])]


@with_gpu
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", ["haar", "idf"])
def test_pictures_are_the_same_on_both(name: str, preset: str) -> None:
    on_cpu, on_gpu = (get_codec(name, device=device, preset=preset) for device in ("cpu", "cuda"))  # type: ignore[arg-type]
    pictures = scenes()
    bitstreams = on_cpu.encode(pictures)
    assert [one.bands for one in on_gpu.encode(pictures)] == [one.bands for one in bitstreams]
    for coder in (on_cpu, on_gpu):
        for n in range(len(pictures)):
            assert np.array_equal(coder.decode([bitstreams[n]])[0], pictures[n])
        assert all(map(np.array_equal, coder.decode(bitstreams), pictures))
    for ours, theirs in zip(on_gpu.decode(bitstreams, reduce=1), on_cpu.decode(bitstreams, reduce=1), strict=True):
        assert np.array_equal(ours, theirs)


@with_gpu
@pytest.mark.parametrize("name", ["haar-audio", "idf-audio"])
def test_sounds_are_the_same_on_both(name: str) -> None:
    rng = np.random.Generator(np.random.PCG64(4))
    time = np.arange(20_000)[:, None]
    sound = (8000 * np.sin(time / np.array([17, 23])) + rng.normal(0, 40, (20_000, 2))).astype(np.int16)
    on_cpu, on_gpu = (get_codec(name, device=device, preset="max") for device in ("cpu", "cuda"))
    (bitstream,) = on_cpu.encode([sound])
    assert on_gpu.encode([sound])[0].bands == bitstream.bands
    assert np.array_equal(on_gpu.decode([Bitstream(bitstream.bands)])[0], sound)


@pytest.fixture(params=["without oneDNN", "not x86", "medium precision"])
def other_cpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This CPU as torch treats others: Macs', whose convolutions NNPACK takes over from 16 examples on; Arm's."""

    def forget() -> None:
        for models in (haar_models, idf_models):
            models._place.cache_clear()

    forget()
    precision, enabled = torch.get_float32_matmul_precision(), torch.backends.mkldnn.enabled
    match request.param:
        case "without oneDNN":
            torch.backends.mkldnn.enabled = False  # type: ignore[assignment]
        case "not x86":
            monkeypatch.setattr("platform.machine", lambda: "arm64")
        case "medium precision":
            torch.set_float32_matmul_precision("medium")
    yield
    torch.set_float32_matmul_precision(precision)
    torch.backends.mkldnn.enabled = enabled
    forget()


PATCHES = [
    np.ascontiguousarray(scenes()[2][y : y + 32, x : x + 32]) for y in range(0, 160, 32) for x in range(0, 160, 32)
]
"""More than 15 of one shape."""

TRIED = [("haar", "max"), ("idf", "fast")]
"""Both have networks."""


@pytest.fixture(scope="module")
def coded() -> dict[str, list[Bitstream]]:
    """What they give here, before anything is changed."""
    return {name: get_codec(name, preset=preset).encode(PATCHES) for name, preset in TRIED}


@pytest.mark.parametrize(("name", "preset"), TRIED)
def test_pictures_are_the_same_on_other_cpus(
    coded: dict[str, list[Bitstream]], other_cpu: None, name: str, preset: Preset
) -> None:
    codec = get_codec(name, preset=preset)
    assert codec.encode(PATCHES) == coded[name]
    assert all(map(np.array_equal, codec.decode(coded[name]), PATCHES))
