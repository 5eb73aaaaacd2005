"""The kernels of the adaptive stage, held against what they say they do, sample by sample."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from haarchive.codecs.haar import adapt
from haarchive.codecs.haar.adapt import (
    DISTANCE_LIMIT,
    MARGIN,
    NEAR_FLOOR,
    add_known,
    log_features,
    weigh_features,
)
from haarchive.codecs.haar.foresight import causal_logs, measure

HIGHEST = (1 << 24) - 1
SHAPE = (7, 10)


def logarithm(value: int) -> int:
    """64 times the logarithm, linear between powers of two, in Python's integers."""
    value = min(value, HIGHEST)
    octave = value.bit_length() - 1
    return 64 * octave + ((value - (1 << octave)) * 64 >> octave)


def kernel_log(value: int) -> int:
    real = np.empty(1, np.float32)
    return int(adapt.logarithm(np.int64(value), real, real.view(np.int32)))


def padded(count: int, top: int, seed: int, low: int | None = None) -> NDArray[np.int32]:
    rng = np.random.default_rng(seed)
    size = (count, SHAPE[0] + 2 * MARGIN, SHAPE[1] + 2 * MARGIN)
    return rng.integers(-top if low is None else low, top, size, np.int32, endpoint=True)


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


NEAR = {(0, -1): 2, (-1, 0): 2, (-1, -1): 1, (-1, 1): 1, (0, -2): 1, (-2, 0): 1}
FAR = [(-1, -2), (-1, 2), (-2, -1), (-2, 1), (-2, -2), (-2, 2), (0, -3), (-3, 0)]


@pytest.mark.parametrize("top", [5, 4000, DISTANCE_LIMIT])
def test_causal_logarithms_are_those_of_weighted_sums_of_distances_before(top: int) -> None:
    distances = padded(1, top, 2, 0)[0]
    features = np.zeros((2, *SHAPE), np.int16)
    causal_logs(distances, 90, features)
    for i, j in np.ndindex(SHAPE):
        near = sum(w * int(distances[i + MARGIN + dy, j + MARGIN + dx]) for (dy, dx), w in NEAR.items())
        wide = near + sum(int(distances[i + MARGIN + dy, j + MARGIN + dx]) for dy, dx in FAR)
        assert features[0, i, j] == logarithm(near + 90)
        assert features[1, i, j] == logarithm(wide + 180)


def test_distances_of_samples_not_yet_coded_change_no_causal_logarithm() -> None:
    distances = padded(1, 4000, 3, 0)[0]
    before, after = np.zeros((2, 2, *SHAPE), np.int16)
    causal_logs(distances, 45, before)
    i, j = 3, 4
    distances[i + MARGIN, j + MARGIN :] += 9999
    distances[i + MARGIN + 1 :] += 9999
    causal_logs(distances, 45, after)
    assert np.array_equal(before[:, : i + 1].reshape(2, -1)[:, : i * SHAPE[1] + j + 1],
                          after[:, : i + 1].reshape(2, -1)[:, : i * SHAPE[1] + j + 1])  # fmt: skip


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@pytest.mark.parametrize(("down", "across"), [(1, 1), (4, 1), (1, 3), (2, 4)])
def test_known_taps_are_summed_by_the_weights_of_each_class(dtype: type, down: int, across: int) -> None:
    rng = np.random.default_rng(4)
    planes = padded(5, 500, 5)
    sources, dy, dx = rng.integers(0, 5, 9), rng.integers(-3, 4, 9), rng.integers(-3, 4, 9)
    weights = rng.integers(-4095, 4096, (down * across, 9), np.int32)
    rows, columns = rng.integers(0, down, SHAPE[0]), rng.integers(0, across, SHAPE[1])
    total = rng.integers(-9, 9, SHAPE).astype(dtype)
    expected = total.astype(object)
    for i, j in np.ndindex(SHAPE):
        for k in range(9):
            seen = int(planes[sources[k], i + MARGIN + dy[k], j + MARGIN + dx[k]])
            expected[i, j] += int(weights[rows[i] * across + columns[j], k]) * seen
    add_known(weights, sources, dy, dx, planes, rows, columns, across, total)
    assert np.array_equal(total.astype(object), expected)


def test_sums_of_16_bit_samples_do_not_overflow() -> None:
    planes = np.full((1, SHAPE[0] + 2 * MARGIN, SHAPE[1] + 2 * MARGIN), (1 << 18) - 1, np.int32)
    many = np.zeros(200, np.int64)
    zeros = [np.zeros(n, np.int64) for n in SHAPE]
    total = np.zeros(SHAPE, np.int64)
    add_known(np.full((1, 200), 4095, np.int32), many, many, many, planes, *zeros, 1, total)
    assert (total == 200 * 4095 * ((1 << 18) - 1)).all()


@pytest.mark.parametrize("network_weight", [0, 300, -4095])
@pytest.mark.parametrize("limit", [1 << 14, 1 << 22])
def test_distances_are_measured_from_locations_inside_the_limit(limit: int, network_weight: int) -> None:
    rng = np.random.default_rng(6)
    target = padded(1, 1 << 18, 7)[0]
    total = rng.integers(-(1 << 28), 1 << 28, SHAPE)
    total[0] = [0, 7, 8, -8, -9, 15, 16, (1 << 36), -(1 << 36), 4]
    network = rng.integers(-(1 << 16), 1 << 16, SHAPE, np.int32)
    distances, places = np.zeros_like(target), np.zeros(SHAPE, np.int32)
    measure(total, network, network_weight, target, 8, limit, places, distances)
    for i, j in np.ndindex(SHAPE):
        place = (16 * int(total[i, j]) + network_weight * int(network[i, j]) + 128) // 256
        assert places[i, j] == min(max(place, -limit), limit)
        sample = int(target[i + MARGIN, j + MARGIN])
        assert distances[i + MARGIN, j + MARGIN] == min(abs(16 * sample - int(places[i, j])), DISTANCE_LIMIT)
    assert np.count_nonzero(distances) <= total.size  # the margin stays as it was


@pytest.mark.parametrize("prior_weight", [0, -300])
def test_features_and_the_prior_are_weighed(prior_weight: int) -> None:
    rng = np.random.default_rng(8)
    features = rng.integers(0, 1536, (5, *SHAPE)).astype(np.int16)
    weights = rng.integers(-2047, 2048, 8)
    prior = rng.integers(-2047, 2048, SHAPE).astype(np.int32)
    base = rng.integers(-9999, 9999, SHAPE, np.int32)
    expected = base + np.tensordot(weights[:5], features.astype(np.int64), 1) + prior_weight * prior
    weigh_features(features, weights, prior, prior_weight, base)
    assert np.array_equal(base, expected)
