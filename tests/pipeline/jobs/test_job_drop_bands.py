"""Archiving pictures without their finest details: what is kept, what is said, what is refused."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import imagecodecs
import numpy as np
import pyarrow as pa
import pytest
import tifffile

from haarchive.codecs.errors import ConfigError, SourceConflictError
from haarchive.pipeline import archive, open_archive
from haarchive.pipeline.archive import ArchiveWriter
from haarchive.pipeline.archive.geometry import halved
from haarchive.pipeline.archive.keys import manifest_key
from haarchive.pipeline.config import ArchiveConfig
from haarchive.pipeline.jobs import JobReport, restore, verify


def dropping(levels: int) -> ArchiveConfig:
    return ArchiveConfig(preset="fast", threads=1, drop_bands=levels)


def statuses(report: JobReport) -> dict[str, str]:
    return {one.source: one.status for one in report.sources}


def error_of(one: np.ndarray, other: np.ndarray) -> float:
    """Root of the mean squared difference."""
    return float(np.sqrt(np.mean((one.astype(float) - other) ** 2)))


@pytest.fixture(scope="module")
def tissue() -> np.ndarray:
    """Smooth at scales of some ten pixels, with noise, (500, 620, 3) uint8: chunks of 512 and of their rest."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:500, :620]
    waves = np.stack([130 + 70 * np.sin(x / 23 + c) * np.cos(y / 19 - c) for c in range(3)], axis=2)
    return (waves + rng.normal(0, 4, waves.shape)).clip(0, 255).astype(np.uint8)


@pytest.fixture
def slide(tissue: np.ndarray, tmp_path: Path) -> Path:
    path = tmp_path / "slide.tif"
    tifffile.imwrite(path, tissue, photometric="rgb", tile=(256, 256))
    return path


def restored(url: Path, out: Path) -> np.ndarray:
    (one,) = restore(url, out).raise_for_failures().sources
    return np.asarray(tifffile.imread(one.path))


def test_each_level_that_is_dropped_costs_quality_and_saves_bytes(
    slide: Path, tissue: np.ndarray, tmp_path: Path
) -> None:
    sizes, errors = [], []
    for levels in range(4):
        (one,) = archive(slide, tmp_path / str(levels), config=dropping(levels)).raise_for_failures().sources
        assert one.guarantee == (f"lossy-drop-bands-{levels}" if levels else "file-exact")
        assert one.fallbacks == {}
        sizes.append(one.archived_bytes)
        errors.append(error_of(restored(tmp_path / str(levels), tmp_path / f"out{levels}"), tissue))
    assert all(more > 1.5 * less for more, less in pairwise(sizes))
    assert errors[0] == 0
    assert 1 < errors[1] < errors[2] < errors[3] < 20


def test_what_is_restored_is_what_the_archive_shows_under_a_name_that_says_so(
    slide: Path, tissue: np.ndarray, tmp_path: Path
) -> None:
    archive(slide, tmp_path / "a", config=dropping(2)).raise_for_failures()
    shown = open_archive(tmp_path / "a" / "slide.tif").read_region((0, 0), 0, (620, 500))
    (one,) = restore(tmp_path / "a", tmp_path / "out").raise_for_failures().sources
    assert Path(one.path).name == "slide.drop-bands-2.tif"
    assert one.guarantee == "lossy-drop-bands-2"
    np.testing.assert_array_equal(tifffile.imread(one.path), shown)
    assert verify(tmp_path / "a", deep=True).ok


@pytest.mark.parametrize("levels", [1, 3, 4])
def test_lower_resolutions_are_those_of_the_lossless_archive_where_nothing_is_missing(
    levels: int, slide: Path, tmp_path: Path
) -> None:
    archive(slide, tmp_path / "whole", config=dropping(0)).raise_for_failures()
    archive(slide, tmp_path / "part", config=dropping(levels)).raise_for_failures()
    whole, part = (open_archive(tmp_path / name / "slide.tif") for name in ("whole", "part"))
    assert whole.level_dimensions == part.level_dimensions
    for level in range(1, len(part.levels)):
        size = part.level_dimensions[level]
        ours, theirs = (one.read_region((0, 0), level, size) for one in (part, whole))
        if level >= levels:
            np.testing.assert_array_equal(ours, theirs)
        else:
            assert 0 < error_of(ours, theirs) < 40


def test_chunks_that_lost_all_their_levels_are_halved_by_the_reader(tmp_path: Path) -> None:
    y, x = np.mgrid[:20, :1500]
    thin = (120 + 60 * np.sin(x / 17) + 50 * np.cos(y / 11)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "thin.tif", thin)
    archive(tmp_path / "thin.tif", tmp_path / "a", config=dropping(3)).raise_for_failures()
    source = open_archive(tmp_path / "a" / "thin.tif")
    full = source.read_region((0, 0), 0, (1500, 20))
    assert source.manifest.codec_totals()["haar"].chunks == 3
    half = np.concatenate([halved(full[:, a : a + 512]) for a in range(0, 1500, 512)], axis=1)
    np.testing.assert_array_equal(source.read_region((0, 0), 1, (750, 10)), half)


def test_a_picture_in_a_png_comes_back_as_a_tiff(tissue: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(tissue))
    archive(tmp_path / "a.png", tmp_path / "a", config=dropping(1)).raise_for_failures()
    (one,) = restore(tmp_path / "a", tmp_path / "out").raise_for_failures().sources
    assert Path(one.path).name == "a.png.drop-bands-1.tif"
    assert error_of(tifffile.imread(one.path), tissue) < 5


