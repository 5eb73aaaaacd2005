"""Sources that are JPEG: which codec takes them under which preset, and that every byte comes back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from haarchive.codecs import Bitstream, Samples
from haarchive.codecs.jpeg.codec import JpegCodec
from haarchive.pipeline import archive, open_archive
from haarchive.pipeline.config import ArchiveConfig
from haarchive.pipeline.jobs import SourceReport, restore, verify


@pytest.fixture
def picture() -> np.ndarray:
    """Smooth waves with noise, (600, 700, 3) uint8."""
    rng = np.random.default_rng(4)
    y, x = np.mgrid[:600, :700]
    waves = np.stack([150 + 60 * np.sin(x / 23 + c) * np.cos(y / 19 - c) for c in range(3)], axis=2)
    return (waves + rng.normal(0, 6, waves.shape)).clip(0, 255).astype(np.uint8)


@pytest.fixture
def slide(picture: np.ndarray, tmp_path: Path) -> Path:
    """Its tiles are JPEG."""
    path = tmp_path / "slide.tif"
    tifffile.imwrite(path, picture, tile=(128, 128), compression="jpeg", photometric="rgb")
    return path


def saved(path: Path, picture: np.ndarray, **options: Any) -> Path:
    Image.fromarray(picture).save(path, "JPEG", quality=70, **options)
    return path


def archived(path: Path, url: Path, preset: Any = "balanced") -> SourceReport:
    config = ArchiveConfig(preset=preset, threads=1)
    (one,) = archive(path, url, config=config).raise_for_failures().sources
    return one


def back(url: Path, out: Path) -> bytes:
    (one,) = restore(url, out).raise_for_failures().sources
    return Path(one.path).read_bytes()


@pytest.mark.parametrize(("preset", "codec"), [("fast", "jpeg-xl"), ("balanced", "jpeg"), ("max", "jpeg")])
def test_tiles_go_to_the_codec_that_the_preset_has_time_for(
    preset: str, codec: str, slide: Path, tmp_path: Path
) -> None:
    report = archived(slide, tmp_path / "a", preset)
    assert report.codecs[codec].chunks == 4  # of 4 x 4 tiles
    assert verify(tmp_path / "a", deep=True).ok
    assert back(tmp_path / "a", tmp_path / "out") == slide.read_bytes()


def test_more_time_gives_fewer_bytes(slide: Path, tmp_path: Path) -> None:
    fast, balanced = (archived(slide, tmp_path / preset, preset) for preset in ("fast", "balanced"))
    assert balanced.archived_bytes < fast.archived_bytes < slide.stat().st_size


def test_another_preset_leaves_what_is_archived_as_it_is(slide: Path, tmp_path: Path) -> None:
    archived(slide, tmp_path / "a", "fast")
    again = archived(slide, tmp_path / "a", "balanced")
    assert "jpeg" not in again.codecs
    assert again.codecs["jpeg-xl"].chunks == 4


def test_regions_are_read_across_chunks(slide: Path, tmp_path: Path) -> None:
    archived(slide, tmp_path / "a")
    region = open_archive(tmp_path / "a" / "slide.tif").read_region((400, 350), 0, (250, 200))
    assert np.array_equal(region, tifffile.imread(slide)[350:550, 400:650])


def test_a_region_decodes_no_chunks_but_its_own(slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archived(slide, tmp_path / "a")
    source = open_archive(tmp_path / "a" / "slide.tif")
    source.read_region((0, 0), 0, (10, 10))
    decoded = []
    decode = JpegCodec.decode

    def counted(self: JpegCodec, bitstreams: Sequence[Bitstream], *, reduce: int = 0) -> list[Samples]:
        decoded.extend(bitstreams)
        return decode(self, bitstreams, reduce=reduce)

    monkeypatch.setattr(JpegCodec, "decode", counted)
    source.read_region((0, 520), 0, (60, 60))  # in the file, tiles of the chunk beside it follow
    assert len(decoded) == 1


@pytest.mark.parametrize(("options", "codec"), [({}, "jpeg"), ({"progressive": True}, "jpeg-xl")], ids=str)
def test_a_jpeg_file_goes_to_what_takes_it(
    options: dict[str, Any], codec: str, picture: np.ndarray, tmp_path: Path
) -> None:
    photo = saved(tmp_path / "photo.jpg", picture, **options)
    report = archived(photo, tmp_path / "a")
    assert (report.codecs[codec].chunks, report.fallbacks) == (1, {})
    assert report.archived_bytes < photo.stat().st_size
    assert back(tmp_path / "a", tmp_path / "out") == photo.read_bytes()


def test_tiles_within_an_unknown_format_are_found(picture: np.ndarray, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    files = [saved(tmp_path / "one.jpg", tile).read_bytes() for tile in np.array_split(picture[:, :600], 5)]
    unknown = tmp_path / "Data0001.dat"
    unknown.write_bytes(rng.bytes(333) + rng.bytes(57).join(files) + rng.bytes(12))
    report = archived(unknown, tmp_path / "a")
    assert report.codecs["jpeg"].raw_bytes == sum(map(len, files))
    assert back(tmp_path / "a", tmp_path / "out") == unknown.read_bytes()


def test_a_jpeg_that_is_cut_short_is_kept(picture: np.ndarray, tmp_path: Path) -> None:
    whole = saved(tmp_path / "whole.jpg", picture).read_bytes()
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(whole[: len(whole) // 2])
    archived(cut, tmp_path / "a")
    assert back(tmp_path / "a", tmp_path / "out") == cut.read_bytes()


def test_a_slide_is_little_more_than_half(data_dir: Path, tmp_path: Path) -> None:
    slide = data_dir / "slides" / "xyc-JPEG.ome.tiff"
    report = archived(slide, tmp_path / "a")
    assert report.archived_bytes < 0.55 * slide.stat().st_size
    assert back(tmp_path / "a", tmp_path / "out") == slide.read_bytes()
