"""Headers of JPEG files, and their Huffman tables: what is read of them, and what is refused."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jpeg_models import (
    APP0,
    DHT,
    DQT,
    DRI,
    EOI,
    KINDS,
    SOF0,
    SOI,
    SOS,
    abbreviated,
    as_chunk,
    check,
    edited,
    jpeg_of,
    made,
    put_together,
    scene,
    taken_apart,
)
from PIL import Image

from haarchive.codecs.errors import UnsupportedSamplesError
from haarchive.codecs.jpeg.codec import JpegCodec
from haarchive.codecs.jpeg.huffman import Table
from haarchive.codecs.jpeg.syntax import Component, read_frame

Change = Callable[[bytes], bytes | None]


@pytest.mark.parametrize(
    ("kind", "units", "components"),
    [
        ("grey", (5, 7), [(1, 1)]),
        ("4:4:4", (5, 7), [(1, 1)] * 3),
        ("4:2:2", (5, 4), [(1, 2), (1, 1), (1, 1)]),
        ("4:2:0", (3, 4), [(2, 2), (1, 1), (1, 1)]),
        ("cmyk", (5, 7), [(1, 1)] * 4),
    ],
)
def test_a_frame_says_what_the_header_does(
    kind: str, units: tuple[int, int], components: list[tuple[int, int]]
) -> None:
    data = made(kind, 37, 50, quality=60, restart_marker_blocks=3)
    frame, at = read_frame(data)
    assert frame.units == units
    assert frame.components == tuple(Component(*one) for one in components)
    assert frame.restart == 3
    assert data[:at].endswith(b"\0\x3f\0")
    tables = Image.open(io.BytesIO(data)).quantization  # type: ignore[attr-defined]
    numbers = [0] * len(components) if kind in ("grey", "cmyk") else [0, 1, 1]
    assert np.array_equal(frame.steps, [tables[n] for n in numbers])
    assert frame.blocks == sum(units[0] * rows * units[1] * columns for rows, columns in components)
    assert [frame.grid(n) for n in range(len(components))] == [(units[0] * r, units[1] * c) for r, c in components]


def test_a_frame_is_read_from_the_middle_of_a_file_on() -> None:
    data = made()
    frame, at = read_frame(b"before" + data, 6)
    assert at == 6 + read_frame(data)[1]
    assert frame.units == (3, 4)


def test_tables_come_before_those_of_the_file() -> None:
    data, coarse = made(quality=90), made(quality=10)
    tables, tile = abbreviated(coarse)
    inner = tables[2:-2]
    assert np.array_equal(read_frame(tile, 0, inner)[0].steps, read_frame(coarse)[0].steps)
    assert np.array_equal(read_frame(data, 0, inner)[0].steps, read_frame(data)[0].steps)


def test_factors_of_a_component_that_is_alone_do_not_count() -> None:
    data = edited(made("grey"), SOF0, lambda body: body[:7] + b"\x22" + body[8:])
    frame, _ = read_frame(data)
    assert frame.components == (Component(1, 1),)
    assert frame.units == read_frame(made("grey"))[0].units
    check(data)


def test_extended_sequential_files_are_read_as_baseline_ones() -> None:
    data = made()
    at = data.index(b"\xff\xc0")
    extended = data[:at] + b"\xff\xc1" + data[at + 2 :]
    assert read_frame(extended)[0].units == read_frame(data)[0].units
    check(extended)


def put(at: int, value: int) -> Change:
    """Puts a byte into the parameters of a segment."""
    return lambda body: body[:at] + bytes([value]) + body[at + 1 :] if at < len(body) else body


DAMAGES: dict[str, tuple[int, Change]] = {
    "12 bits": (SOF0, put(0, 12)),
    "no height": (SOF0, lambda body: body[:1] + b"\0\0" + body[3:]),
    "no width": (SOF0, lambda body: body[:3] + b"\0\0" + body[5:]),
    "no components": (SOF0, lambda body: body[:5] + b"\0"),
    "a component too few": (SOF0, put(5, 2)),
    "a component too many": (SOF0, put(5, 4)),
    "256 components": (SOF0, put(5, 255)),
    "short SOF": (SOF0, lambda body: body[:-1]),
    "empty SOF": (SOF0, lambda body: b""),
    "long SOF": (SOF0, lambda body: body + b"\0"),
    "no SOF": (SOF0, lambda body: None),
    "factors of 0": (SOF0, put(7, 0)),
    "0 rows": (SOF0, put(7, 0x20)),
    "0 columns": (SOF0, put(7, 0x02)),
    "5 rows": (SOF0, put(7, 0x15)),
    "15 columns": (SOF0, put(7, 0xF1)),
    "unknown quantisation table": (SOF0, put(8, 3)),
    "quantisation table 200": (SOF0, put(8, 200)),
    "a step of 0": (DQT, put(1, 0)),
    "another step of 0": (DQT, put(64, 0)),
    "steps of 16 bits": (DQT, lambda body: bytes([body[0] | 0x10]) + bytes(2 * 64)),
    "cut steps": (DQT, lambda body: body[:-1]),
    "quantisation table number 4": (DQT, put(0, 4)),
    "no quantisation": (DQT, lambda body: None),
    "empty DQT": (DQT, lambda body: b""),
    "no Huffman tables": (DHT, lambda body: None),
    "empty DHT": (DHT, lambda body: b""),
    "cut DHT": (DHT, lambda body: body[:-1]),
    "DHT of its number": (DHT, lambda body: body[:1]),
    "DHT of counts": (DHT, lambda body: body[:17]),
    "DHT and a byte": (DHT, lambda body: body + b"\0"),
    "DHT and a half": (DHT, lambda body: body + body[:-30]),
    "more codes than there are": (DHT, lambda body: bytes([body[0], 3]) + bytes(15) + b"\0\1\2"),
    "a symbol twice": (DHT, lambda body: bytes([body[0], 0, 3]) + bytes(14) + b"\0\1\1"),
    "all codes of 16 bits": (DHT, lambda body: body[:1] + bytes(15) + b"\xff" + bytes(255)),
    "other numbers of Huffman tables": (DHT, lambda body: bytes([body[0] ^ 0x02]) + body[1:]),
    "a scan of one component": (SOS, lambda body: b"\1\1\0\0\x3f\0"),
    "a scan of two components": (SOS, lambda body: b"\2\1\0\2\x11\0\x3f\0"),
    "a scan of no components": (SOS, lambda body: b"\0\0\x3f\0"),
    "components in another order": (SOS, lambda body: b"\3\2\x11\1\0\3\x11\0\x3f\0"),
    "a component twice": (SOS, lambda body: b"\3\1\0\1\0\3\x11\0\x3f\0"),
    "unknown Huffman tables": (SOS, put(2, 0x22)),
    "an unknown DC table": (SOS, put(2, 0x30)),
    "spectral selection": (SOS, lambda body: body[:-2] + b"\x3e\0"),
    "no DC": (SOS, lambda body: body[:-3] + b"\1\x3f\0"),
    "successive approximation": (SOS, lambda body: body[:-1] + b"\1"),
    "cut SOS": (SOS, lambda body: body[:-1]),
    "empty SOS": (SOS, lambda body: b""),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_header_that_is_not_of_one_sequential_scan_is_refused(name: str) -> None:
    marker, change = DAMAGES[name]
    data = edited(made(), marker, change)
    assert data != made()
    with pytest.raises(UnsupportedSamplesError):
        JpegCodec().encode([as_chunk(data)])


@pytest.mark.parametrize("marker", [0x00, 0x01, 0x02, 0xBF, *range(0xC2, 0xDB), 0xDC, 0xDE, 0xDF, 0xF0, 0xFD, 0xFF])
def test_a_file_with_another_segment_is_refused(marker: int) -> None:
    if marker in (DHT, SOS):
        return
    segments, rest = taken_apart(made())
    with pytest.raises(UnsupportedSamplesError):
        JpegCodec().encode([as_chunk(put_together([(marker, b"\0" * 6), *segments], rest))])


@pytest.mark.parametrize("marker", [*range(0xE0, 0xF0), 0xFE])
def test_a_file_with_application_data_comes_back(marker: int) -> None:
    segments, rest = taken_apart(made())
    check(put_together([(marker, b""), *segments[:3], (marker, b"\xff\xd8\xff" * 9), *segments[3:]], rest))


def test_a_second_sof_is_refused() -> None:
    segments, rest = taken_apart(made())
    (sof,) = [one for one in segments if one[0] == SOF0]
    with pytest.raises(UnsupportedSamplesError):
        JpegCodec().encode([as_chunk(put_together([sof, *segments], rest))])


def test_tables_that_are_defined_again_replace_the_first() -> None:
    segments, rest = taken_apart(made(quality=75))
    others, _ = taken_apart(made(quality=20))
    coarse = [one for one in others if one[0] == DQT]
    data = put_together([*coarse, *segments], rest)
    assert np.array_equal(read_frame(data)[0].steps, read_frame(made(quality=75))[0].steps)
    check(data)


def test_all_tables_may_be_in_one_segment() -> None:
    segments, rest = taken_apart(made(optimize=True))
    merged = [(kind, b"".join(body for one, body in segments if one == kind)) for kind in (DQT, DHT)]
    check(put_together([*merged, *[one for one in segments if one[0] not in (DQT, DHT)]], rest))


@pytest.mark.parametrize("body", [b"", b"\0", b"\0\1\2"])
def test_a_restart_interval_of_other_than_two_bytes_is_refused(body: bytes) -> None:
    data = edited(made(restart_marker_blocks=2), DRI, lambda _: body)
    with pytest.raises(UnsupportedSamplesError):
        JpegCodec().encode([as_chunk(data)])


@pytest.mark.parametrize("restart", [0, 1, 3, 65535])
def test_markers_where_the_header_does_not_say_so_are_refused(restart: int) -> None:
    data = edited(made(restart_marker_blocks=2), DRI, lambda _: restart.to_bytes(2))
    with pytest.raises(UnsupportedSamplesError):
        JpegCodec().encode([as_chunk(data)])


def test_a_restart_interval_that_is_longer_than_the_picture_is_none() -> None:
    segments, rest = taken_apart(made())
    check(put_together([(DRI, b"\xff\xff"), *segments], rest))


def test_a_header_cut_anywhere_is_refused() -> None:
    data = made("grey", 8, 8)
    _, at = read_frame(data)
    for length in range(1, at + 1):
        with pytest.raises(UnsupportedSamplesError):
            JpegCodec().encode([as_chunk(data[:length])])


@pytest.mark.parametrize(
    "data",
    [
        b"\xff",
        SOI,
        EOI,
        SOI + EOI,
        SOI + b"\xff",
        SOI * 9,
        b"\0" + made(),
        b"\x89PNG\r\n\x1a\n",
        b"\xff" * 99,
        bytes(99),
    ],
    ids=lambda data: repr(data[:9]),
)
def test_what_is_no_jpeg_is_refused(data: bytes) -> None:
    with pytest.raises(UnsupportedSamplesError):
        JpegCodec().encode([as_chunk(data)])


def test_files_of_other_processes_are_refused() -> None:
    picture = scene(40, 48)
    files = [
        jpeg_of(picture, progressive=True),
        jpeg_of(picture, mode="L", progressive=True, restart_marker_rows=1),
        imagecodecs.ljpeg_encode(picture[..., 0].astype(np.uint16)),
        imagecodecs.jpeg8_encode(picture[..., 0].astype(np.uint16) << 4, level=90, bitspersample=12),
        imagecodecs.jpeg8_encode(picture, lossless=True),
        imagecodecs.jpegls_encode(picture[..., 0]),
        imagecodecs.jpegxl_encode(picture),
        imagecodecs.jpeg2k_encode(picture),
    ]
    for data in files:
        with pytest.raises(UnsupportedSamplesError):
            JpegCodec().encode([as_chunk(bytes(data))])


def test_a_file_of_a_scan_for_each_component_is_refused() -> None:
    segments, _ = taken_apart(made("4:4:4"))
    head = [one for one in segments if one[0] != SOS]
    grey = taken_apart(made("grey"))[1]
    scans = [(SOS, bytes([1, n, 0x11 if n > 1 else 0, 0, 63, 0])) for n in (1, 2, 3)]
    data = put_together([*head, scans[0]], grey[:-2])
    data += b"".join(put_together([scan], grey[:-2])[2:] for scan in scans[1:]) + EOI
    with pytest.raises(UnsupportedSamplesError, match="one scan"):
        JpegCodec().encode([as_chunk(data)])


def test_the_size_of_a_header_costs_no_memory_where_the_data_is_short() -> None:
    data = edited(made(), SOF0, lambda body: body[:1] + (5000).to_bytes(2) + (5000).to_bytes(2) + body[5:])
    tracemalloc.start()
    try:
        with pytest.raises(UnsupportedSamplesError):
            JpegCodec().encode([as_chunk(data)])
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()


def test_a_picture_of_too_many_blocks_is_refused() -> None:
    data = edited(made("grey"), SOF0, lambda body: body[:1] + b"\xff\xff\xff\xff" + body[5:])
    with pytest.raises(UnsupportedSamplesError, match="more than 524288 blocks"):
        JpegCodec().encode([as_chunk(data + bytes(20 << 20))])


# Huffman tables


def prefixes_of(counts: bytes) -> list[str]:
    """The codes of a table as strings of bits, in order (T.81, figure C.2)."""
    codes, code, last = [], 0, 0
    for length, count in enumerate(counts, 1):
        code <<= length - last
        last = length
        for _ in range(count):
            codes.append(f"{code:0{length}b}")
            code += 1
    return codes


@pytest.mark.parametrize("options", [{}, {"optimize": True, "quality": 30}], ids=str)
def test_codes_of_real_tables_are_those_of_the_standard(options: dict[str, Any]) -> None:
    for marker, body in taken_apart(made(**options))[0]:
        if marker != DHT:
            continue
        counts, symbols = body[1:17], body[17:]
        table = Table.of(counts, symbols)
        expected = dict(zip(symbols, prefixes_of(counts), strict=True))
        for symbol in range(256):
            length = int(table.lengths[symbol])
            assert (f"{int(table.codes[symbol]):0{length}b}" if length else None) == expected.get(symbol)
        for symbol, prefix in expected.items():
            for bits in (prefix.ljust(16, "0"), prefix.ljust(16, "1")):
                assert table.lookup[int(bits, 2)] == len(prefix) << 8 | symbol
        assert np.count_nonzero(table.lookup) == sum(1 << (16 - len(prefix)) for prefix in expected.values())


@given(st.lists(st.integers(0, 5), min_size=16, max_size=16), st.permutations(range(80)))
def test_any_counts_are_a_code_or_refused(counts: list[int], symbols: list[int]) -> None:
    many = sum(counts)
    fits = sum(count << (16 - length) for length, count in enumerate(counts, 1)) <= 1 << 16
    try:
        table = Table.of(bytes(counts), bytes(symbols[:many]))
    except UnsupportedSamplesError:
        assert not fits
        return
    assert fits
    prefixes = prefixes_of(bytes(counts))
    found = [f"{int(table.codes[s]):0{int(table.lengths[s])}b}" for s in symbols[:many]]
    assert found == prefixes


def test_tables_are_read_only() -> None:
    table = Table.of(bytes([0, 2] + [0] * 14), b"\0\1")
    for array in (table.lookup, table.codes, table.lengths):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


@pytest.mark.parametrize("kind", KINDS)
def test_application_data_alone_does_not_make_a_file(kind: str) -> None:
    data = edited(made(kind), APP0, lambda body: None)
    check(data)
