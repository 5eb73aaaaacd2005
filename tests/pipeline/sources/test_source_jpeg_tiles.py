"""TIFF pages of JPEG tiles: as they lie in the picture, several to a chunk."""

import io
import struct

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from haarchive.pipeline.layout import Plane, chunk_bounds, chunks_of_tiles, tiles_of
from haarchive.pipeline.sources import SourceRef, open_source, skeleton_size


def jpeg(picture, mode="RGB", **options):
    file = io.BytesIO()
    Image.fromarray(picture).convert(mode).save(file, "JPEG", **options)
    return file.getvalue()


def abbreviated(data):
    """The tables of a JPEG file and the file without them."""
    tables, others, at = b"", b"", 2
    while data[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4])
        if data[at + 1] in (0xDB, 0xC4):
            tables += data[at:end]
        else:
            others += data[at:end]
        at = end
    return b"\xff\xd8" + tables + b"\xff\xd9", b"\xff\xd8" + others + data[at:]


def cut(picture, side):
    """A picture in tiles, padded at its edges."""
    height, width = picture.shape[:2]
    padded = np.pad(picture, ((0, -height % side), (0, -width % side), (0, 0)), mode="edge")
    rows, columns = range(0, padded.shape[0], side), range(0, padded.shape[1], side)
    return [padded[y : y + side, x : x + side] for y in rows for x in columns]


def write(path, picture, tiles, side, tables=b"", **options):
    """A TIFF of JPEG tiles."""
    options = {"photometric": "rgb", "tile": (side, side), **options}
    extra = [(347, 7, len(tables), tables, True)] if tables else []
    tifffile.imwrite(
        path, iter(tiles), shape=picture.shape, dtype=np.uint8, compression="jpeg", extratags=extra, **options
    )
    return path


def layout_of(path):
    with open_source(SourceRef(str(path), path.name)) as source:
        return source.layout


def content(planes):
    return [None if tile is None else tile.tobytes() for tile in planes[1]]


def set_values(path, code, change):
    """Change the values of a tag of the first page, in place."""
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tag = tiff.pages.first.tags[code]
        values = list(tag.value)
        change(values)
        tag.overwrite(values)


