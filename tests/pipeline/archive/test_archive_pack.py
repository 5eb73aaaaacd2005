"""Packs: many small sources in one object, committed once whoever comes second."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from haarchive.codecs.errors import ArchiveNotFoundError, IntegrityError, ObjectExistsError, SourceConflictError
from haarchive.pipeline.archive import ArchiveWriter, Manifest
from haarchive.pipeline.archive.pack import PackTable, build_pack
from haarchive.pipeline.archive.reader import open_archive
from haarchive.pipeline.archive.small import embed
from haarchive.pipeline.config import ArchiveConfig
from haarchive.pipeline.jobs.stages import Encoder, read, scan
from haarchive.pipeline.sources import SourceRef
from haarchive.pipeline.storage import ObjectStore, open_store

Make = Callable[..., Manifest]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Makes the manifest of a small source."""
    config = ArchiveConfig()
    encoder = Encoder(config, {}, ArchiveWriter(tmp_path / "unused"))

    def manifest(name: str, content: bytes = b"abc") -> Manifest:
        path = tmp_path / "file"
        path.write_bytes(content)
        scanned = scan(SourceRef(str(path), name), config)
        parts = []
        for task in scanned.tasks:  # an empty file has none
            encoded, _ = encoder.encode(task, scanned.layout.planes, read(task, scanned))
            parts.append(embed(encoded))
        return Manifest.build(scanned.layout, "file-exact", parts, {})

    return manifest


def contents(url: Path | str) -> dict[str, bytes]:
    return {name: source.open().read() for name, source in open_archive(str(url)).items()}


def test_packed_sources_read_like_any_other(make: Make, tmp_path: Path) -> None:
    writer = ArchiveWriter(tmp_path / "a")
    outcome = writer.commit_pack([make(f"dir/{n}", bytes([n]) * n) for n in range(40)])
    assert all(isinstance(nbytes, int) for nbytes in outcome.values())
    assert contents(tmp_path / "a") == {f"dir/{n}": bytes([n]) * n for n in range(40)}
    assert [str(p.relative_to(tmp_path / "a")) for p in sorted((tmp_path / "a").rglob("*")) if p.is_file()] == [
        "archive.json",
        "packs/0000000000.zst",
    ]


def test_the_bytes_of_packed_sources_add_up_to_the_pack(make: Make, tmp_path: Path) -> None:
    outcome = ArchiveWriter(tmp_path / "a").commit_pack([make(f"{n}", b"x" * n) for n in range(20)])
    size = (tmp_path / "a" / "packs" / "0000000000.zst").stat().st_size
    archive = open_archive(tmp_path / "a")
    assert size <= sum(outcome.values()) < size + 20
    assert {name: source.archived_bytes for name, source in archive.items()} == outcome


def test_one_source_of_an_archive_can_be_opened_by_its_url(make: Make, tmp_path: Path) -> None:
    ArchiveWriter(tmp_path / "a").commit_pack([make("one"), make("dir/two", b"2")])
    assert open_archive(tmp_path / "a" / "dir" / "two").open().read() == b"2"
    with pytest.raises(ArchiveNotFoundError, match="has no source 'dir/three'"):
        open_archive(tmp_path / "a" / "dir" / "three")


def test_a_pack_is_a_zstd_stream_that_any_decompressor_reads(make: Make, tmp_path: Path) -> None:
    manifests = [(name, make(name, name.encode()).to_bytes()) for name in ("a", "b")]
    whole = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(build_pack(manifests)), read_across_frames=True)
    text = whole.read()
    assert text.count(b'"format_version":1') == 3
    assert b'"names":["a","b"]' in text


def test_committing_the_same_again_adds_nothing(make: Make, tmp_path: Path) -> None:
    manifests = [make(f"{n}", b"x" * n) for n in range(5)]
    first = ArchiveWriter(tmp_path / "a").commit_pack(manifests)
    assert ArchiveWriter(tmp_path / "a").commit_pack(manifests) == first
    assert len(list((tmp_path / "a" / "packs").iterdir())) == 1


def test_other_content_under_a_packed_name_is_refused_and_the_rest_committed(make: Make, tmp_path: Path) -> None:
    ArchiveWriter(tmp_path / "a").commit_pack([make("one", b"1"), make("two", b"2")])
    outcome = ArchiveWriter(tmp_path / "a").commit_pack([make("two", b"other"), make("three", b"3")])
    assert isinstance(outcome["two"], SourceConflictError)
    assert contents(tmp_path / "a") == {"one": b"1", "two": b"2", "three": b"3"}


