"""Coding with intervals that the caller works out symbol by symbol.

The encoder takes whole arrays of intervals. The decoder is pulled: it tells the next slot, the caller's model
says which interval contains it, and the decoder steps over that. `haarchive.codecs.rans.kernels` has the same
steps for use inside of numba kernels, where speed matters.

Symbol i goes to lane ``i % lanes``: lanes are coders of their own that share one sequence of words, so that a
CPU can work on several symbols at once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.distributions.jit import kernel
from haarchive.codecs.errors import BitstreamError
from haarchive.codecs.rans.kernels import INITIAL_STATE, PROBABILITY_BITS, advance, begin, flush, put, slot

__all__ = ["IntervalDecoder", "bytes_of_words", "encode_intervals", "words_of_bytes"]


def encode_intervals(start: NDArray[np.uint16], freq: NDArray[np.uint16], lanes: int = 1) -> bytes:
    """Encode symbols that are given as intervals.

    Parameters
    ----------
    start : (n,) uint16
        The first slot of each interval, in decoding order.
    freq : (n,) uint16
        The number of slots of each: at least 1, ``start + freq <= 2**PROBABILITY_BITS``.
    lanes : int
        Coders that take turns; at least 1. Each costs 4 bytes.

    Returns
    -------
    bytes
        The states of all lanes, then the words that the decoder reads on the way; all little-endian.

    Raises
    ------
    ValueError
        If an interval is empty or reaches past the last slot, or the arrays differ in length.
    TypeError
        If they are not uint16.
    """
    if start.dtype != np.uint16 or freq.dtype != np.uint16:
        raise TypeError(f"start and freq must be uint16, not {start.dtype} and {freq.dtype}")
    starts = np.ascontiguousarray(start)
    freqs = np.ascontiguousarray(freq)
    if starts.ndim != 1 or starts.shape != freqs.shape:
        raise ValueError(f"start and freq must be vectors of one length, not {starts.shape} and {freqs.shape}")
    if lanes < 1:
        raise ValueError(f"there must be at least 1 lane, not {lanes}")
    if starts.size and (freqs.min() == 0 or int((starts.astype(np.uint32) + freqs).max()) > 1 << PROBABILITY_BITS):
        raise ValueError("intervals must not be empty or reach past the last slot")
    return bytes_of_words(encode_lanes(starts, freqs, starts.size, 0, lanes))


class IntervalDecoder:
    """Decodes symbols one by one with a model that the caller supplies.

    Parameters
    ----------
    data : bytes
        What `encode_intervals` returned.
    lanes : int
        As when encoding.

    Raises
    ------
    BitstreamError
        If the stream is too short to hold the lanes' states, or its last word is cut in half.

    Examples
    --------
    >>> data = encode_intervals(np.array([0, 24576], np.uint16), np.array([24576, 8192], np.uint16))
    >>> decoder = IntervalDecoder(data)
    >>> for _ in range(2):
    ...     start, freq = (0, 24576) if decoder.slot() < 24576 else (24576, 8192)
    ...     decoder.advance(start, freq)
    ...     print(start, freq)
    0 24576
    24576 8192
    >>> decoder.finish()
    """

    def __init__(self, data: bytes, lanes: int = 1) -> None:
        if lanes < 1:
            raise ValueError(f"there must be at least 1 lane, not {lanes}")
        self._words = words_of_bytes(data)
        if self._words.size < 2 * lanes:
            raise BitstreamError(f"{len(data)} bytes cannot hold the states of {lanes} lanes: it is truncated")
        self._pos = 0
        self._states: list[int] = []
        for _ in range(lanes):
            state, self._pos = begin(self._words, self._pos)
            self._states.append(state)
        self._lane = 0

    def slot(self) -> int:
        """The slot, in ``[0, 2**PROBABILITY_BITS)``, that the next symbol's interval contains."""
        return int(slot(self._states[self._lane]))

    def advance(self, start: int, freq: int) -> None:
        """Step over the next symbol, whose interval is given.

        Raises
        ------
        ValueError
            If the interval does not contain `slot`.
        """
        here = self.slot()
        if not start <= here < start + freq:
            raise ValueError(f"the interval [{start}, {start + freq}) does not contain the slot {here}")
        state = self._states[self._lane]
        self._states[self._lane], self._pos = advance(state, here, start, freq, self._words, self._pos)
        self._lane = (self._lane + 1) % len(self._states)

    def finish(self) -> None:
        """Check that the stream ends here, as it does after the last symbol of an undamaged one.

        Raises
        ------
        BitstreamError
            If it does not.
        """
        if self._pos != self._words.size or any(state != INITIAL_STATE for state in self._states):
            raise BitstreamError(
                f"the rANS stream does not end after its last symbol ({self._pos} of "
                f"{self._words.size} words read): it is damaged or was written with another model"
            )


def words_of_bytes(data: bytes) -> NDArray[np.uint16]:
    """The 16-bit words of a stream, ``(n,) uint16`` in native byte order.

    Raises
    ------
    BitstreamError
        If the number of bytes is odd.
    """
    if len(data) % 2:
        raise BitstreamError(f"a rANS stream has an even number of bytes, not {len(data)}: it is damaged")
    return np.frombuffer(data, dtype="<u2").astype(np.uint16)


def bytes_of_words(words: NDArray[np.uint16]) -> bytes:
    """The little-endian bytes of a stream's words."""
    return words.astype("<u2", copy=False).tobytes()


@kernel
def encode_lanes(start, freq, n, more, lanes):  # type: ignore[no-untyped-def]
    """Encode n intervals in turns, then `more` intervals in lane 0.

    Parameters
    ----------
    start, freq : (>= n + more,) uint16
        The intervals in decoding order.
    n, more : int
    lanes : int

    Returns
    -------
    (m,) uint16
        The lanes' states, lane 0's foremost, then words, in decoding order.
    """
    words = np.empty(n + more + 2 * lanes + 1, np.uint16)
    states = np.full(lanes, INITIAL_STATE, np.int64)
    pos = np.int64(words.size)
    for i in range(n + more - 1, n - 1, -1):
        states[0], pos = put(states[0], start[i], freq[i], words, pos)
    for i in range(n - 1, n - 1 - n % lanes, -1):
        states[i % lanes], pos = put(states[i % lanes], start[i], freq[i], words, pos)
    for turn in range(n // lanes - 1, -1, -1):
        for lane in range(lanes - 1, -1, -1):
            i = turn * lanes + lane
            states[lane], pos = put(states[lane], start[i], freq[i], words, pos)
    for lane in range(lanes - 1, -1, -1):
        pos = flush(states[lane], words, pos)
    return words[pos:]
