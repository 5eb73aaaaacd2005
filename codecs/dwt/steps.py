"""Steps of quantisation, by level and by band, and what quantised coefficients stand for."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["LARGEST_COEFFICIENT", "LARGEST_STEP", "STEP_BITS", "Steps", "dequantised", "quantised"]

STEP_BITS = 10
"""Steps are in 1/1024."""

LARGEST_STEP = 1 << 18
"""Bound of a step: 256 grey levels."""

LARGEST_COEFFICIENT = 1 << 12
"""Bound of a quantised coefficient's magnitude."""


class Steps(NamedTuple):
    """Of one component, from fine to coarse.

    Parameters
    ----------
    mixed : tuple of int
        Of the bands that are high in one direction, in 2**-10; 1024 and more.
    high : tuple of int
        Of those that are high in both.
    """

    mixed: tuple[int, ...]
    high: tuple[int, ...]

    def of(self, level: int, band: int) -> int:
        """The step of a band of `synthesis.Bands` (1 to 3), `level` from 1, which is the finest."""
        return (self.high if band == 3 else self.mixed)[level - 1]


def dequantised(numbers: NDArray[np.int32], step: int) -> NDArray[np.int32]:
    """The coefficients that multiples of a step stand for: rounded to integers, halves away from zero."""
    sizes = (np.abs(numbers).astype(np.int64) * step + (1 << (STEP_BITS - 1))) >> STEP_BITS
    signed: NDArray[np.int32] = np.where(numbers < 0, -sizes, sizes).astype(np.int32)
    return signed


def quantised(coefficients: NDArray[np.float32], step: int) -> NDArray[np.int32]:
    """The nearest multiples."""
    numbers = np.rint(coefficients * np.float32((1 << STEP_BITS) / step))
    within: NDArray[np.int32] = np.clip(numbers, -LARGEST_COEFFICIENT, LARGEST_COEFFICIENT).astype(np.int32)
    return within
