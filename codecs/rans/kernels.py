"""Range asymmetric numeral systems (rANS): numba kernels for use in other kernels.

Duda, "Asymmetric numeral systems: entropy coding combining speed of Huffman coding with compression rate of
arithmetic coding", arXiv:1311.2540, 2013; interleaving after Giesen, "Interleaved entropy coders",
arXiv:1402.3392, 2014.

The state is a 32-bit number in ``[2**16, 2**32)``, held in an int64. A symbol is an interval of the
``2**PROBABILITY_BITS`` slots: `start` its first slot, `freq` >= 1 its number of slots. A stream is a sequence
of 16-bit words in the order in which the decoder reads them: first the state (low word, high word), then a
word wherever the state would fall below ``2**16``. The encoder works from the last symbol to the first and
fills its buffer from the end. A decoder that has read every symbol of an undamaged stream is in
`INITIAL_STATE` and at the end of the words.

All integers are int64 inside of the kernels: numba turns uint64 mixed with int64 into floating point.
"""

from __future__ import annotations

import numpy as np

from haarchive.codecs.distributions.jit import kernel, leaf
from haarchive.codecs.distributions.tables import PROBABILITY_BITS

__all__ = [
    "INITIAL_STATE",
    "MAX_GAMMA",
    "MAX_GAMMA_OPS",
    "PROBABILITY_BITS",
    "add_bits",
    "add_gamma",
    "advance",
    "begin",
    "encode_ops",
    "flush",
    "put",
    "slot",
    "take_bits",
    "take_gamma",
]

INITIAL_STATE = 1 << 16
"""The state that encoders start from and decoders end in: the lower bound of all states."""

WORD_BITS = 16
RENORMALISE_SHIFT = 32 - PROBABILITY_BITS
SLOT_MASK = (1 << PROBABILITY_BITS) - 1

MAX_GAMMA = (1 << 34) - 1
"""The largest number that `add_gamma` takes."""

MAX_GAMMA_OPS = 5
"""The most operations that `add_gamma` adds: length, more length, and up to 34 bits in pieces of 15."""

LONG_LENGTH = PROBABILITY_BITS
"""Bit lengths from here on are written as a marker and `LENGTH_BITS` more bits."""

LENGTH_BITS = 5


