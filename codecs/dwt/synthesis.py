"""The inverse 9/7 transform as decoders of slides compute it, in fixed point: part of the bitstream.

The transform is JPEG 2000's (ITU-T T.800, annex F.3.8.2: four lifting steps and a scaling), rows first, then columns.
How products are rounded is not in the standard. What is here was found by comparing hypotheses with slides: each
product is rounded down to 1/32, 1/16 or 1/8 of a grey level, as multiplication of 16-bit numbers leaves it (one is
rounded to the nearest), and every level is rounded to integers before the next. It gives some 99 % of their samples;
the others are coded (`remainder`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.distributions.jit import kernel
from haarchive.codecs.dwt.axis import Axis

__all__ = ["FRACTION_BITS", "Bands", "synthesise"]

FRACTION_BITS = 5
"""Samples are computed in 1/32."""

_LOW, _HIGH = 80620, 53272
"""K and 1 / K (T.800, table F.4), in 2**-16; the others are the steps' alpha, beta, gamma and delta likewise."""
_ALPHA, _BETA, _GAMMA, _DELTA = 103944, 3472, 57862, 29064
_HALF = 1 << 15


class Bands(NamedTuple):
    """The coefficients of one level, dequantised.

    Parameters
    ----------
    ll, hl, lh, hh : ndarray, int32
        Low in both directions; high along rows; high along columns; high in both.
    """

    ll: NDArray[np.int32]
    hl: NDArray[np.int32]
    lh: NDArray[np.int32]
    hh: NDArray[np.int32]


def synthesise(bands: Bands, rows: Axis, columns: Axis) -> NDArray[np.int32]:
    """The samples of a level.

    Parameters
    ----------
    bands : Bands
        Each tile's coefficients next to those of its neighbours; magnitudes below 2**20.
    rows, columns : Axis
        Of the samples.

    Returns
    -------
    ndarray, shape (rows.size, columns.size), int32
        In 2**-5, not yet rounded.
    """
    across = columns.bounds
    low = _invert(bands.ll << FRACTION_BITS, bands.hl << FRACTION_BITS, across, False)
    high = _invert(bands.lh << FRACTION_BITS, bands.hh << FRACTION_BITS, across, False)
    samples = _invert(np.ascontiguousarray(low.T), np.ascontiguousarray(high.T), rows.bounds, True)
    return np.ascontiguousarray(samples.T)


def _invert(
    low: NDArray[np.int32], high: NDArray[np.int32], bounds: NDArray[np.int64], last: bool
) -> NDArray[np.int32]:
    """Each row of ``(N, L)`` low and ``(N, H)`` high coefficients to ``(N, L + H)`` samples."""
    out = np.empty((low.shape[0], low.shape[1] + high.shape[1]), np.int32)
    _invert_rows(low, high, bounds, last, out)
    return out


@kernel
def _mirror(x, count):  # type: ignore[no-untyped-def]
    """Set what is before and behind ``x[1 : count + 1]``: the transform extends tiles by mirroring them."""
    x[0] = x[1] if count else 0
    x[count + 1] = x[count] if count else 0


@kernel
def _invert_rows(low, high, bounds, last, out):  # type: ignore[no-untyped-def]
    """In the second direction, high coefficients have one bit more."""
    s, d = np.zeros(low.shape[1] + 2, np.int64), np.zeros(high.shape[1] + 2, np.int64)
    bits, nearest = (0, _HALF) if last else (1, 0)
    for r in range(low.shape[0]):
        at_low, at_high = 0, 0
        for t in range(bounds.size - 1):
            begin, end = bounds[t], bounds[t + 1]
            odd = begin & 1
            lows, highs = (end + 1) // 2 - (begin + 1) // 2, end // 2 - begin // 2
            for i in range(lows):
                s[i + 1] = ((_LOW * np.int64(low[r, at_low + i])) >> 17) << 1
            for i in range(highs):
                d[i + 1] = ((_HIGH * np.int64(high[r, at_high + i])) >> (16 + bits)) << bits
            _mirror(d, highs)
            for i in range(lows):
                s[i + 1] -= ((_DELTA * (d[i + odd] + d[i + odd + 1])) >> (16 + bits)) << bits
            _mirror(s, lows)
            for i in range(highs):
                d[i + 1] -= ((_GAMMA * (s[i + 1 - odd] + s[i + 2 - odd])) >> (17 + bits)) << (1 + bits)
            _mirror(d, highs)
            for i in range(lows):
                s[i + 1] -= (nearest - _BETA * (d[i + odd] + d[i + odd + 1])) >> 16
            _mirror(s, lows)
            first = at_low + at_high
            for i in range(lows):
                out[r, first + 2 * i + odd] = s[i + 1]
            for i in range(highs):
                rounded = ((d[i + 1] + 1 + bits) >> (1 + bits)) << (1 + bits)
                product = ((-_ALPHA * (s[i + 1 - odd] + s[i + 2 - odd])) >> 18) << 2
                out[r, first + 2 * i + 1 - odd] = rounded - product
            at_low += lows
            at_high += highs
