"""Scans to coefficients and back, held against a writer of our own and against libjpeg-turbo (by Pillow)."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jpeg_models import DHT, EOI, KINDS, SOS, as_chunk, check, check_if_taken, edited, made, taken_apart
from numpy.typing import NDArray
from PIL import Image
from scan_writer import ZIGZAG, file_of, header_of, packed, shapes_of

from haarchive.codecs.dct.coefficients import LARGEST_COEFFICIENT
from haarchive.codecs.dct.history import History
from haarchive.codecs.errors import UnsupportedSamplesError
from haarchive.codecs.jpeg.codec import JpegCodec
from haarchive.codecs.jpeg.scan import read_scan, write_scan
from haarchive.codecs.jpeg.syntax import Frame, read_frame

Factors = list[tuple[int, int]]
FACTORS: list[Factors] = [
    [(1, 1)], [(2, 2)], [(1, 1)] * 3, [(2, 2), (1, 1), (1, 1)], [(1, 2), (1, 1), (1, 1)], [(2, 1), (1, 1), (1, 1)],
    [(1, 1)] * 2, [(1, 1)] * 4, [(2, 2), (1, 1), (1, 1), (2, 2)], [(1, 1), (2, 2), (1, 2)], [(4, 1), (1, 4), (2, 2)],
]  # fmt: skip


def drawn(
    factors: Factors, units: tuple[int, int], magnitude: int = 20, density: float = 0.2, seed: int = 0
) -> list[NDArray[np.int32]]:
    """Coefficients of all components."""
    rng = np.random.default_rng(seed)
    return [
        (rng.integers(-magnitude, magnitude + 1, shape) * (rng.random(shape) < density)).astype(np.int32)
        for shape in shapes_of(factors, units)
    ]


def read(data: bytes) -> tuple[Frame, int, tuple[list[NDArray[np.int32]], int, int] | None]:
    """A file's frame, where its scan begins, and what `read_scan` finds there."""
    frame, at = read_frame(data)
    return frame, at, read_scan(frame, as_chunk(data), at)


def check_scan(data: bytes, expected: list[NDArray[np.int32]], pad: int = 1) -> None:
    """Hold what is read of a file against its coefficients, and what is written of them against the file."""
    frame, at, found = read(data)
    assert found is not None
    components, found_pad, end = found
    assert data[end:] == EOI
    assert len(components) == len(expected)
    for ours, theirs in zip(components, expected, strict=True):
        assert ours.dtype == np.int32
        assert np.array_equal(ours, theirs)
    assert write_scan(frame, components, pad, end - at) == data[at:end]
    assert write_scan(frame, components, pad, 10 * len(data)) == data[at:end]
    assert write_scan(frame, components, pad, end - at - 1) is None
    assert found_pad == pad or write_scan(frame, components, found_pad, end - at) == data[at:end] or frame.restart


@pytest.mark.parametrize("factors", FACTORS, ids=str)
@pytest.mark.parametrize("restart", [0, 1, 3])
def test_coefficients_of_every_sampling_are_read(factors: Factors, restart: int) -> None:
    units = (2, 4)
    components = drawn(factors, units)
    data = file_of(components, factors, units, restart)
    check_scan(data, components)
    check(data)


@settings(max_examples=25)
@given(
    factors=st.lists(st.tuples(st.integers(1, 2), st.integers(1, 2)), min_size=1, max_size=4),
    units=st.tuples(st.integers(1, 2), st.integers(1, 3)), restart=st.integers(0, 5), pad=st.integers(0, 1),
    magnitude=st.sampled_from([0, 1, 2, 100, 2047, 16383]), density=st.sampled_from([0.0, 0.02, 0.3, 1.0]),
    seed=st.integers(0, 1 << 16),
)  # fmt: skip
def test_any_coefficients_are_read_and_come_back(
    factors: Factors, units: tuple[int, int], restart: int, pad: int, magnitude: int, density: float, seed: int
) -> None:
    components = drawn(factors, units, magnitude, density, seed)
    data = file_of(components, factors, units, restart, [pad])
    check_scan(data, components, pad)
    # Where the last interval fills its bytes, nothing tells a padding of zeros before it.
    assert check_if_taken(data) or (restart and not pad)
    check_if_taken(data[:-2] + data + b"\0")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "cmyk"])
