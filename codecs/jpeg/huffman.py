"""Huffman codes of JPEG files (ITU-T T.81, annex C)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.errors import UnsupportedSamplesError

__all__ = ["Table"]

_BITS = 16


@dataclass(frozen=True, eq=False)
class Table:
    """A Huffman code.

    Parameters
    ----------
    lookup : ndarray, shape (65536,), int32
        ``256 * length + symbol`` by the 16 bits that come; 0 where no code begins so.
    codes, lengths : ndarray, shape (256,), int32
        By symbol; a length of 0 where there is no code.
    """

    lookup: NDArray[np.int32]
    codes: NDArray[np.int32]
    lengths: NDArray[np.int32]

    @staticmethod
    @lru_cache(maxsize=64)
    def of(counts: bytes, symbols: bytes) -> Table:
        """Make the code of how many symbols have each length from 1 to 16, and of the symbols (T.81, C.2).

        Raises
        ------
        UnsupportedSamplesError
            If there are more symbols than codes, or one twice.
        """
        lookup = np.zeros(1 << _BITS, np.int32)
        codes, lengths = np.zeros(256, np.int32), np.zeros(256, np.int32)
        code, n = 0, 0
        for length, count in enumerate(counts, 1):
            for symbol in symbols[n : n + count]:
                begin, span = code << (_BITS - length), 1 << (_BITS - length)
                if begin + span > lookup.size or lengths[symbol]:
                    raise UnsupportedSamplesError("a JPEG file whose Huffman tables are no code")
                lookup[begin : begin + span] = length << 8 | symbol
                codes[symbol], lengths[symbol] = code, length
                code += 1
            code, n = code << 1, n + count
        for array in (lookup, codes, lengths):
            array.setflags(write=False)
        return Table(lookup, codes, lengths)
