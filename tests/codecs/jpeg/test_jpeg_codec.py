"""The codec jpeg: files of every ordinary kind come back byte for byte, and smaller."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from jpeg_models import (
    DQT,
    EOI,
    KINDS,
    SOI,
    abbreviated,
    as_chunk,
    check,
    check_if_taken,
    edited,
    intervals_of,
    jpeg_of,
    made,
    scene,
)

from haarchive.codecs.base import Bitstream
from haarchive.codecs.errors import CodecError, UnsupportedSamplesError
from haarchive.codecs.jpeg.codec import JpegCodec
from haarchive.codecs.jpegxl import JpegXLTranscoder
from haarchive.codecs.registry import CODEC_NAMES, CODECS_WITH_TABLES, get_codec

CODEC = JpegCodec()
RESTARTS: dict[str, dict[str, Any]] = {
    "none": {},
    "blocks": {"restart_marker_blocks": 3},
    "rows": {"restart_marker_rows": 1},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("quality", [5, 80, 100])
def test_files_come_back_and_smaller(kind: str, quality: int) -> None:
    data = made(kind, 80, 96, quality=quality)
    assert check(data).nbytes < (0.95 if quality == 100 else 0.87) * len(data)


def test_a_restart_marker_behind_the_last_unit_is_kept() -> None:
    data = made()
    with_marker = data[:-2] + b"\xff\xd0" + data[-2:]
    assert check(with_marker).nbytes <= check(data).nbytes + 4
    check(with_marker * 3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("restarts", RESTARTS)
@pytest.mark.parametrize("optimize", [False, True])
def test_files_with_restart_markers_and_with_tables_of_their_own_come_back(
    kind: str, restarts: str, optimize: bool
) -> None:
    check(made(kind, 40, 56, optimize=optimize, **RESTARTS[restarts]))


@pytest.mark.parametrize("kind", ["grey", "4:2:2", "4:2:0", "cmyk"])
@pytest.mark.parametrize("size", [(1, 1), (1, 40), (33, 1), (8, 8), (7, 9), (17, 15), (16, 31), (25, 50)], ids=str)
def test_pictures_of_any_size_come_back(kind: str, size: tuple[int, int]) -> None:
    check(made(kind, *size))
    check(made(kind, *size, restart_marker_blocks=1))


@settings(max_examples=30)
@given(
    kind=st.sampled_from(sorted(KINDS)), quality=st.integers(1, 100), optimize=st.booleans(), height=st.integers(1, 40),
    width=st.integers(1, 40), restart=st.integers(0, 9), seed=st.integers(0, 99), noise=st.booleans(),
)  # fmt: skip
def test_any_file_of_pillow_comes_back(
    kind: str, quality: int, optimize: bool, height: int, width: int, restart: int, seed: int, noise: bool
) -> None:
    picture = scene(height, width, seed)
    if noise:
        picture = np.random.default_rng(seed).integers(0, 256, picture.shape, np.uint8)
    more: dict[str, Any] = {"restart_marker_blocks": restart} if restart else {}
    check(jpeg_of(picture, **KINDS[kind], quality=quality, optimize=optimize, **more))


@pytest.mark.parametrize("kind", ["grey", "4:2:0"])
def test_black_white_and_flat_pictures_come_back(kind: str) -> None:
    for value in (0, 1, 127, 128, 254, 255):
        data = jpeg_of(np.full((40, 56, 3), value, np.uint8), **KINDS[kind])
        assert check(data).nbytes < len(data) / 3


def test_more_than_eight_restart_markers_come_back() -> None:
    data = made("4:2:0", 64, 96, restart_marker_blocks=1)
    assert data.count(b"\xff\xd0") == 3
    check(data)


def test_metadata_and_comments_come_back() -> None:
    check(made("4:2:0", icc_profile=bytes(range(256)) * 300, exif=b"Exif\0\0" + bytes(400), comment=b"stained 14 May"))


@pytest.mark.parametrize("behind", [b"\0", b"\xff", b"\xff\xd9", b"\xff\xd8", b"trailing" * 500, SOI + EOI], ids=repr)
def test_bytes_behind_a_file_come_back(behind: bytes) -> None:
    assert check_if_taken(made() + behind) or behind == SOI + EOI  # which begins like another file


def test_a_file_without_its_eoi_comes_back() -> None:
    check(made()[:-2])
    check(made()[:-1])


# Several files a chunk


def test_files_of_all_kinds_sizes_and_tables_come_back_together() -> None:
    files = [
        made(kind, 16 + 3 * n, 40, quality=40 + 3 * n, optimize=n % 2 == 1, **restarts)
        for n, (kind, restarts) in enumerate(product(KINDS, RESTARTS.values()))
    ]
    check(b"".join(files))


@pytest.mark.parametrize("between", [b"", b"\0", b"\0" * 7, b"\xff", b"\xff\xff", b"\xd8\xff", b"some text"], ids=repr)
def test_padding_between_files_comes_back(between: bytes) -> None:
    files = [made("4:2:0", seed=1), made("grey", seed=2), made("4:2:0", seed=3)]
    check(between.join(files))
    check(between.join([*files, b""]))


def test_files_that_follow_one_without_eoi_come_back() -> None:
    check(made(seed=1)[:-2] + made(seed=2)[:-2] + made("grey"))


def test_files_that_are_equal_come_back_and_cost_little() -> None:
    data = made("4:2:0", 96, 96)
    alone = check(data).nbytes
    assert check(data * 4).nbytes < 3.5 * alone


def test_tiles_of_a_picture_cost_less_together_than_alone() -> None:
    picture = scene(256, 256)
    tiles = [
        jpeg_of(picture[y : y + 64, x : x + 64], subsampling=2) for y in range(0, 256, 64) for x in range(0, 256, 64)
    ]
    together = check(b"".join(tiles)).nbytes
    assert together < 0.85 * sum(check(tile).nbytes for tile in tiles)


def test_a_damaged_file_among_others_is_refused() -> None:
    with pytest.raises(UnsupportedSamplesError):
        CODEC.encode([as_chunk(made() + made(seed=2)[:-60] + made(seed=3))])


# Abbreviated files


@pytest.mark.parametrize("kind", ["grey", "4:2:0", "rgb"])
def test_abbreviated_files_come_back(kind: str) -> None:
    tables, tile = abbreviated(made(kind))
    _, other = abbreviated(made(kind, seed=2))
    codec = JpegCodec(tables)
    check(tile, codec)
    check(tile + other + b"\0" + tile, codec)
    check(made(kind, quality=30, optimize=True) + tile, codec)  # tables of its own go before those of all


def test_an_abbreviated_file_without_its_tables_is_refused() -> None:
    _, tile = abbreviated(made())
    with pytest.raises(UnsupportedSamplesError, match="lacks a table"):
        CODEC.encode([as_chunk(tile)])


def test_tables_may_hold_only_some_of_all() -> None:
    tables, _ = abbreviated(made())
    only_huffman = edited(tables[:-2] + b"\xff\xda\0\2", DQT, lambda body: None)[:-4] + EOI
    check(edited(made(), 0xC4, lambda body: None), JpegCodec(only_huffman))


@pytest.mark.parametrize("tables", [b"tables", SOI, EOI, SOI[:1], SOI + b"\xff", SOI + b"\0" * 40, b"\0" + SOI + EOI])
def test_tables_that_are_no_jpeg_are_refused(tables: bytes) -> None:
    with pytest.raises(UnsupportedSamplesError):
        JpegCodec(tables)


def test_tables_of_nothing_are_none() -> None:
    check(made(), JpegCodec(SOI + EOI))
    check(made(), JpegCodec(b""))


# Restart intervals


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("restarts", [{"restart_marker_blocks": 2}, {"restart_marker_rows": 1}], ids=str)
def test_restart_intervals_come_back_in_runs_of_any_length(kind: str, restarts: dict[str, Any]) -> None:
    header, intervals = intervals_of(made(kind, 80, 64, **restarts))
    codec = JpegCodec(header)
    assert len(intervals) >= 5
    for count in (1, 3, len(intervals)):
        for begin in range(0, len(intervals), 4 * count):
            check(b"".join(intervals[begin : begin + count]), codec)


def test_restart_intervals_may_come_in_any_order_and_more_than_once() -> None:
    header, intervals = intervals_of(made("4:2:0", 96, 96, restart_marker_blocks=2))
    check(b"".join(intervals[i] for i in (3, 1, 1, 0, 7, 3)), JpegCodec(header))


def test_the_last_restart_interval_comes_back_with_and_without_the_end_of_its_file() -> None:
    header, intervals = intervals_of(made("4:2:0", 80, 64, restart_marker_rows=1))
    for behind in (EOI, EOI + b"\0", EOI + EOI, EOI + b"\xff", b"\xff\xff\xd9", b"\xff\xd3", b"\xff\xd3\xff\xd9"):
        assert check_if_taken(intervals[-1] + behind, JpegCodec(header)) or behind == b"\xff\xd3\xff\xd9"


@pytest.mark.parametrize("cut", [0, 1])
def test_restart_intervals_that_were_cut_within_a_marker_come_back_or_are_refused(cut: int) -> None:
    header, intervals = intervals_of(made("4:2:0", 80, 64, restart_marker_rows=1))
    codec = JpegCodec(header)
    run = b"".join(intervals[:2])
    check_if_taken(run[: len(run) - cut], codec)
    check_if_taken(run[len(intervals[0]) - cut :], codec)


def test_the_header_of_a_file_without_restart_markers_is_refused() -> None:
    header, _ = intervals_of(made())
    with pytest.raises(UnsupportedSamplesError, match="without restart markers"):
        JpegCodec(header)


def test_a_whole_file_is_no_restart_interval() -> None:
    data = made(restart_marker_rows=1)
    with pytest.raises(UnsupportedSamplesError):
        JpegCodec(intervals_of(data)[0]).encode([as_chunk(data)])


def test_an_interval_of_fewer_units_than_the_header_says_is_refused() -> None:
    header, intervals = intervals_of(made("4:2:0", 64, 80, restart_marker_blocks=3))  # 20 units
    with pytest.raises(UnsupportedSamplesError):
        JpegCodec(header).encode([as_chunk(intervals[-1])])
    check(b"".join(intervals[:-1]), JpegCodec(header))


# As every codec


def test_the_registry_knows_it() -> None:
    assert "jpeg" in CODEC_NAMES
    assert "jpeg" in CODECS_WITH_TABLES
    tables, tile = abbreviated(made())
    codec = get_codec("jpeg", tables=tables)
    assert isinstance(codec, JpegCodec)
    assert codec.name == "jpeg"
    assert codec.model is None
    check(tile, codec)


@pytest.mark.parametrize(
    "chunk",
    [
        np.zeros(0, np.uint8),
        np.zeros((4, 4), np.uint8),
        np.zeros((), np.uint8),
        np.frombuffer(made(), np.int8),
        np.frombuffer(made(), np.uint8).astype(np.uint16),
    ],
    ids=lambda chunk: f"{chunk.shape} {chunk.dtype}",
)
def test_what_is_no_run_of_bytes_is_refused(chunk: np.ndarray) -> None:
    with pytest.raises(UnsupportedSamplesError, match="jpeg takes bytes"):
        CODEC.encode([chunk])


def test_batches_views_and_read_only_arrays_change_no_byte() -> None:
    files = [made("4:2:0"), made("grey"), made("cmyk") + made("rgb")]
    streams = CODEC.encode([as_chunk(data) for data in files])
    assert streams == [CODEC.encode([as_chunk(data)])[0] for data in files]
    spaced = np.zeros(2 * len(files[0]), np.uint8)
    spaced[::2] = as_chunk(files[0])
    assert CODEC.encode([spaced[::2]]) == streams[:1]
    assert [decoded.tobytes() for decoded in CODEC.decode(streams)] == files
    assert CODEC.encode([]) == []
    assert CODEC.decode([]) == []


def test_encoding_on_two_threads_gives_the_same_bytes() -> None:
    codec, chunk = JpegCodec(), as_chunk(made("4:2:0", 96, 96) + made("grey", 64, 64))
    expected = codec.encode([chunk])
    with ThreadPoolExecutor(2) as pool:
        assert all(streams == expected for streams in pool.map(lambda _: codec.encode([chunk]), range(6)))
        decoded = pool.map(lambda _: codec.decode(expected)[0].tobytes(), range(6))
        assert set(decoded) == {chunk.tobytes()}


def test_there_is_one_resolution() -> None:
    streams = CODEC.encode([as_chunk(made())])
    with pytest.raises(CodecError, match="one resolution"):
        CODEC.decode(streams, reduce=1)
    assert CODEC.bands_needed(1, 0) == 1
    assert len(streams[0].bands) == 1


# Real slides


@pytest.fixture(scope="module")
def slide(data_dir: Path) -> tuple[bytes, list[bytes]]:
    """The tables and the abbreviated tiles of a real slide, 10 to a row."""
    path = data_dir / "slides" / "cmu-1-small-region.svs"
    data = path.read_bytes()
    with tifffile.TiffFile(path) as tif:
        page = tif.pages.first
        where = list(zip(page.dataoffsets, page.databytecounts, strict=True))
        assert page.chunked[:2] == (13, 10)
        return page.jpegtables, [data[offset : offset + count] for offset, count in where]


def test_tiles_of_a_real_slide_are_a_fifth_smaller_than_jpeg_xls(slide: tuple[bytes, list[bytes]]) -> None:
    tables, tiles = slide
    chunk = b"".join(tiles[at] for at in (53, 54, 63, 64))
    ours = check(chunk, JpegCodec(tables)).nbytes
    theirs = JpegXLTranscoder(tables).encode([as_chunk(chunk)])[0].nbytes
    assert ours < 0.85 * theirs
    assert ours < 0.66 * len(chunk)


def test_a_tile_of_a_real_slide_alone_comes_back(slide: tuple[bytes, list[bytes]]) -> None:
    tables, tiles = slide
    assert check(tiles[57], JpegCodec(tables)).nbytes < 0.75 * len(tiles[57])


@pytest.mark.parametrize("page", [0, 3])
def test_restart_intervals_of_a_real_slide_come_back_a_quarter_smaller(data_dir: Path, page: int) -> None:
    path = data_dir / "slides" / "fluorescence-dapi.ndpi"
    data = path.read_bytes()
    with tifffile.TiffFile(path) as tif:
        of_page = tif.pages[page]
        where = list(zip(of_page.dataoffsets, of_page.databytecounts, strict=True))
        codec = JpegCodec(of_page.jpegheader)
    middle = len(where) // 2
    chunk = b"".join(data[at : at + count] for at, count in where[middle : middle + 12])
    assert check(chunk, codec).nbytes < 0.78 * len(chunk)
    check(data[where[-1][0] : where[-1][0] + where[-1][1]], codec)
    check(data[where[0][0] : where[0][0] + where[0][1]], codec)


@pytest.mark.parametrize("subsampling", ["440", "411"])
def test_other_samplings_come_back(subsampling: str) -> None:
    check(bytes(imagecodecs.jpeg8_encode(scene(50, 70), level=85, subsampling=subsampling)))


def test_bitstreams_of_other_codecs_are_refused() -> None:
    streams = JpegXLTranscoder().encode([as_chunk(made())])
    with pytest.raises(CodecError):
        CODEC.decode(streams)
    with pytest.raises(CodecError):
        CODEC.decode([Bitstream(())])