def test_sources_without_such_pictures_are_archived_file_exactly(sources: Path, tmp_path: Path) -> None:
    report = archive(sources, tmp_path / "a", config=dropping(2)).raise_for_failures()
    assert {one.guarantee for one in report.sources} == {"file-exact"}
    restore(tmp_path / "a", tmp_path / "out").raise_for_failures()
    for path in [path for path in sources.rglob("*") if path.is_file()]:
        assert (tmp_path / "out" / "in" / path.relative_to(sources)).read_bytes() == path.read_bytes()
    assert set(statuses(archive(sources, tmp_path / "a", config=dropping(0))).values()) == {"unchanged"}


def test_doing_the_same_again_changes_nothing(slide: Path, tmp_path: Path) -> None:
    archive(slide, tmp_path / "a", config=dropping(2))
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "a").rglob("*")}
    assert statuses(archive(slide, tmp_path / "a", config=dropping(2))) == {"slide.tif": "unchanged"}
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "a").rglob("*")} == before


@pytest.mark.parametrize(("first", "then"), [(2, 1), (2, 0), (0, 2)])
def test_another_quality_under_a_taken_name_is_refused(first: int, then: int, slide: Path, tmp_path: Path) -> None:
    archive(slide, tmp_path / "a", config=dropping(first)).raise_for_failures()
    (one,) = archive(slide, tmp_path / "a", config=dropping(then)).failed
    names = [
        "lossy-drop-bands-2" if levels == 2 else "lossy-drop-bands-1" if levels else "file-exact"
        for levels in (first, then)
    ]
    assert "the archive holds a source with another guarantee, {} and not {}".format(*names) in one.error


def test_another_picture_of_the_same_size_is_refused_though_nothing_is_known_of_what_will_be_restored(
    slide: Path, tmp_path: Path
) -> None:
    archive(slide, tmp_path / "a", config=dropping(2)).raise_for_failures()
    data = bytearray(slide.read_bytes())
    data[-1] ^= 1
    slide.write_bytes(data)
    (one,) = archive(slide, tmp_path / "a", config=dropping(2)).failed
    assert "other content" in one.error


def test_two_writers_cannot_commit_different_qualities_under_one_name(slide: Path, tmp_path: Path) -> None:
    for levels in (1, 2):
        archive(slide, tmp_path / str(levels), config=dropping(levels)).raise_for_failures()
    one, two = (open_archive(tmp_path / name / "slide.tif").manifest for name in "12")
    assert one.is_of(one.layout, one.guarantee)
    assert not one.is_of(two.layout, two.guarantee)
    writer = ArchiveWriter(tmp_path / "1")
    assert writer.commit(one) > 0
    with pytest.raises(SourceConflictError, match="other content"):
        writer.commit(two)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """An archive of a picture of 16 bits whose coarse bands are too many for its manifest."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:512, :512]
    waves = 30000 + 9000 * np.sin(x / 23)[..., None] * np.cos(y / 19)[..., None] * np.array([1, 0.8, 0.6])
    picture = (waves + rng.normal(0, 2000, waves.shape)).clip(0, 65535).astype(np.uint16)
    tifffile.imwrite(tmp_path / "large.tif", picture, photometric="rgb")
    archive(tmp_path / "large.tif", tmp_path / "a", config=dropping(1)).raise_for_failures()
    return tmp_path / "a"


def test_a_flipped_bit_is_found_and_nothing_is_restored(large: Path, tmp_path: Path) -> None:
    (shard,) = open_archive(large / "large.tif").manifest.shards
    path = large / "shards" / f"{shard.sha256}.arrow"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    for report in (verify(large), verify(large, deep=True), restore(large, tmp_path / "out")):
        assert "damaged" in report.failed[0].error
    assert not list((tmp_path / "out").rglob("*.tif"))


def test_samples_that_are_not_those_that_were_digested_are_never_restored(slide: Path, tmp_path: Path) -> None:
    archive(slide, tmp_path / "a", config=dropping(2)).raise_for_failures()
    manifest = open_archive(tmp_path / "a" / "slide.tif").manifest
    digests = manifest.index.column("digest").to_pylist()
    digests[-1] = bytes(16)
    column = manifest.index.schema.get_field_index("digest")
    index = manifest.index.set_column(column, "digest", pa.array(digests, pa.binary(16)))
    (tmp_path / "a" / manifest_key("slide.tif")).write_bytes(replace(manifest, index=index).to_bytes())
    for report in (verify(tmp_path / "a", deep=True), restore(tmp_path / "a", tmp_path / "out")):
        assert "does not decode to the samples that were archived" in report.failed[0].error
    assert not list((tmp_path / "out").rglob("*.tif"))


def test_a_job_keeps_what_it_was_told_and_goes_on_with_it(slide: Path, tmp_path: Path) -> None:
    archive(slide, tmp_path / "a", config=dropping(2), job="previews").raise_for_failures()
    assert open_archive(tmp_path / "a" / "slide.tif").manifest.guarantee == "lossy-drop-bands-2"
    (one,) = archive(slide, tmp_path / "a", config=dropping(2), job="previews").raise_for_failures().sources
    assert one.guarantee == "lossy-drop-bands-2"
    with pytest.raises(ConfigError, match="another job"):
        archive(slide, tmp_path / "a", config=dropping(1), job="previews")


@pytest.mark.parametrize(
    "fields", [{"drop_bands": 5}, {"drop_bands": -1}, {"drop_bands": 1, "guarantee": "sample-exact"}]
)
def test_what_cannot_be_promised_is_no_configuration(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="drop_bands"):
        ArchiveConfig.model_validate(fields)
