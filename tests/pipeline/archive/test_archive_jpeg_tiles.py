"""JPEG tiles, several to a chunk, read one by one and as pixels."""

from __future__ import annotations

import io
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event

import numpy as np
import pytest
import tifffile
from PIL import Image

from haarchive.codecs.errors import HaarchiveError, RegionError
from haarchive.codecs.stored import StoredCodec
from haarchive.pipeline.archive import ArchiveWriter, EncodedChunk, Manifest, build_shard, open_archive, samples_digest
from haarchive.pipeline.archive.small import embed
from haarchive.pipeline.jobs import archive
from haarchive.pipeline.layout import chunk_bounds
from haarchive.pipeline.sources import SourceRef, open_source


def jpeg(picture, **options):
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", **options)
    return file.getvalue()


def write_tiles(path, picture, side, tables=b"", *, cut=None, **options):
    """A TIFF of JPEG tiles of a picture."""
    rows, columns = range(0, picture.shape[0], side), range(0, picture.shape[1], side)
    tiles = [jpeg(np.resize(picture[y : y + side, x : x + side], (side, side, 3))) for y in rows for x in columns]
    extra = [(347, 7, len(tables), tables, True)] if tables else []
    options = {"tile": (side, side), "photometric": "ycbcr", "subsampling": (2, 2), **options}
    tifffile.imwrite(
        path, iter(map(cut or bytes, tiles)), shape=picture.shape, dtype=np.uint8, compression="jpeg", extratags=extra,
        **options,
    )  # fmt: skip
    return path


def tiles_in(path):
    """The bytes of each tile of a TIFF."""
    data = path.read_bytes()
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        return [data[a : a + n] for a, n in zip(page.dataoffsets, page.databytecounts, strict=True)]


def archived(path, root, **config):
    """Archive a file by a job and open it."""
    archive(path, root, **config).raise_for_failures()
    return open_archive(root / path.name)


def at(row, column):
    return slice(row, row + 1), slice(column, column + 1)


@pytest.fixture(scope="module")
def tiled(tmp_path_factory, picture):
    """A slide of 6 x 8 tiles; chunks have 4 x 4."""
    return write_tiles(tmp_path_factory.mktemp("tiled") / "tiled.tif", picture, 128)


@pytest.mark.parametrize("codecs", [(), ("jpeg-xl",)], ids=["stored", "jpeg-xl"])
@pytest.mark.parametrize("shard_chunks", [0, 1, 8])
def test_single_tiles_are_read_from_chunks_of_several(tiled, tmp_path, put_source, codecs, shard_chunks):
    manifest = put_source(tmp_path, tiled, codecs=codecs, shard_chunks=shard_chunks)
    plane = manifest.layout.planes[1]
    assert (plane.shape, plane.chunk_shape) == ((6, 8), (4, 4))
    source = open_archive(tmp_path / "tiled.tif")
    tiles = tiles_in(tiled)
    for number in np.random.default_rng(0).permutation(48).tolist():
        read = source.read_plane(1, at(*divmod(number, 8)))
        assert read.dtype == np.uint8
        assert read.tobytes() == tiles[number]


def test_tiles_pixels_and_bytes_come_back_from_an_archive(tiled, tmp_path):
    source = archived(tiled, tmp_path / "a")
    assert source.manifest.plane_codecs(1) == {"jpeg": 4}
    tiles, pixels = tiles_in(tiled), tifffile.imread(tiled)
    assert source.read_plane(1, at(3, 4)).tobytes() == tiles[3 * 8 + 4]
    np.testing.assert_array_equal(source.read_region((450, 300), 0, (200, 333)), pixels[300:633, 450:650])
    assert source.verify(deep=True).problems == ()
    assert source.restore(tmp_path / "out.tif").read_bytes() == tiled.read_bytes()
    with source.open() as file:
        file.seek(50_000)
        assert file.read(30_000) == tiled.read_bytes()[50_000:80_000]


def test_a_tile_fetches_only_its_chunk(tiled, tmp_path, put_source):
    put_source(tmp_path, tiled)
    source = open_archive(tmp_path / "tiled.tif")
    rows = {row["chunk"]: row for row in source.manifest.index.to_pylist() if row["plane"] == 1}
    source.store.stats.__init__()
    source.read_plane(1, at(5, 1))
    assert source.store.stats.bytes_read == sum(rows[2]["band_length"])
    source.read_plane(1, at(4, 3))
    assert source.store.stats.bytes_read == sum(rows[2]["band_length"])
    source.read_region((490, 490), 0, (10, 10))
    assert source.store.stats.bytes_read > sum(rows[2]["band_length"]) + sum(rows[3]["band_length"])


def test_a_region_of_no_tiles_is_refused_or_empty(tiled, tmp_path, put_source):
    put_source(tmp_path, tiled)
    source = open_archive(tmp_path / "tiled.tif")
    for region in ((slice(3, 3), slice(0, 1)), (slice(6, 7), slice(0, 1)), (slice(0, 1), slice(8, 9))):
        try:
            assert source.read_plane(1, region).size == 0
        except HaarchiveError:
            continue
    with pytest.raises(RegionError, match="axes"):
        source.read_plane(1, (slice(0, 1),))


