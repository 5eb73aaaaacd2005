"""Pictures that once were JPEG or JPEG 2000: what "dct" and "dwt" take of them, what archives say, what comes back."""

from __future__ import annotations

import runpy
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import imagecodecs
import numpy as np
import pytest
import soundfile
import tifffile
from typer.testing import CliRunner

from haarchive.codecs import Bitstream, Codec, Samples
from haarchive.codecs.errors import UnsupportedSamplesError
from haarchive.codecs.registry import get_codec
from haarchive.pipeline import archive, open_archive
from haarchive.pipeline.archive.geometry import halved
from haarchive.pipeline.cli import app
from haarchive.pipeline.config import ArchiveConfig
from haarchive.pipeline.flows import FlowFamily
from haarchive.pipeline.jobs import SourceReport, restore, stages, verify
from haarchive.pipeline.jobs.proving import encode_proven

CONFIG = ArchiveConfig(preset="fast", threads=1)


def painted(height: int, width: int) -> np.ndarray:
    """Smooth waves with noise, (height, width, 3) uint8."""
    rng = np.random.default_rng(4)
    y, x = np.mgrid[:height, :width]
    waves = np.stack([150 + 60 * np.sin(x / 23 + c) * np.cos(y / 19 - c) for c in range(3)], axis=2)
    return (waves + rng.normal(0, 6, waves.shape)).clip(0, 255).astype(np.uint8)


def through_jpeg(picture: np.ndarray) -> np.ndarray:
    jpeg = imagecodecs.jpeg8_encode(picture, level=80, subsampling="444")
    return np.asarray(imagecodecs.jpeg8_decode(jpeg))


@pytest.fixture(scope="module")
def once_jpeg() -> np.ndarray:
    """A picture of four chunks that was a JPEG, (800, 1000, 3) uint8."""
    return through_jpeg(painted(800, 1000))


@pytest.fixture
def patch(once_jpeg: np.ndarray, tmp_path: Path) -> Path:
    path = tmp_path / "patch.png"
    path.write_bytes(imagecodecs.png_encode(once_jpeg, level=6))
    return path


def archived(path: Path, url: Path, **options: object) -> SourceReport:
    (one,) = archive(path, url, config=CONFIG, **options).raise_for_failures().sources  # type: ignore[arg-type]
    return one


def codecs_of(report: SourceReport) -> dict[str, int]:
    """Chunks by codec, the skeleton's apart."""
    counts = {name: totals.chunks for name, totals in report.codecs.items()}
    counts["stored"] -= 1
    return {name: count for name, count in counts.items() if count}


@pytest.mark.parametrize("family", ["haar", "idf"])
def test_a_picture_that_was_a_jpeg_comes_back_byte_for_byte_from_its_coefficients(
    family: FlowFamily, patch: Path, tmp_path: Path
) -> None:
    one = archived(patch, tmp_path / "a", codec=family)
    assert (one.guarantee, codecs_of(one), one.fallbacks) == ("file-exact", {"dct": 4}, {})
    (back,) = restore(tmp_path / "a", tmp_path / "out").raise_for_failures().sources
    assert Path(back.path).read_bytes() == patch.read_bytes()
    assert verify(tmp_path / "a", deep=True).ok


def test_a_source_of_such_chunks_alone_needs_no_model(patch: Path, tmp_path: Path) -> None:
    assert archived(patch, tmp_path / "a").models == {}
    assert open_archive(tmp_path / "a" / "patch.png").manifest.models == {}
    assert not (tmp_path / "a" / "models").exists()


def test_regions_are_read_at_every_level(patch: Path, once_jpeg: np.ndarray, tmp_path: Path) -> None:
    archived(patch, tmp_path / "a")
    source = open_archive(tmp_path / "a" / "patch.png")
    assert source.level_dimensions[:3] == ((1000, 800), (500, 400), (250, 200))
    np.testing.assert_array_equal(source.read_region((450, 300), 0, (120, 220)), once_jpeg[300:520, 450:570])
    quarter = halved(halved(once_jpeg))
    np.testing.assert_array_equal(source.read_region((400, 320), 2, (100, 90)), quarter[80:170, 100:200])


