"""Integer CDF tables: what the entropy coder needs to know about a family of distributions.

A table is a distribution over the consecutive integers ``low, low + 1, ...`` whose last entry is the
*escape*: it stands for every integer outside of the table. Probabilities are integers in units of
``2**-PROBABILITY_BITS``, none of them zero, and their sum is exactly one. Many tables lie end to end in flat
arrays, because that is the shape in which numba kernels read them fast.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from haarchive.codecs.distributions.jit import leaf

__all__ = ["PROBABILITY_BITS", "PROBABILITY_ONE", "CdfTables", "entry_of_slot"]

PROBABILITY_BITS = 15
"""Probabilities are multiples of ``2**-15``."""

PROBABILITY_ONE = 1 << PROBABILITY_BITS
"""The integer that stands for probability 1."""

BUCKET_BITS = PROBABILITY_BITS - 8
"""The decode accelerator knows where to start for each of 2**8 stretches of ``2**BUCKET_BITS`` slots."""


@dataclass(frozen=True, eq=False)
class CdfTables:
    """Tables of integer probabilities, end to end.

    Table t has ``size[t]`` entries. Entry e of it covers the slots from ``cdf[offset[t] + e]`` (inclusive) to
    ``cdf[offset[t] + e + 1]`` (exclusive). Entry e stands for the symbol ``low[t] + e``, but for the last
    one, which is the escape.

    Parameters
    ----------
    cdf : (n_entries + n_tables,) uint16
        Cumulative probabilities: each table begins with 0 and ends with `PROBABILITY_ONE`.
    offset : (n_tables,) int32
        Where each table begins in `cdf`.
    low : (n_tables,) int32
        The symbol of entry 0.
    size : (n_tables,) int32
        Number of entries, the escape included; at least 1.
    first : (n_tables, 256) uint8
        The entry that covers the first slot of each stretch of ``2**7`` slots, or 255 where it is a later
        one: where `entry_of_slot` starts to look. (Bytes, because many tables compete for the cache.)
    """

    cdf: NDArray[np.uint16]
    offset: NDArray[np.int32]
    low: NDArray[np.int32]
    size: NDArray[np.int32]
    first: NDArray[np.uint8]

    @classmethod
    def from_frequencies(cls, frequencies: Sequence[ArrayLike], low: ArrayLike) -> Self:
        """Make tables of the probabilities of their entries.

        Parameters
        ----------
        frequencies : sequence of (size,) integer arrays
            For each table the probabilities of its entries in units of ``2**-PROBABILITY_BITS``, the escape's
            last; each at least 1, `PROBABILITY_ONE` in all.
        low : (n_tables,) integers
            The symbol of each table's entry 0.

        Raises
        ------
        ValueError
            If a probability is not positive, a table's probabilities do not add up to one, or a symbol or the
            one above the table's highest is no int32.
        """
        rows = [np.asarray(row, dtype=np.int64) for row in frequencies]
        lows = np.asarray(low, dtype=np.int64)
        if lows.shape != (len(rows),):
            raise ValueError(f"{len(rows)} tables need as many lowest symbols, not {lows.shape}")
        for index, row in enumerate(rows):
            if row.ndim != 1 or row.size == 0 or row.min() < 1 or row.sum() != PROBABILITY_ONE:
                raise ValueError(f"table {index}: frequencies must be positive and add up to {PROBABILITY_ONE}")
            if not -(1 << 31) <= lows[index] <= (1 << 31) - row.size:
                raise ValueError(f"table {index}: its symbols, and the next one above, must fit into int32")
        starts = [np.append(0, np.cumsum(row)) for row in rows]
        size = np.array([row.size for row in rows], dtype=np.int32)
        offset = (np.cumsum(size + 1) - (size + 1)).astype(np.int32)
        heads = np.arange(1 << 8) << BUCKET_BITS
        first = [np.searchsorted(start, heads, side="right") - 1 for start in starts]
        return cls(
            cdf=_frozen(np.concatenate(starts) if starts else np.empty(0), np.uint16),
            offset=_frozen(offset, np.int32),
            low=_frozen(lows, np.int32),
            size=_frozen(size, np.int32),
            first=_frozen(np.minimum(first, 255).reshape(len(rows), 1 << 8), np.uint8),
        )

    def __len__(self) -> int:
        return self.offset.size

    def frequencies(self, table: int) -> NDArray[np.int64]:
        """Probabilities of one table's entries, ``(size,) int64`` in units of ``2**-PROBABILITY_BITS``."""
        begin = int(self.offset[table])
        edges = self.cdf[begin : begin + int(self.size[table]) + 1].astype(np.int64)
        return edges[1:] - edges[:-1]

    def sha256(self) -> str:
        """Digest of what the tables mean: equal digests code alike."""
        digest = hashlib.sha256()
        for array in (self.size, self.low, self.cdf):
            digest.update(np.asarray(array, dtype=array.dtype.newbyteorder("<")).tobytes())
        return digest.hexdigest()


@leaf
def entry_of_slot(cdf, first, offset, table, slot):  # type: ignore[no-untyped-def]
    """Entry of `table` that covers `slot`: numba kernel, for use in other kernels.

    Parameters
    ----------
    cdf : (n,) uint16
    first : (n_tables, 256) uint8
    offset : (n_tables,) int32
        The arrays of a `CdfTables`.
    table : int
        In ``[0, n_tables)``; not checked.
    slot : int64
        In ``[0, PROBABILITY_ONE)``; not checked.

    Returns
    -------
    entry, start, freq : int64
        The entry, its first slot and its number of slots.
    """
    base = np.int64(offset[table])
    entry = np.int64(first[table, slot >> BUCKET_BITS])
    start = np.int64(cdf[base + entry])
    stop = np.int64(cdf[base + entry + 1])
    while stop <= slot:
        entry += 1
        start = stop
        stop = np.int64(cdf[base + entry + 1])
    return entry, start, stop - start


def _frozen(array: NDArray, dtype: type) -> NDArray:
    """A contiguous read-only copy: tables are values."""
    result: NDArray = np.array(array, dtype=dtype, order="C")
    result.flags.writeable = False
    return result
