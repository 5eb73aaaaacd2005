"""Logarithms of magnitudes around a sample: what the scale of a band is predicted from."""

from __future__ import annotations

import numpy as np

from haarchive.codecs.distributions.jit import kernel, leaf
from haarchive.codecs.haar.margins import MARGIN

__all__ = ["LOG_LIMIT", "LOG_ONE", "NEAR_FLOOR", "log_features", "logarithm"]

LOG_ONE = 64
"""Log-scales and logarithms are in 1/64 octave."""

NEAR_FLOOR = 45
"""Added to magnitudes in 1/128 sample before their logarithm is taken: 0.35 sample."""

LOG_LIMIT = (1 << 24) - 1
"""Larger magnitudes have the logarithm of this."""


@leaf
def logarithm(value, real, whole):  # type: ignore[no-untyped-def]
    """``64 * log2(value)`` for value >= 1, linear between powers of two and rounded down.

    The exponent and the upper six bits of the mantissa of a float32 are just that; integers below 2**24 are exact
    in it.
    """
    real[0] = min(value, LOG_LIMIT)
    return (np.int64(whole[0]) >> 17) - (127 << 6)


@kernel
def log_features(kinds, index, distances, lows, floor, features):  # type: ignore[no-untyped-def]
    """Logarithms of magnitudes that are known around each sample before a band is coded.

    Parameters
    ----------
    kinds : (F,) int64
        0 the distance at the place; 1 that twice and its four neighbours by half; 2 the mean of the place and the
        one below; of a low band 3 the vertical slope, 4 the horizontal slope, 5 the vertical curvature, 6 the
        horizontal curvature.
    index : (F,) int64
        The plane of `distances`, or of `lows`.
    distances, lows : (S, H + 6, W + 6) int32
    floor : int
        Added to each magnitude, which is in 1/128 sample.
    features : (F, H, W) int16
        Filled, in 1/64 octave.
    """
    _, height, width = features.shape
    real = np.empty(width, np.float32)
    whole = real.view(np.int32)
    for f in range(kinds.size):
        for i in range(height):
            if kinds[f] <= 2:
                _log_inputs(kinds[f], distances, index[f], i, floor, real)
            else:
                _log_inputs(kinds[f], lows, index[f], i, floor, real)
            _store_logs(whole, features, f, i)


@leaf
def _log_inputs(kind, planes, index, i, floor, real):  # type: ignore[no-untyped-def]
    """Fill ``real`` with what a feature takes the logarithms of in a row."""
    y, width = i + MARGIN, real.size
    here = planes[index, y, MARGIN : MARGIN + width]
    above = planes[index, y - 1, MARGIN : MARGIN + width]
    below = planes[index, y + 1, MARGIN : MARGIN + width]
    left = planes[index, y, MARGIN - 1 : MARGIN - 1 + width]
    right = planes[index, y, MARGIN + 1 : MARGIN + 1 + width]
    # One loop a kind, in 32 bits, so that each fills vector registers. Distances are below 2**24; slopes and
    # curvatures beyond 2**17 samples are as good as 2**17, whose logarithm is the largest.
    if kind == 0:
        for j in range(width):
            real[j] = min(np.int32(np.int32(8) * here[j]) + np.int32(floor), LOG_LIMIT)
    elif kind == 1:
        for j in range(width):
            size = np.int32(np.int32(left[j] + right[j]) + np.int32(above[j] + below[j]))
            real[j] = min(np.int32(size + np.int32(np.int32(4) * here[j])) + np.int32(floor), LOG_LIMIT)
    elif kind == 2:
        for j in range(width):
            real[j] = min(np.int32(np.int32(4) * np.int32(here[j] + below[j])) + np.int32(floor), LOG_LIMIT)
    elif kind == 3:
        _log_slopes(below, above, floor, real)
    elif kind == 4:
        _log_slopes(right, left, floor, real)
    elif kind == 5:
        _log_curvatures(below, above, here, floor, real)
    else:
        _log_curvatures(right, left, here, floor, real)


@leaf
def _log_slopes(one, other, floor, real):  # type: ignore[no-untyped-def]
    """Fill ``real`` with ``128 |one - other| + floor``."""
    for j in range(real.size):
        size = np.int32(one[j] - other[j])
        real[j] = min(np.int32(min(abs(size), np.int32(1 << 17)) * np.int32(128)) + np.int32(floor), LOG_LIMIT)


@leaf
def _log_curvatures(one, other, here, floor, real):  # type: ignore[no-untyped-def]
    """Fill ``real`` with ``128 |one + other - 2 here| + floor``."""
    for j in range(real.size):
        size = np.int32(np.int32(one[j] + other[j]) - np.int32(np.int32(2) * here[j]))
        real[j] = min(np.int32(min(abs(size), np.int32(1 << 17)) * np.int32(128)) + np.int32(floor), LOG_LIMIT)


@leaf
def _store_logs(whole, features, f, i):  # type: ignore[no-untyped-def]
    """The logarithms of a row, from the bits of its floats."""
    row = features[f, i]
    for j in range(row.size):
        row[j] = (whole[j] >> 17) - (127 << 6)
