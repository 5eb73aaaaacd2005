"""Coding whole arrays of integers with a family of integer tables.

Each symbol comes with the index of the table that describes it. Symbols outside of their table are coded as
the table's escape and their distance to it, so that every int32 can be coded with every table.

Symbol i goes to lane ``i % lanes``. The distances of all escapes follow after the last symbol, in the order
of their symbols, in lane 0, each by `haarchive.codecs.rans.kernels.add_gamma`: 0, 2, 4, ... for the first,
second, third, ... symbol above the table and 1, 3, 5, ... for those below it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.distributions.jit import kernel
from haarchive.codecs.distributions.tables import PROBABILITY_ONE, CdfTables, entry_of_slot
from haarchive.codecs.errors import BitstreamError
from haarchive.codecs.rans.dynamic import bytes_of_words, encode_lanes, words_of_bytes
from haarchive.codecs.rans.kernels import (
    INITIAL_STATE,
    MAX_GAMMA_OPS,
    add_gamma,
    advance,
    begin,
    slot,
    take_gamma,
)

__all__ = ["LANES", "decode_symbols", "encode_symbols"]

LANES = 4
"""Lanes by default: enough to hide the latency of one symbol's arithmetic behind the others'."""

INT32_MAX = (1 << 31) - 1
INT32_MIN = -(1 << 31)


def encode_symbols(
    symbols: NDArray[np.int32], table_index: NDArray[np.int32], tables: CdfTables, lanes: int = LANES
) -> bytes:
    """Encode symbols with static tables.

    Parameters
    ----------
    symbols : (n,) int32
    table_index : (n,) int32
        The table of each symbol, in ``[0, len(tables))``.
    tables : CdfTables
    lanes : int
        Coders that take turns; at least 1. Each costs 4 bytes.

    Returns
    -------
    bytes
        As from `haarchive.codecs.rans.dynamic.encode_intervals`.

    Raises
    ------
    ValueError
        If there is no such table, a symbol is no int32, or the arrays differ in length.
    TypeError
        If the symbols are not integers.
    """
    index = _checked_index(table_index, tables, lanes)
    values = _as_int32(symbols)
    if values.shape != index.shape:
        raise ValueError(f"symbols and table_index must be of one length, not {values.shape} and {index.shape}")
    escapes = _count_escapes(values, index, tables.low, tables.size)
    start, freq, n = _intervals(values, index, tables.cdf, tables.offset, tables.low, tables.size, escapes)
    return bytes_of_words(encode_lanes(start, freq, values.size, n - values.size, lanes))


def decode_symbols(
    data: bytes, table_index: NDArray[np.int32], tables: CdfTables, lanes: int = LANES
) -> NDArray[np.int32]:
    """Decode what `encode_symbols` encoded with the same tables and lanes.

    Parameters
    ----------
    data : bytes
    table_index : (n,) int32
    tables : CdfTables
    lanes : int

    Returns
    -------
    (n,) int32

    Raises
    ------
    BitstreamError
        If the stream is truncated, too long, or visibly damaged. (Damage can also give other symbols; only a
        checksum tells.)
    ValueError
        If there is no such table.
    """
    index = _checked_index(table_index, tables, lanes)
    words = words_of_bytes(data)
    if words.size < 2 * lanes:
        raise BitstreamError(f"{len(data)} bytes cannot hold the states of {lanes} lanes: the stream is truncated")
    symbols: NDArray[np.int32]
    symbols, sound = _decode(words, index, tables.cdf, tables.first, tables.offset, tables.low, tables.size, lanes)
    if not sound:
        raise BitstreamError(
            f"the rANS stream of {index.size} symbols ({len(data)} bytes) is damaged or was written with other tables"
        )
    return symbols


@kernel
def _count_escapes(symbols, index, low, size):  # type: ignore[no-untyped-def]
    """How many symbols lie outside of their tables."""
    count = np.int64(0)
    for i in range(symbols.size):
        entry = np.int64(symbols[i]) - np.int64(low[index[i]])
        count += np.int64((entry < 0) | (entry >= np.int64(size[index[i]]) - 1))
    return count


@kernel
def _intervals(symbols, index, cdf, offset, low, size, escapes):  # type: ignore[no-untyped-def]
    """Intervals of all symbols, then those of the escapes' distances: start, freq (uint16), their number."""
    start = np.empty(symbols.size + escapes * MAX_GAMMA_OPS, np.uint16)
    freq = np.empty_like(start)
    n = np.int64(symbols.size)
    for i in range(symbols.size):
        table = index[i]
        last = np.int64(size[table]) - 1
        entry = np.int64(symbols[i]) - np.int64(low[table])
        if entry < 0 or entry >= last:
            distance = 2 * (entry - last) if entry >= last else -2 * entry - 1
            n = add_gamma(distance, start, freq, n)
            entry = last
        place = np.int64(offset[table]) + entry
        begins = np.int64(cdf[place])
        start[i] = begins
        freq[i] = np.int64(cdf[place + 1]) - begins
    return start, freq, n


