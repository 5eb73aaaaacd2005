"""The encoder's robust least squares."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from haarchive.codecs.haar.fit import WEIGHT_LIMIT, fit_weights
from haarchive.codecs.haar.taps import Tap

TAPS = (Tap("low", 0, 0, 1), Tap("cross", 0, 0, 0), Tap("self", 0, 0, -1))
SOURCES = np.array([0, 1, 2], np.int64)
SHAPE = (40, 60)


def planes(seed: int = 0) -> NDArray[np.int32]:
    """A low band, another plane, and room for the target."""
    rng = np.random.default_rng(seed)
    result = rng.integers(-300, 300, (3, SHAPE[0] + 4, SHAPE[1] + 4)).astype(np.int32)
    result[2] = 0
    return result


def fit(stack: NDArray[np.int32], target: NDArray[np.int32], location: NDArray[np.int32] | int = 0) -> list[float]:
    stack[2, 2:-2, 2:-2] = target
    where = np.broadcast_to(np.int32(location), SHAPE).astype(np.int32)
    return (fit_weights(TAPS, SOURCES, stack, target, where, 8) / 256).tolist()  # type: ignore[no-any-return]


def inner(plane: NDArray[np.int32], dx: int = 0) -> NDArray[np.int32]:
    return plane[2:-2, 2 + dx : plane.shape[1] - 2 + dx]


def test_it_finds_the_linear_rule_that_made_the_target() -> None:
    stack = planes()
    exact = 0.25 * (inner(stack[0], 1) - inner(stack[0])) - 0.5 * inner(stack[1])
    weights = fit(stack, np.rint(exact).astype(np.int32))
    assert weights[:3] == pytest.approx([0.25, -0.5, 0], abs=0.02)


def test_outliers_hardly_move_it() -> None:
    stack = planes(1)
    target = np.rint(0.5 * inner(stack[1])).astype(np.int32)
    rng = np.random.default_rng(2)
    wild = rng.random(SHAPE) < 0.05
    target[wild] += rng.integers(200, 2000, wild.sum()).astype(np.int32)
    assert fit(stack, target)[1] == pytest.approx(0.5, abs=0.04)


def test_a_location_that_is_right_is_kept() -> None:
    stack = planes(3)
    target = np.random.default_rng(4).integers(-100, 100, SHAPE).astype(np.int32)
    weights = fit(stack, target, target * 16)
    assert weights == pytest.approx([0, 0, 0, 1], abs=0.02)


def test_a_location_that_is_useless_is_dropped() -> None:
    stack = planes(5)
    rng = np.random.default_rng(6)
    target = rng.integers(-100, 100, SHAPE).astype(np.int32)
    weights = fit(stack, target, rng.integers(-1600, 1600, SHAPE).astype(np.int32))
    assert weights == pytest.approx([0, 0, 0, 0], abs=0.06)


@pytest.mark.parametrize("value", [0, 1, -(1 << 18), (1 << 18) - 1])
def test_flat_bands_give_weights_in_range(value: int) -> None:
    stack = np.full((3, SHAPE[0] + 4, SHAPE[1] + 4), value, np.int32)
    weights = fit(stack, np.full(SHAPE, value, np.int32))
    assert all(abs(weight) * 256 <= WEIGHT_LIMIT for weight in weights)
    assert np.isfinite(weights).all()
