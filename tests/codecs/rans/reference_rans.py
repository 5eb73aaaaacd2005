"""rANS on Python's integers, written from the paper and not from our kernels.

Intervals are (start, freq) pairs out of 2**15 slots.
"""

from __future__ import annotations

from collections.abc import Sequence

M = 2**15

Interval = tuple[int, int]


def encode_number(intervals: Sequence[Interval]) -> int:
    """ANS proper: one number of any size, no renormalisation."""
    x = 2**16
    for start, freq in reversed(intervals):
        quotient, remainder = divmod(x, freq)
        x = M * quotient + start + remainder
    return x


def decode_number(x: int, owner: Sequence[Interval], n: int) -> list[Interval]:
    """n intervals from the number; owner[slot] is the interval that contains the slot."""
    intervals = []
    for _ in range(n):
        start, freq = owner[x % M]
        x = freq * (x // M) + x % M - start
        intervals.append((start, freq))
    assert x == 2**16
    return intervals


def encode_stream(intervals: Sequence[Interval], lanes: int = 1) -> bytes:
    """Streaming rANS with 16-bit renormalisation, interval i in lane i % lanes."""
    states = [2**16] * lanes
    words: list[int] = []  # in the order of writing
    for i in reversed(range(len(intervals))):
        start, freq = intervals[i]
        x = states[i % lanes]
        if x >= 2**32 // M * freq:
            words.append(x % 2**16)
            x //= 2**16
        quotient, remainder = divmod(x, freq)
        states[i % lanes] = M * quotient + start + remainder
    head = b"".join(x.to_bytes(4, "little") for x in states)
    return head + b"".join(word.to_bytes(2, "little") for word in reversed(words))


def decode_stream(data: bytes, owner: Sequence[Interval], n: int, lanes: int = 1) -> list[Interval]:
    """n intervals from a stream that is entirely consumed."""
    states = [int.from_bytes(data[4 * lane : 4 * lane + 4], "little") for lane in range(lanes)]
    at = 4 * lanes
    intervals = []
    for i in range(n):
        x = states[i % lanes]
        start, freq = owner[x % M]
        x = freq * (x // M) + x % M - start
        if x < 2**16:
            x = x * 2**16 + int.from_bytes(data[at : at + 2], "little")
            at += 2
        states[i % lanes] = x
        intervals.append((start, freq))
    assert at == len(data)
    assert states == [2**16] * lanes
    return intervals
