"""Lists of rANS operations while encoding, and words while decoding, around the kernels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.distributions import logistic_tables
from haarchive.codecs.errors import BitstreamError
from haarchive.codecs.haar.values import MAX_VALUE_OPS, add_value, take_value
from haarchive.codecs.rans.kernels import INITIAL_STATE, add_bits, begin, encode_ops, take_bits

__all__ = ["OperationList", "WordReader"]

_SCALE_BITS = 4


class OperationList:
    """Operations (intervals) in decoding order, growing as they are appended.

    Attributes
    ----------
    n : int
        How many there are.
    """

    def __init__(self) -> None:
        self.n = 0
        self._start = np.empty(1 << 12, np.uint16)
        self._freq = np.empty(1 << 12, np.uint16)

    def reserve(self, values: int) -> tuple[NDArray[np.uint16], NDArray[np.uint16], int]:
        """Arrays with room for the operations of so many values, and how many operations are there."""
        need = self.n + values * MAX_VALUE_OPS
        if need > self._start.size:
            size = max(need, 2 * self._start.size)
            self._start, self._freq = (
                np.concatenate([a[: self.n], np.empty(size - self.n, np.uint16)])
                for a in (self._start, self._freq)
            )
        return self._start, self._freq, self.n

    def add_value(self, value: int, location: int, scale: int) -> None:
        """Append one integer; see `values.add_value`."""
        tables = logistic_tables()
        start, freq, n = self.reserve(1)
        self.n = add_value(
            value, location, scale, tables.cdf, tables.offset, tables.low, tables.size, start, freq, n
        )

    def add_weights(self, weights: NDArray[np.int32]) -> None:
        """Append weights: the octave of their mean magnitude in 4 bits, then each under that scale."""
        octave = min(int(np.abs(weights).mean()).bit_length(), (1 << _SCALE_BITS) - 1)
        start, freq, n = self.reserve(1)
        self.n = add_bits(octave, _SCALE_BITS, start, freq, n)
        for weight in weights:
            self.add_value(int(weight), 0, 8 * (octave + 4))

    def to_bytes(self) -> bytes:
        """The rANS stream of all operations; nothing for none."""
        if self.n == 0:
            return b""
        words: NDArray[np.uint16] = encode_ops(self._start, self._freq, self.n)
        return words.astype("<u2", copy=False).tobytes()


class WordReader:
    """A rANS stream being read.

    Parameters
    ----------
    data : bytes-like
        What `OperationList.to_bytes` gave.

    Raises
    ------
    BitstreamError
        If it cannot be a stream.
    """

    def __init__(self, data: bytes | memoryview) -> None:
        if len(data) < 4 or len(data) % 2:
            raise BitstreamError(f"a rANS stream cannot have {len(data)} bytes: the bitstream is damaged")
        self.words: NDArray[np.uint16] = np.frombuffer(data, "<u2").astype(np.uint16)
        self.state, self.pos = begin(self.words, 0)

    def value(self, location: int, scale: int) -> int:
        """Read one integer; see `values.take_value`."""
        tables = logistic_tables()
        value, self.state, self.pos = take_value(
            location, scale, tables.cdf, tables.offset, tables.low, tables.size, tables.first,
            self.state, self.words, self.pos,
        )  # fmt: skip
        return int(value)

    def weights(self, count: int, limit: int) -> NDArray[np.int32]:
        """Read `count` weights of at most `limit` in magnitude."""
        octave, self.state, self.pos = take_bits(_SCALE_BITS, self.state, self.words, self.pos)
        weights = np.array([self.value(0, 8 * (int(octave) + 4)) for _ in range(count)], np.int64)
        if np.abs(weights).max(initial=0) > limit:
            raise BitstreamError("a predictor's weight is out of range: the bitstream is damaged")
        return weights.astype(np.int32)

    def finish(self) -> None:
        """Check that the stream ended as every undamaged one does.

        Raises
        ------
        BitstreamError
        """
        if self.state != INITIAL_STATE or self.pos != self.words.size:
            raise BitstreamError("the rANS stream does not end where it should: the bitstream is damaged")
