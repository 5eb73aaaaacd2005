"""Renumbering of sparse sample values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from haarchive.codecs.errors import BitstreamError
from haarchive.codecs.haar.remap import SampleMap, find_map
from haarchive.codecs.rans.stream import OperationList, WordReader

SAMPLES = arrays.arrays(
    np.int64,
    st.tuples(st.integers(1, 3), st.integers(0, 40)),
    elements=st.integers(-(1 << 31), (1 << 31) - 1),
)


def through_the_stream(sample_map: SampleMap) -> SampleMap:
    operations = OperationList()
    sample_map.write(operations)
    reader = WordReader(operations.to_bytes())
    result = SampleMap.read(reader)
    reader.finish()
    return result


@settings(deadline=None)
@given(x=SAMPLES, shift=st.integers(0, 12))
def test_samples_come_back_by_the_map_that_is_found(x: NDArray[np.int64], shift: int) -> None:
    x = (x >> shift) << shift
    sample_map = find_map(x)
    again = through_the_stream(sample_map)
    assert np.array_equal(again.inverse(sample_map.forward(x)), x)


@settings(deadline=None)
@given(
    values=st.sets(st.integers(-(1 << 30), (1 << 30) - 1), min_size=1, max_size=60),
    shift=st.integers(0, 31),
)
def test_any_map_survives_the_stream(values: set[int], shift: int) -> None:
    sample_map = SampleMap(shift, np.array(sorted(values), np.int64))
    again = through_the_stream(sample_map)
    assert again.shift == shift
    assert np.array_equal(again.values, sample_map.values)


def test_common_zero_bits_are_dropped() -> None:
    x = np.random.default_rng(0).integers(-500, 500, (2, 1000)) * 16
    x[0, 0] = 16
    sample_map = find_map(x)
    assert sample_map.shift == 4
    assert np.array_equal(sample_map.forward(x), x >> 4)


def test_multiples_of_a_constant_are_numbered() -> None:
    x = np.random.default_rng(0).integers(-50, 50, (1, 40_000)) * 9
    sample_map = find_map(x)
    assert sample_map.values.size == 100
    assert np.array_equal(sample_map.forward(x), x // 9)


def test_dense_samples_keep_their_values() -> None:
    assert find_map(np.arange(-100, 100)[None].repeat(50, 1)).trivial


def test_values_too_far_apart_for_a_gap_are_not_numbered() -> None:
    x = (np.random.default_rng(0).integers(1, 50, (1, 40_000)) * 9 | 1).astype(np.int64)
    assert find_map(x).values.size
    x[0, 7] = -(1 << 31) + 1
    assert np.array_equal(through_the_stream(find_map(x)).inverse(find_map(x).forward(x)), x)


def test_silence_keeps_its_values() -> None:
    assert find_map(np.zeros((2, 50), np.int64)).trivial


def test_numbers_outside_of_the_map_are_refused() -> None:
    sample_map = SampleMap(0, np.array([-8, 0, 8], np.int64))
    for number in (-2, 2):
        with pytest.raises(BitstreamError, match="outside of the map"):
            sample_map.inverse(np.array([[number]], np.int64))


@pytest.mark.parametrize(("shift", "count"), [(32, 0), (-1, 0), (0, -1), (0, (1 << 20) + 1), (0, 1 << 20)])
def test_a_damaged_map_is_refused(shift: int, count: int) -> None:
    operations = OperationList()
    operations.add_value(shift, 0, 232)
    operations.add_value(count, 0, 232)
    with pytest.raises(BitstreamError):
        SampleMap.read(WordReader(operations.to_bytes()))
