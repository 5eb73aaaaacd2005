"""The header of a picture's bitstream."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from haarchive.codecs.errors import BitstreamError
from haarchive.codecs.haar.ycbcr import CONVERSIONS
from haarchive.codecs.idf.header import DTYPES, MAX_PLANES, MAX_SIDE, IdfHeader

SHORT = IdfHeader(np.dtype(np.uint8), (80, 300, 3))
PICTURE = replace(SHORT, shape=(80, 300, 1))
CONVERTED = replace(SHORT, conversion="ycbcr-coarse", outliers=True)


@st.composite
def headers(draw: st.DrawFn) -> IdfHeader:
    dtype = draw(st.sampled_from(DTYPES))
    side = st.integers(0, MAX_SIDE)
    return IdfHeader(
        dtype,
        (draw(side), draw(side), draw(st.integers(0, MAX_PLANES))),
        draw(st.integers(8, 8 * dtype.itemsize)),
        draw(st.integers(1, int(np.iinfo(dtype).max))),
        draw(st.booleans()),
        draw(st.booleans()),
    )


@st.composite
def converted_headers(draw: st.DrawFn) -> IdfHeader:
    side = st.integers(0, MAX_SIDE)
    return IdfHeader(
        np.dtype(np.uint8),
        (draw(side), draw(side), draw(st.integers(3, MAX_PLANES))),
        adaptive=draw(st.booleans()),
        together=draw(st.booleans()),
        conversion=draw(st.sampled_from(list(CONVERSIONS))),
        outliers=draw(st.booleans()),
    )


@given(header=headers() | converted_headers(), rest=st.binary(max_size=9))
def test_a_header_comes_back_and_leaves_what_follows(header: IdfHeader, rest: bytes) -> None:
    again, left = IdfHeader.from_bytes(header.to_bytes() + rest)
    assert again == header
    assert bytes(left) == rest


def test_the_header_of_a_patch_is_short() -> None:
    assert len(IdfHeader(np.dtype(np.uint8), (80, 80, 3)).to_bytes()) == 3
    assert len(IdfHeader(np.dtype(np.uint8), (80, 80, 1)).to_bytes()) == 6
    assert len(PICTURE.to_bytes()) == 7
    assert len(CONVERTED.to_bytes()) == 8


def test_a_header_is_laid_out_as_documented() -> None:
    assert PICTURE.to_bytes().hex() == "10080150ac0201"
    assert CONVERTED.to_bytes().hex() == "2008120150ac0203"
    assert SHORT.to_bytes().hex() == "3050ac02"
    assert replace(SHORT, adaptive=True, together=True, conversion="ycbcr").to_bytes().hex() == "3b50ac02"
    assert replace(SHORT, conversion="ycbcr-coarse").to_bytes().hex() == "3450ac02"


@pytest.mark.parametrize(
    ("data", "header"),
    [
        ("10080150ac0203", SHORT),
        ("1a080150ac0203", replace(SHORT, adaptive=True, together=True)),
        ("2208010150ac0203", replace(SHORT, adaptive=True, conversion="ycbcr")),
    ],
)
def test_headers_from_before_there_were_short_ones_are_read(data: str, header: IdfHeader) -> None:
    assert IdfHeader.from_bytes(bytes.fromhex(data) + b"rest") == (header, b"rest")


@pytest.mark.parametrize("data", ["3550ac02", "30818080802050", "30508180808020", "308180", "30"])
def test_a_short_header_that_no_encoder_writes_is_refused(data: str) -> None:
    with pytest.raises(BitstreamError):
        IdfHeader.from_bytes(bytes.fromhex(data))


@pytest.mark.parametrize(("bits", "shift"), [(8, 0), (9, 1), (12, 4), (16, 8)])
def test_what_has_more_than_8_bits_is_shown_to_networks_shifted(bits: int, shift: int) -> None:
    assert IdfHeader(np.dtype(np.uint16), (1, 1, 1), bits).shift == shift


@given(data=st.binary(max_size=24))
def test_any_bytes_are_a_header_or_are_refused(data: bytes) -> None:
    try:
        header, _ = IdfHeader.from_bytes(data)
    except BitstreamError:
        return
    assert IdfHeader.from_bytes(header.to_bytes())[0] == header


@pytest.mark.parametrize("header", [PICTURE, CONVERTED, SHORT], ids=["plain", "converted", "short"])
def test_a_truncated_header_is_refused(header: IdfHeader) -> None:
    whole = header.to_bytes()
    for length in range(len(whole)):
        with pytest.raises(BitstreamError):
            IdfHeader.from_bytes(whole[:length])


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, 0x00),  # version 0
        (0, 0x19),  # raw, and in one stream
        (1, 0),  # no bits
        (1, 7),
        (1, 9),  # more than uint8 has
        (1, 255),
        (2, 0),  # divisor 0
    ],
)
def test_a_damaged_header_is_refused(place: int, value: int) -> None:
    data = bytearray(PICTURE.to_bytes())
    data[place] = value
    with pytest.raises(BitstreamError):
        IdfHeader.from_bytes(bytes(data))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, 0x21),  # raw
        (0, 0x24),  # uint16
        (1, 9),
        (2, 0x00),  # no conversion
        (2, 0x10),
        (2, 0x03),  # one that there is not
        (2, 0x0F),
        (2, 0x22),  # a bit without meaning
        (2, 0x82),
        (3, 2),  # divided
        (7, 2),  # two planes
        (7, 0),
    ],
)
def test_a_header_of_a_converted_picture_that_no_encoder_writes_is_refused(place: int, value: int) -> None:
    data = bytearray(CONVERTED.to_bytes())
    assert data[place] != value
    data[place] = value
    with pytest.raises(BitstreamError, match="damaged"):
        IdfHeader.from_bytes(bytes(data))


@pytest.mark.parametrize(
    "header",
    [
        IdfHeader(np.dtype(np.uint8), (MAX_SIDE + 1, 1, 1)),
        IdfHeader(np.dtype(np.uint8), (1, MAX_SIDE + 1, 1)),
        IdfHeader(np.dtype(np.uint8), (1, 1, MAX_PLANES + 1)),
        IdfHeader(np.dtype(np.uint8), (1, 1, 1), divisor=256),
        IdfHeader(np.dtype(np.uint16), (1, 1, 1), bits=17),
        IdfHeader(np.dtype(np.uint16), (1, 1, 1), divisor=1 << 16),
        IdfHeader(np.dtype(np.uint8), (1 << 34, 1, 1)),
    ],
    ids=str,
)
def test_what_is_too_large_is_refused(header: IdfHeader) -> None:
    with pytest.raises(BitstreamError):
        IdfHeader.from_bytes(header.to_bytes())


def test_a_number_that_does_not_end_is_refused() -> None:
    with pytest.raises(BitstreamError, match="does not end"):
        IdfHeader.from_bytes(b"\x10\x08" + b"\xff" * 40)


def test_a_newer_bitstream_is_refused_and_says_what_to_do() -> None:
    for header in (PICTURE, CONVERTED, SHORT):
        data = header.to_bytes()
        with pytest.raises(BitstreamError, match="update haarchive"):
            IdfHeader.from_bytes(bytes([0x40 | data[0] & 15]) + data[1:])
