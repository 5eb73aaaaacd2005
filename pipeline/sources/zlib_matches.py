"""What zlib's compressor finds in data: literals and matches, block by block, as zlib 1.x finds them on any machine.

Reimplements the searches of zlib's ``deflate.c`` (Gailly and Adler; algorithm described in its ``doc/algorithm.txt``)
with all that decides their outcome: hash chains, the sliding window and when it slides, lazy matching, and the limits
that a level sets. Levels 1 to 9, and the strategies default, filtered, Huffman only and run length.
"""

from __future__ import annotations

import numpy as np

from haarchive.codecs.distributions.jit import kernel, leaf

__all__ = ["find_symbols"]

_MOST_SYMBOLS_BITS = 6
"""A block ends one before ``2 ** (memory level + 6)`` symbols."""

_MIN_MATCH, _MAX_MATCH = 3, 258
_MIN_LOOKAHEAD = _MAX_MATCH + _MIN_MATCH + 1
_TOO_FAR = 4096
"""Matches of three bytes are dropped that are further away."""

_FILTERED, _HUFFMAN_ONLY, _RUN_LENGTH = 1, 2, 3

# Of each level: a match this good shortens chains; longest that is improved on (lazily, or whose strings are entered);
# long enough to stop; chain length. Levels 1 to 3 take the first match (deflate_fast), others look one byte on.
_LEVELS = np.array(
    [
        (0, 0, 0, 0), (4, 4, 8, 4), (4, 5, 16, 8), (4, 6, 32, 32), (4, 4, 16, 16), (8, 16, 32, 32), (8, 16, 128, 128),
        (8, 32, 128, 256), (32, 128, 258, 1024), (32, 258, 258, 4096),
    ],
    np.int64,
)  # fmt: skip

# Where the search stands, in one array that functions share.
_START, _AHEAD, _BLOCK, _READ, _MATCH, _PREVIOUS = range(6)


@leaf
def _fill(data, window, head, chain, state):  # type: ignore[no-untyped-def]
    """Read on until the window is full or the data ends; slide it by half when what lies behind is out of reach."""
    size = chain.size
    while True:
        more = window.size - state[_AHEAD] - state[_START]
        if state[_START] >= size + size - _MIN_LOOKAHEAD:
            for n in range(size):
                window[n] = window[size + n]
            state[_MATCH] -= size
            state[_START] -= size
            state[_BLOCK] -= size
            for n in range(head.size):
                head[n] = max(head[n] - size, 0)
            for n in range(size):
                chain[n] = max(chain[n] - size, 0)
            more += size
        count = min(more, data.size - state[_READ])
        if count == 0:
            return
        at = state[_START] + state[_AHEAD]
        for n in range(count):
            window[at + n] = data[state[_READ] + n]
        state[_READ] += count
        state[_AHEAD] += count
        if state[_AHEAD] >= _MIN_LOOKAHEAD:
            return


@leaf
def _enter(window, head, chain, at, shift):  # type: ignore[no-untyped-def]
    """Enter the string of three bytes at a place; the last place with the same hash, 0 if there is none."""
    code = (np.int64(window[at]) << (2 * shift)) ^ (np.int64(window[at + 1]) << shift) ^ np.int64(window[at + 2])
    code &= head.size - 1
    last = head[code]
    chain[at & (chain.size - 1)] = last
    head[code] = at
    return last


@leaf
def _longest(window, chain, candidate, state, limits):  # type: ignore[no-untyped-def]
    """The length of the longest match at hand; its place goes to the state where it is longer than the one before."""
    start, best = state[_START], state[_PREVIOUS]
    reach = chain.size - _MIN_LOOKAHEAD
    last = max(start - reach, 0)
    left = limits[3] >> 2 if state[_PREVIOUS] >= limits[0] else limits[3]
    enough = min(limits[2], state[_AHEAD])
    while True:
        if (
            window[candidate + best] == window[start + best]
            and window[candidate + best - 1] == window[start + best - 1]
            and window[candidate] == window[start]
            and window[candidate + 1] == window[start + 1]
        ):
            length = 2
            while length < _MAX_MATCH and window[candidate + length] == window[start + length]:
                length += 1
            if length > best:
                state[_MATCH] = candidate
                best = length
                if length >= enough:
                    break
        candidate = chain[candidate & (chain.size - 1)]
        left -= 1
        if candidate <= last or left == 0:
            break
    return min(best, state[_AHEAD])