@leaf
def put(state, start, freq, words, pos):  # type: ignore[no-untyped-def]
    """Encode one symbol.

    Parameters
    ----------
    state : int64
    start, freq : int
        The symbol's interval: ``freq >= 1``, ``start + freq <= 2**PROBABILITY_BITS``; not checked.
    words : (n,) uint16
        The buffer, filled from its end. One word more than the stream needs, at the front, is scratch.
    pos : int64
        Words ``pos`` and after are written; ``pos >= 1``.

    Returns
    -------
    state, pos : int64
    """
    width = np.int64(freq)
    # Written always, kept if needed: cheaper than a branch that cannot be predicted.
    words[pos - 1] = np.uint16(state & 0xFFFF)
    full = np.int64(state >> RENORMALISE_SHIFT >= width)
    pos -= full
    state >>= full << 4
    quotient = np.int64(np.uint32(state) // np.uint32(width))
    return state + quotient * ((1 << PROBABILITY_BITS) - width) + np.int64(start), pos


@leaf
def flush(state, words, pos):  # type: ignore[no-untyped-def]
    """Write the state, two words, in front of the others; returns where the stream begins."""
    words[pos - 1] = np.uint16(state >> WORD_BITS)
    words[pos - 2] = np.uint16(state & 0xFFFF)
    return pos - 2


@leaf
def begin(words, pos):  # type: ignore[no-untyped-def]
    """Read a decoder's state at `pos`; returns ``(state, pos)``. Missing words read as zero."""
    low = np.int64(words[pos]) if pos < words.size else np.int64(0)
    high = np.int64(words[pos + 1]) if pos + 1 < words.size else np.int64(0)
    return high << WORD_BITS | low, pos + 2


@leaf
def slot(state):  # type: ignore[no-untyped-def]
    """The slot of the next symbol, in ``[0, 2**PROBABILITY_BITS)``: its interval contains it."""
    return state & SLOT_MASK


@leaf
def advance(state, slot, start, freq, words, pos):  # type: ignore[no-untyped-def]
    """Step over the symbol whose interval contains `slot`.

    Past the end the last word is read again and `pos` still moves, so that damaged streams are harmless and
    are recognised by ``pos > words.size``.

    Parameters
    ----------
    state, slot : int64
        The state and its `slot`.
    start, freq : int
        The interval: ``start <= slot < start + freq``; not checked.
    words : (n,) uint16
        Not empty: a stream has at least the two words of its state; check this before decoding.
    pos : int64
        The next word to read.

    Returns
    -------
    state, pos : int64
    """
    state = np.int64(freq) * (state >> PROBABILITY_BITS) + slot - np.int64(start)
    # Read always, kept if needed: cheaper than a branch that cannot be predicted.
    word = np.int64(words[min(pos, words.size - 1)])
    need = state < INITIAL_STATE
    state = state << WORD_BITS | word if need else state
    return state, pos + np.int64(need)


@kernel
def encode_ops(start, freq, n):  # type: ignore[no-untyped-def]
    """Encode n symbols in one lane.

    Parameters
    ----------
    start, freq : (>= n,) integers
        The intervals in decoding order, as for `put`.
    n : int

    Returns
    -------
    (m,) uint16
        The stream: state, then words, in decoding order.
    """
    words = np.empty(n + 3, np.uint16)
    pos = np.int64(words.size)
    state = np.int64(INITIAL_STATE)
    for i in range(n - 1, -1, -1):
        state, pos = put(state, start[i], freq[i], words, pos)
    return words[flush(state, words, pos) :]


@leaf
def add_bits(value, bits, start, freq, n):  # type: ignore[no-untyped-def]
    """Append an operation that codes `bits` <= PROBABILITY_BITS equally likely bits to a list of operations.

    Parameters
    ----------
    value : int
        In ``[0, 2**bits)``.
    bits : int
    start, freq : (>= n + 1,) integers
        The list, n of it filled.
    n : int

    Returns
    -------
    int
        The new n.
    """
    shift = PROBABILITY_BITS - bits
    start[n] = value << shift
    freq[n] = 1 << shift
    return n + 1


@leaf
def take_bits(bits, state, words, pos):  # type: ignore[no-untyped-def]
    """Decode what `add_bits` coded; returns ``(value, state, pos)``."""
    shift = PROBABILITY_BITS - bits
    here = slot(state)
    value = here >> shift
    state, pos = advance(state, here, value << shift, 1 << shift, words, pos)
    return value, state, pos


@leaf
def add_gamma(value, start, freq, n):  # type: ignore[no-untyped-def]
    """Append operations that code a number of any size, small ones cheaply (after Elias' gamma code, 1975).

    Costs ``2 * floor(log2(value + 1)) + 1`` bits for numbers below ``2**15 - 1`` and 20 + log2 for larger
    ones.

    Parameters
    ----------
    value : int
        In ``[0, MAX_GAMMA]``.
    start, freq : (>= n + MAX_GAMMA_OPS,) integers
        The list of operations, n of it filled.
    n : int

    Returns
    -------
    int
        The new n.
    """
    number = np.int64(value) + 1
    length = 0
    while number >> (length + 1):
        length += 1
    # Length k < 15 has the probability 2 ** -(k + 1); the last slot of all is left for longer numbers.
    if length < LONG_LENGTH:
        width = 1 << (PROBABILITY_BITS - 1 - length)
        start[n] = (1 << PROBABILITY_BITS) - 2 * width
        freq[n] = width
        n += 1
    else:
        start[n] = (1 << PROBABILITY_BITS) - 1
        freq[n] = 1
        n = add_bits(length - LONG_LENGTH, LENGTH_BITS, start, freq, n + 1)
    left = length
    while left > 0:
        bits = min(left, PROBABILITY_BITS)
        left -= bits
        n = add_bits(number >> left & ((1 << bits) - 1), bits, start, freq, n)
    return n


@leaf
def take_gamma(state, words, pos):  # type: ignore[no-untyped-def]
    """Decode what `add_gamma` coded; returns ``(value, state, pos)``.

    A damaged stream may give any value in ``[0, 2**47)``: the caller checks the range.
    """
    here = slot(state)
    length = np.int64(0)
    while length < LONG_LENGTH and here >= (1 << PROBABILITY_BITS) - (1 << (PROBABILITY_BITS - 1 - length)):
        length += 1
    if length < LONG_LENGTH:
        width = 1 << (PROBABILITY_BITS - 1 - length)
        state, pos = advance(state, here, (1 << PROBABILITY_BITS) - 2 * width, width, words, pos)
    else:
        state, pos = advance(state, here, (1 << PROBABILITY_BITS) - 1, 1, words, pos)
        more, state, pos = take_bits(LENGTH_BITS, state, words, pos)
        length += more
    number = np.int64(1)
    left = length
    while left > 0:
        bits = PROBABILITY_BITS if left > PROBABILITY_BITS else left
        left -= bits
        value, state, pos = take_bits(bits, state, words, pos)
        number = number << bits | value
    return number - 1, state, pos