@pytest.mark.parametrize("options", [{"quality": 40}, {"quality": 92, "optimize": True, "restart_marker_blocks": 5}])
def test_coefficients_decode_to_what_libjpeg_turbo_does(kind: str, options: dict[str, Any]) -> None:
    data = made(kind, 96, 112, **options)
    frame, _, found = read(data)
    assert found is not None
    first = frame.components[0]
    converted = kind.startswith("4")
    shape = 96, 112, len(frame.components)
    history = History(shape, converted, (first.rows, first.columns), (0, 0), frame.units, frame.steps)
    samples = np.moveaxis(history.decode(found[0]), 0, 2)
    expected = np.asarray(Image.open(io.BytesIO(data))).reshape(shape)
    assert np.ptp(expected) > 60
    assert np.array_equal(samples, expected)


def test_blocks_that_fill_units_are_read_too() -> None:
    frame, _, found = read(made("4:2:0", 17, 33))
    assert found is not None
    assert [component.shape for component in found[0]] == [(64, 4, 6), (64, 2, 3), (64, 2, 3)]
    assert frame.blocks == 24 + 6 + 6


# Extremes


@pytest.mark.parametrize("value", [16383, 32767])
@pytest.mark.parametrize("factors", [FACTORS[0], FACTORS[3], FACTORS[7]], ids=str)
def test_the_largest_coefficients_come_back(value: int, factors: Factors) -> None:
    units, rng = (2, 3), np.random.default_rng(0)
    components = [rng.choice([-value, 0, value], shape).astype(np.int32) for shape in shapes_of(factors, units)]
    for component in components:
        component[0] = abs(component[0])  # differences have at most 15 bits
    data = file_of(components, factors, units)
    check_scan(data, components)
    check(data)


def test_dc_coefficients_are_taken_up_to_their_bound() -> None:
    component = np.zeros((64, 1, 3), np.int32)
    for last, taken in ((LARGEST_COEFFICIENT, True), (LARGEST_COEFFICIENT + 1, False)):
        for sign in (-1, 1):
            component[0, 0] = sign * 16000, sign * 30000, sign * last
            assert check_if_taken(file_of([component], [(1, 1)], (1, 3))) == taken


