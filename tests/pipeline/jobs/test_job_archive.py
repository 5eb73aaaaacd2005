"""Archiving in this process, and the way back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import tifffile

from haarchive.codecs.errors import ArchiveNotFoundError, ConfigError, JobError, ModelNotFoundError
from haarchive.codecs.haar.image import HaarCodec
from haarchive.codecs.haar.presets import Preset
from haarchive.pipeline import archive, open_archive
from haarchive.pipeline.archive.geometry import halved
from haarchive.pipeline.archive.keys import manifest_key
from haarchive.pipeline.config import ArchiveConfig, Guarantee
from haarchive.pipeline.jobs import JobReport, SourceReport, restore, verify
from haarchive.pipeline.jobs.report import Quiet


def tree(folder: Path) -> dict[str, bytes]:
    """Every file under a folder, by relative path."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def statuses(report: JobReport) -> dict[str, str]:
    return {one.source: one.status for one in report.sources}


class Meddler(Quiet):
    """Changes a file as soon as it was looked at."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def planned(self, source: str, raw_bytes: int) -> None:
        if source.endswith(self.path.name):
            with self.path.open("r+b") as file:
                file.seek(100)
                file.write(b"!")


class Recorder(Quiet):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.total: dict[str, int] = {}
        self.done: dict[str, int] = {}
        self.reports: list[SourceReport] = []

    def planned(self, source: str, raw_bytes: int) -> None:
        self.total[source] = raw_bytes

    def advanced(self, source: str, raw_bytes: int) -> None:
        self.done[source] = self.done.get(source, 0) + raw_bytes

    def finished(self, report: SourceReport) -> None:
        self.reports.append(report)


def test_every_file_comes_back_byte_for_byte(sources: Path, tmp_path: Path) -> None:
    archive(sources, tmp_path / "a").raise_for_failures()
    restore(tmp_path / "a", tmp_path / "out").raise_for_failures()
    assert tree(tmp_path / "out" / "in") == tree(sources)


def test_a_report_counts_every_object_of_its_source(sources: Path, tmp_path: Path) -> None:
    (one,) = archive(sources / "slide.tif", tmp_path / "a").raise_for_failures().sources
    objects = [p.stat().st_size for p in (tmp_path / "a").rglob("*") if p.is_file() and p.suffix != ".json"]
    assert one.archived_bytes == sum(objects)
    assert one.bytes == (sources / "slide.tif").stat().st_size
    assert sum(totals.chunks for totals in one.codecs.values()) == 1 + 1  # the skeleton, and 2 x 3 tiles
    assert one.codecs["jpeg"].raw_bytes > one.codecs["jpeg"].bytes > 0


def test_archiving_again_changes_nothing(sources: Path, tmp_path: Path) -> None:
    archive(sources, tmp_path / "a")
    before = tree(tmp_path / "a")
    report = archive(sources, tmp_path / "a")
    assert set(statuses(report).values()) == {"unchanged"}
    assert tree(tmp_path / "a") == before


def test_a_job_that_died_before_its_commit_is_resumed(sources: Path, tmp_path: Path) -> None:
    archive(sources, tmp_path / "a")
    before = tree(tmp_path / "a")
    (tmp_path / "a" / manifest_key("in/noise.bin")).unlink()
    report = archive(sources, tmp_path / "a")
    assert statuses(report)["in/noise.bin"] == "archived"
    assert tree(tmp_path / "a") == before


def test_other_content_under_a_taken_name_is_refused(sources: Path, tmp_path: Path) -> None:
    archive(sources, tmp_path / "a")
    before = tree(tmp_path / "a")
    (sources / "noise.bin").write_bytes(b"other")
    report = archive(sources, tmp_path / "a")
    assert [one.source for one in report.failed] == ["in/noise.bin"]
    assert "other content" in report.failed[0].error
    assert tree(tmp_path / "a") == before


def test_a_file_that_changes_meanwhile_is_not_committed_and_the_others_are(sources: Path, tmp_path: Path) -> None:
    report = archive(sources, tmp_path / "a", progress=Meddler(sources / "noise.bin"))
    assert [one.source for one in report.failed] == ["in/noise.bin"]
    assert "in/noise.bin" not in open_archive(tmp_path / "a")
    assert len(open_archive(tmp_path / "a")) == 4


class Interrupter(Recorder):
    """Presses Ctrl-C when the first source is done."""

    def finished(self, report: SourceReport) -> None:
        super().finished(report)
        raise KeyboardInterrupt


def test_an_interrupted_job_leaves_whole_sources_and_no_halves(sources: Path, tmp_path: Path) -> None:
    seen = Interrupter()
    with pytest.raises(KeyboardInterrupt):
        archive(sources, tmp_path / "a", config=ArchiveConfig(threads=1), progress=seen)
    assert list(open_archive(tmp_path / "a")) == [one.source for one in seen.reports]
    assert verify(tmp_path / "a", deep=True).ok
    assert archive(sources, tmp_path / "a").ok
    assert len(open_archive(tmp_path / "a")) == 5


def test_what_cannot_be_read_does_not_stop_the_others(sources: Path, tmp_path: Path) -> None:
    os.mkfifo(sources / "pipe")
    (sources / "dangling").symlink_to(sources / "nowhere")
    report = archive([sources, tmp_path / "missing.svs", tmp_path / "*.ndpi"], tmp_path / "a")
    failed = {one.source: one.error for one in report.failed}
    assert set(failed) == {
        "in/pipe",
        "in/dangling",
        str(tmp_path / "missing.svs"),
        str(tmp_path / "*.ndpi"),
    }
    assert all(failed.values())
    assert len(open_archive(tmp_path / "a")) == 5
    with pytest.raises(JobError, match=r"4 of 9 sources failed.*in/pipe"):
        report.raise_for_failures()


@pytest.fixture
def cut(picture: np.ndarray, tmp_path: Path) -> list[Path]:
    """A picture and a recording that were cut short, and a file that is whole."""
    folder = tmp_path / "cut"
    folder.mkdir()
    tifffile.imwrite(folder / "whole.tif", picture)
    (folder / "cut.tif").write_bytes((folder / "whole.tif").read_bytes()[:-20_000])
    (folder / "cut.wav").write_bytes(b"RIFF\x24\x00\x00\x00WAVEfmt \x10\x00")
    return [folder / name for name in ("cut.tif", "cut.wav", "whole.tif")]


@pytest.mark.parametrize("guarantee", ["file-exact", "sample-exact"])
def test_files_that_were_cut_short_fail_and_the_others_are_archived(
    guarantee: Guarantee, cut: list[Path], tmp_path: Path
) -> None:
    report = archive(cut, tmp_path / "a", config=ArchiveConfig(guarantee=guarantee))
    assert statuses(report) == {"cut.tif": "failed", "cut.wav": "failed", "whole.tif": "archived"}
    assert "strip 0 of IFD 0" in report.failed[0].error
    assert "the file ends at byte 18" in report.failed[1].error
    assert list(open_archive(tmp_path / "a")) == ["whole.tif"]


def test_files_that_were_cut_short_are_archived_as_they_are_on_request(cut: list[Path], tmp_path: Path) -> None:
    report = archive(cut, tmp_path / "a", keep_damaged=True).raise_for_failures()
    assert ["cut short" in one.note for one in report.sources] == [True, True, False]
    restore(tmp_path / "a", tmp_path / "out").raise_for_failures()
    assert all((tmp_path / "out" / path.name).read_bytes() == path.read_bytes() for path in cut)
    assert verify(tmp_path / "a", deep=True).ok
    assert set(statuses(archive(cut, tmp_path / "a", keep_damaged=True)).values()) == {"unchanged"}


class Presets(HaarCodec):
    """Remembers which preset it was loaded with."""

    seen: ClassVar[list[str]] = []

    @classmethod
    def load(cls, model: bytes | None = None, *, device: str = "cpu", preset: Preset = "balanced") -> HaarCodec:
        cls.seen.append(preset)
        return HaarCodec.load(model, device=device, preset=preset)


@pytest.mark.parametrize(("argument", "expected"), [(None, "fast"), ("max", "max")])
def test_the_preset_reaches_the_codec(
    argument: Preset | None, expected: str, picture: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("haarchive.codecs.haar.image.HaarCodec", Presets)
    tifffile.imwrite(tmp_path / "raw.tif", picture)
    (tmp_path / "notes.txt").write_text("no flow")
    report = archive(
        [tmp_path / "raw.tif", tmp_path / "notes.txt"],
        tmp_path / "a",
        config=ArchiveConfig(preset="fast"),
        preset=argument,
    )
    assert Presets.seen.pop() == expected
    assert [one.preset for one in report.sources] == [expected, ""]
    assert report.sources[0].to_dict()["preset"] == expected
    assert verify(tmp_path / "a", deep=True).ok


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    """A picture of few colours, which JPEG XL is far better at than a flow, beside one that it is worse at."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:256, :512]
    waves = np.sin(x / 9) + np.cos(y / 7) + rng.normal(0, 0.6, x.shape)
    left = rng.integers(0, 256, (6, 3))[(waves * 1.5 + 3).clip(0, 5).astype(int)]
    right = 120 + 20 * waves[..., None] + rng.normal(0, 4, (256, 512, 3))
    picture = np.concatenate([left, right.clip(0, 255)], axis=1).astype(np.uint8)
    tifffile.imwrite(tmp_path / "drawn.tif", picture, photometric="rgb")
    return tmp_path / "drawn.tif"


