"""The encoder's fit of a band's log-scale: maximum likelihood of a log-linear model.

Only the encoder runs this, in floating point; what it sends are integers, and decoders use nothing else.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.haar.squares import moments, solve
from haarchive.codecs.haar.vectors import vector_kernel, vector_leaf

__all__ = ["exponentiate", "fit_scale", "gather", "scales_of"]

_LOWEST, _HIGHEST = math.log(1 / 32), math.log(1 << 17)
_LOG2_E = np.float32(1 / math.log(2))
_BLOCK = 256
_SMOOTH = np.float32(1 / 128)
"""Above the reciprocal of this the logistic is as good as constant across a sample's interval."""


def fit_scale(
    features: NDArray[np.float32], size: NDArray[np.float32], start: NDArray[np.float64], iterations: int
) -> NDArray[np.float64]:
    """Weights of features for which logistics of scale ``exp(weights @ features)`` code residuals best.

    Fisher scoring: Newton's method with the expected curvature.

    Parameters
    ----------
    features : ndarray, shape (k, N), float32
        Natural logarithms of magnitudes around each sample; the first is constant, one. The first n columns count.
    size : ndarray, shape (n,), float32
        Magnitudes of the residuals, in samples.
    start : ndarray, shape (k,), float64
        Weights to start from.
    iterations : int

    Returns
    -------
    ndarray, shape (k,), float64
    """
    weights = start
    ridge = np.full(len(features), 1e-4 * size.size)
    ridge[0] = 1e-6
    pull = ridge * (ridge > 1e-5)
    step, curvature = np.empty(size.size, np.float32), np.empty(size.size, np.float32)
    for _ in range(iterations):
        _slopes(scales_of(features, weights, size.size), size, step, curvature)
        gram, moment = moments(features, step, curvature)
        weights = weights + solve(gram, ridge, moment - pull * weights)
    return weights


@vector_kernel
def gather(logarithms, rows, unit, out):  # type: ignore[no-untyped-def]
    """Fill ``out (F, R * W) float32`` with some rows of ``logarithms (F, H, W)`` integers, times `unit`."""
    width = logarithms.shape[2]
    for f in range(logarithms.shape[0]):
        for r in range(rows.size):
            row = logarithms[f, rows[r]]
            for j in range(width):
                out[f, r * width + j] = np.float32(row[j]) * np.float32(unit)


@vector_kernel
def scales_of(features, weights, n):  # type: ignore[no-untyped-def]
    """The scales, in samples, that `fit_scale`'s weights give.

    Parameters
    ----------
    features : (k, N) float32
    weights : (k,) float64
    n : int
        Of so many columns of the features.

    Returns
    -------
    (n,) float32
    """
    scales = np.zeros(n, np.float32)
    for begin in range(0, n, _BLOCK):
        end = min(begin + _BLOCK, n)
        for k in range(features.shape[0]):
            _add_feature(scales, begin, end, np.float32(weights[k]), features, k)
        row = scales[begin:end]
        for i in range(row.size):
            row[i] = min(max(row[i], np.float32(_LOWEST)), np.float32(_HIGHEST))
        exponentiate(row)
    return scales


@vector_leaf
def _add_feature(scales, begin, end, factor, features, k):  # type: ignore[no-untyped-def]
    row, feature = scales[begin:end], features[k, begin:end]
    for i in range(row.size):
        row[i] += factor * feature[i]


@vector_kernel
def _slopes(scale, size, step, curvature):  # type: ignore[no-untyped-def]
    """Newton's step of each log-scale: the slope of the log-likelihood, within [-1, 4], by its expected change.

    Parameters
    ----------
    scale, size : (n,) float32
    step, curvature : (n,) float32
        Filled.
    """
    outer, inner = np.empty(_BLOCK, np.float32), np.empty(_BLOCK, np.float32)
    one, half = np.float32(1.0), np.float32(0.5)
    for begin in range(0, size.size, _BLOCK):
        count = min(_BLOCK, size.size - begin)
        for i in range(count):
            inverse = one / scale[begin + i]
            outer[i] = -(size[begin + i] + half) * inverse
            inner[i] = -abs(size[begin + i] - half) * inverse
        exponentiate(outer)
        exponentiate(inner)
        for i in range(count):
            s, d = scale[begin + i], size[begin + i]
            inverse = one / s
            # The logistic's distribution function at both ends of the sample's interval, from the far tail.
            a, b = outer[i], inner[i]
            tail_a, tail_b = a / (one + a), b / (one + b)
            mass = (tail_b if d >= half else one - tail_b) - tail_a
            change = (d - half) * inverse * tail_b / (one + b) - (d + half) * inverse * tail_a / (one + a)
            slope = change / max(mass, np.float32(1e-26))
            if inverse < _SMOOTH:
                slope = d * inverse * (one - a) / (one + a) - one
            expected = np.float32(1.43) * min(max(s / (s + np.float32(0.3)), np.float32(0.05)), one)
            curvature[begin + i] = expected
            step[begin + i] = min(max(slope, -one), np.float32(4.0)) / expected


@vector_kernel
def exponentiate(x):  # type: ignore[no-untyped-def]
    """Replace ``x (n,) float32`` by its exponential, in arithmetic that vectorises; 4e-6 off at most."""
    exponent = np.empty(x.size, np.int32)
    for i in range(x.size):
        y = min(max(x[i] * _LOG2_E, np.float32(-120.0)), np.float32(120.0))
        floor = np.floor(y)
        exponent[i] = np.int32(floor) << 23
        f = y - floor
        # 2 ** f by a polynomial, then times 2 ** floor by adding to the exponent's bits.
        p = np.float32(1.8775767e-3)
        p = p * f + np.float32(8.9893397e-3)
        p = p * f + np.float32(5.5826318e-2)
        p = p * f + np.float32(2.4015361e-1)
        p = p * f + np.float32(6.9315308e-1)
        x[i] = p * f + np.float32(9.9999994e-1)
    whole = x.view(np.int32)
    for i in range(x.size):
        whole[i] += exponent[i]
