"""Lists of rANS operations while encoding, and words while decoding, around the kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.distributions import logistic_tables
from haarchive.codecs.distributions.jit import kernel
from haarchive.codecs.errors import BitstreamError
from haarchive.codecs.rans.kernels import INITIAL_STATE, add_bits, begin, encode_ops, take_bits
from haarchive.codecs.rans.values import MAX_VALUE_OPS, add_value, take_value

__all__ = ["OperationList", "WordReader"]

_SCALE_BITS = 5
_GROUP = 8
_MASK_BITS = 15


@kernel
def _add_weights(weights, cdf, offset, low, size, start, freq, n):  # type: ignore[no-untyped-def]
    for at in range(0, weights.size, _GROUP):
        group = weights[at : at + _GROUP]
        mean = np.abs(group).sum() // group.size
        octave = 0
        while mean >> octave:
            octave += 1
        n = add_bits(octave, _SCALE_BITS, start, freq, n)
        for weight in group:
            n = add_value(weight, 0, 8 * (octave + 4), cdf, offset, low, size, start, freq, n)
    return n


class OperationList:
    """Operations (intervals) in decoding order, growing as they are appended.

    Parameters
    ----------
    values : int
        How many values are expected, to make room at once.

    Attributes
    ----------
    n : int
        How many there are.
    """

    decoding = False

    def __init__(self, values: int = 0) -> None:
        self.n = 0
        self._start, self._freq = np.empty((2, (1 << 12) + values * MAX_VALUE_OPS), np.uint16)

    def reserve(self, values: int) -> tuple[NDArray[np.uint16], NDArray[np.uint16], int]:
        """Arrays with room for the operations of so many values, and how many operations are there."""
        need = self.n + values * MAX_VALUE_OPS
        if need > self._start.size:
            size = max(need, 2 * self._start.size)
            grown = np.empty((2, size), np.uint16)
            grown[0, : self.n], grown[1, : self.n] = self._start[: self.n], self._freq[: self.n]
            self._start, self._freq = grown
        return self._start, self._freq, self.n

    def suspend(self, values: int) -> tuple[Any, ...]:
        """``start, freq, n, state, words, pos`` for a kernel that codes so many values."""
        return (*self.reserve(values), np.int64(0), np.zeros(2, np.uint16), np.int64(0))

    def resume(self, n: int, state: int, pos: int) -> None:
        """Go on from where a kernel stopped."""
        self.n = n

    def add_value(self, value: int, location: int, scale: int) -> None:
        """Append one integer; see `values.add_value`."""
        tables = logistic_tables()
        start, freq, n = self.reserve(1)
        self.n = add_value(value, location, scale, tables.cdf, tables.offset, tables.low, tables.size, start, freq, n)

    def add_bits(self, value: int, bits: int) -> None:
        """Append so many bits as they are; at most 15."""
        start, freq, n = self.reserve(1)
        self.n = add_bits(value, bits, start, freq, n)

    def add_weights(self, weights: NDArray[np.int32]) -> None:
        """Append weights in groups of eight: the octave of their mean magnitude, then each under it."""
        tables = logistic_tables()
        start, freq, n = self.reserve(2 * len(weights))
        self.n = _add_weights(weights, tables.cdf, tables.offset, tables.low, tables.size, start, freq, n)

    def add_mask(self, indices: NDArray[np.int64], count: int) -> None:
        """Append which of `count` things there are, a bit each."""
        mask = np.zeros(count, np.int64)
        mask[indices] = 1
        for at in range(0, count, _MASK_BITS):
            piece = mask[at : at + _MASK_BITS]
            self.add_bits(int(piece @ (1 << np.arange(len(piece)))), len(piece))

    def extend(self, other: OperationList) -> None:
        """Append all operations of another list."""
        start, freq, n = self.reserve(-(-other.n // MAX_VALUE_OPS))
        start[n : n + other.n], freq[n : n + other.n] = other._start[: other.n], other._freq[: other.n]
        self.n += other.n

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

    decoding = True

    def __init__(self, data: bytes | memoryview) -> None:
        if len(data) < 4 or len(data) % 2:
            raise BitstreamError(f"a rANS stream cannot have {len(data)} bytes: the bitstream is damaged")
        self.words: NDArray[np.uint16] = np.frombuffer(data, "<u2").astype(np.uint16)
        self.state, self.pos = begin(self.words, 0)

    def suspend(self, values: int) -> tuple[Any, ...]:
        """``start, freq, n, state, words, pos`` for a kernel that decodes so many values."""
        nothing = np.zeros(1, np.uint16)
        return nothing, nothing, np.int64(0), self.state, self.words, self.pos

    def resume(self, n: int, state: int, pos: int) -> None:
        """Go on from where a kernel stopped.

        Raises
        ------
        BitstreamError
            If it read past the end: a damaged size would otherwise cost time and memory for nothing.
        """
        if pos > self.words.size:
            raise BitstreamError("the rANS stream ends too early: the bitstream is damaged")
        self.state, self.pos = state, pos

    def value(self, location: int, scale: int) -> int:
        """Read one integer; see `values.take_value`."""
        tables = logistic_tables()
        value, state, pos = take_value(
            location, scale, tables.cdf, tables.offset, tables.low, tables.size, tables.first,
            self.state, self.words, self.pos,
        )  # fmt: skip
        self.resume(0, state, pos)
        return int(value)

    def bits(self, bits: int) -> int:
        """Read so many bits as they are."""
        value, self.state, self.pos = take_bits(bits, self.state, self.words, self.pos)
        return int(value)

    def weights(self, count: int, limit: int) -> NDArray[np.int32]:
        """Read `count` weights of at most `limit` in magnitude."""
        weights = np.zeros(count, np.int64)
        for n in range(count):
            if n % _GROUP == 0:
                octave = self.bits(_SCALE_BITS)
            weights[n] = self.value(0, 8 * (octave + 4))
        if np.abs(weights).max(initial=0) > limit:
            raise BitstreamError("a predictor's weight is out of range: the bitstream is damaged")
        return weights.astype(np.int32)

    def mask(self, count: int) -> NDArray[np.int64]:
        """Read what `OperationList.add_mask` appended: the indices, ascending."""
        bits = np.zeros(count, bool)
        for at in range(0, count, _MASK_BITS):
            size = min(_MASK_BITS, count - at)
            bits[at : at + size] = (self.bits(size) >> np.arange(size)) & 1
        return np.flatnonzero(bits)

    def finish(self) -> None:
        """Check that the stream ended as every undamaged one does.

        Raises
        ------
        BitstreamError
        """
        if self.state != INITIAL_STATE or self.pos != self.words.size:
            raise BitstreamError("the rANS stream does not end where it should: the bitstream is damaged")