def test_lower_levels_are_close_to_those_of_the_flow(
    patch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archived(patch, tmp_path / "dct")
    monkeypatch.setattr(stages.Encoder, "_specialists", lambda self, plane: [])
    assert codecs_of(archived(patch, tmp_path / "haar")) == {"haar": 4}
    for level in (1, 2):
        one, other = (
            open_archive(tmp_path / codec / "patch.png").read_region((0, 0), level, (1000 >> level, 800 >> level))
            for codec in ("dct", "haar")
        )
        assert np.abs(one.astype(int) - other).max() <= 4


def test_chunks_that_were_no_jpeg_stay_with_the_flow_beside_those_that_were(tmp_path: Path) -> None:
    mixed = painted(400, 800)
    mixed[:, :400] = through_jpeg(mixed[:, :400].copy())
    tifffile.imwrite(tmp_path / "mixed.tif", mixed, photometric="rgb")
    one = archived(tmp_path / "mixed.tif", tmp_path / "a")
    assert (codecs_of(one), one.fallbacks) == ({"dct": 1, "haar": 1}, {})
    assert set(one.models) == {"haar"}
    source = open_archive(tmp_path / "a" / "mixed.tif")
    np.testing.assert_array_equal(source.read_region((0, 0), 0, (800, 400)), mixed)
    shown = CliRunner().invoke(app, ["inspect", str(tmp_path / "a" / "mixed.tif")]).stdout
    assert "2 chunks for haar (dct 1, haar 1)" in shown


def test_a_picture_that_was_jpeg_2000_comes_back_byte_for_byte_and_is_read_at_every_level(tmp_path: Path) -> None:
    script = runpy.run_path(str(Path(__file__).parents[3] / "k8s" / "compile_kernels.py"))
    picture = script["decoded_jpeg_2000"](np.random.default_rng(3))
    path = tmp_path / "patch.png"
    path.write_bytes(imagecodecs.png_encode(picture, level=6))
    one = archived(path, tmp_path / "a", preset="balanced")
    assert (one.guarantee, codecs_of(one), one.fallbacks, one.models) == ("file-exact", {"dwt": 1}, {}, {})
    assert codecs_of(archived(path, tmp_path / "quick", preset="fast")) == {"haar": 1}
    assert one.archived_bytes < path.stat().st_size / 10
    (back,) = restore(tmp_path / "a", tmp_path / "out").raise_for_failures().sources
    assert Path(back.path).read_bytes() == path.read_bytes()
    assert verify(tmp_path / "a", deep=True).ok
    source = open_archive(tmp_path / "a" / "patch.png")
    np.testing.assert_array_equal(source.read_region((50, 30), 0, (120, 220)), picture[30:250, 50:170])
    np.testing.assert_array_equal(source.read_region((0, 0), 1, (128, 128)), halved(picture))


class Liar(Codec):
    """Takes everything, and gives back something else."""

    name: ClassVar[str] = "dct"

    def encode(self, chunks: Sequence[Samples]) -> list[Bitstream]:
        return [Bitstream((bytes(20),)) for _ in chunks]

    def decode(self, bitstreams: Sequence[Bitstream], *, reduce: int = 0) -> list[Samples]:
        return [np.zeros((1, 1, 3), np.uint8) for _ in bitstreams]


def test_a_failed_proof_is_reported_though_the_flow_took_the_chunk(
    patch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("haarchive.codecs.dct.codec.DctCodec", Liar)
    result = CliRunner().invoke(app, ["archive", str(patch), str(tmp_path / "a"), "--preset", "fast"])
    assert result.exit_code == 0
    assert "a codec failed on 4 chunks (dct mismatch); nothing is lost" in result.stderr
    assert "haar 4" in result.stdout
    shown = CliRunner().invoke(app, ["inspect", str(tmp_path / "a" / "patch.png")]).stdout
    assert "fallback   4 chunks: dct mismatch" in shown
    assert verify(tmp_path / "a", deep=True).ok


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple[str, ...]]]:
    """What each batch went to: the name of the codec, and those of the specialists before it."""
    seen: list[tuple[str, tuple[str, ...]]] = []

    def watched(codec: Codec, *batch: object, specialists: Sequence[Codec], **options: object) -> object:
        seen.append((codec.name, tuple(one.name for one in specialists)))
        return encode_proven(codec, *batch, specialists=specialists, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(stages, "encode_proven", watched)
    return seen


@pytest.mark.parametrize(
    ("preset", "specialists"), [("fast", ("dct",)), ("balanced", ("dct", "dwt")), ("max", ("dct", "dwt"))]
)
def test_every_preset_offers_pictures_of_8_bits_to_its_specialists(
    preset: str, specialists: tuple[str, ...], offered: list[tuple[str, tuple[str, ...]]], tmp_path: Path
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", painted(64, 64), photometric="rgb")
    archived(tmp_path / "a.tif", tmp_path / "a", preset=preset)
    assert offered == [("stored", ()), ("haar", specialists)]


def test_other_planes_have_no_specialist(offered: list[tuple[str, tuple[str, ...]]], tmp_path: Path) -> None:
    picture = painted(64, 64)
    tifffile.imwrite(tmp_path / "deep.tif", picture.astype(np.uint16) * 257, photometric="rgb")
    tifffile.imwrite(tmp_path / "jpeg.tif", picture, tile=(64, 64), compression="jpeg")
    soundfile.write(tmp_path / "take.wav", picture[:, :, 0].reshape(-1).astype(np.int16), 8000, subtype="PCM_16")
    names = ["deep.tif", "jpeg.tif", "take.wav"]
    archive([tmp_path / name for name in names], tmp_path / "a", config=CONFIG).raise_for_failures()
    assert {codec for codec, _ in offered} == {"stored", "haar", "jpeg-xl", "haar-audio"}
    assert {specialists for _, specialists in offered} == {()}


def test_pictures_that_lose_details_have_no_specialist(
    offered: list[tuple[str, tuple[str, ...]]], patch: Path, tmp_path: Path
) -> None:
    config = CONFIG.model_copy(update={"drop_bands": 1})
    archive(patch, tmp_path / "a", config=config).raise_for_failures()
    assert ("haar", ()) in offered
    assert {specialists for _, specialists in offered} == {()}


def test_the_specialist_refuses_what_was_no_jpeg() -> None:
    with pytest.raises(UnsupportedSamplesError):
        get_codec("dct").encode([painted(128, 128)])
