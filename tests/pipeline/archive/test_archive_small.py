"""Small sources, whose bitstreams lie in their manifest."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
import zstandard

from haarchive.codecs.errors import ArchiveError, IntegrityError, SchemaVersionError
from haarchive.codecs.stored import StoredCodec
from haarchive.pipeline import archive, open_archive
from haarchive.pipeline.archive import EncodedChunk, Manifest, build_shard, samples_digest
from haarchive.pipeline.archive.keys import manifest_key
from haarchive.pipeline.archive.small import embed, is_small
from haarchive.pipeline.jobs import restore, verify
from haarchive.pipeline.layout import SKELETON_CHUNK, Member, Pieces, Plane, SourceLayout


def chunks_of(*arrays):
    """Stored chunks of a skeleton (the first) and of a plane of tiles (the others)."""
    made = []
    for number, samples in enumerate(arrays):
        bands = StoredCodec().encode([samples])[0].bands
        plane, chunk = (1, number - 1) if number else (0, 0)
        made.append(EncodedChunk(plane, chunk, "stored", bands, samples.nbytes, samples_digest(samples)))
    return made


def layout_of(*arrays):
    lengths = np.array([len(a) for a in arrays[1:]], np.int64)
    n = len(lengths)
    planes = (
        Plane("bytes", arrays[0].shape, "uint8", (SKELETON_CHUNK,), "stored"),
        Plane("tiles", (n,), "uint8", (1,), "stored", {"name": "identity"}, {"level": 0}),
    )
    offset = len(arrays[0]) + np.cumsum(lengths) - lengths
    pieces = Pieces(offset, lengths, np.ones(n, np.int32), np.arange(n))
    size = int(sum(len(a) for a in arrays))
    return SourceLayout("a.tif", "tiff", (Member("", size, "0" * 64),), planes, pieces, {"mpp": 0.5})


@pytest.fixture
def arrays():
    rng = np.random.default_rng(4)
    return [rng.integers(0, 256, n, np.uint8) for n in (100, 30, 7, 250)]


@pytest.fixture
def manifest(arrays):
    return Manifest.build(layout_of(*arrays), "file-exact", [embed(chunks_of(*arrays))], {})


def body_of(data):
    return zstandard.ZstdDecompressor().decompress(data[:-40])


def sealed(body):
    frame = zstandard.ZstdCompressor().compress(body)
    return frame + bytes.fromhex("502a4d1820000000") + hashlib.sha256(frame).digest()


def test_it_comes_back_as_it_was(manifest):
    back = Manifest.from_bytes(manifest.to_bytes())
    assert back.to_bytes() == manifest.to_bytes()
    assert back.index.equals(manifest.index)
    assert (back.shards, back.payload, back.layout.planes) == ((), manifest.payload, manifest.layout.planes)
    for column in ("offset", "length", "plane", "segment"):
        np.testing.assert_array_equal(getattr(back.layout.pieces, column), getattr(manifest.layout.pieces, column))


def test_it_is_a_line_of_json_and_the_bands(manifest, arrays):
    line, _, payload = body_of(manifest.to_bytes()).partition(b"\n")
    record = json.loads(line)
    assert record["format_version"] == 1
    assert record["pieces"] == [[100, 30, 1, 0], [0, 7, 1, 1], [0, 250, 1, 1]]
    for (plane, chunk, codec, digest, raw_bytes, fallback, lengths, _), samples in zip(
        record["chunks"], arrays, strict=True
    ):
        assert (plane, chunk) in [(0, 0), (1, 0), (1, 1), (1, 2)]
        assert (codec, digest, raw_bytes, fallback) == ("stored", samples_digest(samples).hex(), len(samples), "")
        assert payload[: lengths[0]].endswith(samples.tobytes())
        payload = payload[sum(lengths) :]
    assert payload == b""


def test_the_order_in_which_chunks_arrive_changes_nothing(arrays):
    chunks = chunks_of(*arrays)
    assert embed(chunks[::-1])[0] == embed(chunks)[0]
    assert embed(chunks[::-1])[1].equals(embed(chunks)[1])


def test_any_flipped_bit_is_found(manifest):
    whole = manifest.to_bytes()
    for at in range(len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << at % 8
        with pytest.raises(IntegrityError, match="damaged"):
            Manifest.from_bytes(bytes(damaged))


def test_a_newer_version_is_refused_whatever_else_it_holds():
    with pytest.raises(SchemaVersionError, match=r"manifests/x has format version 2.*upgrade"):
        Manifest.from_bytes(sealed(b'{"format_version":2,"news":[]}\n'), origin="manifests/x")


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body + b"x",
        lambda body: body[:-1],
        lambda body: body.replace(b'"chunks":[[', b'"chunks":[[1,'),
        lambda body: body.replace(b"format_version", b"format_wersion"),
        lambda body: body.replace(b'"chunks"', b'"chunky"'),
        lambda body: body[1:],
        lambda body: body[:20],
    ],
)
def test_what_does_not_fit_together_is_refused(change, manifest):
    with pytest.raises(IntegrityError):
        Manifest.from_bytes(sealed(change(body_of(manifest.to_bytes()))))


def test_a_source_has_either_shards_or_is_small(arrays):
    chunks = chunks_of(*arrays)
    shard = build_shard(chunks[1:])
    with pytest.raises(ArchiveError, match="either"):
        Manifest.build(layout_of(*arrays), "file-exact", [embed(chunks[:1]), (shard.ref, shard.index)], {})


def test_only_all_chunks_of_a_source_of_few_bytes_and_rows_are_small():
    def fits(*sizes, left_out=0):
        arrays = [np.random.default_rng(5).integers(0, 256, n, np.uint8) for n in sizes]
        chunks = chunks_of(*arrays)
        return is_small(layout_of(*arrays), chunks[: len(chunks) - left_out])

    assert fits(100, 260_000)
    assert not fits(100, 270_000)
    assert not fits(100, 100, left_out=1)
    assert fits(100, *[10] * 127)
    assert not fits(100, *[10] * 128)


def test_a_small_file_is_one_object_that_is_read_verified_and_restored(tmp_path):
    content = b"stained 14 May\n" * 60
    (tmp_path / "notes.txt").write_bytes(content)
    (report,) = archive(tmp_path / "notes.txt", tmp_path / "a").raise_for_failures().sources
    objects = [p for p in (tmp_path / "a").rglob("*") if p.is_file() and p.name != "archive.json"]
    assert objects == [tmp_path / "a" / manifest_key("notes.txt")]
    assert report.archived_bytes == objects[0].stat().st_size < len(content)
    assert open_archive(tmp_path / "a" / "notes.txt").open().read() == content
    assert verify(tmp_path / "a", deep=True).ok
    restore(tmp_path / "a", tmp_path / "out").raise_for_failures()
    assert (tmp_path / "out" / "notes.txt").read_bytes() == content


@pytest.mark.parametrize("size", [0, 1, 100, 1000, 60_000])
def test_a_small_source_costs_less_than_450_bytes(size, tmp_path):
    (tmp_path / "noise.bin").write_bytes(np.random.default_rng(6).bytes(size))
    (report,) = archive(tmp_path / "noise.bin", tmp_path / "a").raise_for_failures().sources
    assert report.archived_bytes - size < 450
