"""Shards, manifests and the writer."""

from __future__ import annotations

import hashlib
import json
import pickle
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from haarchive.codecs.errors import (
    ArchiveError,
    ArchiveNotFoundError,
    IntegrityError,
    SchemaVersionError,
    SourceConflictError,
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
from haarchive.pipeline.archive.keys import manifest_key, name_of_manifest
from haarchive.pipeline.archive.shard import crc32c
from haarchive.pipeline.layout import SKELETON_CHUNK, Member, Pieces, Plane, SourceLayout


def chunk(plane, number, *bands):
    return EncodedChunk(plane, number, "stored", tuple(bands), 10, bytes(16))


def stored(plane, number, samples):
    bands = StoredCodec().encode([samples])[0].bands
    return EncodedChunk(plane, number, "stored", bands, samples.nbytes, samples_digest(samples))


def no_pieces():
    return Pieces(*(np.zeros(0, t) for t in (np.int64, np.int64, np.int32, np.int64)))


def layout_of(data: bytes, name="a.bin", attrs=None):
    member = Member("", len(data), hashlib.sha256(data).hexdigest())
    skeleton = Plane("bytes", (len(data),), "uint8", (SKELETON_CHUNK,), "stored")
    return SourceLayout(name, "verbatim", (member,), (skeleton,), no_pieces(), attrs or {})


def tiled(lengths, name="slide.svs"):
    """A source of a skeleton and tiles of random bytes, and its encoded chunks."""
    rng = np.random.default_rng(1)
    tiles = [rng.integers(0, 256, n, np.uint8) for n in lengths]
    n, total = len(tiles), int(sum(lengths))
    ends = np.cumsum(lengths)
    planes = (
        Plane("bytes", (100,), "uint8", (SKELETON_CHUNK,), "stored"),
        Plane("tiles", (n,), "uint8", (1,), "stored", {"name": "identity"}, {"level": 0, "é": [1, None]}),
    )
    pieces = Pieces(100 + ends - lengths, np.array(lengths), np.ones(n, np.int32), np.arange(n)[::-1].copy())
    layout = SourceLayout(name, "tiff", (Member("", 100 + total, "0" * 64),), planes, pieces, {"mpp": 0.25})
    return layout, [stored(0, 0, np.zeros(100, np.uint8)), *(stored(1, i, t) for i, t in enumerate(tiles))]


def built(layout, chunks, per_shard=3):
    shards = [build_shard(chunks[i : i + per_shard]) for i in range(0, len(chunks), per_shard)]
    return Manifest.build(layout, "file-exact", [(s.ref, s.index) for s in shards], {}), shards


# Shards


def test_a_shard_is_an_arrow_file_with_coarse_bands_first():
    shard = build_shard([chunk(1, 5, b"c", b"ff", b"gggg"), chunk(0, 9, b"C", b"FF")])
    table = pa.ipc.open_file(pa.BufferReader(shard.data)).read_all()
    assert table["band"].to_pylist() == [0, 0, 1, 1, 2]
    assert table["payload"].to_pylist() == [b"C", b"c", b"FF", b"ff", b"gggg"]
    assert table["plane"].to_pylist() == [0, 1, 0, 1, 1]
    assert table["crc32c"].to_pylist() == [crc32c(p) for p in table["payload"].to_pylist()]
    assert table.schema.metadata[b"haarchive.format_version"] == b"1"


@given(st.lists(st.lists(st.binary(max_size=40), min_size=1, max_size=4), min_size=1, max_size=8))
def test_the_index_says_where_each_band_is(bands):
    shard = build_shard([chunk(0, i, *b) for i, b in enumerate(bands)])
    for row, expected in zip(shard.index.to_pylist(), bands, strict=True):
        found = [shard.data[o : o + n] for o, n in zip(row["band_offset"], row["band_length"], strict=True)]
        assert found == expected
        assert row["band_crc"] == [crc32c(b) for b in expected]


def test_the_order_in_which_chunks_arrive_changes_nothing():
    chunks = [chunk(p, c, bytes([p, c]), b"x") for p in range(2) for c in range(5)]
    assert build_shard(chunks[::-1]) == build_shard(chunks)


def test_a_shard_is_named_by_its_content():
    shard = build_shard([chunk(0, 0, b"abc")])
    assert shard.sha256 == hashlib.sha256(shard.data).hexdigest()
    assert shard.ref.nbytes == len(shard.data)


def test_a_shard_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        build_shard([])


def test_crc32c_is_the_castagnoli_one():
    assert crc32c(b"123456789") == 0xE3069283


def test_a_digest_is_of_little_endian_bytes_in_c_order():
    samples = np.array([[1, 2], [3, 4]], ">u2")
    expected = hashlib.blake2b(bytes([1, 0, 2, 0, 3, 0, 4, 0]), digest_size=16).digest()
    assert samples_digest(samples) == expected
    assert samples_digest(np.asfortranarray(samples)) == expected
    assert samples_digest(np.zeros((0, 3))) == hashlib.blake2b(digest_size=16).digest()


# Manifests


def test_a_manifest_comes_back_as_it_was():
    manifest, _ = built(*tiled([50, 7, 300, 41]))
    back = Manifest.from_bytes(manifest.to_bytes())
    assert back.to_bytes() == manifest.to_bytes()
    assert back.index.equals(manifest.index)
    assert (back.shards, back.guarantee, back.models) == (
        manifest.shards,
        manifest.guarantee,
        manifest.models,
    )
    assert back.layout.planes == manifest.layout.planes
    assert back.layout.members == manifest.layout.members
    for column in ("offset", "length", "plane", "segment"):
        np.testing.assert_array_equal(getattr(back.layout.pieces, column), getattr(manifest.layout.pieces, column))


def test_a_manifest_is_a_zstd_file_of_two_arrow_streams():
    manifest, _ = built(*tiled([50, 7]))
    with zstandard.ZstdDecompressor().stream_reader(manifest.to_bytes(), read_across_frames=True) as reader:
        source = pa.BufferReader(reader.read())
    index, pieces = pa.ipc.open_stream(source).read_all(), pa.ipc.open_stream(source).read_all()
    assert json.loads(index.schema.metadata[b"haarchive.record"])["name"] == "slide.svs"
    assert index["chunk"].to_pylist() == [0, 0, 1]
    assert pieces["gap"].to_pylist() == [100, 0]
    assert pieces["length"].to_pylist() == [50, 7]


def test_the_order_in_which_shards_arrive_changes_nothing():
    layout, chunks = tiled([50, 7, 300, 41, 9, 9, 9])
    shards = [build_shard(chunks[i : i + 2]) for i in range(0, len(chunks), 2)]
    parts = [(s.ref, s.index) for s in shards]
    made = [Manifest.build(layout, "file-exact", p, {}).to_bytes() for p in (parts, parts[::-1])]
    assert made[0] == made[1]


def test_a_small_source_costs_less_than_1500_bytes_of_manifest():
    data = bytes(SKELETON_CHUNK)
    manifest, _ = built(layout_of(data), [stored(0, 0, np.frombuffer(data, np.uint8))])
    assert len(manifest.to_bytes()) < 1500


def test_a_tile_costs_less_than_36_bytes_of_manifest():
    lengths = np.random.default_rng(0).integers(4000, 9000, 2000)
    manifest, _ = built(*tiled(lengths), per_shard=500)
    assert len(manifest.to_bytes()) / 2000 < 36


def test_names_that_are_no_unicode_survive():
    name = b"caf\xe9/\xff.tif".decode("utf-8", "surrogateescape")
    manifest, _ = built(layout_of(b"abc", name), [stored(0, 0, np.frombuffer(b"abc", np.uint8))])
    assert Manifest.from_bytes(manifest.to_bytes()).name == name
    assert name_of_manifest(manifest_key(name)) == name


def test_a_missing_chunk_cannot_be_committed():
    layout, chunks = tiled([5, 6, 7])
    shard = build_shard(chunks[:2] + chunks[3:])
    with pytest.raises(ArchiveError, match="4 chunks, the index 3"):
        Manifest.build(layout, "file-exact", [(shard.ref, shard.index)], {})


def test_a_chunk_that_is_there_twice_cannot_be_committed():
    layout, chunks = tiled([5, 6, 7])
    shard = build_shard([*chunks[:3], chunks[2]])
    with pytest.raises(ArchiveError, match="chunk 2 of plane 1 is missing"):
        Manifest.build(layout, "file-exact", [(shard.ref, shard.index)], {})


def test_totals_are_counted_by_codec():
    layout, chunks = tiled([5, 6, 7])
    chunks[2] = EncodedChunk(1, 1, "jpeg-xl", (b"abc", b"de"), 6, bytes(16))
    chunks[3] = EncodedChunk(1, 2, "stored", (b"f",), 7, bytes(16), "larger")
    manifest, _ = built(layout, chunks)
    totals = manifest.codec_totals()
    assert (totals["jpeg-xl"].chunks, totals["jpeg-xl"].raw_bytes, totals["jpeg-xl"].bytes) == (1, 6, 5)
    assert totals["stored"].chunks == 3
    assert manifest.plane_codecs(0) == {"stored": 1}
    assert manifest.plane_codecs(1) == {"jpeg-xl": 1, "stored": 2}
    assert manifest.fallbacks() == {"larger": 1}


def test_a_manifest_of_a_newer_version_is_refused_by_name():
    body = _with_version(built(*tiled([5]))[0], b"2")
    with pytest.raises(SchemaVersionError, match=r"manifests/x has format version 2.*upgrade"):
        Manifest.from_bytes(body, origin="manifests/x")


def test_a_manifest_that_leads_out_of_its_folder_is_refused():
    manifest, _ = built(layout_of(b"abc", "../../etc/passwd"), [stored(0, 0, np.frombuffer(b"abc", np.uint8))])
    with pytest.raises(ArchiveError, match="relative path"):
        Manifest.from_bytes(manifest.to_bytes())


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_flipped_bit_or_cut_of_a_manifest_is_found(data):
    whole = built(*tiled([50, 7]))[0].to_bytes()
    damaged = bytearray(whole)
    damaged[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(IntegrityError, match="damaged"):
        Manifest.from_bytes(bytes(damaged))
    with pytest.raises(IntegrityError, match="damaged"):
        Manifest.from_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])


