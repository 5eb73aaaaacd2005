"""Planes and logarithms for the tests of the adaptive stage."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.haar.margins import MARGIN

HIGHEST = (1 << 24) - 1
SHAPE = (7, 10)


def logarithm(value: int) -> int:
    """64 times the logarithm, linear between powers of two, in Python's integers."""
    value = min(value, HIGHEST)
    octave = value.bit_length() - 1
    return 64 * octave + ((value - (1 << octave)) * 64 >> octave)


def padded(count: int, top: int, seed: int, low: int | None = None) -> NDArray[np.int32]:
    rng = np.random.default_rng(seed)
    size = (count, SHAPE[0] + 2 * MARGIN, SHAPE[1] + 2 * MARGIN)
    return rng.integers(-top if low is None else low, top, size, np.int32, endpoint=True)
