"""Small sources, archived by the lot."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from haarchive.codecs import Samples
from haarchive.pipeline import archive, open_archive
from haarchive.pipeline.config import ArchiveConfig
from haarchive.pipeline.jobs import lots
from haarchive.pipeline.jobs.lots import Lot, plan_lots
from haarchive.pipeline.jobs.plan import ShardTask
from haarchive.pipeline.jobs.stages import Encoder
from haarchive.pipeline.layout import Plane
from haarchive.pipeline.sources import SourceRef, discover


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """40 files of some hundred bytes, and one of a megabyte that does not compress."""
    folder = tmp_path / "in"
    folder.mkdir()
    for n in range(40):
        (folder / f"{n:02d}").write_bytes(f"clip {n} ".encode() * n)
    (folder / "large").write_bytes(os.urandom(1 << 20))
    return folder


def objects(url: Path) -> list[str]:
    return sorted(path.relative_to(url).parts[0] for path in url.rglob("*") if path.is_file())


def test_many_small_sources_are_one_object(clips: Path, tmp_path: Path) -> None:
    report = archive(clips, tmp_path / "a", engine="local").raise_for_failures()
    assert objects(tmp_path / "a") == ["archive.json", "manifests", "packs", "shards"]
    stored = sum(p.stat().st_size for p in (tmp_path / "a").rglob("*") if p.is_file() and p.name != "archive.json")
    assert stored <= sum(one.archived_bytes for one in report.sources) < stored + 41
    for name, source in open_archive(tmp_path / "a").items():
        assert source.open().read() == (tmp_path / name).read_bytes()


def test_few_small_sources_have_a_manifest_each(clips: Path, tmp_path: Path) -> None:
    archive(sorted(clips.iterdir())[:5], tmp_path / "a", engine="local")
    assert objects(tmp_path / "a") == ["archive.json", *["manifests"] * 5]


def test_archiving_again_finds_packed_sources_unchanged(clips: Path, tmp_path: Path) -> None:
    first = archive(clips, tmp_path / "a", engine="local")
    again = archive(clips, tmp_path / "a", engine="local")
    assert {one.status for one in again.sources} == {"unchanged"}
    assert [one.archived_bytes for one in again.sources] == [one.archived_bytes for one in first.sources]
    assert objects(tmp_path / "a").count("packs") == 1


def test_sources_that_are_new_among_packed_ones_get_a_pack_of_their_own(clips: Path, tmp_path: Path) -> None:
    archive(clips, tmp_path / "a", engine="local")
    for n in range(20):
        (clips / f"new {n}").write_bytes(b"new" * n)
    report = archive(clips, tmp_path / "a", engine="local").raise_for_failures()
    assert sum(one.status == "archived" for one in report.sources) == 20
    assert objects(tmp_path / "a").count("packs") == 2
    assert len(open_archive(tmp_path / "a")) == 61


def test_a_source_that_cannot_be_read_does_not_stop_its_lot(clips: Path, tmp_path: Path) -> None:
    refs = [*discover([str(clips)]), SourceRef(str(clips / "gone"), "in/gone", size=10, version="1")]
    (lot,) = [item for item in plan_lots(refs) if isinstance(item, Lot)]
    writer = lots.ArchiveWriter(tmp_path / "a")
    config = ArchiveConfig()
    reports = lots.archive_lot(lot, writer, Encoder(config, {}, writer), config)
    assert [one.source for one in reports if one.status == "failed"] == ["in/gone"]
    assert len(open_archive(tmp_path / "a")) == 40


class ChangingEncoder(Encoder):
    """Appends to one source while it is encoded, as whoever writes it would."""

    path: Path

    def encode(
        self, task: ShardTask, planes: Sequence[Plane], chunks: Sequence[Samples], advanced: object = None
    ) -> tuple[list, dict]:
        if task.source == "in/07":
            with self.path.open("ab") as file:
                file.write(b"more")
        return super().encode(task, planes, chunks)


def test_a_small_source_that_changes_meanwhile_is_not_committed(clips: Path, tmp_path: Path) -> None:
    (lot,) = [item for item in plan_lots(discover([str(clips)])) if isinstance(item, Lot)]
    writer = lots.ArchiveWriter(tmp_path / "a")
    config = ArchiveConfig()
    encoder = ChangingEncoder(config, {}, writer)
    encoder.path = clips / "07"
    reports = lots.archive_lot(lot, writer, encoder, config)
    assert [one.source for one in reports if one.status == "failed"] == ["in/07"]
    assert "in/07" not in open_archive(tmp_path / "a")


def test_lots_depend_on_the_sources_alone() -> None:
    refs = [SourceRef(f"/{n}", str(n), size=100_000 * (n % 9), version="") for n in range(1000)]
    first, again = list(plan_lots(refs)), list(plan_lots(refs))
    assert first == again
    found = [ref for item in first for ref in (item.sources if isinstance(item, Lot) else [item])]
    assert sorted(ref.name for ref in found) == sorted(ref.name for ref in refs)
    for item in first:
        if isinstance(item, Lot):
            assert len(item.sources) <= 256
            assert sum(ref.size or 0 for ref in item.sources) <= 1 << 24
