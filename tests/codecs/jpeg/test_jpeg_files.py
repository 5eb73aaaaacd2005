"""JPEG files among other bytes: where they begin and end, and where to cut between them."""

from __future__ import annotations

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jpeg_models import APP0, DHT, EOI, KINDS, SOF0, SOI, edited, jpeg_of, made, put_together, scene, taken_apart

from haarchive.codecs.jpeg.files import OPENING, end_of_file, size_of, split_files

FILES = [
    *(made(kind, 20, 30) for kind in KINDS),
    made(restart_marker_blocks=1),
    made(optimize=True, quality=10),
    jpeg_of(scene(40, 40), progressive=True),
    made(exif=b"Exif\0\0" + bytes(20) + made("4:2:0", 16, 16)),
    made(comment=b"\xff\xd8\xff\xe0 and \xff\xd9"),
    bytes(imagecodecs.ljpeg_encode(scene(20, 30)[..., 0].astype(np.uint16))),
    bytes(imagecodecs.jpeg8_encode(scene(20, 30)[..., 0].astype(np.uint16) << 4, level=90, bitspersample=12)),
]
BETWEEN = st.binary(max_size=12).filter(lambda data: OPENING not in data + OPENING[:2] and not data.endswith(b"\xff"))


@pytest.mark.parametrize("number", range(len(FILES)))
@pytest.mark.parametrize("behind", [b"", b"\0", b"\xff", b"\xff\xd9", b"behind", SOI + b"\xff"], ids=repr)
def test_a_file_ends_behind_its_eoi(number: int, behind: bytes) -> None:
    data = FILES[number]
    assert data.endswith(EOI)
    assert end_of_file(data + behind, 0) == len(data)
    assert end_of_file(b"before" + data + behind, 6) == 6 + len(data)


@pytest.mark.parametrize("number", range(len(FILES)))
def test_a_file_that_is_cut_anywhere_goes_on_behind_its_end(number: int) -> None:
    data = FILES[number]
    for length in range(2, len(data), 1 + len(data) // 200):
        assert end_of_file(data[:length], 0) > length
    assert end_of_file(data[:1], 0) == -1


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\xff", b"JPEG", EOI, SOI + b"\0\0\0\0", SOI + b"\xff\x00\0\2" + EOI, SOI + SOI + b"\xff\xe0\0\2" + EOI,
        SOI + b"\xff\xe0\0\1" + EOI, SOI + b"\xff\xe0\0\0" + EOI, SOI + b"\xff\x02\0\2" + EOI, SOI + b"abcdefgh",
        SOI + b"\xff\xbf\0\2" + EOI, SOI + b"\xff\xda\0\2data" + SOI + b"\xff\xe0\0\2" + EOI,
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_no_file_has_no_end(data: bytes) -> None:
    assert end_of_file(data, 0) == -1


@pytest.mark.parametrize(
    "data",
    [
        SOI + EOI, SOI + b"\xff\xff\xff" + EOI, SOI + b"\xff\x01" + EOI, SOI + b"\xff\xe0\0\2\xff" + EOI,
        SOI + b"\xff\xda\0\2\xff\0\xff\xd0\xff\xd7\xff\0" + EOI, SOI + b"\xff\xda\0\2\xff\xff" + EOI,
        SOI + b"\xff\xda\0\2one\xff\xc4\0\2\xff\xda\0\2two" + EOI,
    ],
    ids=repr,
)  # fmt: skip
def test_fill_bytes_markers_without_length_and_several_scans_are_followed(data: bytes) -> None:
    assert end_of_file(data, 0) == len(data)
    assert end_of_file(data + b"more", 0) == len(data)


@given(st.binary(max_size=60), st.integers(0, 70))
def test_any_bytes_have_an_end_or_none(data: bytes, begin: int) -> None:
    for one in (data, SOI + data, OPENING + data, SOI + b"\xff\xda\0\2" + data):
        end = end_of_file(one, begin)
        assert end in (-1, len(one) + 1) or begin + 4 <= end <= len(one)
        size_of(one)
        assert b"".join(split_files(one)) == one


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from(FILES), BETWEEN), min_size=1, max_size=6))
def test_files_are_cut_apart_with_what_is_between_them(pieces: list[tuple[bytes, bytes]]) -> None:
    assert split_files(b"".join(file + between for file, between in pieces)) == [a + b for a, b in pieces]


def test_files_within_files_are_not_cut_out() -> None:
    thumbnail = made("4:2:0", 16, 16)
    data = made(exif=b"Exif\0\0" + thumbnail)
    assert thumbnail in data
    assert split_files(data + data) == [data, data]


def test_what_cannot_be_followed_to_its_end_stays_whole() -> None:
    data = made()
    assert split_files(data + data[:-2]) == [data, data[:-2]]
    assert split_files(data[:-2] + data) == [data[:-2] + data]
    assert split_files(b"no JPEG" + data) == [b"no JPEG" + data]
    assert split_files(b"") == []


@pytest.mark.parametrize("number", range(len(FILES)))
def test_sizes_are_those_of_the_headers(number: int) -> None:
    expected = (20, 30) if number < len(KINDS) or number > len(FILES) - 3 else (40, 40) if number == 8 else (48, 64)
    assert size_of(FILES[number]) == expected


def test_a_size_that_is_not_found_is_none() -> None:
    assert size_of(edited(made(), SOF0, lambda body: None)) is None
    assert size_of(made()[:100]) is None
    assert size_of(b"") is None
    assert size_of(SOI + EOI) is None


def test_tables_are_not_taken_for_frames() -> None:
    segments, rest = taken_apart(made("4:2:0", 20, 30))
    assert [one for one, _ in segments].index(DHT) > [one for one, _ in segments].index(SOF0)
    moved = sorted(segments[:-1], key=lambda one: one[0] != DHT)
    assert size_of(put_together([*moved, (0xCC, b"\0\0"), (APP0, b""), segments[-1]], rest)) == (20, 30)
