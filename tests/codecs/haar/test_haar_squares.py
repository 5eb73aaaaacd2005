"""Least squares in kernels: exact sums, right solutions, and the taps that pay."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from haarchive.codecs.haar.squares import eliminate, inverse, moments, quantise, residuals, saving, solve

Problem = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]


def problem(taps: int, n: int, top: int = 1 << 8, heaviest: int = 1 << 8, seed: int = 0) -> Problem:
    """A design of integers, a goal and weights."""
    rng = np.random.default_rng(seed)
    seen = rng.integers(-top, top, (taps, n), endpoint=True)
    goal, weights = rng.integers(-top, top, n, endpoint=True), rng.integers(1, heaviest, n, endpoint=True)
    return seen.astype(np.float32), goal.astype(np.float32), weights.astype(np.float32)


def linear(n: int = 4000, seed: int = 7) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Twelve taps of which the fourth and the ninth matter, the fourth more."""
    rng = np.random.default_rng(seed)
    seen = rng.integers(-40, 41, (12, n)).astype(np.float32)
    return seen, np.rint(3 * seen[3] - 0.25 * seen[8] + rng.normal(0, 6, n)).astype(np.float32)


def even(goal: NDArray[np.float32], weight: float = 1 / 36) -> NDArray[np.float32]:
    return np.full(goal.size, weight, np.float32)


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32), taps=st.integers(0, 12), n=st.integers(0, 2000), first=st.integers(0, 300))
def test_moments_of_integers_are_exact(seed: int, taps: int, n: int, first: int) -> None:
    seen, goal, weights = problem(taps, n + first, seed=seed)
    gram, moment = moments(seen, goal[first:], weights[first:], first)
    used, heavy = seen[:, first:].astype(np.float64), weights[first:].astype(np.float64)
    assert np.array_equal(gram, (used * heavy) @ used.T)
    assert np.array_equal(moment, (used * heavy) @ goal[first:].astype(np.float64))


def test_moments_on_many_threads_at_once_are_the_same() -> None:
    rng = np.random.default_rng(1)
    seen, goal, weights = (rng.normal(size=shape).astype(np.float32) for shape in ((37, 5000), 5000, 5000))
    expected, found = moments(seen, goal, weights), []
    threads = [threading.Thread(target=lambda: found.append(moments(seen, goal, weights))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(a, b) for one in found for a, b in zip(one, expected, strict=True))


def test_residuals_are_what_a_predictor_leaves() -> None:
    seen, goal, _ = problem(5, 700)
    solution = np.array([0.5, 0.0, -2.0, 0.25, 1.0])
    assert residuals(seen, goal, solution) == pytest.approx(goal - solution @ seen, abs=1e-3)
    assert residuals(seen, goal[:300], solution) == pytest.approx((goal - solution @ seen)[:300], abs=1e-3)


@pytest.mark.parametrize("count", [1, 2, 7, 40])
def test_the_inverse_is_one(count: int) -> None:
    seen, goal, weights = problem(count, 500)
    gram, moment = moments(seen, goal, weights)
    ridge = np.linspace(1, 1e6, count)
    full = gram + np.diag(ridge)
    assert inverse(gram, ridge) @ full == pytest.approx(np.eye(count), abs=1e-6)
    assert solve(gram, ridge, moment) == pytest.approx(np.linalg.solve(full, moment), rel=1e-6)


def test_a_matrix_of_taps_that_see_the_same_has_an_inverse() -> None:
    assert np.isfinite(inverse(np.full((6, 6), 1e12), np.zeros(6))).all()
    assert np.isfinite(inverse(np.zeros((3, 3)), np.zeros(3))).all()


def test_elimination_keeps_the_taps_that_matter_and_drops_the_others() -> None:
    seen, goal = linear()
    gram, moment = moments(seen, goal, even(goal))
    kept, solution = eliminate(gram, np.full(12, 0.1), moment, 8.0, 12)
    assert kept.nonzero()[0].tolist() == [3, 8]
    assert solution[kept] == pytest.approx([3, -0.25], abs=0.02)
    assert not solution[~kept].any()


def test_elimination_solves_for_what_it_keeps() -> None:
    seen, goal = linear()
    weights = np.random.default_rng(0).uniform(0.01, 0.1, goal.size).astype(np.float32)
    kept, solution = eliminate(
        moments(seen, goal, weights)[0], np.full(12, 1e-9), moments(seen, goal, weights)[1], 5, 12
    )
    root = np.sqrt(weights.astype(np.float64))
    expected = np.linalg.lstsq((seen[kept] * root).T, goal * root, rcond=None)[0]
    assert solution[kept] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("most", [0, 1, 2, 5, 11, 12])
def test_elimination_keeps_no_more_taps_than_allowed(most: int) -> None:
    seen, goal = linear()
    gram, moment = moments(seen, goal, even(goal))
    kept, _ = eliminate(gram, np.full(12, 0.1), moment, 0.0, most)
    assert kept.sum() == most
    assert most < 1 or kept[3]
    assert most < 2 or kept[8]


def test_elimination_drops_everything_where_nothing_pays() -> None:
    seen, goal = linear()
    gram, moment = moments(seen, goal, even(goal))
    kept, solution = eliminate(gram, np.full(12, 0.1), moment, 1e12, 12)
    assert not kept.any()
    assert not solution.any()


@pytest.mark.parametrize("scale", [1.0, 1e3, 1e6])
def test_of_taps_that_see_the_same_one_stays(scale: float) -> None:
    seen, goal = linear()
    twins = np.concatenate([seen[[3]], seen[[3]], seen[[3]], seen[[8]]]) * np.float32(scale)
    gram, moment = moments(twins, goal, even(goal))
    kept, solution = eliminate(gram, np.zeros(4), moment, 6.0, 4)
    assert kept[:3].sum() == 1
    assert solution[:3].sum() * scale == pytest.approx(3, abs=0.05)


def test_taps_that_see_nothing_are_dropped_without_a_ridge_too() -> None:
    assert not eliminate(np.zeros((5, 5)), np.zeros(5), np.zeros(5), 1.0, 5)[0].any()


def test_a_solution_saves_half_of_the_squares_that_it_explains() -> None:
    seen, goal = linear()
    gram, moment = moments(seen, goal, even(goal))
    solution = solve(gram, np.zeros(12), moment)
    left = residuals(seen, goal, solution).astype(np.float64)
    explained = float((goal.astype(np.float64) ** 2 - left**2).sum()) / 72
    assert saving(gram, moment, solution) == pytest.approx(explained, rel=1e-4)
    assert saving(gram, moment, np.zeros(12)) == 0


def test_weights_are_rounded_and_kept_in_their_range() -> None:
    solution = np.array([0.0, 0.126, -0.126, 0.124, 15.9, 17.0, -1e30, 1e30, np.nan])
    quantised = quantise(solution, 3, 127)
    assert quantised.dtype == np.int32
    assert quantised.tolist() == [0, 1, -1, 1, 127, 127, -127, 127, 0]