def test_the_first_readers_of_a_plane_all_get_whole_tiles(tiled, tmp_path, put_source):
    put_source(tmp_path, tiled)
    source = open_archive(tmp_path / "tiled.tif")
    tiles, reading = tiles_in(tiled), Event()

    class Slow(np.ndarray):
        """Takes its time where lengths are looked up."""

        def __getitem__(self, key):
            reading.set()
            time.sleep(0.05)
            return np.asarray(super().__getitem__(key))

    pieces = source.manifest.layout.pieces
    object.__setattr__(pieces, "length", pieces.length.view(Slow))
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(source.read_plane, 1, at(0, 1))
        assert reading.wait(20)
        second = pool.submit(source.read_plane, 1, at(0, 2))
        assert first.result().tobytes() == tiles[1]
        assert second.result().tobytes() == tiles[2]


# Tiles that share their bytes


def test_tiles_without_bytes_of_their_own_are_read_too(tmp_path, picture):
    path = write_tiles(tmp_path / "shared.tif", picture, 128)
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        for code in (324, 325):
            tag = tiff.pages.first.tags[code]
            values = list(tag.value)
            values[36:40] = [values[2]] * 4
            values[44:48] = [values[2]] * 4
            tag.overwrite(values)
    source = archived(path, tmp_path / "a")
    assert source.manifest.layout.planes[1].shape == (6, 8)
    assert source.manifest.plane_codecs(1) == {"jpeg": 3, "stored": 1}  # the last chunk has no bytes
    assert source.read_plane(1, at(4, 5)).size == 0
    np.testing.assert_array_equal(source.read_region((0, 0), 0, (900, 700)), tifffile.imread(path))
    assert source.verify(deep=True).problems == ()
    assert source.restore(tmp_path / "out.tif").read_bytes() == path.read_bytes()


# Archives of before


def test_planes_of_one_tile_a_chunk_are_read_as_before(tiled, tmp_path):
    with open_source(SourceRef(str(tiled), "old.tif")) as source:
        planes = [
            replace(plane, shape=(48,), chunk_shape=(1,)) if n else plane
            for n, plane in enumerate(source.layout.planes)
        ]
        layout = replace(source.layout, planes=tuple(planes))
    made = []
    with open_source(SourceRef(str(tiled), "old.tif"), layout=layout) as source:
        for number, plane in enumerate(planes):
            for chunk in range(plane.n_chunks):
                samples = source.read_region(number, chunk_bounds(plane, chunk))
                bands = StoredCodec().encode([samples])[0].bands
                made.append(EncodedChunk(number, chunk, "stored", bands, samples.nbytes, samples_digest(samples)))
    assert len(made) == 49
    shards = [build_shard(made[n : n + 10]) for n in range(0, 49, 10)]
    for name, parts in (("a", [(shard.ref, shard.index) for shard in shards]), ("b", [embed(made)])):
        writer = ArchiveWriter(tmp_path / name)
        for shard in shards if name == "a" else ():
            writer.put_shard(shard)
        writer.commit(Manifest.build(layout, "file-exact", parts, {}))
        old = open_archive(tmp_path / name / "old.tif")
        assert [old.read_plane(1, (slice(n, n + 1),)).tobytes() for n in range(48)] == tiles_in(tiled)
        np.testing.assert_array_equal(old.read_region((90, 80), 0, (300, 200)), tifffile.imread(tiled)[80:280, 90:390])
        assert old.verify(deep=True).problems == ()
        assert old.restore(tmp_path / f"{name}.tif").read_bytes() == tiled.read_bytes()


# Sources that are odd


def parts_of(data):
    """The tables of a JPEG file as TIFF keeps them, the rest of it, and where the data of its scan begins."""
    tables, others, begin = b"", b"", 2
    while data[begin + 1] != 0xDA:
        end = begin + 2 + int.from_bytes(data[begin + 2 : begin + 4])
        if data[begin + 1] in (0xDB, 0xC4):
            tables += data[begin:end]
        elif data[begin + 1] != 0xE0:
            others += data[begin:end]
        begin = end
    return b"\xff\xd8" + tables + b"\xff\xd9", b"\xff\xd8" + others + data[begin:], begin + 14


@pytest.mark.parametrize(
    "change",
    [
        lambda tables: tables, lambda tables: tables + b"\0", lambda tables: tables[:-2], lambda tables: tables[2:],
        lambda tables: tables[:50], lambda tables: b"\xff\xd8\xff\xd9", lambda tables: b"\xff\xd8",
        lambda tables: b"none", lambda tables: tables[:-2] + b"\xff\xda\0\2\xff\xd9",
    ],
    ids=["whole", "longer", "no EOI", "no SOI", "cut", "empty", "SOI", "garbage", "a scan"],
)  # fmt: skip
def test_a_slide_whose_tables_are_odd_is_archived_all_the_same(change, tmp_path, picture):
    tables, _, _ = parts_of(jpeg(picture[:128, :128]))
    part = np.ascontiguousarray(picture[:256, :256])
    path = write_tiles(tmp_path / "odd.tif", part, 128, change(tables), cut=lambda tile: parts_of(tile)[1])
    source = archived(path, tmp_path / "a")
    assert source.restore(tmp_path / "out.tif").read_bytes() == path.read_bytes()


