"""Sources listed from object storage."""

from __future__ import annotations

import hashlib
import hmac
import os
import urllib.request
import uuid
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest

from haarchive.codecs.errors import ConfigError, SourceNotFoundError, StoragePermissionError
from haarchive.pipeline.sources import SourceRef, discover
from haarchive.pipeline.storage import open_store

KEYS = ("slides/a.svs", "slides/.hidden", "slides/deep/er/c.wav", "slides/deep/d.svs", "other.bin")


@pytest.fixture
def memory():
    """The URL of a store in memory with a few objects."""
    url = f"memory://{uuid.uuid4().hex}"
    put(url, KEYS)
    return url


def put(url, keys):
    store = open_store(url)
    for key in keys:
        store.put(key, key.encode())


def names(*urls):
    return [ref.name for ref in discover(list(urls))]


def test_an_object_is_called_by_the_last_part_of_its_key(memory):
    assert discover([f"{memory}/slides/a.svs"]) == [SourceRef(f"{memory}/slides/a.svs", "a.svs")]


@pytest.mark.parametrize("end", ["", "/"])
def test_a_prefix_gives_all_objects_below_it_sorted_under_its_own_name(memory, end):
    assert names(f"{memory}/slides{end}") == [
        "slides/.hidden",
        "slides/a.svs",
        "slides/deep/d.svs",
        "slides/deep/er/c.wav",
    ]


def test_a_prefix_is_made_of_whole_parts(memory):
    put(memory, ["slides-of-others/x"])
    assert all(name.startswith("slides/") for name in names(f"{memory}/slides"))


def test_a_whole_bucket_gives_its_objects_under_its_own_name(memory):
    bucket = memory.removeprefix("memory://")
    assert names(memory) == sorted(f"{bucket}/{key}" for key in KEYS)


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("slides/*.svs", ["a.svs"]),
        ("slides/**/*.svs", ["a.svs", "d.svs"]),
        ("**/?.wav", ["c.wav"]),
        ("slides/deep/*", ["d.svs", "er/c.wav"]),
        ("slides/*/", ["deep/d.svs", "deep/er/c.wav"]),
        ("s*/[ab].svs", ["a.svs"]),
        ("slides/**", ["slides/.hidden", "slides/a.svs", "slides/deep/d.svs", "slides/deep/er/c.wav"]),
        ("slides/**/", ["slides/.hidden", "slides/a.svs", "slides/deep/d.svs", "slides/deep/er/c.wav"]),
    ],
)
def test_a_pattern_gives_its_matches_and_what_lies_in_matching_folders(memory, pattern, found):
    assert names(f"{memory}/{pattern}") == found


def test_patterns_find_the_same_names_on_a_disk(memory, tmp_path):
    for key in KEYS:
        path = tmp_path / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(key.encode())
    for pattern in ("slides", "slides/*.svs", "slides/**/*.svs", "slides/deep/*", "slides/*/", "*", "slides/**"):
        assert names(f"{memory}/{pattern}") == names(f"{tmp_path}/{pattern}")


def test_an_object_whose_name_looks_like_a_pattern_is_that_object(memory):
    put(memory, ["slide[1].tif"])
    assert names(f"{memory}/slide[1].tif") == ["slide[1].tif"]


def test_a_zarr_store_below_a_prefix_is_one_source(memory):
    put(memory, ["in/x.zarr/zarr.json", "in/x.zarr/0/zarr.json", "in/x.zarr/0/c/0/0", "in/x.zarr.txt", "in/y/.zgroup"])
    x, text, y = discover([f"{memory}/in/"])
    assert [ref.name for ref in (x, text, y)] == ["in/x.zarr", "in/x.zarr.txt", "in/y"]
    assert x.path == f"{memory}/in/x.zarr/"
    assert x.size == sum(map(len, ["in/x.zarr/zarr.json", "in/x.zarr/0/zarr.json", "in/x.zarr/0/c/0/0"]))
    (by_itself,) = discover([f"{memory}/in/x.zarr"])
    assert (by_itself.path, by_itself.name, by_itself.version) == (x.path, "x.zarr", x.version)
    put(memory, ["in/x.zarr/0/c/0/1"])
    assert discover([f"{memory}/in/x.zarr"])[0].version != x.version


