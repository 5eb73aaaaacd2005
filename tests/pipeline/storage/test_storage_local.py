"""Object stores in folders and in memory."""

from __future__ import annotations

import pickle
import resource
import uuid

import pytest

from haarchive.codecs.errors import (
    ConfigError,
    ObjectExistsError,
    ObjectNotFoundError,
    StorageError,
    StorageFullError,
)
from haarchive.pipeline.storage import open_store


@pytest.fixture(params=["folder", "file-url", "memory"])
def store(request, tmp_path):
    match request.param:
        case "folder":
            return open_store(tmp_path / "a folder" / "new")
        case "file-url":
            return open_store(f"file://{tmp_path}/with%20space")
        case _:
            return open_store(f"memory://{uuid.uuid4()}/pre/fix")


def test_what_was_put_can_be_got(store):
    store.put("a/b", b"first")
    store.put("a/b", memoryview(b"second"))
    assert store.get("a/b") == b"second"
    assert store.head("a/b") == 6


def test_a_conditional_put_never_overwrites(store):
    store.put_new("k", b"first")
    with pytest.raises(ObjectExistsError, match=r"k: it exists already"):
        store.put_new("k", b"second")
    assert store.get("k") == b"first"


def test_a_missing_object_is_named(store):
    for use in (
        store.get,
        lambda k: store.get_range(k, 0, 1),
        lambda k: store.get_ranges(k, [0, 10**6], [1, 1]),
    ):
        with pytest.raises(ObjectNotFoundError, match="some/key"):
            use("some/key")
    assert store.head("some/key") is None
    store.delete("some/key")


def test_ranges_stop_at_the_end_of_the_object(store):
    store.put("k", bytes(range(100)))
    assert store.get_range("k", 98, 10) == bytes([98, 99])
    assert store.get_range("k", 100, 1) == b""
    assert store.get_range("k", 5000, 1) == b""
    assert store.get_range("k", 5, 0) == b""
    assert store.get_ranges("k", [90, 0, 95, 7, 3], [3, 1, 99, 0, 2]) == [
        bytes([90, 91, 92]),
        bytes([0]),
        bytes(range(95, 100)),
        b"",
        bytes([3, 4]),
    ]


def test_near_ranges_share_a_request_and_far_ones_do_not_read_the_gap(store):
    data = bytes(i % 251 for i in range(1 << 20))
    store.put("k", data)
    before = store.stats.reads, store.stats.bytes_read
    assert store.get_ranges("k", [1000, 0, 900_000], [10, 10, 10]) == [
        data[1000:1010],
        data[:10],
        data[900_000:900_010],
    ]
    assert (store.stats.reads - before[0], store.stats.bytes_read - before[1]) == (2, 1010 + 10)


def test_keys_are_listed_below_whole_segments(store):
    for key in ("a/x", "a/b/y", "ab/z"):
        store.put(key, key.encode())
    assert sorted(store.list()) == [("a/b/y", 5), ("a/x", 3), ("ab/z", 4)]
    assert sorted(store.list("a")) == [("a/b/y", 5), ("a/x", 3)]
    assert list(store.list("none")) == []


def test_a_deleted_object_is_gone(store):
    store.put("k", b"1")
    store.delete("k")
    assert store.head("k") is None


def test_a_store_can_be_sent_to_another_process(store):
    store.put("k", b"1")
    assert pickle.loads(pickle.dumps(store)).get("k") == b"1"


def test_requests_and_bytes_are_counted(store):
    store.put("k", b"12345")
    store.get("k")
    store.get_range("k", 1, 2)
    stats = store.stats
    assert (stats.writes, stats.bytes_written, stats.reads, stats.bytes_read) == (1, 5, 2, 7)


def test_looking_at_a_folder_that_is_not_there_does_not_make_it(tmp_path):
    store = open_store(tmp_path / "none")
    assert list(store.list()) == []
    assert store.head("k") is None
    with pytest.raises(ObjectNotFoundError):
        store.get("k")
    assert not (tmp_path / "none").exists()


def test_a_full_disk_is_named_and_leaves_no_object(tmp_path):
    store = open_store(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(StorageFullError, match="big"):
            store.put("big", bytes(10_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert store.head("big") is None


def test_a_file_where_a_folder_should_be_is_an_error_in_one_line(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError) as caught:
        open_store(tmp_path / "file").put("k", b"1")
    assert "\n" not in str(caught.value)


def test_parents_are_walked_up_to_the_root():
    store = open_store("s3://bucket/a/b")
    assert [store.parent().url, store.parent().parent().url] == ["s3://bucket/a", "s3://bucket"]
    assert store.parent().parent().parent() is None
    assert open_store("/").parent() is None
    assert open_store("/x").parent().url == "/"


@pytest.mark.parametrize("url", ["ftp://host/x", "gs://bucket/x"])
def test_other_kinds_of_storage_are_refused(url):
    with pytest.raises(ConfigError, match="s3://"):
        open_store(url)


def test_a_url_without_a_bucket_is_refused():
    with pytest.raises(ConfigError, match="no bucket"):
        open_store("s3:///key")
