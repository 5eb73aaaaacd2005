"""The encoder's fit of locations: exact moments, the right weights, and the taps that pay."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from haarchive.codecs.haar.adapt import MARGIN
from haarchive.codecs.haar.location_fit import design, likelihood_weights, moments, prune, robust_weights, steadied

Problem = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


def problem(taps: int, n: int, top: int = 1 << 11, heaviest: int = 1 << 14, seed: int = 0) -> Problem:
    """A design of integers, a goal and weights."""
    rng = np.random.default_rng(seed)
    seen = rng.integers(-top, top, (taps, n), endpoint=True)
    goal, weights = rng.integers(-top, top, n, endpoint=True), rng.integers(1, heaviest, n, endpoint=True)
    return seen.astype(np.float64), goal.astype(np.float64), weights.astype(np.float64)


def of_integers(seen: NDArray, goal: NDArray, weights: NDArray) -> tuple[NDArray, NDArray]:
    """The moments in Python's integers."""
    seen, goal, weights = (a.astype(np.int64).astype(object) for a in (seen, goal, weights))
    return (seen * weights) @ seen.T, (seen * weights) @ goal


def test_the_design_holds_what_taps_see() -> None:
    rng = np.random.default_rng(0)
    planes = rng.integers(-(1 << 18), 1 << 18, (4, 9 + 2 * MARGIN, 11 + 2 * MARGIN), np.int32)
    sources, dy, dx = rng.integers(0, 4, 30), rng.integers(-3, 4, 30), rng.integers(-3, 4, 30)
    centres, rows = rng.integers(-1, 4, 30), np.array([0, 8, 4, 5])
    out = np.full((30, 4 * 11), np.nan)
    design(planes, sources, dy, dx, centres, rows, out)
    for k in range(30):
        for r, i in enumerate(rows):
            for j in range(11):
                expected = int(planes[sources[k], i + MARGIN + dy[k], j + MARGIN + dx[k]])
                expected -= int(planes[centres[k], i + MARGIN, j + MARGIN]) if centres[k] >= 0 else 0
                assert out[k, r * 11 + j] == expected


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32), taps=st.integers(1, 12), n=st.integers(1, 9000))
def test_moments_of_integers_are_exact(seed: int, taps: int, n: int) -> None:
    one = problem(taps, n, 1 << 7, 1 << 10, seed)
    for ours, exact in zip(moments(*one), of_integers(*one), strict=True):
        assert np.array_equal(ours.astype(object), exact)


def test_moments_just_below_the_limit_of_doubles_are_exact() -> None:
    seen, goal, weights = problem(5, 5000, 1 << 12, 1 << 10, 3)
    goal = np.floor(goal / 16)
    exact = of_integers(seen, goal, weights)
    assert (1 << 24) * int(weights.sum()) < 1 << 53
    for ours, theirs in zip(moments(seen, goal, weights), exact, strict=True):
        assert np.array_equal(ours.astype(object), theirs)


def test_moments_in_any_order_are_the_same() -> None:
    seen, goal, weights = problem(20, 10000, 1 << 9, 1 << 14, 4)
    order = np.random.default_rng(0).permutation(goal.size)
    shuffled = moments(np.ascontiguousarray(seen[:, order]), goal[order], weights[order])
    assert all(np.array_equal(a, b) for a, b in zip(moments(seen, goal, weights), shuffled, strict=True))


def test_moments_too_large_to_be_exact_are_nearly_so() -> None:
    one = problem(6, 9000, 1 << 17, 1 << 14, 5)
    for ours, exact in zip(moments(*one), of_integers(*one), strict=True):
        assert np.abs(ours - exact.astype(np.float64)).max() <= 1e-12 * np.abs(exact.astype(np.float64)).max()


def test_robust_weights_fall_with_the_residual_down_to_one() -> None:
    residual = np.array([0.0, 1.0, -1.0, 3.0, -255.0, 1e9])
    assert robust_weights(residual).tolist() == [256, 128, 128, 64, 1, 1]


