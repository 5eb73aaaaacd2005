"""Forward adaptation: the encoder fits a band's linear predictor to the source and sends its weights.

Only the encoder runs this, in floating point; what it sends are integers, and decoders use nothing else.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from haarchive.codecs.haar.adapt import MARGIN
from haarchive.codecs.haar.taps import Tap

__all__ = ["WEIGHT_LIMIT", "fit_weights"]

WEIGHT_LIMIT = (1 << 12) - 1
"""Quantised weights are clamped to this magnitude."""

_SAMPLES = 16384
_PASSES = 2
_BLOCK = 512
_WEIGHT_ONE = 256.0


def fit_weights(
    taps: tuple[Tap, ...],
    sources: NDArray[np.int64],
    planes: NDArray[np.int32],
    target: NDArray[np.int32],
    location: NDArray[np.int32],
    fraction: int,
) -> NDArray[np.int32]:
    """Robust least squares of the residual of a network's location on the neighbourhood.

    Plain first, then reweighted by 1 / (|residual| + 1) (iteratively reweighted least squares: Holland and Welsch,
    1977), which leans towards least absolute deviations as the code length does.

    Parameters
    ----------
    taps : tuple of Tap
    sources : ndarray, shape (k,), int64
        Which of `planes` each tap looks at; low taps count as differences from plane 0.
    planes : ndarray, shape (S, H + 4, W + 4), int32
        Padded planes; the target itself is among them.
    target : ndarray, shape (H, W), int32
    location : ndarray, shape (H, W), int32
        The network's, in 1/16, amplitude shift applied.
    fraction : int
        Weights are quantised to multiples of ``2**-fraction``.

    Returns
    -------
    ndarray, shape (k + 1,), int32
        Weights of the taps, then that of the network's location, in units of ``2**-fraction``.
    """
    height, width = target.shape
    # Whole lines of samples, spread over the picture; on a single line, every n-th sample.
    stride = max(1, height * width // _SAMPLES)
    step_y, step_x = (stride, 1) if height > 1 else (1, stride)
    goal = (target[::step_y, ::step_x].astype(np.float64) - location[::step_y, ::step_x] / 16).ravel()
    design = np.empty((len(taps) + 1, goal.size), np.float32)
    centre = planes[0, MARGIN : MARGIN + height : step_y, MARGIN : MARGIN + width : step_x]
    for column, tap, source in zip(design, taps, sources, strict=False):
        y, x = MARGIN + tap.dy, MARGIN + tap.dx
        values = planes[source, y : y + height : step_y, x : x + width : step_x]
        column[:] = (values - centre if tap.source == "low" else values).ravel()
    design[-1] = location[::step_y, ::step_x].ravel()
    power = float(np.mean(goal * goal)) + 1.0
    ridge = np.full(len(design), power * 4.0)
    ridge[-1] *= 256.0  # the network's location is in 1/16
    weight = np.full(goal.size, max(1.0, np.rint(_WEIGHT_ONE * power**-0.5)))
    solution = np.zeros(len(design))
    for attempt in range(_PASSES):
        if attempt:
            reweigh(design, goal, solution, weight)
        gram, moment = weighted_moments(design, goal, weight)
        gram[np.diag_indices(len(design))] += ridge * weight.mean()
        solution = np.linalg.solve(gram, moment)
    solution[-1] = solution[-1] * 16 + 1.0
    quantised = np.rint(solution * (1 << fraction))
    return np.clip(np.nan_to_num(quantised), -WEIGHT_LIMIT, WEIGHT_LIMIT).astype(np.int32)


@njit(nogil=True, cache=True)
def reweigh(design, goal, solution, weight):  # type: ignore[no-untyped-def]
    """Fill `weight` with 1 / (|residual| + 1), in units of 1/256 and rounded to integers."""
    for begin in range(0, goal.size, _BLOCK):
        residual = goal[begin : begin + _BLOCK].copy()
        for k in range(design.shape[0]):
            factor = solution[k]
            column = design[k, begin : begin + _BLOCK]
            for n in range(residual.size):
                residual[n] -= factor * column[n]
        for n in range(residual.size):
            weight[begin + n] = max(1.0, np.rint(_WEIGHT_ONE / (abs(residual[n]) + 1.0)))


# Everything that is summed is an integer (or a sixteenth of one), and for pictures of up to 10 bits the sums stay
# below 2**53: they are exact in float64, so the order that vectorisation adds them in does not matter, and the
# bitstream is the same whatever machine encodes.
@njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})
def weighted_moments(design, goal, weight):  # type: ignore[no-untyped-def]
    """``X W X^T`` and ``X W y`` of a design ``(k, n) float32``, in float64."""
    k, n = design.shape
    gram = np.zeros((k, k))
    moment = np.zeros(k)
    weighted = np.empty(_BLOCK)
    for begin in range(0, n, _BLOCK):
        size = min(_BLOCK, n - begin)
        for a in range(k):
            total = 0.0
            for i in range(size):
                weighted[i] = design[a, begin + i] * weight[begin + i]
                total += weighted[i] * goal[begin + i]
            moment[a] += total
            for b in range(a + 1):
                total = 0.0
                for i in range(size):
                    total += weighted[i] * design[b, begin + i]
                gram[a, b] += total
    for a in range(k):
        for b in range(a):
            gram[b, a] = gram[a, b]
    return gram, moment