def write_intervals(path, data, shape, change=lambda starts: starts):
    """A page of one JPEG with restart markers, as Hamamatsu's slides have them."""
    starts = [parts_of(data)[2]]
    where = starts[0]
    while where >= 0:
        where = data.find(b"\xff", where) + 2
        if 0xD0 <= data[where - 1] <= 0xD7:
            starts.append(where)
        elif data[where - 1] == 0xD9:
            break
    starts = change(starts)
    tags = [(271, "s", 0, "Hamamatsu", True), (65420, "I", 1, 1, True)]
    tags.append((65426, "I", len(starts), np.array(starts, np.uint32), True))
    options = {"photometric": "ycbcr", "subsampling": (2, 2), "compression": "jpeg", "rowsperstrip": shape[0]}
    tifffile.imwrite(path, iter([data]), shape=shape, dtype=np.uint8, metadata=None, extratags=tags, **options)
    return path


@pytest.fixture(scope="module")
def intervals(picture):
    """A JPEG of 30 x 40 units, whose restart intervals have ten."""
    return jpeg(np.ascontiguousarray(picture[:480, :640]), subsampling=2, restart_marker_blocks=10)


def test_restart_intervals_are_read_one_by_one_and_as_pixels(intervals, tmp_path, put_source):
    path = write_intervals(tmp_path / "a.tif", intervals, (480, 640, 3))
    tiles = tiles_in(path)
    assert len(tiles) == 120
    pixels = np.zeros((480, 640, 3), np.uint8)
    with tifffile.TiffFile(path) as tiff:  # each alone, as whole the edges of its chroma are others
        for part, (_, _, top, left, _), (_, high, wide, _) in tiff.pages.first.segments():
            pixels[top : top + high, left : left + wide] = part[0]
    put_source(tmp_path / "b", path, codecs=("jpeg",))
    for source in (archived(path, tmp_path / "a"), open_archive(tmp_path / "b" / "a.tif")):
        assert source.manifest.layout.planes[1].shape == (30, 4)
        assert source.manifest.plane_codecs(1) == {"jpeg": 2}
        for number in (0, 5, 77, 119):
            assert source.read_plane(1, at(*divmod(number, 4))).tobytes() == tiles[number]
        np.testing.assert_array_equal(source.read_region((100, 50), 0, (300, 200)), pixels[50:250, 100:400])
        assert source.restore(tmp_path / "out.tif", overwrite=True).read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"\xff\xdb\0\x43\0", b"\xff\xdb\0\x43\4"),
        (b"\xff\xdb\0\x43\0", b"\xff\xdb\0\x43\x10"),
        (b"\xff\xda\0\x0c\3\1", b"\xff\xda\0\x0c\3\2"),
        (b"\0\x3f\0", b"\1\x3f\0"),
        (b"\xff\xc4\0\x1f\0\0\1", b"\xff\xc4\0\x1f\0\4\1"),
    ],
    ids=["tables", "16 bits", "order", "selection", "codes"],
)
def test_restart_intervals_of_a_file_of_another_kind_are_archived_all_the_same(before, after, intervals, tmp_path):
    assert before in intervals
    path = write_intervals(tmp_path / "a.tif", intervals.replace(before, after, 1), (480, 640, 3))
    source = archived(path, tmp_path / "a")
    assert source.restore(tmp_path / "out.tif").read_bytes() == path.read_bytes()


def test_restart_intervals_that_are_cut_within_markers_are_no_defect(intervals, tmp_path):
    path = write_intervals(
        tmp_path / "a.tif", intervals, (480, 640, 3), lambda starts: [starts[0], *[n - 1 for n in starts[1:]]]
    )
    source = archived(path, tmp_path / "a")
    assert not [reason for reason in source.manifest.fallbacks() if "error" in reason]
    assert source.restore(tmp_path / "out.tif").read_bytes() == path.read_bytes()


def test_a_real_slide_of_restart_intervals_is_read_as_tifffile_does(data_dir, tmp_path, put_source):
    path = data_dir / "slides" / "fluorescence-dapi.ndpi"
    put_source(tmp_path, path, codecs=())
    source = open_archive(tmp_path / path.name)
    with tifffile.TiffFile(path) as tiff:
        levels = tiff.series[0].levels
        assert source.level_dimensions[:4] == tuple(level.shape[1::-1] for level in levels)
        smallest = levels[3].asarray()
    np.testing.assert_array_equal(source.read_region((0, 0), 3, smallest.shape[1::-1]), smallest)
    assert source.restore(tmp_path / "out").read_bytes() == path.read_bytes()