def test_the_smallest_preset_takes_jpeg_xl_for_chunks_that_it_is_better_at(drawn: Path, tmp_path: Path) -> None:
    (quick,) = archive(drawn, tmp_path / "fast", preset="fast").raise_for_failures().sources
    (one,) = archive(drawn, tmp_path / "a", preset="max").raise_for_failures().sources
    assert {name: totals.chunks for name, totals in one.codecs.items()} == {"haar": 1, "jpeg-xl-pixels": 1, "stored": 1}
    assert one.fallbacks == {}
    assert "jpeg-xl-pixels" not in quick.codecs
    restored = restore(tmp_path / "a", tmp_path / "out").raise_for_failures().sources[0].path
    assert Path(restored).read_bytes() == drawn.read_bytes()
    assert verify(tmp_path / "a", deep=True).ok


def test_lower_resolutions_of_jpeg_xl_chunks_are_made_by_the_reader(drawn: Path, tmp_path: Path) -> None:
    archive(drawn, tmp_path / "a", preset="max").raise_for_failures()
    source = open_archive(tmp_path / "a" / "drawn.tif")
    left, right = (source.read_region((x, 0), 0, (512, 256)) for x in (0, 512))
    np.testing.assert_array_equal(source.read_region((0, 0), 1, (256, 128)), halved(left))
    np.testing.assert_array_equal(source.read_region((256, 64), 2, (64, 32)), halved(halved(left))[16:48, 64:])
    both = source.read_region((0, 0), 1, (512, 128)).astype(int)
    assert np.abs(both - np.concatenate([halved(left), halved(right)], axis=1)).max() <= 8


