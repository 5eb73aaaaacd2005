"""The encoder's fit of a band's log-scale: maximum likelihood of a log-linear model.

Only the encoder runs this, in floating point; what it sends are integers, and decoders use nothing else.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.distributions.jit import kernel

__all__ = ["fit_scale", "scales_of"]

_ITERATIONS, _MORE_ITERATIONS = 5, 2
_LOWEST, _HIGHEST = math.log(1 / 32), math.log(1 << 17)


def fit_scale(
    features: NDArray[np.float64], size: NDArray[np.float64], start: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Weights of features for which logistics of scale ``exp(weights @ features)`` code residuals best.

    Fisher scoring: Newton's method with the expected curvature.

    Parameters
    ----------
    features : ndarray, shape (k, n), float64
        Natural logarithms of magnitudes around each sample; the first is constant, one.
    size : ndarray, shape (n,), float64
        Magnitudes of the residuals, in samples.
    start : ndarray, shape (k,), optional
        Weights that are nearly right already.

    Returns
    -------
    ndarray, shape (k,), float64
    """
    count = len(features)
    weights = np.zeros(count)
    weights[0] = math.log(float(size.mean()) / 1.386 + 0.05)
    if start is not None:
        weights = start
    ridge = np.full(count, 1e-4 * size.size)
    ridge[0] = 1e-6
    slope, curvature = np.empty(size.size), np.empty(size.size)
    for _ in range(_ITERATIONS if start is None else _MORE_ITERATIONS):
        _slopes(scales_of(features, weights), size, slope, curvature)
        gram = (features * curvature) @ features.T + np.diag(ridge)
        weights = weights + np.linalg.solve(gram, features @ slope - ridge * weights * (ridge > 1e-5))
    return weights


def scales_of(features: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """The scales, in samples, that `fit_scale`'s weights give."""
    return np.exp(np.clip(weights @ features, _LOWEST, _HIGHEST))


@kernel
def _slopes(scale, size, slope, curvature):  # type: ignore[no-untyped-def]
    """Derivative of the log-likelihood by the log-scale, clipped to [-1, 4], and its expected negative slope."""
    for n in range(size.size):
        inverse = 1.0 / scale[n]
        outer, inner = (size[n] + 0.5) * inverse, (size[n] - 0.5) * inverse
        # The logistic's distribution function at both ends of the sample's interval, from the far tail.
        a, b = np.exp(-min(outer, 60.0)), np.exp(-min(abs(inner), 60.0))
        tail_a, tail_b = a / (1.0 + a), b / (1.0 + b)
        mass = (tail_b if inner >= 0.0 else 1.0 - tail_b) - tail_a
        change = inner * b / ((1.0 + b) * (1.0 + b)) - outer * a / ((1.0 + a) * (1.0 + a))
        slope[n] = min(max(change / max(mass, 1e-26), -1.0), 4.0)
        curvature[n] = 1.43 * min(max(scale[n] / (scale[n] + 0.3), 0.05), 1.0)
