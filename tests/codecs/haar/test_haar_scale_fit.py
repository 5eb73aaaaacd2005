"""The encoder's fit of log-scales."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import logistic

from haarchive.codecs.haar.scale_fit import _slopes, exponentiate, fit_scale, gather, scales_of


def residuals(scale: NDArray[np.float64], seed: int = 0) -> NDArray[np.float32]:
    """Distances of integers, drawn from logistics of these scales, from locations between integers."""
    rng = np.random.default_rng(seed)
    location = rng.random(scale.size)
    return np.abs(np.rint(logistic.rvs(location, scale, random_state=rng)) - location).astype(np.float32)


def features(count: int, n: int = 20000, seed: int = 1) -> NDArray[np.float32]:
    """A constant, and logarithms of magnitudes."""
    rest = np.random.default_rng(seed).uniform(-1, 4, (count - 1, n))
    return np.concatenate([np.ones((1, n)), rest]).astype(np.float32)


def fitted(seen: NDArray[np.float32], size: NDArray[np.float32]) -> NDArray[np.float64]:
    """From the start that a fit without another has."""
    start = np.zeros(len(seen))
    start[0] = math.log(float(size.mean()) / 1.386 + 0.05)
    return fit_scale(seen, size, start, 5)


@pytest.mark.parametrize("truth", [(0.4,), (2.5,), (0.3, 0.6), (-0.5, 0.5, 0.4, 0.0), (3.0, -0.3, 0.8)], ids=str)
def test_it_finds_the_log_linear_rule_of_the_scale(truth: tuple[float, ...]) -> None:
    seen = features(len(truth))
    found = fitted(seen, residuals(np.exp(np.array(truth) @ seen)))
    assert found == pytest.approx(truth, abs=0.05)


def test_a_start_that_is_nearly_right_needs_few_steps() -> None:
    truth, seen = np.array([0.2, 0.7, 0.1]), features(3)
    size = residuals(np.exp(truth @ seen), 2)
    start = truth + 0.1
    assert fit_scale(seen, size, start, 2) == pytest.approx(truth, abs=0.05)
    assert np.array_equal(start, truth + 0.1)


@pytest.mark.parametrize("size", [0.0, 0.5, 1e6])
def test_residuals_that_are_all_alike_give_finite_weights(size: float) -> None:
    seen = features(3, 500)
    assert np.isfinite(fitted(seen, np.full(500, size, np.float32))).all()


def test_features_that_are_all_alike_give_finite_weights() -> None:
    seen = np.concatenate([np.ones((1, 900)), np.repeat(features(2, 900)[1:], 3, axis=0), np.zeros((1, 900))])
    seen = seen.astype(np.float32)
    found = fitted(seen, residuals(np.exp(0.6 * seen[1]), 3))
    assert np.isfinite(found).all()
    assert found[1:4].sum() == pytest.approx(0.6, abs=0.1)


def test_a_few_samples_give_finite_weights() -> None:
    assert np.isfinite(fitted(features(9, 1), np.array([3.0], np.float32))).all()


def code_length(size: NDArray[np.float64], s: float) -> NDArray[np.float64]:
    inner, outer = logistic.logsf((size - 0.5) / s), logistic.logsf((size + 0.5) / s)
    return np.asarray(-(inner + np.log1p(-np.exp(outer - inner))))


@pytest.mark.parametrize("s", [0.05, 0.2, 0.7, 1.0, 5.0, 40.0, 3000.0])
def test_steps_are_derivatives_of_the_log_likelihood_by_what_is_expected_of_its_slope(s: float) -> None:
    size = np.concatenate([np.arange(40) / 16, np.linspace(0, 12, 60) * s]).astype(np.float32)
    (step, curvature), move = np.empty((2, 100), np.float32), 1e-4
    _slopes(np.full(100, s, np.float32), size, step, curvature)
    exact = size.astype(np.float64)
    change = code_length(exact, s * math.exp(-move)) - code_length(exact, s * math.exp(move))
    assert step * curvature == pytest.approx(np.clip(change / (2 * move), -1, 4), abs=5e-3)
    assert (curvature > 0).all()


def test_the_curvature_is_that_which_is_expected_of_large_scales() -> None:
    s = 200.0
    size = residuals(np.full(200000, s), 4)
    (step, curvature), move = np.empty((2, size.size), np.float32), 0.02
    means = []
    for factor in (math.exp(-move), math.exp(move)):
        _slopes(np.full(size.size, s * factor, np.float32), size, step, curvature)
        means.append(float((step * curvature).mean()))
    assert (means[0] - means[1]) / (2 * move) == pytest.approx(float(curvature.mean()), rel=0.1)


def test_scales_are_kept_in_their_range() -> None:
    seen = np.array([[1.0, 1.0, 1.0], [-100.0, 0.5, 100.0]], np.float32)
    assert scales_of(seen, np.array([0.25, 1.0]), 3) == pytest.approx([1 / 32, math.exp(0.75), 1 << 17], rel=1e-5)
    assert scales_of(seen, np.array([0.25, 1.0]), 2).size == 2


def test_exponentials_are_right_to_five_digits() -> None:
    x = np.linspace(-80, 80, 4001).astype(np.float32)
    power = x.copy()
    exponentiate(power)
    assert power == pytest.approx(np.exp(x.astype(np.float64)), rel=1e-5)


@pytest.mark.parametrize("dtype", [np.int16, np.int32])
def test_rows_of_logarithms_are_gathered_in_their_order(dtype: type) -> None:
    logarithms = np.random.default_rng(0).integers(-300, 300, (3, 7, 5)).astype(dtype)
    out, rows = np.zeros((3, 10), np.float32), np.array([4, 1])
    gather(logarithms, rows, 0.25, out)
    assert np.array_equal(out, logarithms[:, rows].reshape(3, 10) / 4)
