"""The least squares that encoders of sound and pictures share."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from haarchive.codecs.haar.fit import quantise, reweigh, solve_weights, weighted_moments


def taps_seen(count: int, n: int = 3000, seed: int = 0) -> NDArray[np.float32]:
    """What so many taps see, and a last row of zeros: a network that says nothing."""
    design = np.random.default_rng(seed).integers(-300, 300, (count + 1, n)).astype(np.float32)
    design[-1] = 0
    return design


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32), taps=st.integers(1, 9), n=st.integers(1, 1300))
def test_moments_of_integers_are_exact(seed: int, taps: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    design = rng.integers(-(1 << 11), 1 << 11, (taps, n))
    goal = rng.integers(-(1 << 11), 1 << 11, n)
    weight = rng.integers(1, 257, n)
    gram, moment = weighted_moments(design.astype(np.float32), goal.astype(np.float64), weight.astype(np.float64))
    assert np.array_equal(gram, (design * weight) @ design.T)
    assert np.array_equal(moment, (design * weight) @ goal)


def test_moments_of_any_numbers_are_right() -> None:
    rng = np.random.default_rng(1)
    design = rng.normal(size=(7, 2111)).astype(np.float32)
    goal, weight = rng.normal(size=2111), rng.random(2111)
    gram, moment = weighted_moments(design, goal, weight)
    assert gram == pytest.approx((design.astype(np.float64) * weight) @ design.T.astype(np.float64), rel=1e-9, abs=1e-9)
    assert moment == pytest.approx((design.astype(np.float64) * weight) @ goal, rel=1e-9, abs=1e-9)
    assert np.array_equal(gram, gram.T)


def test_it_finds_the_linear_rule_that_made_the_goal() -> None:
    design = taps_seen(3)
    goal = np.rint(0.25 * design[0] - 0.5 * design[1]).astype(np.float64)
    solution, residual = solve_weights(design, goal)
    assert solution == pytest.approx([0.25, -0.5, 0, 1], abs=0.01)
    assert 0 <= residual < 1


def test_outliers_hardly_move_it() -> None:
    design = taps_seen(2, seed=1)
    goal = np.rint(0.5 * design[1]).astype(np.float64)
    rng = np.random.default_rng(2)
    wild = rng.random(goal.size) < 0.05
    goal[wild] += rng.integers(200, 2000, wild.sum())
    plain, _ = solve_weights(design, goal, passes=1)
    robust, residual = solve_weights(design, goal, passes=3)
    assert robust[1] == pytest.approx(0.5, abs=0.04)
    assert abs(robust[1] - 0.5) <= abs(plain[1] - 0.5) + 1e-3
    assert residual < 30


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1.0), (-1.0, 0.0), (0.5, 1.5)])
def test_the_network_s_location_gets_the_weight_it_deserves(share: float, expected: float) -> None:
    design = taps_seen(2, seed=3)
    design[-1] = 16 * np.random.default_rng(4).integers(-100, 100, design.shape[1])
    solution, _ = solve_weights(design, np.rint(share * design[-1] / 16).astype(np.float64))
    assert solution == pytest.approx([0, 0, expected], abs=0.02)


@pytest.mark.parametrize("value", [0, 1, -(1 << 18), (1 << 18) - 1])
def test_what_never_changes_gives_finite_weights(value: int) -> None:
    solution, residual = solve_weights(np.full((4, 2400), value, np.float32), np.full(2400, float(value)))
    assert np.isfinite(solution).all()
    assert np.isfinite(residual)


def test_residuals_are_weighed_by_their_inverse_magnitude() -> None:
    rng = np.random.default_rng(5)
    design = rng.integers(-50, 50, (3, 1111)).astype(np.float32)
    goal, solution = rng.integers(-200, 200, 1111).astype(np.float64), np.array([0.5, -0.25, 1.0])
    weight = np.empty(1111)
    square = reweigh(design, goal, solution, 4.0, weight)
    residual = goal - solution @ design.astype(np.float64)
    assert square == pytest.approx(np.mean(residual**2))
    assert np.array_equal(weight, np.maximum(1, np.rint(1024 / (np.abs(residual) + 4))))


def test_weights_are_rounded_and_kept_in_their_range() -> None:
    solution = np.array([0.0, 0.126, -0.126, 0.124, 15.9, 17.0, -1e30, 1e30, np.nan])
    expected = [0, 1, -1, 1, 127, 127, -127, 127, 0]
    quantised = quantise(solution, 3, 127)
    assert quantised.dtype == np.int32
    assert quantised.tolist() == expected
