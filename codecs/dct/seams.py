"""Where tiles of JPEG slides meet: each was decoded for itself, so that chroma of half the size ends there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.dct.history import History
from haarchive.codecs.dct.sampling import NO_SEAMS, Seams
from haarchive.codecs.dct.transform import BLOCK

__all__ = ["find_seams"]

_LEAST = 16
"""Samples that seams have to set right; what they take in the header is soon paid for."""


def find_seams(
    history: History, components: list[NDArray[np.int32]], decoded: NDArray[np.int32], inside: NDArray[np.int32]
) -> tuple[Seams, Seams]:
    """Find the seams of tiles in a picture whose chroma has half the size; only encoders search.

    Beside a seam samples come out wrong, unless chroma ends there, and beside other boundaries of units the other way
    round. Of all lattices, as tiles are all of one size, the one that sets most samples right is taken.

    Parameters
    ----------
    history : History
        Without seams, of complete units.
    components : list of ndarray, shape (64, h, w), int32
    decoded, inside : ndarray, shape (C, H, W), int32
        What they decode to, and what the picture has there.

    Returns
    -------
    rows, columns : Seams
    """
    units = [BLOCK * factor for factor in history.sampling]
    everywhere = [
        Seams(first + unit, unit) if factor > 1 else NO_SEAMS
        for first, unit, factor in zip(history.origin, units, history.sampling, strict=True)
    ]
    broken = replace(history, seams=(everywhere[0], everywhere[1])).decode(components)
    gain = np.count_nonzero(decoded != inside, axis=0) - np.count_nonzero(broken != inside, axis=0)
    # Where seams of both directions cross, or seem to, one hides the other.
    inner = [
        (np.arange(side) % unit > 0) & (np.arange(side) % unit < unit - 1) if factor > 1 else np.ones(side, np.bool_)
        for side, unit, factor in zip(gain.shape, units, history.sampling, strict=True)
    ]
    by_axis = gain[:, inner[1]].sum(axis=1), gain[inner[0]].sum(axis=0)
    found = []
    for first, unit, gains in zip(history.origin, units, by_axis, strict=True):
        begins = np.arange(unit, gains.size, unit)
        found.append(_lattice(gains[begins - 1] + gains[begins], first, unit))
    return found[0], found[1]


def _lattice(gains: NDArray[np.int64], origin: int, unit: int) -> Seams:
    """The lattice with the largest sum of `gains`, of the boundaries 1, 2, ... of units."""
    best, most = NO_SEAMS, _LEAST
    for period in range(gains.size, 0, -1):
        sums = np.pad(gains, (0, -gains.size % period)).reshape(-1, period).sum(axis=0)
        first = int(sums.argmax())
        if sums[first] > most:
            single = first + period >= gains.size
            best = Seams(origin + unit * (first + 1), 0 if single else unit * period)
            most = int(sums[first])
    return best
