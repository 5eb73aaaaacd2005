"""A GPU gives the bytes and samples that a CPU gives; on machines that have one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from haarchive.codecs import Bitstream, get_codec
from haarchive.codecs.haar.presets import PRESETS

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


def scenes() -> list[NDArray[np.uint8]]:
    """Pictures of one shape, so that they make one batch, and one of another."""
    rng = np.random.Generator(np.random.PCG64(3))
    y, x, c = np.ogrid[:192, :224, :3]
    smooth = 120 + 60 * np.sin(x / 19 + c) + 50 * np.cos(y / 13 + x / 41)
    noisy = [(smooth + rng.normal(0, sigma, smooth.shape)).clip(0, 255).astype(np.uint8) for sigma in (0, 1, 5, 20)]
    return [*noisy, np.ascontiguousarray(noisy[2][:77, :131])]


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


@pytest.mark.parametrize("name", ["haar-audio", "idf-audio"])
def test_sounds_are_the_same_on_both(name: str) -> None:
    rng = np.random.Generator(np.random.PCG64(4))
    time = np.arange(20_000)[:, None]
    sound = (8000 * np.sin(time / np.array([17, 23])) + rng.normal(0, 40, (20_000, 2))).astype(np.int16)
    on_cpu, on_gpu = (get_codec(name, device=device, preset="max") for device in ("cpu", "cuda"))
    (bitstream,) = on_cpu.encode([sound])
    assert on_gpu.encode([sound])[0].bands == bitstream.bands
    assert np.array_equal(on_gpu.decode([Bitstream(bitstream.bands)])[0], sound)