# Names


@settings(max_examples=300)
@given(
    st.lists(
        st.text(min_size=1, max_size=70).filter(lambda s: "/" not in s and "\0" not in s),
        min_size=1,
        max_size=4,
    )
)
def test_every_name_has_a_key_of_its_own(parts):
    name = "/".join(parts)
    if any(part in (".", "..") for part in parts):
        with pytest.raises(ArchiveError):
            manifest_key(name)
        return
    key = manifest_key(name)
    assert all(len(segment.encode()) <= 255 - len("#1234") for segment in key.split("/"))
    assert name_of_manifest(key) in (name, None)


@pytest.mark.parametrize("name", ["", "/a", "a/", "a//b", "../a", "a/../b", "."])
def test_names_that_are_no_relative_paths_are_refused(name):
    with pytest.raises(ArchiveError, match="relative path"):
        manifest_key(name)


def test_a_folder_named_like_a_manifest_does_not_collide_with_one():
    assert not manifest_key("x.arrow.zst/y").startswith(manifest_key("x") + "/")


# The writer


def commit(url, data: bytes, name="a.bin"):
    writer = ArchiveWriter(url)
    shard = build_shard([stored(0, 0, np.frombuffer(data, np.uint8))])
    writer.put_shard(shard)
    manifest = Manifest.build(layout_of(data, name), "file-exact", [(shard.ref, shard.index)], {})
    writer.commit(manifest)
    return manifest, shard


