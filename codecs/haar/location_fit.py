"""The encoder's fit of a band's linear predictor: weighted least squares, and which taps are worth their bits.

Only the encoder runs this, in floating point; what it sends are integers, and decoders use nothing else.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.distributions.jit import kernel
from haarchive.codecs.haar.adapt import MARGIN
from haarchive.codecs.haar.fit import weighted_moments

__all__ = ["Moments", "design", "likelihood_weights", "moments", "prune", "robust_weights", "steadied"]

Moments = tuple[NDArray[np.float64], NDArray[np.float64]]
"""``X W X^T`` and ``X W y``."""

_BLOCK = 4096
_EXACT = 2.0**53
_WEIGHT_TOP = 1 << 14
_NOTHING, _COLLINEAR = 1e-9, 1e-9


@kernel
def design(planes, sources, dy, dx, centres, rows, out):  # type: ignore[no-untyped-def]
    """Fill a design matrix with what taps see.

    Parameters
    ----------
    planes : (S, H + 6, W + 6) int32
    sources, dy, dx : (k,) int64
    centres : (k,) int64
        The plane whose sample at the place is subtracted; -1 for none.
    rows : (R,) int64
        Rows of samples to use.
    out : (k, R * W) float64
    """
    width = planes.shape[2] - 2 * MARGIN
    for k in range(sources.size):
        for r in range(rows.size):
            y = rows[r] + MARGIN
            taps = planes[sources[k], y + dy[k], MARGIN + dx[k] : MARGIN + dx[k] + width]
            row = out[k, r * width : (r + 1) * width]
            if centres[k] >= 0:
                centre = planes[centres[k], y, MARGIN : MARGIN + width]
                for j in range(width):
                    row[j] = taps[j] - centre[j]
            else:
                for j in range(width):
                    row[j] = taps[j]


def robust_weights(residual: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights 1 / (|residual| + 1) of iteratively reweighted least squares (Holland and Welsch, 1977), in 1/256.

    They lean towards least absolute deviations, as the code length does.
    """
    return np.maximum(1.0, np.rint(256.0 / (np.abs(residual) + 1.0)))


@kernel
def likelihood_weights(residual, scale, weights):  # type: ignore[no-untyped-def]
    """Weights with which least squares maximise the likelihood of logistics of known scales.

    The negative log-likelihood of the logistic, ``2 log cosh(e / 2 s)``, is majorised by ``k e ** 2 / 2`` with
    ``k = tanh(|e| / 2 s) / (s |e|)``.

    Parameters
    ----------
    residual, scale, weights : (n,) float64
        `weights` is filled with integers from 1 to 2**14.

    Returns
    -------
    float
        What a weight of one is: weights are so many times k.
    """
    highest = 0.0
    for n in range(residual.size):
        size = abs(residual[n]) + 1e-5
        weights[n] = np.tanh(size / (2.0 * scale[n])) / (size * scale[n])
        highest = max(highest, weights[n])
    unit = _WEIGHT_TOP / highest
    for n in range(residual.size):
        weights[n] = max(1.0, np.rint(unit * weights[n]))
    return unit


def moments(taps: NDArray[np.float64], goal: NDArray[np.float64], weights: NDArray[np.float64]) -> Moments:
    """Weighted moments of a design ``(k, n)`` whose entries are integers, or sixteenths.

    As long as all sums are integers below 2**53 they are exact in whatever order they are added, so that any
    number of threads gives the same bitstream. Beyond that, as for pictures of 16 bits, a slower loop of fixed order
    takes over.
    """
    largest = max(float(np.abs(taps).max(initial=0.0)), 16.0 * float(np.abs(goal).max(initial=0.0)))
    if largest * largest * float(weights.sum()) >= _EXACT:
        return weighted_moments(taps.astype(np.float32), goal, weights)  # type: ignore[no-any-return]
    count = len(taps)
    gram, moment = np.zeros((count, count)), np.zeros(count)
    for begin in range(0, goal.size, _BLOCK):
        block = slice(begin, begin + _BLOCK)
        weighted = taps[:, block] * weights[block]
        gram += weighted @ taps[:, block].T
        moment += weighted @ goal[block]
    return gram, moment


def steadied(gram: NDArray[np.float64], ridge: NDArray[np.float64]) -> NDArray[np.float64]:
    """``X W X^T`` with a ridge that makes it regular even where taps see nothing, or all the same."""
    return gram + np.diag(np.maximum(ridge, _NOTHING) + _COLLINEAR * gram.diagonal())


def prune(
    fit: Moments, ridge: NDArray[np.float64], unit: float, cost: float, most: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Solve for the taps that save more than they cost (backward elimination by Wald's statistic).

    Parameters
    ----------
    fit : Moments
    ridge : ndarray, shape (k,)
        Added to the diagonal.
    unit : float
        Divides the moments into units of the log-likelihood, in nats.
    cost : float
        Nats that a weight takes in the stream.
    most : int
        The most taps to keep.

    Returns
    -------
    kept : ndarray, int64
        Indices of taps, ascending.
    solution : ndarray, float64
        Their weights.
    """
    gram, moment = steadied(fit[0], ridge), fit[1]
    kept = np.arange(len(moment))
    while kept.size:
        inner = gram[np.ix_(kept, kept)]
        inverse = np.linalg.inv(inner)
        solution = inverse @ moment[kept]
        gain = solution**2 / (2.0 * unit * np.maximum(np.diag(inverse), 1e-300))
        # No more than a third at a time: taps that say the same seem useless together, and one is not.
        worst = np.argsort(gain, kind="stable")[: max(1, kept.size // 3)]
        drop = worst[(gain[worst] < cost)] if kept.size <= most else worst[: max(1, min(kept.size - most, worst.size))]
        if not drop.size:
            return kept, solution
        kept = np.delete(kept, drop)
    return kept, np.zeros(0)