@kernel
def find_symbols(data, level, strategy, memory, bits):  # type: ignore[no-untyped-def]
    """Literals and matches, and the blocks that they make.

    Parameters
    ----------
    data : (n,) uint8
    level : int
        1 to 9.
    strategy : int
        zlib's number: 0 default, 1 filtered, 2 Huffman only, 3 run length.
    memory : int
        zlib's memory level, 1 to 9.
    bits : int
        Of the window, 9 to 15.

    Returns
    -------
    distances : (s,) uint16
        0 of literals.
    values : (s,) uint8
        A literal, or a match's length less three.
    blocks : (b, 4) int64
        First symbol, number of symbols, first byte in `data` (-1: the window has lost it), number of bytes.
    """
    size = 1 << bits
    window, head, chain = np.zeros(2 * size, np.uint8), np.zeros(1 << (memory + 7), np.int64), np.zeros(size, np.int64)
    shift = (memory + 9) // 3
    most = (1 << (memory + _MOST_SYMBOLS_BITS)) - 1
    reach = size - _MIN_LOOKAHEAD
    distances, values = np.empty(data.size + 1, np.uint16), np.empty(data.size + 1, np.uint8)
    blocks = np.empty((data.size // most + 2, 4), np.int64)
    limits = _LEVELS[level]
    state = np.zeros(6, np.int64)
    state[_PREVIOUS] = _MIN_MATCH - 1
    lazy = level >= 4 and strategy < _HUFFMAN_ONLY
    length, waiting = _MIN_MATCH - 1, False
    n = first = n_blocks = 0
    while True:
        wanted = 1 if strategy == _HUFFMAN_ONLY else _MAX_MATCH + 1 if strategy == _RUN_LENGTH else _MIN_LOOKAHEAD
        if state[_AHEAD] < wanted:
            _fill(data, window, head, chain, state)
            if state[_AHEAD] == 0:
                break
        start, before = state[_START], n
        if strategy == _HUFFMAN_ONLY:
            distances[n], values[n] = 0, window[start]
            n += 1
            state[_START] += 1
            state[_AHEAD] -= 1
        elif strategy == _RUN_LENGTH:
            length = 0
            if state[_AHEAD] >= _MIN_MATCH and start > 0:
                while length < min(_MAX_MATCH, state[_AHEAD]) and window[start + length] == window[start - 1]:
                    length += 1
            if length >= _MIN_MATCH:
                distances[n], values[n] = 1, length - _MIN_MATCH
            else:
                distances[n], values[n] = 0, window[start]
                length = 1
            n += 1
            state[_START] += length
            state[_AHEAD] -= length
        elif not lazy:
            last = _enter(window, head, chain, start, shift) if state[_AHEAD] >= _MIN_MATCH else 0
            if last != 0 and start - last <= reach:
                length = _longest(window, chain, last, state, limits)
            if length >= _MIN_MATCH:
                distances[n], values[n] = start - state[_MATCH], length - _MIN_MATCH
                state[_AHEAD] -= length
                if length <= limits[1] and state[_AHEAD] >= _MIN_MATCH:
                    for at in range(start + 1, start + length):
                        _enter(window, head, chain, at, shift)
                state[_START] += length
                length = 0
            else:
                distances[n], values[n] = 0, window[start]
                state[_AHEAD] -= 1
                state[_START] += 1
            n += 1
        else:
            last = _enter(window, head, chain, start, shift) if state[_AHEAD] >= _MIN_MATCH else 0
            state[_PREVIOUS], place = length, state[_MATCH]
            length = _MIN_MATCH - 1
            if last != 0 and state[_PREVIOUS] < limits[1] and start - last <= reach:
                length = _longest(window, chain, last, state, limits)
                far = length == _MIN_MATCH and start - state[_MATCH] > _TOO_FAR
                if length <= 5 and (strategy == _FILTERED or far):
                    length = _MIN_MATCH - 1
            if state[_PREVIOUS] >= _MIN_MATCH and length <= state[_PREVIOUS]:
                end = start + state[_AHEAD] - _MIN_MATCH
                distances[n], values[n] = start - 1 - place, state[_PREVIOUS] - _MIN_MATCH
                n += 1
                state[_AHEAD] -= state[_PREVIOUS] - 1
                for at in range(start + 1, min(start + state[_PREVIOUS] - 2, end) + 1):
                    _enter(window, head, chain, at, shift)
                state[_START] += state[_PREVIOUS] - 1
                waiting, length = False, _MIN_MATCH - 1
            else:
                if waiting:
                    distances[n], values[n] = 0, window[start - 1]
                    n += 1
                    if n - first == most:  # the byte at hand is not part of the block yet
                        n_blocks = _end_block(blocks, n_blocks, first, n, state)
                        first = before = n
                waiting = True
                state[_START] += 1
                state[_AHEAD] -= 1
        if n != before and n - first == most:
            n_blocks = _end_block(blocks, n_blocks, first, n, state)
            first = n
    if waiting:
        distances[n], values[n] = 0, window[state[_START] - 1]
        n += 1
    n_blocks = _end_block(blocks, n_blocks, first, n, state)
    return distances[:n], values[:n], blocks[:n_blocks]


@leaf
def _end_block(blocks, count, first, n, state):  # type: ignore[no-untyped-def]
    """Note a block up to where the search stands."""
    begin = state[_READ] - state[_AHEAD] - (state[_START] - state[_BLOCK])
    blocks[count, 0], blocks[count, 1] = first, n - first
    blocks[count, 2] = begin if state[_BLOCK] >= 0 else -1
    blocks[count, 3] = state[_START] - state[_BLOCK]
    state[_BLOCK] = state[_START]
    return count + 1
