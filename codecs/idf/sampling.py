"""Streams that go on where they were cut off, with random words.

A decoder that reads random bits draws from the distribution that it decodes with: so what a cut stream lacks is drawn
from the flow's prior given what it has, which is ancestral sampling (sections 6.3 and 6.4 of the paper).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["cut_streams"]

_STATE_BYTES = 4
_BYTES_A_SAMPLE = 4
"""What is at hand for each sample: samples of eight bits take a quarter of it."""


def cut_streams(streams: Sequence[bytes | memoryview], nbytes: int, samples: int, seed: int) -> list[bytes]:
    """The first bytes of some rANS streams, and random ones in place of the others.

    Parameters
    ----------
    streams : sequence of bytes-like
        In the order in which they arrive.
    nbytes : int
        How many bytes of them there are.
    samples : int
        That each stream holds at most.
    seed : int

    Returns
    -------
    list of bytes
        As many streams, long enough for any decoder.
    """
    rng = np.random.default_rng(seed)
    result = []
    for stream in streams:
        known = bytes(stream[:nbytes])
        nbytes -= len(known)
        if len(known) < len(stream) or not len(stream):
            known = known[: len(known) // 2 * 2] if len(known) >= _STATE_BYTES else b""
            words = rng.integers(0, 1 << 16, samples * _BYTES_A_SAMPLE // 2 + 64, np.uint16)
            words[1] |= 1  # a state has at least 17 bits
            known += words.astype("<u2").tobytes()
        result.append(known)
    return result
