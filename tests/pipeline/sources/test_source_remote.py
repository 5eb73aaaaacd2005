"""Sources read from object storage: the same chunks as from a disk, and never another version's."""

from __future__ import annotations

import hashlib
import json
import uuid
import zlib

import numpy as np
import pytest
import soundfile
import tifffile
from skimage.io import imsave

from haarchive.codecs.errors import (
    SourceChangedError,
    SourceNotFoundError,
    SourceUnreadableError,
    StoragePermissionError,
)
from haarchive.pipeline.sources import SourceRef, discover, open_bytes, open_source
from haarchive.pipeline.sources.ref import Version
from haarchive.pipeline.sources.remote_file import MOST_HELD, RemoteFile
from haarchive.pipeline.storage import open_store

pytestmark = pytest.mark.s3

ROWS, COLS = 5, 6


def write_tiff(path, tissue, tone):
    with tifffile.TiffWriter(path, bigtiff=True) as tif:
        tif.write(tissue, tile=(128, 128), compression="lzw", subifds=1)
        tif.write(tissue[::2, ::2], tile=(128, 128), subfiletype=1)
        tif.write(tissue[:64, :64], compression="jpeg", description="label")


def write_wav(path, tissue, tone):
    soundfile.write(path, tone, 44_100)


def write_png(path, tissue, tone):
    imsave(path, tissue, check_contrast=False)


def write_flac(path, tissue, tone):
    soundfile.write(path, tone, 44_100)


def write_zarr(path, tissue, tone):
    """A version 2 array of deflated chunks, (ROWS * 64, COLS * 64, 3) uint8."""
    path.mkdir()
    meta = {
        "zarr_format": 2, "shape": [ROWS * 64, COLS * 64, 3], "chunks": [64, 64, 3], "dtype": "|u1", "order": "C",
        "compressor": {"id": "zlib", "level": 6}, "fill_value": 0, "filters": None,
    }  # fmt: skip
    (path / ".zarray").write_text(json.dumps(meta))
    whole = np.resize(tissue, (ROWS * 64, COLS * 64, 3))
    for y in range(ROWS):
        for x in range(COLS):
            chunk = np.ascontiguousarray(whole[y * 64 : y * 64 + 64, x * 64 : x * 64 + 64])
            (path / f"{y}.{x}.0").write_bytes(zlib.compress(chunk.tobytes(), 6))


WRITERS = {
    "slide.tif": write_tiff,
    "take.wav": write_wav,
    "picture.png": write_png,
    "take.flac": write_flac,
    "store.zarr": write_zarr,
}


def upload(path, url):
    """Copy a file or a folder to a URL."""
    store = open_store(url)
    for file in [path] if path.is_file() else sorted(path.rglob("*")):
        if file.is_file():
            store.put(
                path.name if file == path else f"{path.name}/{file.relative_to(path).as_posix()}", file.read_bytes()
            )


def digests(ref, **options):
    """What a source is made of, and the digest of every chunk."""
    with open_source(ref, **options) as source:
        layout = source.layout
        chunks = [
            hashlib.sha256(np.ascontiguousarray(source.read_chunk(plane, chunk))).hexdigest()
            for plane in range(len(layout.planes))
            for chunk in range(layout.planes[plane].n_chunks)
        ]
        source.check_unchanged()
    pieces = [column.tolist() for column in (layout.pieces.offset, layout.pieces.length, layout.pieces.segment)]
    return layout.kind, layout.members, layout.planes, dict(layout.attrs), pieces, chunks


@pytest.fixture
def noise():
    """Three mebibytes and a half that do not compress."""
    return np.random.default_rng(3).integers(0, 256, 7 << 19, np.uint8).tobytes()


@pytest.fixture
def memory():
    """The URL of an empty store in memory."""
    return f"memory://{uuid.uuid4().hex}"


@pytest.mark.parametrize("guarantee", ["file-exact", "sample-exact"])
@pytest.mark.parametrize("name", WRITERS)
def test_a_source_on_s3_has_the_chunks_that_it_has_on_a_disk(bucket, tmp_path, tissue, tone, name, guarantee):
    path = tmp_path / name
    WRITERS[name](path, tissue, tone)
    upload(path, bucket)
    (here,), (there,) = discover([str(path)]), discover([f"{bucket}/{name}"])
    assert (there.name, there.size) == (here.name, here.size)
    assert digests(there, guarantee=guarantee) == digests(here, guarantee=guarantee)


