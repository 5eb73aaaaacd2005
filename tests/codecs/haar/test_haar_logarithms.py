"""Logarithms of magnitudes around samples, held against what they say they are."""

from __future__ import annotations

import math

import numpy as np
import pytest
from adapt_models import HIGHEST, SHAPE, logarithm, padded
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from haarchive.codecs.haar import logarithms
from haarchive.codecs.haar.adapt import DISTANCE_LIMIT
from haarchive.codecs.haar.logarithms import NEAR_FLOOR, log_features
from haarchive.codecs.haar.margins import MARGIN


def kernel_log(value: int) -> int:
    real = np.empty(1, np.float32)
    return int(logarithms.logarithm(np.int64(value), real, real.view(np.int32)))


@pytest.mark.parametrize("power", range(24))
def test_logarithms_around_powers_of_two_are_exact(power: int) -> None:
    assert kernel_log(1 << power) == 64 * power
    for value in {max(1, (1 << power) + near) for near in range(-70, 71)}:
        assert kernel_log(value) == logarithm(value)


@given(value=st.integers(1, 1 << 40))
def test_logarithms_of_any_number_are_exact(value: int) -> None:
    assert kernel_log(value) == logarithm(value)
    assert kernel_log(value) <= 64 * math.log2(min(value, HIGHEST))
    assert kernel_log(value) >= 64 * math.log2(min(value, HIGHEST)) - 7


@pytest.mark.parametrize("value", [HIGHEST, HIGHEST + 1, 1 << 30, 1 << 62])
def test_logarithms_end_at_24_octaves(value: int) -> None:
    assert kernel_log(value) == 24 * 64 - 1


def size_of(kind: int, plane: NDArray[np.int32], y: int, x: int) -> int:
    """What `log_features` takes the logarithm of, less the floor."""
    here, above, below = int(plane[y, x]), int(plane[y - 1, x]), int(plane[y + 1, x])
    left, right = int(plane[y, x - 1]), int(plane[y, x + 1])
    return {
        0: 8 * here,
        1: 4 * here + left + right + above + below,
        2: 4 * (here + below),
        3: 128 * abs(below - above),
        4: 128 * abs(right - left),
        5: 128 * abs(below + above - 2 * here),
        6: 128 * abs(right + left - 2 * here),
    }[kind]


@pytest.mark.parametrize("top", [3, 4000, DISTANCE_LIMIT])
@pytest.mark.parametrize("shift", [0, 8])
def test_features_are_logarithms_of_what_is_around(top: int, shift: int) -> None:
    distances, lows = padded(3, top, 0, 0), padded(2, top, 1)
    kinds = np.array([0, 1, 2, 0, 3, 4, 5, 6, 6], np.int64)
    index = np.array([0, 1, 2, 2, 0, 1, 1, 0, 1], np.int64)
    features = np.zeros((len(kinds), *SHAPE), np.int16)
    floor = NEAR_FLOOR << shift
    log_features(kinds, index, distances, lows, floor, features)
    for f, (kind, which) in enumerate(zip(kinds, index, strict=True)):
        plane = (distances if kind <= 2 else lows)[which]
        for i, j in np.ndindex(SHAPE):
            assert features[f, i, j] == logarithm(size_of(int(kind), plane, i + MARGIN, j + MARGIN) + floor)
