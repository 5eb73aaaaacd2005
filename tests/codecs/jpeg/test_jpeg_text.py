"""What of JPEG files is not in their scans, made small and given back."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jpeg_models import KINDS, abbreviated, check, check_if_taken, made

from haarchive.codecs.errors import BitstreamError
from haarchive.codecs.jpeg.parts import read_parts
from haarchive.codecs.jpeg.text import Text, _known

MOST = 2**32 - 1
ORDINARY = Text(1234, [b"head", b"", b"another head"], [b"tail", b"", b"\0"], [1, 0, 1], [1, 3])


def packed(content: bytes) -> bytes:
    """Any content, as `Text.pack` compresses it."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_DEFAULT_STRATEGY, _known())
    return compressor.compress(content) + compressor.flush()


def numbers(*values: int) -> bytes:
    return np.array(values, "<u4").tobytes()


@given(
    parts=st.lists(st.tuples(st.binary(max_size=40), st.binary(max_size=9), st.integers(0, 1)), min_size=1),
    columns=st.lists(st.integers(0, MOST), max_size=5), room=st.integers(0, MOST), behind=st.binary(max_size=9),
)  # fmt: skip
def test_any_text_comes_back_with_what_is_behind_it(
    parts: list[tuple[bytes, bytes, int]], columns: list[int], room: int, behind: bytes
) -> None:
    heads, tails, pads = ([part[n] for part in parts] for n in range(3))
    text = Text(max(room, len(parts)), heads, tails, pads, columns)
    assert Text.unpack(text.pack() + behind) == (text, behind)


def test_the_layout_is_the_documented_one() -> None:
    content = numbers(1234, 3, 2, 9, 4, 0, 0, 25, 1, 1, 3) + b"head" + b"tail" + b"another head" + b"\0"
    assert Text.unpack(packed(content)) == (ORDINARY, b"")
    assert zlib.decompressobj(-15, zdict=_known()).decompress(ORDINARY.pack()) == content


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("quality", [1, 30, 75, 92, 100])
def test_the_header_of_an_ordinary_file_takes_few_bytes(kind: str, quality: int) -> None:
    data = made(kind, quality=quality)
    parts, _, room = read_parts(data)
    (part,) = parts
    assert len(part.head) > 300
    assert part.head + data[len(part.head) : -2] + part.tail == data
    assert len(Text(room, [part.head], [part.tail], [1], [1]).pack()) < 75


def test_headers_of_many_tiles_cost_less_than_a_byte_each() -> None:
    _, tile = abbreviated(made("4:2:0", 240, 240))
    head = tile[: tile.index(b"\xff\xda") + 14]
    sizes = [len(Text(10**6, [head] * n, [b"\xff\xd9"] * n, [1] * n, [1]).pack()) for n in (16, 256)]
    assert sizes[0] < 60
    assert sizes[1] - sizes[0] < 60


def test_what_came_before_fits_in_the_window_of_deflate() -> None:
    assert len(_known()) < 1 << 15


@pytest.mark.parametrize("length", range(0, len(ORDINARY.pack()), 3))
def test_a_cut_text_is_refused(length: int) -> None:
    with pytest.raises(BitstreamError, match="text of a jpeg bitstream"):
        Text.unpack(ORDINARY.pack()[:length])


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\0", numbers(9), numbers(9, 0), numbers(9, 0, 0), numbers(9, 0, 1, 1), numbers(9, 1, 0),
        numbers(9, 1, 0, 9), numbers(9, 1, 0, 9, 0), numbers(9, 1, 0, 8, 0) + b"hea",
        numbers(9, 1, 0, 8, 0) + b"heads", numbers(9, 1, 1, 0, 0), numbers(9, MOST, 0, 0, 0),
        numbers(9, 2**31, 0, 0, 0), numbers(9, 1, MOST, 0, 0), numbers(9, 0, MOST), numbers(9, 1, 0, MOST, MOST),
        numbers(9, 1, 0, 0, MOST), numbers(9, 2, 0, 2**32 - 2, 1, 2, 0) + b"ab",
    ],
    ids=lambda content: content.hex(),
)  # fmt: skip
def test_numbers_that_do_not_fit_are_refused(content: bytes) -> None:
    with pytest.raises(BitstreamError, match="text of a jpeg bitstream"):
        Text.unpack(packed(content))


@given(st.binary(max_size=80))
def test_noise_is_refused_or_a_text(data: bytes) -> None:
    try:
        text, behind = Text.unpack(data)
    except BitstreamError:
        return
    assert len(text.heads) == len(text.tails) == len(text.pads) > 0
    assert data.endswith(behind)


@given(st.binary(max_size=60))
def test_any_content_is_refused_or_a_text(content: bytes) -> None:
    try:
        text, behind = Text.unpack(packed(content))
    except BitstreamError:
        return
    assert behind == b""
    assert sum(map(len, [*text.heads, *text.tails])) <= len(content)


def test_a_text_that_unpacks_to_very_much_is_refused() -> None:
    bomb = packed(numbers(9, 1, 0, 2 * (65 << 20), 0) + bytes(65 << 20))
    assert len(bomb) < 1 << 17
    with pytest.raises(BitstreamError):
        Text.unpack(bomb)


def test_more_bytes_behind_a_file_than_a_text_may_have_are_refused_or_come_back() -> None:
    check_if_taken(made("grey", 8, 8) + bytes(1 << 26))


def test_files_with_long_metadata_come_back() -> None:
    noise = np.random.default_rng(0).bytes(200_000)
    data = made(icc_profile=noise)
    assert len(data) < check(data).nbytes + 1000
    assert check(data).nbytes < len(data)