@pytest.mark.parametrize("name", ["slide.tif", "take.flac", "store.zarr"])
def test_a_source_that_has_a_layout_is_opened_without_asking_for_anything(
    bucket, gateway, tmp_path, tissue, tone, name
):
    WRITERS[name](tmp_path / name, tissue, tone)
    upload(tmp_path / name, bucket)
    for ref in (discover([f"{bucket}/{name}"])[0], SourceRef(f"{bucket}/{name}", name)):
        with open_source(ref, guarantee="sample-exact") as source:
            layout = source.layout
            expected = source.read_chunk(1, 0)
        gateway.requests.clear()
        with open_source(ref, guarantee="sample-exact", layout=layout) as source:
            assert gateway.requests == []
            assert np.array_equal(source.read_chunk(1, 0), expected)
        assert {request.method for request in gateway.requests} == {"GET"}
        assert all(request.span for request in gateway.requests)


def test_a_listed_object_is_opened_without_asking_for_it_again(bucket, gateway, noise):
    open_store(bucket).put("noise.bin", noise)
    (ref,) = discover([f"{bucket}/"])
    gateway.requests.clear()
    with open_source(ref) as source:
        assert gateway.requests == []
        assert source.layout.size == len(noise)
    assert {request.method for request in gateway.requests} == {"GET"}
    gateway.requests.clear()
    with open_source(SourceRef(ref.path, ref.name)):
        assert [request.method for request in gateway.requests] == ["HEAD"]


def test_a_small_object_is_one_request(bucket, gateway, tmp_path, tissue, tone):
    write_wav(tmp_path / "take.wav", tissue, tone)
    upload(tmp_path / "take.wav", bucket)
    (ref,) = discover([f"{bucket}/take.wav"])
    gateway.requests.clear()
    with open_source(ref) as source:
        assert source.layout.kind == "wav"
        source.read_chunk(1, 0)
    assert len(gateway.requests) == 1


def test_a_large_object_is_read_in_ranges_and_never_held_whole(memory):
    content = np.random.default_rng(4).integers(0, 256, 3 * MOST_HELD, np.uint8).tobytes()
    store = open_store(memory)
    store.put("large", content)
    file = RemoteFile(store, "large", Version(len(content), ""))
    most, digest = 0, hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
        most = max(most, file.held + store.stats.largest_read)
    assert digest.digest() == hashlib.sha256(content).digest()
    assert store.stats.bytes_read == len(content)
    assert store.stats.reads < len(content) >> 21
    assert MOST_HELD // 2 < most <= MOST_HELD
    file.seek(5)
    assert file.read() == content[5:]
    assert file.held + store.stats.largest_read <= MOST_HELD


def test_reads_in_any_order_give_the_bytes_that_are_there(memory):
    rng = np.random.default_rng(5)
    content = rng.integers(0, 256, (5 << 20) + 77, np.uint8).tobytes()
    store = open_store(memory)
    store.put("k", content)
    file = RemoteFile(store, "k", Version(len(content), ""))
    for _ in range(300):
        start, length = int(rng.integers(len(content) + 100)), int(2 ** rng.uniform(0, 21))
        assert file.seek(start) == start
        assert file.read(length) == content[start : start + length]
    assert file.seek(-3, 2) == len(content) - 3
    assert file.seek(1, 1) == len(content) - 2
    assert file.read() == content[-2:]
    with pytest.raises(ValueError, match="before the file"):
        file.seek(-1)


def test_few_bytes_here_and_there_move_few_bytes(memory, noise):
    store = open_store(memory)
    store.put("k", noise)
    file = RemoteFile(store, "k", Version(len(noise), ""))
    for start in (0, 3 << 20, 1 << 20):
        file.seek(start)
        file.read(8)
    assert store.stats.reads == 3
    assert store.stats.bytes_read <= 3 << 18


def test_bytes_of_an_object_come_as_a_file(bucket, noise):
    open_store(bucket).put("k", noise)
    with open_bytes(f"{bucket}/k") as file:
        file.seek(1000)
        assert file.read(10) == noise[1000:1010]
    with pytest.raises(SourceNotFoundError, match="none: no such object"):
        open_bytes(f"{bucket}/none")


def test_an_object_that_was_replaced_since_it_was_listed_is_not_read(bucket, noise):
    store = open_store(bucket)
    store.put("noise.bin", noise)
    (ref,) = discover([f"{bucket}/noise.bin"])
    store.put("noise.bin", noise[::-1])
    with open_source(ref) as source, pytest.raises(SourceChangedError, match=r"noise\.bin: was replaced"):
        _ = source.layout


def test_an_object_that_is_replaced_between_two_reads_is_noticed(bucket, noise):
    store = open_store(bucket)
    store.put("noise.bin", noise)
    with open_source(SourceRef(f"{bucket}/noise.bin", "noise.bin")) as source:
        layout = source.layout
        store.put("noise.bin", noise[::-1])
        with pytest.raises(SourceChangedError, match=r"noise\.bin: changed while"):
            source.check_unchanged()
    with open_source(source.ref, layout=layout) as source:
        source.read_chunk(0, 0)
        store.put("noise.bin", noise)
        with pytest.raises(SourceChangedError, match=r"noise\.bin: was replaced"):
            [source.read_chunk(0, i) for i in range(layout.planes[0].n_chunks)]