def test_a_preset_that_is_not_there_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("text")
    with pytest.raises(ConfigError, match="preset"):
        archive(tmp_path / "notes.txt", tmp_path / "a", preset="best")  # type: ignore[arg-type]
    assert not (tmp_path / "a").exists()


def test_an_archive_inside_an_archived_folder_does_not_swallow_itself(sources: Path) -> None:
    first = archive(sources, sources / "archive").raise_for_failures()
    again = archive(sources, sources / "archive").raise_for_failures()
    assert len(first.sources) == len(again.sources) == 5


def test_reports_come_in_the_order_of_the_sources(sources: Path, tmp_path: Path) -> None:
    names = ["noise.bin", "slide.tif", "empty"]
    report = archive([sources / name for name in names], tmp_path / "a")
    assert [one.source for one in report.sources] == names


def test_progress_adds_up_to_what_was_planned(sources: Path, tmp_path: Path) -> None:
    seen = Recorder()
    report = archive(sources, tmp_path / "a", progress=seen)
    assert seen.done == {name: total for name, total in seen.total.items() if total}
    assert sorted(one.source for one in seen.reports) == sorted(one.source for one in report.sources)


def test_the_number_of_threads_and_of_shards_at_once_changes_no_byte(sources: Path, tmp_path: Path) -> None:
    for threads in (1, 3):
        config = ArchiveConfig(threads=threads, shard_bytes=1 << 20, batch_chunks=threads)
        archive(sources, tmp_path / str(threads), config=config).raise_for_failures()
    assert tree(tmp_path / "1") == tree(tmp_path / "3")
    assert len(open_archive(tmp_path / "1" / "in" / "noise.bin").manifest.shards) == 3


def test_two_sources_of_one_name_are_refused(sources: Path, tmp_path: Path) -> None:
    (tmp_path / "noise.bin").touch()
    with pytest.raises(ConfigError, match=r"noise\.bin"):
        archive([sources / "noise.bin", tmp_path / "noise.bin"], tmp_path / "a")


