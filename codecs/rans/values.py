"""Coding of single integers under a location and a scale: numba kernels.

A value is coded in the table of the discretised logistic that is nearest to its location (in 1/16) and scale
(in 1/8 octave). Scales above the largest table's are brought down by halving the grid: the low bits, which
are as good as uniform there, go as they are. What a table does not hold is escaped, so that any 32-bit
integer can be coded.
"""

from __future__ import annotations

import numpy as np

from haarchive.codecs.distributions.jit import leaf
from haarchive.codecs.distributions.logistic import SCALES
from haarchive.codecs.distributions.tables import entry_of_slot
from haarchive.codecs.rans.kernels import (
    MAX_GAMMA_OPS,
    add_bits,
    add_gamma,
    advance,
    slot,
    take_bits,
    take_gamma,
)

__all__ = ["MAX_LOW_BITS", "MAX_SCALE", "MAX_VALUE_OPS", "TOP_TABLE", "add_value", "take_value"]

MAX_LOW_BITS = 20
"""The most low bits that are sent as they are."""

MAX_SCALE = SCALES - 1 + 8 * MAX_LOW_BITS
"""The largest scale, in eighths of an octave from 2**-5."""

MAX_VALUE_OPS = 1 + MAX_GAMMA_OPS + 2
"""The most operations that `add_value` appends."""

TOP_TABLE = SCALES - 1
"""The scale of the largest tables: values of larger ones have low bits that go as they are."""


@leaf
def _place(location, scale):  # type: ignore[no-untyped-def]
    """Table index, integer location in units of ``2**bits``, and how many low bits go as they are."""
    bits = 0
    if scale > TOP_TABLE:
        bits = (scale - TOP_TABLE + 7) >> 3
        scale -= bits << 3
        # A cell of 2**b integers has its middle (2**b - 1) / 2 above its first.
        location = (location - (((1 << bits) - 1) << 3)) >> bits
    return (scale << 4) | (location & 15), location >> 4, bits


@leaf
def add_value(value, location, scale, cdf, offset, low, size, start, freq, n):  # type: ignore[no-untyped-def]
    """Append the operations that code an integer.

    Parameters
    ----------
    value : int
        Any int32.
    location : int
        In 1/16.
    scale : int
        In ``[0, MAX_SCALE]``, eighths of an octave from 2**-5.
    cdf, offset, low, size : ndarray
        Of the `LogisticTables`.
    start, freq : (>= n + MAX_VALUE_OPS,) uint16
    n : int

    Returns
    -------
    int
        The new n.
    """
    table, centre, bits = _place(location, scale)
    distance = (value >> bits) - centre
    base = np.int64(offset[table])
    entry = distance - np.int64(low[table])
    last = np.int64(size[table]) - 1
    inside = 0 <= entry < last
    if not inside:
        entry = last
    first = np.int64(cdf[base + entry])
    start[n] = first
    freq[n] = np.int64(cdf[base + entry + 1]) - first
    n += 1
    if not inside:
        n = add_gamma(2 * distance if distance >= 0 else -2 * distance - 1, start, freq, n)
    if bits > 0:
        rest = value & ((1 << bits) - 1)
        if bits > 15:
            n = add_bits(rest >> 15, bits - 15, start, freq, n)
            rest &= (1 << 15) - 1
            bits = 15
        n = add_bits(rest, bits, start, freq, n)
    return n


@leaf
def take_value(location, scale, cdf, offset, low, size, first, state, words, pos):  # type: ignore[no-untyped-def]
    """Decode what `add_value` coded; returns ``(value, state, pos)``.

    A damaged stream may give any value: it is clamped to int32, and the checks at the stream's end tell.
    """
    table, centre, bits = _place(location, scale)
    here = slot(state)
    entry, begin, width = entry_of_slot(cdf, first, offset, table, here)
    state, pos = advance(state, here, begin, width, words, pos)
    if entry == np.int64(size[table]) - 1:
        code, state, pos = take_gamma(state, words, pos)
        code = min(code, (1 << 34) - 1)
        distance = code >> 1 if code & 1 == 0 else -((code + 1) >> 1)
    else:
        distance = entry + np.int64(low[table])
    value = (distance + centre) << bits
    if bits > 0:
        if bits > 15:
            rest, state, pos = take_bits(bits - 15, state, words, pos)
            value += rest << 15
            bits = 15
        rest, state, pos = take_bits(bits, state, words, pos)
        value += rest
    return min(max(value, -(1 << 31)), (1 << 31) - 1), state, pos