@pytest.mark.parametrize("step", [2, 255])
def test_dequantised_coefficients_are_taken_up_to_their_bound(step: int) -> None:
    component = np.zeros((64, 2, 2), np.int32)
    for more in (0, 1):
        component[13, 1, 0] = -(LARGEST_COEFFICIENT // step) - more
        assert check_if_taken(file_of([component], [(1, 1)], (2, 2), step=step)) == (more == 0)


def test_runs_of_zeros_of_every_length_come_back() -> None:
    component = np.zeros((64, 8, 8), np.int32)
    for at in range(1, 64):
        component[ZIGZAG[at], at // 8, at % 8] = at
    data = file_of([component], [(1, 1)], (8, 8))
    check_scan(data, [component])
    check(data)


def test_nothing_but_zeros_costs_next_to_nothing() -> None:
    factors = FACTORS[3]
    data = file_of([np.zeros(shape, np.int32) for shape in shapes_of(factors, (30, 30))], factors, (30, 30))
    assert check(data).nbytes < 330


# What no encoder of the usual kind writes


@pytest.mark.parametrize("pad", [0, 1])
@pytest.mark.parametrize("restart", [0, 2])
def test_both_kinds_of_padding_come_back(pad: int, restart: int) -> None:
    components = drawn([(1, 1)], (3, 5), seed=pad)
    check(file_of(components, [(1, 1)], (3, 5), restart, [pad]))


def test_padding_of_both_kinds_in_one_file_is_refused() -> None:
    components = drawn([(1, 1)], (3, 5))
    assert not check_if_taken(file_of(components, [(1, 1)], (3, 5), 1, [0, 1]))


def test_other_bits_of_padding_are_refused() -> None:
    component = np.zeros((64, 1, 1), np.int32)
    data = file_of([component], [(1, 1)], (1, 1))
    head = header_of([(1, 1)], (8, 8))
    assert data == head + packed("00000" + "00000000") + EOI  # three bits are left
    taken = [check_if_taken(head + packed("0" * 13 + f"{rest:03b}") + EOI) for rest in range(8)]
    assert taken == [True, *[False] * 6, True]


def test_zeros_that_the_end_of_a_block_says_are_refused() -> None:
    component = np.zeros((64, 2, 2), np.int32)
    component[9] = 5
    assert check_if_taken(file_of([component], [(1, 1)], (2, 2)))
    _, _, found = read(file_of([component], [(1, 1)], (2, 2), wasteful=True))
    assert found is not None
    assert np.array_equal(found[0][0], component)
    with pytest.raises(UnsupportedSamplesError, match="unusual way"):
        JpegCodec().encode([as_chunk(file_of([component], [(1, 1)], (2, 2), wasteful=True))])


def test_a_byte_more_or_less_than_the_units_need_is_refused() -> None:
    data = file_of(drawn([(1, 1)], (2, 3)), [(1, 1)], (2, 3), 2)
    _, at = read_frame(data)
    marks = [n for n in range(at, len(data)) if data[n : n + 1] == b"\xff" and data[n + 1] & 0xF8 == 0xD0]
    assert len(marks) == 2
    for where in (*marks, len(data) - 2):
        for more in (b"\0", b"\xff\0", b"\x80", b"\0\0\0\0\0\0\0\0\0"):
            assert not check_if_taken(data[:where] + more + data[where:])
        assert not check_if_taken(data[: where - 1] + data[where:])


@pytest.mark.parametrize(
    "marker", [b"", b"\xff\xd1", b"\xff\xd7", b"\xff\xff\xd0", b"\xff", b"\xff\xd9", b"\xff\xd8", b"\0"]
)
def test_another_marker_than_the_next_is_refused(marker: bytes) -> None:
    data = file_of(drawn([(1, 1)], (2, 3)), [(1, 1)], (2, 3), 2)
    assert data.count(b"\xff\xd0") == 1
    assert not check_if_taken(data.replace(b"\xff\xd0", marker))


def test_a_scan_cut_anywhere_is_refused() -> None:
    data = file_of(drawn(FACTORS[3], (2, 2)), FACTORS[3], (2, 2), 1)
    _, at = read_frame(data)
    for length in range(at, len(data) - 2):
        assert not check_if_taken(data[:length])
        assert not check_if_taken(data[:length] + EOI)
    check(data[:-2])


def test_a_symbol_without_a_code_is_refused() -> None:
    # A table of the end of blocks alone: whatever else is read has no code.
    data = edited(
        file_of([np.zeros((64, 2, 2), np.int32)], [(1, 1)], (2, 2)), DHT,
        lambda body: body if body[0] == 0 else b"\x10\0\1" + bytes(14) + b"\0",
    )  # fmt: skip
    head = data[: read_frame(data)[1]]
    assert check_if_taken(head + packed("0000000" * 4) + EOI)
    for n in range(28):
        bits = "0" * n + "1" + "0" * (27 - n)
        check_if_taken(head + packed(bits) + EOI)
    assert not check_if_taken(head + packed("0000001" * 4) + EOI)


@pytest.mark.parametrize("symbol", [0x10, 0x20, 0xE0])
def test_symbols_that_sequential_scans_do_not_have_are_refused(symbol: int) -> None:
    # EOB1 and so on of progressive scans, instead of the end of a block.
    data = edited(
        file_of([np.zeros((64, 1, 1), np.int32)], [(1, 1)], (1, 1)), DHT,
        lambda body: body if body[0] == 0 else b"\x10\2" + bytes(15) + bytes([0, symbol]),
    )  # fmt: skip
    head = data[: read_frame(data)[1]]
    assert check_if_taken(head + packed("00000" + "0") + EOI)
    assert not check_if_taken(head + packed("00000" + "1") + EOI)


@pytest.mark.parametrize("size", [16, 17, 31, 255])
def test_differences_of_more_than_15_bits_are_refused(size: int) -> None:
    data = edited(
        file_of([np.zeros((64, 1, 1), np.int32)], [(1, 1)], (1, 1)), DHT,
        lambda body: body if body[0] else b"\0\2" + bytes(15) + bytes([0, size]),
    )  # fmt: skip
    head = data[: read_frame(data)[1]]
    assert check_if_taken(head + packed("0" + "00000000") + EOI)
    for value in ("0", "1"):
        assert not check_if_taken(head + packed("1" + value * size + "00000000" * 3) + EOI)


def test_more_than_64_coefficients_of_a_block_are_refused() -> None:
    data = edited(
        file_of([np.zeros((64, 1, 1), np.int32)], [(1, 1)], (1, 1)), DHT,
        lambda body: body if body[0] == 0 else b"\x10\0\4" + bytes(14) + b"\x00\xf0\xf1\x01",
    )  # fmt: skip
    head = data[: read_frame(data)[1]]
    end, zeros, far, near = "00", "01", "10", "11"
    assert check_if_taken(head + packed("00000" + (near + "1") * 63) + EOI)
    assert not check_if_taken(head + packed("00000" + (near + "1") * 63 + end) + EOI)
    assert check_if_taken(head + packed("00000" + zeros * 3 + (near + "1") * 15) + EOI)
    assert not check_if_taken(head + packed("00000" + zeros * 4) + EOI)
    assert not check_if_taken(head + packed("00000" + zeros * 9) + EOI)
    assert not check_if_taken(head + packed("00000" + (near + "1") * 60 + far + "1") + EOI)


def test_a_table_of_one_code_of_16_bits_is_read() -> None:
    data = edited(
        file_of([np.zeros((64, 3, 3), np.int32)], [(1, 1)], (3, 3)), DHT,
        lambda body: bytes([body[0], *[0] * 15, 1, 0]),
    )  # fmt: skip
    head = data[: read_frame(data)[1]]
    assert check_if_taken(head + packed("0" * 32 * 9) + EOI)
    assert not check_if_taken(head + packed("0" * 32 * 8 + "0" * 31 + "1") + EOI)


# Writing what was not read


def test_coefficients_that_the_tables_have_no_code_for_are_not_written() -> None:
    frame, _, found = read(made("grey", 16, 16, quality=20, optimize=True))
    assert found is not None
    components = found[0]
    for value in (1 << 15, -(1 << 15), 40000, 2047):
        changed = components[0].copy()
        changed[63, 1, 1] = value
        assert write_scan(frame, [changed], 1, 1 << 20) is None
        changed = components[0].copy()
        changed[0, 0, 0] = 70000 if value > 0 else -70000
        assert write_scan(frame, [changed], 1, 1 << 20) is None


@pytest.mark.parametrize("restart", [0, 1, 4])
def test_a_scan_never_takes_more_room_than_it_may(restart: int) -> None:
    factors = FACTORS[3]
    data = file_of(drawn(factors, (2, 3), 3000, 1.0), factors, (2, 3), restart)
    frame, at, found = read(data)
    assert found is not None
    scan = data[at:-2]
    for room in (0, 1, 2, 3, 4, 9, *range(30, len(scan), 97), len(scan) - 2, len(scan) - 1):
        assert write_scan(frame, found[0], 1, room) is None
    assert write_scan(frame, found[0], 1, len(scan)) == scan


def test_scans_are_read_up_to_a_marker_or_the_end() -> None:
    segments, rest = taken_apart(made("grey", 24, 24))
    assert segments[-1][0] == SOS
    data = made("grey", 24, 24)
    frame, at = read_frame(data)
    for behind in (b"", b"\xff", EOI, b"\xff\x01", b"\xff\xff", b"\xff\xd0"):
        found = read_scan(frame, as_chunk(data[:-2] + behind), at)
        assert found is not None
        assert found[2] == len(data) - 2
        assert rest[:-2] == write_scan(frame, found[0], found[1], len(rest))