@pytest.mark.parametrize(("side", "chunk"), [(16, (32, 32)), (64, (8, 8)), (128, (4, 4)), (240, (2, 2)), (256, (2, 2))])
def test_tiles_lie_in_a_grid_and_square_groups_of_them_are_chunks(side, chunk, tissue, tmp_path, take_apart):
    tiles = [jpeg(tile) for tile in cut(tissue, side)]
    layout, planes = take_apart(write(tmp_path / "a.tif", tissue, tiles, side))
    (plane,) = layout.planes[1:]
    assert (plane.kind, plane.codec) == ("tiles", "jpeg-xl")
    assert plane.shape == (-(-300 // side), -(-451 // side))
    assert plane.chunk_shape == chunk
    assert content(planes) == tiles
    assert skeleton_size(layout) < 700 + 16 * len(tiles)


def test_chunks_hold_their_tiles_in_reading_order(tissue, tmp_path):
    tiles = [jpeg(tile) for tile in cut(tissue, 128)]
    path = write(tmp_path / "a.tif", tissue[:, :400], [*tiles, *tiles[:4]][:12], 128)
    with open_source(SourceRef(str(path), "a.tif")) as source:
        layout = source.layout
        assert layout.planes[1].shape == (3, 4)
        everything = source.read_region(1, (slice(0, 3), slice(0, 4)))
        assert everything.tobytes() == b"".join([*tiles, *tiles[:4]][:12])
        middle = source.read_region(1, (slice(1, 3), slice(1, 3)))
        assert middle.tobytes() == b"".join(tiles[n] for n in (5, 6, 9, 10))
        assert source.read_region(1, (slice(2, 3), slice(0, 1))).tobytes() == tiles[8]
        assert source.read_region(1, (slice(1, 1), slice(0, 4))).shape == (0,)
    with open_source(SourceRef(str(path), "a.tif"), layout=layout) as worker:
        assert worker.read_chunk(1, 0).tobytes() == everything.tobytes()


def test_tiles_of_tables_of_the_page_are_found_with_them(tissue, tmp_path, take_apart):
    pairs = [abbreviated(jpeg(tile)) for tile in cut(tissue, 128)]
    tables, tiles = pairs[0][0], [tile for _, tile in pairs]
    layout, planes = take_apart(write(tmp_path / "a.tif", tissue, tiles, 128, tables))
    assert "jpeg_tables" in layout.planes[1].attrs
    assert layout.planes[1].shape == (3, 4)
    assert content(planes) == tiles


def test_sparse_tiles_leave_a_row_of_those_that_there_are(tissue, tmp_path, take_apart):
    tiles = [b"" if n % 5 == 2 else jpeg(tile) for n, tile in enumerate(cut(tissue, 64))]
    layout, planes = take_apart(write(tmp_path / "a.tif", tissue, tiles, 64))
    there = [tile for tile in tiles if tile]
    assert layout.planes[1].shape == (len(there),)
    assert layout.planes[1].chunk_shape == (64,)
    assert content(planes) == there


def test_tiles_without_bytes_at_the_end_of_the_file_are_left_out(tissue, tmp_path, take_apart):
    tiles = [jpeg(tile) for tile in cut(tissue, 128)]
    path = write(tmp_path / "a.tif", tissue, tiles, 128)
    set_values(path, 325, lambda values: values.__setitem__(11, 0))
    layout, planes = take_apart(path)
    assert layout.planes[1].shape == (11,)
    assert content(planes) == tiles[:11]


def test_tiles_that_share_their_bytes_have_one_piece_and_the_grid_stays(tissue, tmp_path, take_apart):
    tiles = [jpeg(tile) for tile in cut(tissue, 64)]
    path = write(tmp_path / "a.tif", tissue, tiles, 64)
    for code in (324, 325):
        set_values(path, code, lambda values: values.__setitem__(slice(8, 12), [values[3]] * 4))
    layout, planes = take_apart(path)
    assert layout.planes[1].shape == (5, 8)
    assert len(layout.pieces) == 36
    expected = [*tiles[:8], *[b""] * 4, *tiles[12:]]
    assert content(planes) == expected
    assert skeleton_size(layout) > sum(map(len, tiles[8:12]))


def test_a_chunk_of_none_but_shared_tiles_has_no_bytes(tissue, tmp_path, take_apart):
    picture = np.resize(tissue, (1024, 1024, 3))
    tiles = [jpeg(tile) for tile in cut(picture, 256)]
    path = write(tmp_path / "a.tif", picture, tiles, 256)
    for code in (324, 325):
        set_values(path, code, lambda values: values.__setitem__(slice(8, 16), [values[0]] * 8))
    layout, planes = take_apart(path)
    assert layout.planes[1].grid == (2, 2)
    assert content(planes) == tiles[:8] + [b""] * 8
    with open_source(SourceRef(str(path), "a.tif"), layout=layout) as source:
        assert source.read_chunk(1, 2).shape == (0,)
        assert source.read_chunk(1, 2).dtype == np.uint8


def test_pages_that_share_all_their_tiles_come_back(tissue, tmp_path, take_apart):
    tiles = [jpeg(tile) for tile in cut(tissue, 128)]
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as tiff:
        for _ in range(2):
            options = {"photometric": "rgb", "tile": (128, 128), "compression": "jpeg", "metadata": None}
            tiff.write(iter(tiles), shape=tissue.shape, dtype=np.uint8, **options)
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        first, second = tiff.pages
        for code in (324, 325):
            second.tags[code].overwrite(first.tags[code].value)
    layout, planes = take_apart(path)
    assert [plane.shape for plane in layout.planes[1:]] == [(3, 4), (3, 4)]
    assert [tile.tobytes() for tile in planes[1]] == tiles
    assert all(tile.size == 0 for tile in planes[2])


def test_tiles_of_several_kinds_stay_side_by_side(tissue, tmp_path, take_apart):
    kinds = [{}, {"progressive": True}, {"mode": "L"}, {"quality": 20, "optimize": True}, {"restart_marker_rows": 1}]
    tiles = [jpeg(tile, **kinds[n % len(kinds)]) for n, tile in enumerate(cut(tissue, 64))]
    tiles[7], tiles[8] = b"no JPEG at all", b"\xff\xd8\xff"
    layout, planes = take_apart(write(tmp_path / "a.tif", tissue, tiles, 64))
    assert layout.planes[1].shape == (5, 8)
    assert content(planes) == tiles


def test_channels_of_their_own_lie_one_below_the_other(tissue, tmp_path, take_apart):
    tiles = [jpeg(tile[..., channel], "L") for channel in range(3) for tile in cut(tissue, 128)]
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, iter(tiles), shape=(3, 300, 451), dtype=np.uint8, compression="jpeg", photometric="rgb",
        planarconfig="separate", tile=(128, 128),
    )  # fmt: skip
    layout, planes = take_apart(path)
    assert layout.planes[1].shape == (9, 4)
    assert content(planes) == tiles


def test_strips_are_a_column(tissue, tmp_path, take_apart):
    strips = [jpeg(tissue[y : y + 16]) for y in range(0, 300, 16)]
    path = write(tmp_path / "a.tif", tissue, strips, 0, tile=None, rowsperstrip=16)
    layout, planes = take_apart(path)
    assert layout.planes[1].shape == (19, 1)
    assert layout.planes[1].chunk_shape == (32, 1)
    assert content(planes) == strips


def test_a_page_of_one_segment_is_one_chunk(tissue, tmp_path, take_apart):
    layout, planes = take_apart(write(tmp_path / "a.tif", tissue, [jpeg(tissue)], 0, tile=None, rowsperstrip=300))
    assert layout.planes[1].n_chunks == 1
    assert content(planes) == [jpeg(tissue)]


def test_fewer_offsets_than_tiles_make_a_row(tissue, tmp_path, take_apart):
    tiles = [jpeg(tile) for tile in cut(tissue, 128)]
    path = write(tmp_path / "a.tif", tissue, tiles, 128)
    data = bytearray(path.read_bytes())
    for code in (324, 325):
        at = data.index(struct.pack("<HHI", code, 4, 12))
        data[at + 4 : at + 8] = struct.pack("<I", 10)
    path.write_bytes(data)
    layout, planes = take_apart(path)
    assert layout.planes[1].shape == (10,)
    assert content(planes) == tiles[:10]


@pytest.mark.parametrize("compression", ["webp", "jpeg2000"])
def test_tiles_that_are_stored_are_single(compression, tissue, tmp_path, take_apart):
    path = tmp_path / "a.tif"
    picture = np.random.default_rng(0).integers(0, 256, (600, 700, 3), np.uint8)
    try:
        tifffile.imwrite(path, picture, compression=compression, photometric="rgb", tile=(256, 256))
    except (ValueError, KeyError, ImportError) as error:
        pytest.skip(f"tifffile cannot write {compression} here: {error}")
    layout, _ = take_apart(path)
    (plane,) = layout.planes[1:]
    assert (plane.codec, plane.shape, plane.chunk_shape) == ("stored", (9,), (1,))


# Restart intervals as Hamamatsu's slides have them


def starts_of(data):
    """Where the restart intervals of a JPEG file begin."""
    at = 2
    while data[at + 1] != 0xDA:
        at += 2 + int.from_bytes(data[at + 2 : at + 4])
    at += 2 + int.from_bytes(data[at + 2 : at + 4])
    starts = [at]
    while True:
        at = data.index(b"\xff", at) + 2
        if 0xD0 <= data[at - 1] <= 0xD7:
            starts.append(at)
        elif data[at - 1]:
            return starts


def write_intervals(path, data, shape, starts):
    """A page of one JPEG, with the tags by which tifffile knows such slides."""
    tags = [(271, "s", 0, "Hamamatsu", True), (65420, "I", 1, 1, True)]
    tags.append((65426, "I", len(starts), np.array(starts, np.uint32), True))
    options = {"photometric": "ycbcr", "subsampling": (2, 2), "compression": "jpeg", "rowsperstrip": shape[0]}
    tifffile.imwrite(path, iter([data]), shape=shape, dtype=np.uint8, metadata=None, extratags=tags, **options)
    return path


@pytest.fixture
def intervals(tissue):
    """A JPEG of (304, 448) pixels, whose 19 x 28 units have a restart marker after every 7."""
    picture = np.ascontiguousarray(np.pad(tissue, ((0, 4), (0, 0), (0, 0)), mode="edge")[:, :448])
    data = jpeg(picture, subsampling=2, restart_marker_blocks=7)
    return data, starts_of(data)


def test_restart_intervals_are_tiles(intervals, tmp_path, take_apart):
    data, starts = intervals
    assert len(starts) == 19 * 4
    layout, planes = take_apart(write_intervals(tmp_path / "a.tif", data, (304, 448, 3), starts))
    (plane,) = layout.planes[1:]
    assert (plane.kind, plane.codec, plane.shape, plane.chunk_shape) == ("tiles", "jpeg", (19, 4), (32, 5))
    assert content(planes) == [data[a:b] for a, b in zip(starts, [*starts[1:], len(data)], strict=True)]
    assert "jpeg_tables" in plane.attrs


@pytest.mark.parametrize(
    "change",
    [
        lambda starts: starts[:-1],
        lambda starts: [*starts[:5], starts[3], *starts[6:]],
        lambda starts: [*starts[:-1], starts[-1] + 10**6],
        lambda starts: starts[:1] + [at - 1 for at in starts[1:]],
        lambda starts: starts[:1] * len(starts),
        lambda starts: starts[:1] + starts[:0:-1],
        lambda starts: [starts[0], *range(starts[0] + 1, starts[0] + 700)],
        lambda starts: [at + 1 for at in starts],
        lambda starts: [0, *starts[1:]],
    ],
    ids=["one less", "back", "beyond", "within markers", "all the same", "reversed", "every byte", "late", "no header"],
)
def test_restart_intervals_that_begin_elsewhere_come_back(change, intervals, tmp_path, take_apart):
    data, starts = intervals
    take_apart(write_intervals(tmp_path / "a.tif", data, (304, 448, 3), change(starts)))


# Grids


grids = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 5)), min_size=1, max_size=2)


@given(grids)
def test_every_tile_is_in_the_chunk_whose_bounds_it_is_in(grid):
    shape, chunk = zip(*grid, strict=True)
    plane = Plane("tiles", shape, "uint8", chunk, "jpeg-xl")
    members = [tiles_of(plane, chunk_bounds(plane, n)) for n in range(plane.n_chunks)]
    assert sorted(np.concatenate(members).tolist()) == list(range(int(np.prod(shape))))
    for n, tiles in enumerate(members):
        assert tiles.dtype == np.int64
        assert (chunks_of_tiles(plane, tiles) == n).all()
        assert (np.diff(tiles) > 0).all()


def test_a_plane_without_tiles_has_no_chunks():
    plane = Plane("tiles", (0,), "uint8", (1,), "stored")
    assert plane.n_chunks == 0
    assert chunks_of_tiles(plane, np.zeros(0, np.int64)).tolist() == []
    assert tiles_of(plane, (slice(0, 0),)).tolist() == []
