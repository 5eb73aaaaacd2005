"""The encoder's fit of a band's linear predictor: weighted least squares, and which taps are worth their bits.

Only the encoder runs this, in floating point; what it sends are integers, and decoders use nothing else.
"""

from __future__ import annotations

import numpy as np

from haarchive.codecs.distributions.jit import kernel
from haarchive.codecs.haar.margins import MARGIN
from haarchive.codecs.haar.scale_fit import exponentiate
from haarchive.codecs.haar.vectors import vector_kernel

__all__ = ["design", "likelihood_weights", "mean_square", "robust_weights", "scales_along"]

_NEAR_SHARE, _NEAR_LEAST = np.float32(0.2 / 1.386), np.float32(0.3)


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
    out : (k, R * W) float32
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


@vector_kernel
def robust_weights(residual):  # type: ignore[no-untyped-def]
    """Weights 1 / (|residual| + 1) of iteratively reweighted least squares (Holland and Welsch, 1977).

    They lean towards least absolute deviations, as the code length does.

    Parameters
    ----------
    residual : (n,) float32

    Returns
    -------
    (n,) float32
    """
    weights = np.empty_like(residual)
    for n in range(residual.size):
        weights[n] = np.float32(1.0) / (abs(residual[n]) + np.float32(1.0))
    return weights


@vector_kernel
def scales_along(residual, width):  # type: ignore[no-untyped-def]
    """Scales as the magnitudes of the residuals around in the same row suggest.

    Parameters
    ----------
    residual : (n,) float32
        Of whole rows.
    width : int
        Of a row.

    Returns
    -------
    (n,) float32
    """
    scale = np.empty_like(residual)
    for begin in range(0, residual.size, width):
        row = residual[begin : begin + width]
        for j in range(row.size):
            beside = abs(row[max(j - 1, 0)]) + abs(row[min(j + 1, row.size - 1)])
            beyond = abs(row[max(j - 2, 0)]) + abs(row[min(j + 2, row.size - 1)])
            scale[begin + j] = (abs(row[j]) + beside + beyond) * _NEAR_SHARE + _NEAR_LEAST
    return scale


@vector_kernel
def mean_square(residual, weights):  # type: ignore[no-untyped-def]
    """The mean of ``weights * residual ** 2``."""
    total = 0.0
    for n in range(residual.size):
        total += weights[n] * residual[n] * residual[n]
    return total / residual.size


@vector_kernel
def likelihood_weights(residual, scale, more):  # type: ignore[no-untyped-def]
    """Weights with which least squares maximise the likelihood of logistics of known scales.

    The negative log-likelihood of the logistic, ``2 log cosh(e / 2 s)``, is majorised by ``k e ** 2 / 2`` with
    ``k = tanh(|e| / 2 s) / (s |e|)``.

    Parameters
    ----------
    residual, scale : (n,) float32
    more : float
        Added to all scales.

    Returns
    -------
    (n,) float32
    """
    power = np.empty(residual.size, np.float32)
    for n in range(residual.size):
        power[n] = -(abs(residual[n]) + np.float32(1e-3)) / (scale[n] + np.float32(more))
    weights = power.copy()
    exponentiate(weights)
    for n in range(residual.size):
        s = scale[n] + np.float32(more)
        weights[n] = (np.float32(1.0) - weights[n]) / ((np.float32(1.0) + weights[n]) * -power[n] * s * s)
    return weights