def test_an_object_of_another_size_than_the_layout_says_is_noticed(bucket, noise):
    store = open_store(bucket)
    store.put("noise.bin", noise)
    ref = SourceRef(f"{bucket}/noise.bin", "noise.bin")
    with open_source(ref) as source:
        layout = source.layout
    store.put("noise.bin", noise + b"more")
    with open_source(ref, layout=layout) as source, pytest.raises(SourceChangedError, match=r"noise\.bin: has"):
        source.read_chunk(0, 0)


def test_an_object_that_is_gone_is_not_found(bucket, noise):
    store = open_store(bucket)
    store.put("noise.bin", noise)
    (ref,) = discover([f"{bucket}/noise.bin"])
    store.delete("noise.bin")
    with open_source(ref) as source, pytest.raises(SourceNotFoundError, match=r"noise\.bin: no such object"):
        _ = source.layout
    with pytest.raises(SourceNotFoundError, match=r"noise\.bin: no such object"):
        open_source(SourceRef(ref.path, ref.name))


@pytest.mark.parametrize("change", ["replaced", "added", "removed"])
def test_a_zarr_store_of_which_a_member_changes_is_noticed(bucket, tmp_path, tissue, tone, change):
    write_zarr(tmp_path / "store.zarr", tissue, tone)
    upload(tmp_path / "store.zarr", bucket)
    store = open_store(bucket)
    (ref,) = discover([f"{bucket}/store.zarr"])
    with open_source(ref) as source:
        layout = source.layout
        match change:
            case "replaced":
                store.put("store.zarr/1.1.0", store.get("store.zarr/1.2.0"))
            case "added":
                store.put("store.zarr/note", b"")
            case "removed":
                store.delete("store.zarr/1.1.0")
        with pytest.raises(SourceChangedError, match=r"store\.zarr"):
            source.check_unchanged()
    with pytest.raises(SourceChangedError, match=r"store\.zarr/: changed since it was listed"):
        open_source(ref)
    with open_source(ref, layout=layout) as source, pytest.raises(SourceChangedError):
        source.check_unchanged()


def test_a_prefix_that_is_no_zarr_store_cannot_be_opened_as_a_source(bucket):
    open_store(bucket).put("folder/a", b"a")
    with pytest.raises(SourceUnreadableError, match="no zarr store"):
        open_source(SourceRef(f"{bucket}/folder", "folder"))


def test_a_refused_read_is_told_in_one_line(in_and_out, become, noise):
    inbox, _ = in_and_out
    open_store(inbox).put("noise.bin", noise)
    (ref,) = discover([f"{inbox}/noise.bin"])
    become("reader")
    with open_source(ref) as source, pytest.raises(StoragePermissionError, match="permission denied") as caught:
        _ = source.layout
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["slide.tif", "take.wav", "take.flac", "store.zarr"])
def test_a_store_that_is_busy_for_a_while_is_waited_for(bucket, gateway, tmp_path, tissue, tone, name):
    WRITERS[name](tmp_path / name, tissue, tone)
    upload(tmp_path / name, bucket)
    gateway.refuse("GET", times=3, status=503)
    gateway.cut("GET", after=1000, times=2, part=name)
    (ref,) = discover([f"{bucket}/{name}"])
    assert digests(ref, guarantee="sample-exact") == digests(
        *discover([str(tmp_path / name)]), guarantee="sample-exact"
    )
    assert sum(fault.times for fault in gateway.faults) == 0


@pytest.mark.parametrize("guarantee", ["file-exact", "sample-exact"])
@pytest.mark.parametrize("name", WRITERS)
def test_a_store_that_stays_away_makes_no_source_look_damaged(
    bucket, gateway, impatient, tmp_path, tissue, tone, name, guarantee
):
    WRITERS[name](tmp_path / name, tissue, tone)
    upload(tmp_path / name, bucket)
    (ref,) = discover([f"{bucket}/{name}"])
    gateway.requests.clear()
    with open_source(ref, guarantee=guarantee) as source:
        _ = source.layout
    needed = gateway.count("GET", name)
    for answered, status in ((0, 503), (needed // 2, 403), (needed - 1, 500)):
        gateway.faults.clear()
        gateway.refuse("GET", times=10**6, status=status, part=name, skip=answered)
        with (
            open_source(ref, guarantee=guarantee) as source,
            pytest.raises((SourceUnreadableError, StoragePermissionError)) as caught,
        ):
            _ = source.layout
        assert "\n" not in str(caught.value)
        assert f"{bucket}/{name}" in str(caught.value)
