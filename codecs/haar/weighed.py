"""Coding of finest details with weights of the sample values that they give: numba kernels.

An entry d of a detail's table stands for the samples ``low - (d >> 1)`` and that plus d. Its frequency is multiplied
by the weights of both, and all are brought back to `PROBABILITY_ONE` in integers: with G the sum of the products before
entry e of n, T that of all, it has the slots from ``G * (PROBABILITY_ONE - n) // T + e`` on, so that each has at least
one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.distributions import logistic_tables
from haarchive.codecs.distributions.jit import leaf
from haarchive.codecs.distributions.tables import PROBABILITY_ONE
from haarchive.codecs.haar.occurrences import ONE
from haarchive.codecs.rans.kernels import add_gamma, advance, slot, take_gamma

__all__ = ["UNWEIGHED", "Weighed", "add_weighed", "take_weighed", "weighed"]

_ESCAPE = ONE * ONE


class Weighed(NamedTuple):
    """What the coding of a plane's finest details looks at.

    Parameters
    ----------
    rising, falling : ndarray, shape (n,), int32
        Weights of sample values, each twice, and zeros before and behind: for tables' entries in turn they are next to
        each other. Empty where there are no weights.
    firsts, seconds : ndarray, shape (H, W), int32
        Low samples in terms of these values, for the first and the second sample of each detail.
    products : ndarray, int32
        Room for those of a table.
    """

    rising: NDArray[np.int32]
    falling: NDArray[np.int32]
    firsts: NDArray[np.int32]
    seconds: NDArray[np.int32]
    products: NDArray[np.int32]


_NOTHING, _NOWHERE = np.zeros(0, np.int32), np.zeros((1, 1), np.int32)
UNWEIGHED = Weighed(_NOTHING, _NOTHING, _NOWHERE, _NOWHERE, _NOTHING)


def weighed(weights: NDArray[np.int64], firsts: NDArray[np.int32], seconds: NDArray[np.int32]) -> Weighed:
    """Lay out weights of the values 0, 1, ... for `add_weighed` and `take_weighed`."""
    largest = int(logistic_tables().size.max())
    rising = np.pad(np.repeat(weights.astype(np.int32), 2), largest)
    return Weighed(rising, rising[::-1].copy(), firsts, seconds, np.empty(largest, np.int32))


@leaf
def _weigh(table, middle, i, j, weighed, cdf, offset, low, size):  # type: ignore[no-untyped-def]
    """Fill the products of a table, and return their sum.

    Parameters
    ----------
    table : int
    middle : int
        The integer part of the location.
    i, j : int
        The sample's place.
    weighed : Weighed
    cdf, offset, low, size : ndarray
        Of the `LogisticTables`.
    """
    base, count = np.int64(offset[table]), np.int64(size[table])
    detail = middle + np.int64(low[table])
    # The second sample is second + ((d + 1) >> 1), at 2 second + d + 1 of what has each weight twice; the first is
    # first - (d >> 1), at 2 first - d + 1, or as far from the other end. Beyond the zeros there are zeros.
    margin, room = weighed.products.size, weighed.rising.size - count
    up = min(max(2 * np.int64(weighed.seconds[i, j]) + detail + 1 + margin, 0), room)
    down = min(max(weighed.falling.size - 2 - margin - 2 * np.int64(weighed.firsts[i, j]) + detail, 0), room)
    rising, falling = weighed.rising[up : up + count], weighed.falling[down : down + count]
    edges, ends, products = cdf[base : base + count], cdf[base + 1 : base + 1 + count], weighed.products
    # 2**15 * 63 * 63 is below 2**31, and so are the sums: casts keep them in 32 bits, twice as many in a register.
    total = np.int32(0)
    for entry in range(count - 1):
        frequency = np.int32(np.int32(ends[entry]) - np.int32(edges[entry]))
        product = np.int32(np.int32(frequency * rising[entry]) * falling[entry])
        products[entry] = product
        total = np.int32(total + product)
    escape = np.int64(ends[count - 1]) - np.int64(edges[count - 1])
    products[count - 1] = escape * _ESCAPE
    return total + escape * _ESCAPE


@leaf
def add_weighed(  # type: ignore[no-untyped-def]
    value, location, scale, i, j, weighed, cdf, offset, low, size, start, freq, n
):  # fmt: skip
    """Append the operations that code a finest detail; as `values.add_value`, for scales of `TOP_TABLE` and below.

    Parameters
    ----------
    value, location, scale
        As for `values.add_value`.
    i, j, weighed, cdf, offset, low, size
        As for `_weigh`.
    start, freq : (>= n + MAX_VALUE_OPS,) uint16
    n : int

    Returns
    -------
    n : int
        The new one.
    plain : int
        The frequency that the entry has without weights.
    """
    table, middle = (scale << 4) | (location & 15), location >> 4
    total = _weigh(table, middle, i, j, weighed, cdf, offset, low, size)
    count = np.int64(size[table])
    entry = value - middle - np.int64(low[table])
    inside = 0 <= entry < count - 1
    if not inside:
        entry = count - 1
    before = np.int64(0)
    for e in range(entry):
        before += weighed.products[e]
    free = PROBABILITY_ONE - count
    begin = before * free // total + entry
    start[n] = begin
    freq[n] = (before + weighed.products[entry]) * free // total + entry + 1 - begin
    n += 1
    if not inside:
        distance = value - middle
        n = add_gamma(2 * distance if distance >= 0 else -2 * distance - 1, start, freq, n)
    at = np.int64(offset[table]) + entry
    return n, np.int64(cdf[at + 1]) - np.int64(cdf[at])


@leaf
def take_weighed(  # type: ignore[no-untyped-def]
    location, scale, i, j, weighed, cdf, offset, low, size, state, words, pos
):  # fmt: skip
    """Decode what `add_weighed` coded; returns ``(value, state, pos)``."""
    table, middle = (scale << 4) | (location & 15), location >> 4
    total = _weigh(table, middle, i, j, weighed, cdf, offset, low, size)
    count, products = np.int64(size[table]), weighed.products
    free = PROBABILITY_ONE - count
    here = slot(state)
    entry, before = np.int64(0), np.int64(0)
    # The next entry begins at or before the slot: G * free // T <= slot - e - 1, without the division.
    while entry < count - 1 and (before + products[entry]) * free < (here - entry) * total:
        before += products[entry]
        entry += 1
    begin = before * free // total + entry
    width = (before + products[entry]) * free // total + entry + 1 - begin
    state, pos = advance(state, here, begin, width, words, pos)
    if entry < count - 1:
        return middle + np.int64(low[table]) + entry, state, pos
    code, state, pos = take_gamma(state, words, pos)
    code = min(code, (1 << 34) - 1)
    distance = code >> 1 if code & 1 == 0 else -((code + 1) >> 1)
    return min(max(distance + middle, -(1 << 31)), (1 << 31) - 1), state, pos
