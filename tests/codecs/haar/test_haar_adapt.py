"""The kernels of the adaptive stage, held against what they say they do, sample by sample."""

from __future__ import annotations

import numpy as np
import pytest
from adapt_models import SHAPE, logarithm, padded

from haarchive.codecs.haar.adapt import DISTANCE_LIMIT, add_known, weigh_features
from haarchive.codecs.haar.foresight import causal_logs, measure
from haarchive.codecs.haar.margins import MARGIN

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
