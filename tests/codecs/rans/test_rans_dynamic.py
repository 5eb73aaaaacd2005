"""Coding with intervals, against rANS on big integers."""

from __future__ import annotations

import doctest
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_rans import M, decode_number, decode_stream, encode_number, encode_stream

from haarchive.codecs.errors import BitstreamError
from haarchive.codecs.rans import IntervalDecoder, dynamic, encode_intervals
from haarchive.codecs.rans.kernels import (
    INITIAL_STATE,
    MAX_GAMMA,
    MAX_GAMMA_OPS,
    add_bits,
    add_gamma,
    begin,
    encode_ops,
    take_bits,
    take_gamma,
)

Interval = tuple[int, int]


@st.composite
def models(draw: st.DrawFn) -> list[Interval]:
    """A partition of the slots into intervals, some of them one slot wide."""
    cuts = draw(st.sets(st.integers(1, M - 1) | st.integers(1, 5), max_size=12))
    edges = sorted({0, M} | cuts)
    return [(start, stop - start) for start, stop in itertools.pairwise(edges)]


@st.composite
def messages(draw: st.DrawFn) -> tuple[list[Interval], list[Interval]]:
    """A model, and intervals of it."""
    model = draw(models())
    return model, draw(st.lists(st.sampled_from(model), max_size=200))


def owners(model: list[Interval]) -> list[Interval]:
    return [interval for interval in model for _ in range(interval[1])]


def encode(intervals: list[Interval], lanes: int = 1) -> bytes:
    array = np.array(intervals, dtype=np.uint16).reshape(-1, 2)
    return encode_intervals(array[:, 0], array[:, 1], lanes)


def decode(data: bytes, owner: list[Interval], n: int, lanes: int = 1) -> list[Interval]:
    decoder = IntervalDecoder(data, lanes)
    intervals = []
    for _ in range(n):
        interval = owner[decoder.slot()]
        decoder.advance(*interval)
        intervals.append(interval)
    decoder.finish()
    return intervals


@settings(deadline=None, max_examples=60)
@given(message=messages(), lanes=st.integers(1, 5))
def test_intervals_come_back(message: tuple[list[Interval], list[Interval]], lanes: int) -> None:
    model, intervals = message
    assert decode(encode(intervals, lanes), owners(model), len(intervals), lanes) == intervals


@settings(deadline=None, max_examples=60)
@given(message=messages(), lanes=st.integers(1, 5))
def test_the_bytes_are_those_of_rans_on_big_integers(
    message: tuple[list[Interval], list[Interval]], lanes: int
) -> None:
    model, intervals = message
    data = encode(intervals, lanes)
    assert data == encode_stream(intervals, lanes)
    assert decode_stream(data, owners(model), len(intervals), lanes) == intervals


@settings(deadline=None, max_examples=60)
@given(message=messages())
def test_the_size_is_that_of_one_big_number(message: tuple[list[Interval], list[Interval]]) -> None:
    model, intervals = message
    number = encode_number(intervals)
    assert decode_number(number, owners(model), len(intervals)) == intervals
    # The last state is written with all of its 32 bits, at least 17 of which are significant.
    assert abs(8 * len(encode(intervals)) - number.bit_length()) <= 16 + 0.01 * number.bit_length()


@settings(deadline=None, max_examples=40)
@given(message=messages())
def test_the_kernel_for_operations_writes_the_same_stream(
    message: tuple[list[Interval], list[Interval]],
) -> None:
    _, intervals = message
    array = np.array(intervals, dtype=np.int64).reshape(-1, 2)
    words = encode_ops(array[:, 0], array[:, 1], len(intervals))
    assert words.astype("<u2").tobytes() == encode(intervals)