def test_an_archive_in_memory_cannot_be_written_by_ray(sources: Path) -> None:
    with pytest.raises(ConfigError, match="memory"):
        archive(sources, "memory://jobs-ray", engine="ray")


def test_an_archive_in_memory_stays_in_this_process_whatever_the_size(sources: Path) -> None:
    report = archive(sources, "memory://jobs-size", config=ArchiveConfig(ray_from_bytes=0))
    assert report.ok


def test_a_model_that_is_not_there_is_named(sources: Path, tmp_path: Path) -> None:
    config = ArchiveConfig(models={"haar": tmp_path / "none.safetensors"})
    with pytest.raises(ModelNotFoundError, match=r"none\.safetensors"):
        archive(sources, tmp_path / "a", config=config)


def test_nothing_to_archive_makes_no_archive(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    assert archive(tmp_path / "in", tmp_path / "a").sources == ()
    assert not (tmp_path / "a").exists()


def test_one_source_is_restored_under_its_base_name(sources: Path, tmp_path: Path) -> None:
    archive(sources, tmp_path / "a")
    (one,) = restore(tmp_path / "a" / "in" / "sub" / "notes.txt", tmp_path / "out").sources
    assert Path(one.path) == tmp_path / "out" / "notes.txt"
    assert Path(one.path).read_bytes() == (sources / "sub" / "notes.txt").read_bytes()


def test_restoring_never_replaces_a_file_silently(sources: Path, tmp_path: Path) -> None:
    archive(sources / "empty", tmp_path / "a")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "empty").write_text("precious")
    assert not restore(tmp_path / "a", tmp_path / "out").ok
    assert (tmp_path / "out" / "empty").read_text() == "precious"
    assert restore(tmp_path / "a", tmp_path / "out", overwrite=True).ok
    assert (tmp_path / "out" / "empty").read_bytes() == b""


def test_a_damaged_source_is_reported_and_the_others_are_restored(sources: Path, tmp_path: Path) -> None:
    archive(sources, tmp_path / "a")
    shard = open_archive(tmp_path / "a" / "in" / "noise.bin").manifest.shards[0]
    path = tmp_path / "a" / "shards" / f"{shard.sha256}.arrow"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    for report in (verify(tmp_path / "a"), restore(tmp_path / "a", tmp_path / "out")):
        assert [one.source for one in report.failed] == ["in/noise.bin"]
        assert len(report.sources) == 5
    assert "in/noise.bin" not in str(tree(tmp_path / "out").keys())


def test_a_source_that_is_not_there_is_an_error(sources: Path, tmp_path: Path) -> None:
    archive(sources, tmp_path / "a")
    with pytest.raises(ArchiveNotFoundError, match="nothing"):
        restore(tmp_path / "a" / "nothing", tmp_path / "out")


def test_a_raw_picture_goes_through_the_learned_codec_and_its_model_is_kept(
    picture: np.ndarray, tmp_path: Path
) -> None:
    pytest.importorskip("haarchive.codecs.haar.image")
    tifffile.imwrite(tmp_path / "raw.tif", picture)
    (one,) = archive(tmp_path / "raw.tif", tmp_path / "a").raise_for_failures().sources
    assert one.codecs["haar"].bytes < picture.nbytes / 2
    (model,) = (tmp_path / "a" / "models").iterdir()
    assert one.models == {"haar": model.name.removesuffix(".safetensors")}
    assert one.model_bytes == {one.models["haar"]: model.stat().st_size}
    restored = restore(tmp_path / "a", tmp_path / "out").raise_for_failures().sources[0].path
    assert Path(restored).read_bytes() == (tmp_path / "raw.tif").read_bytes()


def test_a_missing_model_is_named_when_restoring(picture: np.ndarray, tmp_path: Path) -> None:
    pytest.importorskip("haarchive.codecs.haar.image")
    tifffile.imwrite(tmp_path / "raw.tif", picture)
    archive(tmp_path / "raw.tif", tmp_path / "a").raise_for_failures()
    (model,) = (tmp_path / "a" / "models").iterdir()
    model.unlink()
    report = restore(tmp_path / "a", tmp_path / "out")
    assert model.stem in report.failed[0].error
    assert tree(tmp_path / "out") == {}
