"""The header of a picture's bitstream."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from haarchive.codecs.errors import BitstreamError
from haarchive.codecs.idf.header import DTYPES, MAX_PLANES, MAX_SIDE, IdfHeader

PICTURE = IdfHeader(np.dtype(np.uint8), (80, 300, 3))


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


@given(header=headers(), rest=st.binary(max_size=9))
def test_a_header_comes_back_and_leaves_what_follows(header: IdfHeader, rest: bytes) -> None:
    again, left = IdfHeader.from_bytes(header.to_bytes() + rest)
    assert again == header
    assert bytes(left) == rest


def test_the_header_of_a_patch_is_short() -> None:
    assert len(IdfHeader(np.dtype(np.uint8), (80, 80, 3)).to_bytes()) == 6
    assert len(PICTURE.to_bytes()) == 7


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


@pytest.mark.parametrize("length", range(len(PICTURE.to_bytes())))
def test_a_truncated_header_is_refused(length: int) -> None:
    with pytest.raises(BitstreamError):
        IdfHeader.from_bytes(PICTURE.to_bytes()[:length])


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
    data = PICTURE.to_bytes()
    with pytest.raises(BitstreamError, match="update haarchive"):
        IdfHeader.from_bytes(bytes([data[0] + 0x10]) + data[1:])