@settings(deadline=None, max_examples=100)
@given(
    numbers=st.lists(
        st.integers(0, 40) | st.integers(0, MAX_GAMMA) | st.integers(0, 34).map(lambda bits: 2**bits - 1),
        max_size=30,
    )
)
def test_numbers_of_any_size_come_back_through_gamma_codes(numbers: list[int]) -> None:
    start = np.zeros(MAX_GAMMA_OPS * len(numbers), np.uint16)
    freq = np.zeros_like(start)
    n = 0
    for number in numbers:
        n = add_gamma(number, start, freq, n)
    words = encode_ops(start, freq, n)
    state, pos = begin(words, 0)
    decoded = []
    for _ in numbers:
        number, state, pos = take_gamma(state, words, pos)
        decoded.append(number)
    assert decoded == numbers
    assert (state, pos) == (INITIAL_STATE, words.size)


@pytest.mark.parametrize(
    ("number", "bits"), [(0, 1), (1, 3), (2, 3), (3, 5), (2**15 - 2, 29), (2**15 - 1, 35), (MAX_GAMMA, 54)]
)
def test_a_gamma_code_has_the_length_that_its_docstring_says(number: int, bits: int) -> None:
    start = np.zeros(MAX_GAMMA_OPS, np.uint16)
    freq = np.zeros_like(start)
    n = add_gamma(number, start, freq, 0)
    assert n <= MAX_GAMMA_OPS
    assert -np.log2(freq[:n] / M).sum() == bits


@settings(deadline=None)
@given(data=st.data(), widths=st.lists(st.integers(0, 15), max_size=40))
def test_raw_bits_come_back(data: st.DataObject, widths: list[int]) -> None:
    values = [data.draw(st.integers(0, 2**width - 1)) for width in widths]
    start = np.zeros(len(widths), np.uint16)
    freq = np.zeros_like(start)
    n = 0
    for value, width in zip(values, widths, strict=True):
        n = add_bits(value, width, start, freq, n)
    words = encode_ops(start, freq, n)
    state, pos = begin(words, 0)
    for value, width in zip(values, widths, strict=True):
        decoded, state, pos = take_bits(width, state, words, pos)
        assert decoded == value
    assert (state, pos) == (INITIAL_STATE, words.size)


def test_no_intervals_make_a_stream_of_the_initial_states() -> None:
    data = encode([], lanes=3)
    assert data == INITIAL_STATE.to_bytes(4, "little") * 3
    assert decode(data, [], 0, lanes=3) == []


@pytest.mark.parametrize(("start", "freq"), [(0, 0), (M, 1), (1, M), (M - 1, 2)])
def test_an_interval_that_is_empty_or_too_long_is_refused(start: int, freq: int) -> None:
    with pytest.raises(ValueError, match="must not be empty or reach past"):
        encode([(0, M), (start, freq)])


def test_start_and_freq_of_unequal_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="of one length"):
        encode_intervals(np.zeros(2, np.uint16), np.ones(3, np.uint16))


def test_there_is_no_coder_without_lanes() -> None:
    with pytest.raises(ValueError, match="at least 1 lane"):
        encode([], lanes=0)
    with pytest.raises(ValueError, match="at least 1 lane"):
        IntervalDecoder(bytes(4), lanes=0)


def test_a_stream_without_its_states_is_refused() -> None:
    with pytest.raises(BitstreamError, match="states of 2 lanes"):
        IntervalDecoder(bytes(6), lanes=2)


def test_a_stream_of_half_a_word_is_refused() -> None:
    with pytest.raises(BitstreamError, match="even number of bytes"):
        IntervalDecoder(bytes(5))


def test_stepping_over_the_wrong_interval_is_refused() -> None:
    decoder = IntervalDecoder(encode([(0, 100)]))
    with pytest.raises(ValueError, match="does not contain the slot"):
        decoder.advance(100, M - 100)


@pytest.mark.parametrize("change", [lambda data: data[:-2], lambda data: data + b"\0\0"])
def test_a_stream_that_ends_elsewhere_is_recognised(change) -> None:
    intervals = [(7, 1), (0, 7), (8, M - 8)] * 20
    owner = owners([(0, 7), (7, 1), (8, M - 8)])
    with pytest.raises(BitstreamError, match="does not end after its last symbol"):
        decode(change(encode(intervals)), owner, len(intervals))


def test_the_examples_in_the_documentation_run() -> None:
    assert doctest.testmod(dynamic).failed == 0