def test_likelihood_weights_majorise_the_code_length_of_logistics() -> None:
    rng = np.random.default_rng(6)
    scale = rng.uniform(0.5, 3.0, 200)
    residual = rng.uniform(-4, 4, 200) * scale
    weights = np.empty(200)
    unit = likelihood_weights(residual, scale, weights)
    assert np.array_equal(weights, np.rint(weights))
    assert weights.min() >= 1
    assert weights.max() == 1 << 14

    def length(e: NDArray[np.float64], s: float) -> NDArray[np.float64]:
        return np.asarray(2 * np.log(np.cosh(e / (2 * s))))

    for e, s, curvature in zip(residual, scale, weights / unit, strict=True):
        elsewhere = np.linspace(-12, 12, 301) * s
        bound = length(e, s) + 0.5 * curvature * (elsewhere**2 - e**2)
        # Weights are rounded to integers, and the best of 2**14 still has four digits.
        slack = 0.5 / unit * (elsewhere**2 + e**2) + 1e-4
        assert (bound + slack >= length(elsewhere, s)).all()


def test_likelihood_weights_of_nothing_but_hits_are_even() -> None:
    weights = np.empty(50)
    likelihood_weights(np.zeros(50), np.full(50, 0.2), weights)
    assert (weights == 1 << 14).all()


def linear(n: int = 4000, seed: int = 7) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Twelve taps of which the fourth and the ninth matter, the fourth more."""
    rng = np.random.default_rng(seed)
    seen = rng.integers(-40, 41, (12, n)).astype(np.float64)
    return seen, np.rint(3 * seen[3] - 0.25 * seen[8] + rng.normal(0, 6, n))


def test_pruning_keeps_the_taps_that_matter_and_drops_the_others() -> None:
    seen, goal = linear()
    fit = moments(seen, goal, np.full(goal.size, 36.0))
    kept, solution = prune(fit, np.full(12, 4.0), 36.0 * 36.0, 8.0, 12)
    assert kept.tolist() == [3, 8]
    assert solution == pytest.approx([3, -0.25], abs=0.02)


def test_pruning_solves_for_what_it_keeps() -> None:
    seen, goal = linear()
    weights = np.random.default_rng(0).integers(1, 99, goal.size).astype(np.float64)
    kept, solution = prune(moments(seen, goal, weights), np.full(12, 1e-6), 2000.0, 5.0, 12)
    root = np.sqrt(weights)
    expected = np.linalg.lstsq((seen[kept] * root).T, goal * root, rcond=None)[0]
    assert solution == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("most", [0, 1, 2, 5, 11, 12])
def test_pruning_keeps_no_more_taps_than_allowed(most: int) -> None:
    seen, goal = linear()
    kept, solution = prune(moments(seen, goal, np.ones(goal.size)), np.full(12, 1.0), 36.0, 0.0, most)
    assert kept.size == solution.size == most
    assert most < 1 or 3 in kept
    assert most < 2 or 8 in kept


def test_pruning_drops_everything_where_nothing_pays() -> None:
    seen, goal = linear()
    kept, solution = prune(moments(seen, goal, np.ones(goal.size)), np.full(12, 1.0), 36.0, 1e12, 12)
    assert kept.size == solution.size == 0


@pytest.mark.parametrize("scale", [1.0, 1e3, 1e6])
def test_of_taps_that_see_the_same_one_stays(scale: float) -> None:
    seen, goal = linear()
    twins = np.concatenate([seen[[3]], seen[[3]], seen[[3]], seen[[8]]]) * scale
    kept, solution = prune(moments(twins, goal, np.full(goal.size, 99.0)), np.zeros(4), 99.0 * 36.0, 6.0, 4)
    weights = np.zeros(4)
    weights[kept] = solution
    assert weights[:3].sum() * scale == pytest.approx(3, abs=0.05)


def test_taps_that_see_nothing_are_dropped_without_a_ridge_too() -> None:
    kept, _ = prune((np.zeros((5, 5)), np.zeros(5)), np.zeros(5), 1.0, 1.0, 5)
    assert kept.size == 0


def test_a_steadied_matrix_can_be_inverted_and_is_hardly_another() -> None:
    gram = np.full((6, 6), 1e12)
    steady = steadied(gram, np.zeros(6))
    assert np.isfinite(np.linalg.inv(steady)).all()
    assert np.allclose(steady, gram, rtol=1e-8)
    assert np.array_equal(gram, np.full((6, 6), 1e12))