def test_a_pack_and_a_manifest_of_the_same_name_exclude_each_other(make: Make, tmp_path: Path) -> None:
    writer = ArchiveWriter(tmp_path / "a")
    writer.commit(make("one", b"1"))
    assert isinstance(writer.commit_pack([make("one", b"other"), make("two", b"2")])["one"], SourceConflictError)
    with pytest.raises(SourceConflictError):
        ArchiveWriter(tmp_path / "a").commit(make("two", b"other"))
    assert contents(tmp_path / "a") == {"one": b"1", "two": b"2"}


class Overtaken(ObjectStore):
    """A store in which somebody else writes just before the first conditional put of a pack or manifest."""

    before: Callable[[], object] | None = None

    def put_new(self, key: str, data: bytes | memoryview) -> None:
        if self.before and key.startswith(("packs/", "manifests/")):
            before, self.before = self.before, None
            before()
        super().put_new(key, data)


def overtaken(url: Path, before: Callable[[], object]) -> ArchiveWriter:
    writer = ArchiveWriter(url)
    writer.prepare()
    writer.store = Overtaken(str(url))
    writer.store.before = before
    writer.packs = PackTable(writer.store)
    return writer


def test_a_pack_that_loses_its_number_takes_the_next_without_what_the_other_has(make: Make, tmp_path: Path) -> None:
    other = [make("one", b"1"), make("two", b"2")]
    writer = overtaken(tmp_path / "a", lambda: ArchiveWriter(tmp_path / "a").commit_pack(other))
    outcome = writer.commit_pack([make("one", b"1"), make("two", b"not 2"), make("three", b"3")])
    assert isinstance(outcome.pop("two"), SourceConflictError)
    assert all(isinstance(nbytes, int) for nbytes in outcome.values())
    assert contents(tmp_path / "a") == {"one": b"1", "two": b"2", "three": b"3"}
    assert PackTable(open_store(tmp_path / "a")).names() == []


def test_a_manifest_that_is_overtaken_by_a_pack_is_withdrawn(make: Make, tmp_path: Path) -> None:
    other = [make("one", b"1"), make("two", b"2")]
    writer = overtaken(tmp_path / "a", lambda: ArchiveWriter(tmp_path / "a").commit_pack(other))
    with pytest.raises(SourceConflictError):
        writer.commit(make("two", b"not 2"))
    assert contents(tmp_path / "a") == {"one": b"1", "two": b"2"}


def test_a_pack_that_is_overtaken_by_a_manifest_says_so(make: Make, tmp_path: Path) -> None:
    writer = overtaken(tmp_path / "a", lambda: ArchiveWriter(tmp_path / "a").commit(make("two", b"2")))
    outcome = writer.commit_pack([make("one", b"1"), make("two", b"not 2")])
    assert isinstance(outcome["two"], SourceConflictError)
    assert contents(tmp_path / "a") == {"one": b"1", "two": b"2"}


def test_many_writers_at_once_commit_every_source_once(make: Make, tmp_path: Path) -> None:
    lots = [[make(f"{n}", b"x" * n) for n in range(start, start + 12)] for start in range(0, 40, 6)]
    threads = [threading.Thread(target=ArchiveWriter(tmp_path / "a").commit_pack, args=(lot,)) for lot in lots]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    table = PackTable(open_store(tmp_path / "a"))
    table.refresh()
    assert sorted(table.names(), key=int) == [str(n) for n in range(48)]
    assert contents(tmp_path / "a") == {str(n): b"x" * n for n in range(48)}


@pytest.mark.parametrize("at", [0, -1, -20, -60])
def test_a_flipped_bit_in_a_pack_is_noticed(make: Make, tmp_path: Path, at: int) -> None:
    ArchiveWriter(tmp_path / "a").commit_pack([make("one", b"1"), make("two", b"2")])
    path = tmp_path / "a" / "packs" / "0000000000.zst"
    data = bytearray(path.read_bytes())
    data[at] ^= 4
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match=r"0000000000\.zst"):
        contents(tmp_path / "a")


def test_a_source_that_moved_between_packs_cannot_be_mistaken(make: Make, tmp_path: Path) -> None:
    store = open_store(tmp_path / "a")
    ArchiveWriter(tmp_path / "a").prepare()
    store.put_new("packs/0000000000.zst", build_pack([("one", make("two", b"2").to_bytes())]))
    with pytest.raises(IntegrityError, match="is the manifest of 'two'"):
        open_archive(tmp_path / "a")["one"]
    with pytest.raises(ObjectExistsError):
        store.put_new("packs/0000000000.zst", b"")


def test_reading_all_of_a_pack_takes_few_requests(make: Make, tmp_path: Path) -> None:
    ArchiveWriter(tmp_path / "a").commit_pack([make(f"{n:03d}", b"x" * n) for n in range(100)])
    archive = open_archive(tmp_path / "a")
    names = archive.sources()
    before = archive.store.stats.reads
    for name in names:
        assert archive[name].open().read() == b"x" * int(name)
    assert archive.store.stats.reads - before <= 3