@kernel
def _decode(words, index, cdf, first, offset, low, size, lanes):  # type: ignore[no-untyped-def]
    """The symbols, and whether the stream ended as a sound one does."""
    n = index.size
    symbols = np.empty(n, np.int32)
    states = np.empty(lanes, np.int64)
    pos = np.int64(0)
    sound = True
    for lane in range(lanes):
        states[lane], pos = begin(words, pos)
        sound &= states[lane] >= INITIAL_STATE
    escapes = np.int64(0)
    for turn in range(-(-n // lanes)):
        base = turn * lanes
        for lane in range(min(lanes, n - base)):
            table = index[base + lane]
            here = slot(states[lane])
            entry, begins, width = entry_of_slot(cdf, first, offset, table, here)
            states[lane], pos = advance(states[lane], here, begins, width, words, pos)
            symbols[base + lane] = entry + np.int64(low[table])
            escapes += np.int64(begins + width == PROBABILITY_ONE)
    i = 0
    while escapes:
        # So far an escape looks like the first symbol above its table.
        table = index[i]
        last = np.int64(size[table]) - 1
        if symbols[i] == last + np.int64(low[table]):
            escapes -= 1
            distance, states[0], pos = take_gamma(states[0], words, pos)
            entry = -(distance >> 1) - 1 if distance & 1 else last + (distance >> 1)
            symbol = entry + np.int64(low[table])
            if INT32_MIN <= symbol <= INT32_MAX:
                symbols[i] = symbol
            else:
                sound = False
        i += 1
    for lane in range(lanes):
        sound &= states[lane] == INITIAL_STATE
    return symbols, sound and pos == words.size


def _as_int32(symbols: NDArray) -> NDArray[np.int32]:
    """The symbols as a contiguous array of int32, checked only where their dtype could hold more."""
    if symbols.dtype.kind not in "iu":
        raise TypeError(f"symbols must be integers, not {symbols.dtype}")
    if not np.can_cast(symbols.dtype, np.int32) and symbols.size:
        low, high = int(symbols.min()), int(symbols.max())
        if low < INT32_MIN or high > INT32_MAX:
            raise ValueError(f"symbols must lie in [{INT32_MIN}, {INT32_MAX}], not in [{low}, {high}]")
    return np.ascontiguousarray(symbols, dtype=np.int32)


def _checked_index(table_index: NDArray[np.int32], tables: CdfTables, lanes: int) -> NDArray[np.int32]:
    """The table index as a contiguous vector of int32, every one of which is a table."""
    if table_index.ndim != 1:
        raise ValueError(f"table_index must be a vector, not of shape {table_index.shape}")
    if table_index.size:
        low, high = table_index.min(), table_index.max()
        if not 0 <= low <= high < len(tables):
            raise ValueError(f"table_index must lie in [0, {len(tables)}), not in [{low}, {high}]")
    if lanes < 1:
        raise ValueError(f"there must be at least 1 lane, not {lanes}")
    return np.ascontiguousarray(table_index, dtype=np.int32)
