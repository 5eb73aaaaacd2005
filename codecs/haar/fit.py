"""Weighted least squares of encoders: iteratively reweighted, and exact in whatever order sums are taken.

Only the encoder runs this, in floating point; what it sends are integers, and decoders use nothing else.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.distributions.jit import kept, kernel

__all__ = ["quantise", "reweigh", "solve_weights", "weighted_moments"]

_BLOCK = 512
_WEIGHT_ONE = 256.0


def solve_weights(
    design: NDArray[np.float32], goal: NDArray[np.float64], unit: float = 1.0, passes: int = 2
) -> tuple[NDArray[np.float64], float]:
    """Iteratively reweighted least squares.

    Parameters
    ----------
    design : ndarray, shape (k + 1, n), float32
        What each tap sees, integers; the last row is the network's location in 1/16.
    goal : ndarray, shape (n,), float64
        What the network's location leaves.
    unit : float
        Residuals much smaller than this weigh alike.
    passes : int
        Solves; the first is plain least squares.

    Returns
    -------
    solution : ndarray, shape (k + 1,), float64
        Weights of the taps, then that of the network's location.
    residual : float
        Weighted mean magnitude of what the last pass but one left.
    """
    power = float(np.mean(goal * goal)) + 1.0
    weight = np.full(goal.size, max(1.0, np.rint(_WEIGHT_ONE * unit * power**-0.5)))
    solution = np.zeros(len(design))
    for attempt in range(passes):
        if attempt:
            power = reweigh(design, goal, solution, unit, weight) + 1.0
        gram, moment = weighted_moments(design, goal, weight)
        # As much as four samples of pure residual on every tap; the network's location is in 1/16.
        ridge = np.full(len(design), 4.0 * power * weight.mean())
        ridge[-1] *= 256.0
        gram[np.diag_indices(len(design))] += ridge
        solution = np.linalg.solve(gram, moment)
    # From weight = 256 * unit / (|residual| + unit), averaged harmonically, for which outliers count little.
    residual = max(0.0, unit * (_WEIGHT_ONE / float(weight.mean()) - 1.0))
    solution[-1] = solution[-1] * 16 + 1.0
    return solution, residual


def quantise(solution: NDArray[np.float64], fraction: int, limit: int) -> NDArray[np.int32]:
    """Weights in units of ``2**-fraction``, clamped to `limit` in magnitude."""
    quantised = np.rint(np.nan_to_num(solution) * (1 << fraction))
    return np.clip(quantised, -limit, limit).astype(np.int32)


@kernel
def reweigh(design, goal, solution, unit, weight):  # type: ignore[no-untyped-def]
    """Fill `weight` with unit / (|residual| + unit), in units of 1/256 and rounded to integers.

    Returns
    -------
    float
        Mean square of the residual.
    """
    square = 0.0
    for begin in range(0, goal.size, _BLOCK):
        residual = goal[begin : begin + _BLOCK].copy()
        for k in range(design.shape[0]):
            factor = solution[k]
            column = design[k, begin : begin + _BLOCK]
            for n in range(residual.size):
                residual[n] -= factor * column[n]
        for n in range(residual.size):
            square += residual[n] * residual[n]
            weight[begin + n] = max(1.0, np.rint(_WEIGHT_ONE * unit / (abs(residual[n]) + unit)))
    return square / goal.size


# Everything that is summed is an integer (or a sixteenth of one), and for pictures of up to 10 bits the sums
# stay below 2**53: they are exact in float64, so the order that vectorisation adds them in does not matter,
# and the bitstream is the same whatever machine encodes.
@partial(kept, fastmath={"reassoc", "contract"})
def weighted_moments(design, goal, weight):  # type: ignore[no-untyped-def]
    """``X W X^T`` and ``X W y`` of a design ``(k, n) float32``, in float64."""
    k, n = design.shape
    gram = np.zeros((k, k))
    moment = np.zeros(k)
    block = np.zeros((k, _BLOCK))
    weighted = np.zeros(_BLOCK)
    aim = np.zeros(_BLOCK)
    for begin in range(0, n, _BLOCK):
        size = min(_BLOCK, n - begin)
        for a in range(k):
            for i in range(size):
                block[a, i] = design[a, begin + i]
            for i in range(size, _BLOCK):
                block[a, i] = 0.0
        for i in range(size):
            aim[i] = goal[begin + i]
        for a in range(k):
            row = block[a]
            for i in range(size):
                weighted[i] = row[i] * weight[begin + i]
            total = 0.0
            for i in range(size):
                total += weighted[i] * aim[i]
            moment[a] += total
            for b in range(a + 1):
                other = block[b]
                total = 0.0
                for i in range(_BLOCK):
                    total += weighted[i] * other[i]
                gram[a, b] += total
    for a in range(k):
        for b in range(a):
            gram[b, a] = gram[a, b]
    return gram, moment