def test_a_source_without_a_manifest_does_not_exist(tmp_path):
    writer = ArchiveWriter(tmp_path)
    writer.put_shard(build_shard([chunk(0, 0, b"abc")]))
    assert list(open_archive(tmp_path)) == []
    assert writer.committed("a.bin") is None


def test_doing_it_all_again_changes_nothing(tmp_path):
    def state():
        return {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in tmp_path.rglob("*") if p.is_file()}

    commit(tmp_path, b"some bytes")
    before = state()
    commit(tmp_path, b"some bytes")
    assert state() == before


def test_other_content_under_the_same_name_is_a_conflict(tmp_path):
    commit(tmp_path, b"some bytes")
    with pytest.raises(SourceConflictError, match=r"a\.bin"):
        commit(tmp_path, b"other bytes")
    assert open_archive(tmp_path / "a.bin").open().read() == b"some bytes"


def test_a_damaged_leftover_of_an_earlier_run_is_replaced(tmp_path):
    _, shard = commit(tmp_path, b"some bytes")
    path = tmp_path / "shards" / f"{shard.sha256}.arrow"
    path.write_bytes(bytes(len(shard.data)))
    assert ArchiveWriter(tmp_path).put_shard(shard)
    assert path.read_bytes() == shard.data
    assert not ArchiveWriter(tmp_path).put_shard(shard)


