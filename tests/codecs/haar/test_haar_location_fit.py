"""The encoder's fit of locations: what taps see, and how samples weigh."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from haarchive.codecs.haar.location_fit import design, likelihood_weights, mean_square, robust_weights, scales_along
from haarchive.codecs.haar.margins import MARGIN


def test_the_design_holds_what_taps_see() -> None:
    rng = np.random.default_rng(0)
    planes = rng.integers(-(1 << 18), 1 << 18, (4, 9 + 2 * MARGIN, 11 + 2 * MARGIN), np.int32)
    sources, dy, dx = rng.integers(0, 4, 30), rng.integers(-3, 4, 30), rng.integers(-3, 4, 30)
    centres, rows = rng.integers(-1, 4, 30), np.array([0, 8, 4, 5])
    out = np.full((30, 4 * 11), np.nan, np.float32)
    design(planes, sources, dy, dx, centres, rows, out)
    for k in range(30):
        for r, i in enumerate(rows):
            for j in range(11):
                expected = int(planes[sources[k], i + MARGIN + dy[k], j + MARGIN + dx[k]])
                expected -= int(planes[centres[k], i + MARGIN, j + MARGIN]) if centres[k] >= 0 else 0
                assert out[k, r * 11 + j] == expected


def test_robust_weights_fall_with_the_residual() -> None:
    residual = np.array([0.0, 1.0, -1.0, 3.0, -255.0], np.float32)
    assert robust_weights(residual) == pytest.approx([1, 1 / 2, 1 / 2, 1 / 4, 1 / 256])


def test_likelihood_weights_majorise_the_code_length_of_logistics() -> None:
    rng = np.random.default_rng(6)
    scale = rng.uniform(0.5, 3.0, 200).astype(np.float32)
    residual = rng.uniform(-4, 4, 200).astype(np.float32) * scale
    weights = likelihood_weights(residual, scale, 0.0)

    def length(e: NDArray[np.float64], s: float) -> NDArray[np.float64]:
        return np.asarray(2 * np.log(np.cosh(e / (2 * s))))

    for e, s, curvature in zip(residual.astype(np.float64), scale.astype(np.float64), weights, strict=True):
        elsewhere = np.linspace(-12, 12, 301) * s
        bound = length(e, s) + 0.5 * curvature * (elsewhere**2 - e**2)
        assert (bound + 2e-3 * (1 + elsewhere**2 + e**2) >= length(elsewhere, s)).all()
        assert curvature == pytest.approx(math.tanh(abs(e) / (2 * s)) / (s * abs(e)), rel=5e-3)


def test_likelihood_weights_of_nothing_but_hits_are_even() -> None:
    weights = likelihood_weights(np.zeros(50, np.float32), np.full(50, 0.2, np.float32), 0.3)
    assert weights == pytest.approx(1 / (2 * 0.5**2), rel=1e-3)


def test_scales_along_a_row_follow_the_residuals_there() -> None:
    rows = np.concatenate([np.full(40, 3.0), np.full(40, -30.0)]).astype(np.float32)
    scale = scales_along(rows, 40)
    assert scale[:40] == pytest.approx(3 / 1.386 + 0.3)
    assert scale[40:] == pytest.approx(30 / 1.386 + 0.3)


@pytest.mark.parametrize("width", [1, 2, 3])
def test_scales_along_short_rows_are_finite(width: int) -> None:
    assert np.isfinite(scales_along(np.ones(6, np.float32), width)).all()


def test_the_mean_square_is_weighted() -> None:
    assert mean_square(np.array([1, -2], np.float32), np.array([0.5, 3], np.float32)) == pytest.approx(6.25)
