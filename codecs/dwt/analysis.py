"""The forward 9/7 transform in floating point, as it undoes `synthesis`; only encoders search."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.dwt.axis import Axis
from haarchive.codecs.haar.vectors import vector_kernel

__all__ = ["Analysis", "analyse"]

_ALPHA, _BETA, _GAMMA, _DELTA = (
    np.float32(x) for x in (-1.586134342059924, -0.052980118572961, 0.882911075530934, 0.443506852043971)
)
_K = np.float32(1.230174104914001)
_BIAS_DOWN, _BIAS_ACROSS = 0.13, 0.17
"""What `synthesis` adds by how it rounds to rows and columns of odd coordinates: measured."""

Analysis = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]


def analyse(samples: NDArray[np.int32], rows: Axis, columns: Axis, *, biased: bool = True) -> Analysis:
    """The coefficients of one level.

    Parameters
    ----------
    samples : ndarray, shape (rows.size, columns.size), int32
    rows, columns : Axis
    biased : bool
        Whether they are samples that `synthesis` gave, not differences of such.

    Returns
    -------
    ll, hl, lh, hh : ndarray, float32
        As in `synthesis.Bands`, in the standard's scaling: gains of 1 and 2 (ITU-T T.800, annex F.4.8.2).
    """
    plane = samples.astype(np.float32)
    if biased:
        plane -= (_BIAS_DOWN * (np.arange(rows.begin, rows.end) & 1)).astype(np.float32)[:, None]
        plane -= (_BIAS_ACROSS * (np.arange(columns.begin, columns.end) & 1)).astype(np.float32)
    low, high = _transform(np.ascontiguousarray(plane.T), rows)
    ll, hl = _transform(np.ascontiguousarray(low.T), columns)
    lh, hh = _transform(np.ascontiguousarray(high.T), columns)
    return ll, hl, lh, hh


def _transform(lines: NDArray[np.float32], axis: Axis) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Low and high coefficients of each row of ``(N, axis.size)``."""
    first, last = axis.high
    low = np.empty((len(lines), axis.low.size), np.float32)
    high = np.empty((len(lines), last - first), np.float32)
    _transform_rows(lines, axis.bounds, low, high)
    return low, high


@vector_kernel
def _transform_rows(lines, bounds, low, high):  # type: ignore[no-untyped-def]
    s, d = np.zeros(low.shape[1] + 2, np.float32), np.zeros(high.shape[1] + 2, np.float32)
    for r in range(lines.shape[0]):
        at_low, at_high = 0, 0
        for t in range(bounds.size - 1):
            begin, end = bounds[t], bounds[t + 1]
            odd = begin & 1
            lows, highs = (end + 1) // 2 - (begin + 1) // 2, end // 2 - begin // 2
            first = at_low + at_high
            for i in range(lows):
                s[i + 1] = lines[r, first + 2 * i + odd]
            for i in range(highs):
                d[i + 1] = lines[r, first + 2 * i + 1 - odd]
            for step in range(2):
                s[0], s[lows + 1] = (s[1], s[lows]) if lows else (np.float32(0), np.float32(0))
                factor = _GAMMA if step else _ALPHA
                for i in range(highs):
                    d[i + 1] += factor * (s[i + 1 - odd] + s[i + 2 - odd])
                d[0], d[highs + 1] = (d[1], d[highs]) if highs else (np.float32(0), np.float32(0))
                factor = _DELTA if step else _BETA
                for i in range(lows):
                    s[i + 1] += factor * (d[i + odd] + d[i + odd + 1])
            for i in range(lows):
                low[r, at_low + i] = s[i + 1] / _K
            for i in range(highs):
                high[r, at_high + i] = d[i + 1] * _K
            at_low += lows
            at_high += highs