def test_nothing_is_committed_whose_shard_is_missing(tmp_path):
    data = np.frombuffer(b"abc", np.uint8)
    shard = build_shard([stored(0, 0, data)])
    manifest = Manifest.build(layout_of(b"abc"), "file-exact", [(shard.ref, shard.index)], {})
    with pytest.raises(ArchiveNotFoundError, match="cannot commit"):
        ArchiveWriter(tmp_path).commit(manifest)
    assert list(open_archive(tmp_path)) == []


def test_nothing_is_committed_whose_model_is_missing(tmp_path):
    _, shard = commit(tmp_path, b"abc")
    other = Manifest.build(layout_of(b"abc", "b"), "file-exact", [(shard.ref, shard.index)], {"haar": "0" * 64})
    with pytest.raises(ArchiveNotFoundError, match="models/0000"):
        ArchiveWriter(tmp_path).commit(other)
    assert list(open_archive(tmp_path)) == ["a.bin"]


def test_an_archive_of_a_newer_version_is_neither_read_nor_written(tmp_path):
    (tmp_path / "archive.json").write_text(json.dumps({"format": "haarchive", "version": 2}))
    with pytest.raises(SchemaVersionError, match="upgrade haarchive"):
        open_archive(tmp_path)
    with pytest.raises(SchemaVersionError, match="upgrade haarchive"):
        ArchiveWriter(tmp_path).put_model(b"x")
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("record", [b"", b"[]", b"{}", b"\xff", b'{"format":"zarr","version":1}', b"[" * 9000])
def test_a_file_that_only_has_the_name_of_an_archive_record_is_refused(tmp_path, record):
    (tmp_path / "archive.json").write_bytes(record)
    with pytest.raises(IntegrityError, match=r"archive\.json"):
        open_archive(tmp_path)


def test_a_writer_can_be_sent_to_another_process(tmp_path):
    commit(tmp_path, b"abc")
    assert pickle.loads(pickle.dumps(ArchiveWriter(tmp_path))).committed("a.bin").manifest.name == "a.bin"


def test_a_manifest_under_another_name_is_refused(tmp_path):
    commit(tmp_path, b"abc", "a")
    (tmp_path / "manifests" / "a.arrow.zst").rename(tmp_path / "manifests" / "b.arrow.zst")
    with pytest.raises(IntegrityError, match="manifest of 'a'"):
        open_archive(tmp_path)["b"]


@pytest.mark.parametrize("guarantee", ["file-exact", "sample-exact", "lossy-drop-bands-1"])
def test_a_source_whose_original_has_no_digest_cannot_be_committed(guarantee):
    layout = replace(layout_of(b"abc"), members=(Member("", 3, ""),))
    with pytest.raises(ArchiveError, match="SHA-256 is not known"):
        Manifest.build(layout, guarantee, [], {})


def test_a_name_too_long_for_a_file_system_is_archived_and_listed(tmp_path):
    name = "folder/" + "ü" * 127
    commit(tmp_path, b"abc", name)
    assert open_archive(tmp_path).sources() == [name]
    assert open_archive(tmp_path)[name].open().read() == b"abc"


def _with_version(manifest: Manifest, version: bytes) -> bytes:
    """The manifest as a later haarchive might write it: another version, other columns, a valid digest."""
    body = zstandard.ZstdDecompressor().decompress(manifest.to_bytes()[:-40])
    metadata = pa.ipc.open_stream(pa.BufferReader(body)).schema.metadata
    sink = pa.BufferOutputStream()
    schema = pa.schema([("new", pa.int8())], metadata={**metadata, b"haarchive.format_version": version})
    with pa.ipc.new_stream(sink, schema):
        pass
    body = zstandard.ZstdCompressor().compress(sink.getvalue().to_pybytes())
    return body + bytes.fromhex("502a4d1820000000") + hashlib.sha256(body).digest()
