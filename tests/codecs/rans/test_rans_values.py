"""Single integers under any location and scale."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import special

from haarchive.codecs.distributions import PROBABILITY_BITS, logistic_tables
from haarchive.codecs.rans.kernels import INITIAL_STATE, begin, encode_ops
from haarchive.codecs.rans.values import MAX_SCALE, MAX_VALUE_OPS, add_value, take_value

LOW, HIGH = -(1 << 31), (1 << 31) - 1
INT32 = st.integers(LOW, HIGH) | st.integers(-300, 300) | st.sampled_from([LOW, HIGH])
LOCATION = st.integers(16 * LOW, 16 * HIGH) | st.integers(-5000, 5000)
SCALE = st.integers(0, MAX_SCALE)
Value = tuple[int, int, int]


def operations(values: list[Value]) -> tuple[NDArray[np.uint16], NDArray[np.uint16], list[int]]:
    """All intervals, and how many each value has."""
    tables = logistic_tables()
    start, freq = (np.zeros(len(values) * MAX_VALUE_OPS, np.uint16) for _ in range(2))
    n, counts = 0, []
    for value, location, scale in values:
        after = add_value(value, location, scale, tables.cdf, tables.offset, tables.low, tables.size, start, freq, n)
        counts.append(after - n)
        n = after
    return start[:n], freq[:n], counts


def take(words: NDArray[np.uint16], parameters: list[tuple[int, int]]) -> tuple[list[int], int, int]:
    tables = logistic_tables()
    state, pos = begin(words, 0)
    values = []
    for location, scale in parameters:
        value, state, pos = take_value(
            location,
            scale,
            tables.cdf,
            tables.offset,
            tables.low,
            tables.size,
            tables.first,
            state,
            words,
            pos,
        )
        values.append(value)
    return values, state, pos


def bits(value: int, location: int, scale: int) -> float:
    """What a value costs."""
    _, freq, _ = operations([(value, location, scale)])
    return float(-np.log2(freq / (1 << PROBABILITY_BITS)).sum())


@settings(deadline=None, max_examples=200)
@given(values=st.lists(st.tuples(INT32, LOCATION, SCALE), min_size=1, max_size=30))
def test_any_value_comes_back_under_any_location_and_scale(values: list[Value]) -> None:
    start, freq, counts = operations(values)
    assert max(counts) <= MAX_VALUE_OPS
    words = encode_ops(start, freq, start.size)
    decoded, state, pos = take(words, [(location, scale) for _, location, scale in values])
    assert decoded == [value for value, _, _ in values]
    assert (state, pos) == (INITIAL_STATE, words.size)


@pytest.mark.parametrize("value", [LOW, -1, 0, HIGH])
@pytest.mark.parametrize("location", [16 * LOW, 16 * HIGH + 15])
@pytest.mark.parametrize("scale", [0, 72, 73, 192, 193, 200, MAX_SCALE])
def test_the_farthest_value_takes_no_more_operations_than_there_is_room_for(
    value: int, location: int, scale: int
) -> None:
    start, freq, (count,) = operations([(value, location, scale)])
    assert count <= MAX_VALUE_OPS
    words = encode_ops(start, freq, count)
    assert take(words, [(location, scale)])[0] == [value]


@settings(deadline=None, max_examples=200)
@given(
    words=st.lists(st.integers(0, 65535), min_size=2, max_size=12),
    parameters=st.lists(st.tuples(LOCATION, SCALE), min_size=1, max_size=20),
)
def test_damaged_words_give_some_int32(words: list[int], parameters: list[tuple[int, int]]) -> None:
    decoded, _, _ = take(np.array(words, np.uint16), parameters)
    assert all(LOW <= value <= HIGH for value in decoded)


@pytest.mark.parametrize("scale", range(0, 160, 5))
def test_values_cost_what_the_logistic_says(scale: int) -> None:
    s = 2.0 ** (scale / 8 - 5)
    for location in (0, 5, -37, 16 * 1000 + 11):
        for quantile in (-2.0, -0.5, 0.0, 1.0, 2.5):
            value = round(location / 16 + quantile * s)
            lower, upper = (value - location / 16 - 0.5) / s, (value - location / 16 + 0.5) / s
            mass = special.expit(upper) - special.expit(lower)
            if mass > 2**-10:  # further out tables are coarse
                assert bits(value, location, scale) == pytest.approx(-math.log2(mass), abs=0.2)
            elif scale > 72 and mass > 0:
                # The low bits count as uniform in cells of at most half the scale: some cost for far values.
                assert bits(value, location, scale) < -math.log2(mass) + 0.5


def test_a_value_that_is_certain_is_nearly_free() -> None:
    assert bits(7, 7 * 16, 0) < 0.001
