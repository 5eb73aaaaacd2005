"""Least squares of encoders: sums over samples and their solution, in kernels of their own.

BLAS and LAPACK do this too, but their threads wait for each other in busy loops: where all cores have work already, as
when several chunks are encoded at once, a fit takes many times as long. These kernels use one thread and add in one
order, so that neither the time nor the bytes depend on what else runs.

Only the encoder runs this, in floating point; what it sends are integers, and decoders use nothing else.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.haar.vectors import vector_kernel, vector_leaf

__all__ = ["Moments", "eliminate", "inverse", "moments", "padded_moments", "quantise", "residuals", "saving", "solve"]

Moments = tuple[NDArray[np.float64], NDArray[np.float64]]
"""``X W X^T`` and ``X W y``."""

_BLOCK = 128
_ROWS, _COLUMNS = 4, 2
_NOTHING, _COLLINEAR = 1e-9, 1e-9


def moments(
    taps: NDArray[np.float32], goal: NDArray[np.float32], weights: NDArray[np.float32], first: int = 0
) -> Moments:
    """Weighted moments of as many columns of a design ``(k, N)`` as there are goals, from number `first` on.

    They are float64: exact as long as they are integers below 2**53.
    """
    gram = padded_moments(taps, first, goal, weights)
    count = len(taps)
    return gram[:count, :count], gram[count, :count]


@vector_kernel
def padded_moments(taps, first, goal, weights):  # type: ignore[no-untyped-def]
    """Moments with the goal as one more tap, padded to whole tiles: k + 1 rows and columns count."""
    count, n = taps.shape[0], goal.size
    padded = (count + _ROWS) // _ROWS * _ROWS
    plain = np.zeros((padded, _BLOCK))
    heavy = np.zeros((padded, _BLOCK))
    total = np.zeros((padded, padded))
    for begin in range(0, n, _BLOCK):
        size = min(_BLOCK, n - begin)
        weight = weights[begin : begin + size]
        for a in range(count + 1):
            row = taps[a, first + begin : first + begin + size] if a < count else goal[begin : begin + size]
            for i in range(size):
                plain[a, i] = row[i]
                heavy[a, i] = plain[a, i] * weight[i]
            for i in range(size, _BLOCK):
                plain[a, i] = 0.0
                heavy[a, i] = 0.0
        # Tiles of four by two: as many sums as registers hold, each operand read for several.
        for a in range(0, padded, _ROWS):
            h0, h1, h2, h3 = heavy[a], heavy[a + 1], heavy[a + 2], heavy[a + 3]
            for b in range(0, a + _ROWS, _COLUMNS):
                p0, p1 = plain[b], plain[b + 1]
                s00 = s01 = s10 = s11 = s20 = s21 = s30 = s31 = 0.0
                for i in range(_BLOCK):
                    u, v = p0[i], p1[i]
                    s00 += h0[i] * u
                    s01 += h0[i] * v
                    s10 += h1[i] * u
                    s11 += h1[i] * v
                    s20 += h2[i] * u
                    s21 += h2[i] * v
                    s30 += h3[i] * u
                    s31 += h3[i] * v
                total[a, b] += s00
                total[a, b + 1] += s01
                total[a + 1, b] += s10
                total[a + 1, b + 1] += s11
                total[a + 2, b] += s20
                total[a + 2, b + 1] += s21
                total[a + 3, b] += s30
                total[a + 3, b + 1] += s31
    for a in range(padded):
        for b in range(a):
            total[b, a] = total[a, b]
    return total


@vector_kernel
def residuals(taps, goal, solution):  # type: ignore[no-untyped-def]
    """What a linear predictor leaves of its goal.

    Parameters
    ----------
    taps : (k, N) float32
        The first n columns count.
    goal : (n,) float32
    solution : (k,) float64

    Returns
    -------
    (n,) float32
    """
    left = goal.copy()
    for begin in range(0, goal.size, _BLOCK):
        end = min(begin + _BLOCK, goal.size)
        for k in range(taps.shape[0]):
            factor = np.float32(solution[k])
            if factor != 0.0:
                _take_tap(left, begin, end, factor, taps, k)
    return left


@vector_leaf
def _take_tap(left, begin, end, factor, taps, k):  # type: ignore[no-untyped-def]
    """Subtract what a tap says of some samples."""
    row, tap = left[begin:end], taps[k, begin:end]
    for i in range(row.size):
        row[i] -= factor * tap[i]


@vector_kernel
def inverse(matrix, ridge):  # type: ignore[no-untyped-def]
    """The inverse of ``X W X^T`` with a ridge, by Gauss and Jordan's elimination in place.

    The ridge is never less than what makes it regular where taps see nothing, or all the same.

    Parameters
    ----------
    matrix : (k, k) float64
    ridge : (k,) float64
        Added to the diagonal.

    Returns
    -------
    (k, k) float64
    """
    result = matrix.copy()
    count = result.shape[0]
    for p in range(count):
        result[p, p] += max(ridge[p], _NOTHING) + _COLLINEAR * matrix[p, p]
    for p in range(count):
        pivot = 1.0 / result[p, p]
        row = result[p]
        for j in range(count):
            row[j] *= pivot
        row[p] = pivot
        for i in range(count):
            if i != p:
                factor = result[i, p]
                result[i, p] = 0.0
                _take_row(result, i, factor, row)
    return result


@vector_leaf
def _take_row(matrix, i, factor, other):  # type: ignore[no-untyped-def]
    """Subtract a multiple of a row from another."""
    row = matrix[i]
    for j in range(row.size):
        row[j] -= factor * other[j]


@vector_kernel
def solve(matrix, ridge, right):  # type: ignore[no-untyped-def]
    """The solution ``(k,)`` of a system whose matrix `inverse` can take."""
    upside = inverse(matrix, ridge)
    solution = np.zeros(right.size)
    for i in range(right.size):
        for j in range(right.size):
            solution[i] += upside[i, j] * right[j]
    return solution


@vector_kernel
def eliminate(gram, ridge, moment, cost, most):  # type: ignore[no-untyped-def]
    """Backward elimination by Wald's statistic: drop, one by one, what saves least, as long as it costs more.

    Parameters
    ----------
    gram : (k, k) float64
    ridge : (k,) float64
        Added to its diagonal; see `inverse`.
    moment : (k,) float64
        All in units of the log-likelihood, nats.
    cost : float
        Nats that a weight costs.
    most : int
        The most to keep, whatever they save.

    Returns
    -------
    kept : (k,) bool
    solution : (k,) float64
        Zero for those that were dropped.
    """
    count = moment.size
    left = inverse(gram, ridge)
    solution = np.zeros(count)
    for i in range(count):
        for j in range(count):
            solution[i] += left[i, j] * moment[j]
    kept = np.ones(count, np.bool_)
    remaining = count
    while remaining:
        worst, least = -1, np.inf
        for i in range(count):
            if kept[i]:
                gain = solution[i] * solution[i] / (2.0 * max(left[i, i], 1e-300))
                if worst < 0 or gain < least:
                    worst, least = i, gain
        if remaining <= most and not least < cost:
            break
        kept[worst] = False
        remaining -= 1
        # The inverse without a row and column, and what the others take over.
        row = left[worst].copy()
        share = 1.0 / max(row[worst], 1e-300)
        for i in range(count):
            if kept[i]:
                factor = row[i] * share
                solution[i] -= factor * solution[worst]
                _take_row(left, i, factor, row)
        solution[worst] = 0.0
    return kept, solution


@vector_kernel
def saving(gram, moment, solution):  # type: ignore[no-untyped-def]
    """Nats that a solution saves, by moments in units of the log-likelihood."""
    total = 0.0
    for i in range(solution.size):
        row = 0.0
        for j in range(solution.size):
            row += gram[i, j] * solution[j]
        total += solution[i] * (moment[i] - 0.5 * row)
    return total


@vector_kernel
def quantise(solution, fraction, limit):  # type: ignore[no-untyped-def]
    """Weights ``(k,) int32`` in units of ``2**-fraction``, at most `limit` in magnitude; 0 for what is no number."""
    weights = np.zeros(solution.size, np.int32)
    for k in range(solution.size):
        weight = np.rint(solution[k] * 2.0**fraction)
        if not np.isnan(weight):
            weights[k] = np.int32(min(max(weight, -float(limit)), float(limit)))
    return weights