def test_a_listed_object_has_its_size_and_a_version_that_changes_with_it(memory):
    (before,) = discover([f"{memory}/other.bin"])
    assert before.size == len("other.bin")
    open_store(memory).put("other.bin", b"else")
    (after,) = discover([f"{memory}/other.bin"])
    assert after.size == 4
    assert after.version != before.version


def test_an_object_and_its_listing_name_the_same_version(memory):
    (by_itself,), listed = discover([f"{memory}/slides/a.svs"]), discover([f"{memory}/slides/"])
    assert by_itself.version == listed[1].version


@pytest.mark.parametrize("path", ["missing.svs", "missing/", "slides/*.missing"])
def test_what_is_not_there_is_an_error(memory, path):
    with pytest.raises(SourceNotFoundError, match="missing"):
        discover([f"{memory}/{path}"])


def test_two_objects_of_the_same_name_are_refused(memory):
    put(memory, ["more/a.svs"])
    with pytest.raises(ConfigError, match=r"both be archived as 'a\.svs'"):
        discover([f"{memory}/slides/a.svs", f"{memory}/more/a.svs"])


def test_an_object_named_twice_is_one_source(memory):
    assert names(f"{memory}/slides/a.svs", f"{memory}/slides/*.svs") == ["a.svs"]


def test_a_url_of_an_unknown_kind_is_refused():
    with pytest.raises(ConfigError, match="gopher"):
        discover(["gopher://slides/a.svs"])


def test_a_file_url_is_a_path(tmp_path):
    (tmp_path / "a b.bin").write_bytes(b"x")
    assert discover([f"file://{tmp_path}/a%20b.bin"]) == [SourceRef(str(tmp_path / "a b.bin"), "a b.bin")]


@pytest.mark.s3
def test_a_missing_bucket_is_no_source(missing_bucket):
    for url in (f"{missing_bucket}/slides/", f"{missing_bucket}/a.svs"):
        with pytest.raises(SourceNotFoundError, match="no such bucket"):
            discover([url])


@pytest.mark.s3
def test_a_refused_listing_is_told_in_one_line(in_and_out, become):
    become("reader")
    with pytest.raises(StoragePermissionError, match="permission denied") as caught:
        discover([in_and_out[0]])
    assert "\n" not in str(caught.value)


@pytest.mark.s3
def test_empty_objects_that_stand_for_folders_are_no_sources(bucket):
    put(bucket, ["in/full/a.bin"])
    open_store(bucket).put("in/empty.bin", b"")
    for folder in ("in/", "in/full/", "in/nothing/"):
        put_folder(f"{bucket.removeprefix('s3:/')}/{folder}")
    assert len(list(open_store(bucket).list("in"))) == 5
    assert names(f"{bucket}/in/") == ["in/empty.bin", "in/full/a.bin"]


def put_folder(path):
    """Put an object whose key ends with '/', as consoles do; obstore would take the '/' away."""
    host = urlsplit(os.environ["AWS_ENDPOINT_URL"]).netloc
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    headers = {"host": host, "x-amz-content-sha256": hashlib.sha256().hexdigest(), "x-amz-date": now}
    signed = ";".join(headers)
    lines = ["PUT", path, "", *(f"{name}:{value}" for name, value in headers.items()), "", signed]
    request = hashlib.sha256("\n".join([*lines, hashlib.sha256().hexdigest()]).encode()).hexdigest()
    scope = f"{now[:8]}/us-east-1/s3/aws4_request"
    key = b"AWS4" + os.environ["AWS_SECRET_ACCESS_KEY"].encode()
    for part in (*scope.split("/"), f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{request}"):
        key = hmac.digest(key, part.encode(), "sha256")
    user = os.environ["AWS_ACCESS_KEY_ID"]
    headers["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={user}/{scope}, SignedHeaders={signed}, Signature={key.hex()}"
    )
    urllib.request.urlopen(urllib.request.Request(f"http://{host}{path}", b"", headers, method="PUT")).close()


@pytest.mark.s3
def test_many_objects_are_listed_by_a_request_for_each_thousand(bucket, gateway):
    store = open_store(bucket)
    list(store._threads().map(lambda i: store.put(f"in/{i:04}.bin", b"content"), range(2500)))
    gateway.requests.clear()
    refs = discover([f"{bucket}/in/"])
    assert len(refs) == 2500
    assert all(ref.size == 7 and ref.version for ref in refs)
    assert gateway.count("GET") == 3
    assert gateway.count("HEAD") == 0
    assert len(gateway.requests) == 3
