"""A component as quantised coefficients, level by level, and what they leave out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.dwt.analysis import Analysis, analyse
from haarchive.codecs.dwt.axis import LEVELS, Axis
from haarchive.codecs.dwt.steps import STEP_BITS, Steps, dequantised, quantised
from haarchive.codecs.dwt.synthesis import FRACTION_BITS, Bands, synthesise

__all__ = ["Pyramid", "build", "expected", "rounded"]

_LEAST, _MOST = -128, 127
_ROUNDS = 3


@dataclass(frozen=True, eq=False)
class Pyramid:
    """A component's levels.

    Parameters
    ----------
    samples : tuple of ndarray, int32
        Of each level from the component itself, centred on zero, to the coarsest.
    numbers : tuple of tuple of ndarray, int32
        Quantised coefficients HL, LH, HH of each level from the finest.
    """

    samples: tuple[NDArray[np.int32], ...]
    numbers: tuple[tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]], ...]


def build(samples: NDArray[np.int32], rows: Axis, columns: Axis, steps: Steps) -> Pyramid:
    """Take a component apart; only encoders do."""
    levels, numbers = [samples], []
    for level in range(1, LEVELS + 1):
        found = _split(levels[-1], level, steps, rows, columns)
        levels.append(found[0])
        numbers.append((found[1], found[2], found[3]))
        rows, columns = rows.low, columns.low
    return Pyramid(tuple(levels), tuple(numbers))


def _split(
    samples: NDArray[np.int32], level: int, steps: Steps, rows: Axis, columns: Axis
) -> tuple[NDArray[np.int32], ...]:
    """LL, and HL, LH, HH quantised, that give most of the samples.

    The samples are rounded, so that a few coefficients come out wrong. What they then give differs from the samples by
    what the right ones would add, and nothing is added where they are right.
    """
    sizes = (1 << STEP_BITS, *(steps.of(level, band) for band in (1, 2, 3)))
    bands = _quantised(analyse(samples, rows, columns), sizes)
    left = samples - rounded(expected(bands[0], bands[1:], level, steps, rows, columns), level)
    for _ in range(_ROUNDS):
        more = _quantised(analyse(left, rows, columns, biased=False), sizes)
        better = tuple(np.asarray(band + change) for band, change in zip(bands, more, strict=True))
        rest = samples - rounded(expected(better[0], better[1:], level, steps, rows, columns), level)
        if np.count_nonzero(rest) >= np.count_nonzero(left):
            break
        bands, left = better, rest
    return bands


def _quantised(bands: Analysis, sizes: tuple[int, ...]) -> tuple[NDArray[np.int32], ...]:
    return tuple(quantised(band, step) for band, step in zip(bands, sizes, strict=True))


def expected(
    ll: NDArray[np.int32], numbers: tuple[NDArray[np.int32], ...], level: int, steps: Steps, rows: Axis, columns: Axis
) -> NDArray[np.int32]:
    """What a level's coefficients say of the samples of the next finer, in 2**-5.

    Parameters
    ----------
    ll : ndarray, int32
        Samples of this level.
    numbers : tuple of ndarray
        HL, LH, HH.
    level : int
        From 1, the finest.
    steps : Steps
    rows, columns : Axis
        Of the finer samples.
    """
    bands = (dequantised(band, steps.of(level, n)) for n, band in enumerate(numbers, 1))
    return synthesise(Bands(ll, *bands), rows, columns)


def rounded(fine: NDArray[np.int32], level: int) -> NDArray[np.int32]:
    """Samples of what `expected` gave; those of the component itself were clipped to 8 bits."""
    samples = (fine + (1 << (FRACTION_BITS - 1))) >> FRACTION_BITS
    return np.clip(samples, _LEAST, _MOST) if level == 1 else samples
