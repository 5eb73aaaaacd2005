"""Object stores and archives on a real S3 server."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from haarchive.codecs.errors import (
    ArchiveNotFoundError,
    HaarchiveError,
    ObjectExistsError,
    ObjectNotFoundError,
    StorageError,
    StoragePermissionError,
)
from haarchive.codecs.stored import StoredCodec
from haarchive.pipeline.archive import (
    ArchiveWriter,
    EncodedChunk,
    Manifest,
    build_shard,
    open_archive,
    samples_digest,
)
from haarchive.pipeline.sources import SourceRef, open_source
from haarchive.pipeline.storage import open_store

pytestmark = pytest.mark.s3


def archive_file(url, path):
    """Archive a file of unknown format, a chunk to a shard band; returns its manifest."""
    writer = ArchiveWriter(url)
    with open_source(SourceRef(str(path), path.name)) as source:
        layout = source.layout
        chunks = [source.read_chunk(0, i) for i in range(layout.planes[0].n_chunks)]
    streams = StoredCodec().encode(chunks)
    shard = build_shard(
        [
            EncodedChunk(0, i, "stored", stream.bands, chunk.nbytes, samples_digest(chunk))
            for i, (stream, chunk) in enumerate(zip(streams, chunks, strict=True))
        ]
    )
    writer.put_shard(shard)
    manifest = Manifest.build(layout, "file-exact", [(shard.ref, shard.index)], {})
    writer.commit(manifest)
    return manifest


@pytest.fixture
def noise(tmp_path):
    """A file of six mebibytes that do not compress."""
    path = tmp_path / "noise.bin"
    path.write_bytes(np.random.default_rng(0).integers(0, 256, 6 << 20, np.uint8).tobytes())
    return path


def test_what_was_put_can_be_got(bucket):
    store = open_store(bucket + "/some/prefix")
    store.put("a b/ü%41", b"content")
    assert store.get("a b/ü%41") == b"content"
    assert store.head("a b/ü%41") == 7
    assert list(store.list()) == [("a b/ü%41", 7)]
    assert list(open_store(bucket).list("some")) == [("some/prefix/a b/ü%41", 7)]
    store.delete("a b/ü%41")
    assert store.head("a b/ü%41") is None
    store.delete("a b/ü%41")


def test_a_conditional_put_never_overwrites(bucket):
    store = open_store(bucket)
    store.put_new("k", b"first")
    with pytest.raises(ObjectExistsError, match="k: it exists already"):
        store.put_new("k", b"second")
    assert store.get("k") == b"first"


def test_a_missing_object_is_named(bucket):
    with pytest.raises(ObjectNotFoundError, match=f"{bucket}/none"):
        open_store(bucket).get("none")
    assert open_store(bucket).head("none") is None


def test_ranges_stop_at_the_end_of_the_object(bucket):
    store = open_store(bucket)
    store.put("k", bytes(range(100)))
    assert store.get_range("k", 98, 10) == bytes([98, 99])
    assert store.get_range("k", 100, 1) == b""
    assert store.get_ranges("k", [90, 3], [2, 1]) == [bytes([90, 91]), bytes([3])]


def test_a_large_object_goes_up_in_parts_and_comes_back_whole(bucket, noise):
    store = open_store(bucket)
    store.put("large", noise.read_bytes())
    assert store.get("large") == noise.read_bytes()


@pytest.mark.parametrize("variable", ["AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"])
def test_wrong_credentials_are_named_in_one_line(bucket, monkeypatch, variable):
    open_store(bucket).put("k", b"1")
    monkeypatch.setenv(variable, "wrong")
    store = open_store(bucket)
    for use in (
        lambda: store.get("k"),
        lambda: store.put("k", b"2"),
        lambda: store.head("k"),
        lambda: list(store.list()),
    ):
        with pytest.raises(StoragePermissionError, match="permission denied") as caught:
            use()
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 250


def test_missing_credentials_are_named(bucket, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(StoragePermissionError, match="no credentials"):
        open_store(bucket).get("k")


def test_a_missing_bucket_is_named_and_not_made(missing_bucket):
    with pytest.raises(StorageError, match="the bucket does not exist"):
        ArchiveWriter(missing_bucket).prepare()
    with pytest.raises(StorageError, match="the bucket does not exist"):
        open_archive(missing_bucket + "/some/where")


def test_a_server_that_is_away_is_an_error_in_one_line(bucket, impatient, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StorageError) as caught:
        open_store(bucket).get("k")
    assert "\n" not in str(caught.value)


def test_a_store_can_be_sent_to_another_process(bucket):
    open_store(bucket + "/p").put("k", b"1")
    assert pickle.loads(pickle.dumps(open_store(bucket + "/p"))).get("k") == b"1"


def test_a_torn_upload_leaves_no_object(bucket, wire, impatient, noise):
    store = open_store(bucket)
    wire.cut_after = 3 << 20
    with pytest.raises(StorageError, match="cannot write"):
        store.put("torn", noise.read_bytes())
    assert wire.sent > 3 << 20
    wire.cut_after = float("inf")
    assert open_store(bucket).head("torn") is None


def test_an_archiving_that_is_cut_off_can_be_repeated(bucket, wire, impatient, noise):
    wire.cut_after = 4 << 20
    with pytest.raises(HaarchiveError):
        archive_file(bucket + "/archive", noise)
    wire.cut_after = float("inf")
    with pytest.raises(ArchiveNotFoundError):
        open_archive(bucket + "/archive/noise.bin")
    archive_file(bucket + "/archive", noise)
    assert open_archive(bucket + "/archive/noise.bin").open().read() == noise.read_bytes()


def test_sources_are_listed_read_verified_and_restored(bucket, noise, tmp_path):
    archive_file(bucket + "/archive", noise)
    archive = open_archive(bucket + "/archive")
    assert archive.sources() == ["noise.bin"]
    assert archive["noise.bin"].verify(deep=True).ok
    assert archive["noise.bin"].restore(tmp_path / "out").read_bytes() == noise.read_bytes()


def test_a_small_read_moves_only_the_bytes_that_it_needs(bucket, wire, noise):
    manifest = archive_file(bucket, noise)
    source = open_archive(bucket + "/noise.bin")
    received, source.store.stats.bytes_read = wire.received, 0
    with source.open() as file:
        file.seek(3 << 20)
        assert file.read(1000) == noise.read_bytes()[3 << 20 :][:1000]
    (needed,) = manifest.index.to_pylist()[3]["band_length"]
    assert source.store.stats.bytes_read == needed
    assert needed <= wire.received - received < needed + 2000
