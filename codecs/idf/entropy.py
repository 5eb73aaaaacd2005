"""Entropy coding of latents: numba kernels that append rANS operations, or decode.

A kernel gets both what encoders and what decoders need (`OperationList.suspend`, `WordReader.suspend`) and a flag that
says which it is, so that the two cannot drift apart.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.distributions import CdfTables, logistic_tables
from haarchive.codecs.distributions.jit import kernel
from haarchive.codecs.distributions.tables import entry_of_slot
from haarchive.codecs.rans.kernels import add_bits, add_gamma, advance, slot, take_bits, take_gamma
from haarchive.codecs.rans.stream import OperationList, WordReader
from haarchive.codecs.rans.values import MAX_SCALE, add_value, take_value

__all__ = ["SCALE_OFFSET", "code_located", "code_mixture"]

SCALE_OFFSET = 40
"""Eighths of an octave from the scale of the smallest table, 2**-5, to the scale 1."""

_LARGEST = 1 << 30


def code_mixture(z: NDArray[np.int32], tables: CdfTables, shift: int, stream: OperationList | WordReader) -> None:
    """Code the last latents with a table a channel.

    Parameters
    ----------
    z : ndarray, shape (C, H, W), int32
        Read when encoding, filled when decoding.
    tables : CdfTables
        C of them.
    shift : int
        Low bits that go as they are, up to 15.
    stream : OperationList or WordReader
    """
    stream.resume(
        *_mixture(
            z.reshape(len(z), -1), shift, tables.cdf, tables.first, tables.offset, tables.low, tables.size,
            stream.decoding, *stream.suspend(z.size),
        )
    )  # fmt: skip


def code_located(
    z: NDArray[np.int32], location: NDArray[np.int64], octaves: NDArray[np.int32], stream: OperationList | WordReader
) -> None:
    """Code latents under discretised logistics.

    Parameters
    ----------
    z : ndarray, shape (H, W), int32
        Read when encoding, filled when decoding.
    location : ndarray, shape (H, W), int64
        In 1/16.
    octaves : ndarray, shape (H, W), int32
        Log-scales, in 1/64 octave.
    stream : OperationList or WordReader
    """
    tables = logistic_tables()
    stream.resume(
        *_located(
            z, location, octaves, tables.cdf, tables.offset, tables.low, tables.size, tables.first,
            stream.decoding, *stream.suspend(z.size),
        )
    )  # fmt: skip


@kernel
def _mixture(z, shift, cdf, first, offset, low, size, decoding, start, freq, n, state, words, pos):  # type: ignore[no-untyped-def]
    channels, count = z.shape
    for c in range(channels):
        base = np.int64(offset[c])
        last = np.int64(size[c]) - 1
        for i in range(count):
            if decoding:
                if pos > words.size:  # a damaged size must not cost time or memory
                    return n, state, pos
                here = slot(state)
                entry, begin, width = entry_of_slot(cdf, first, offset, c, here)
                state, pos = advance(state, here, begin, width, words, pos)
                if entry == last:
                    code, state, pos = take_gamma(state, words, pos)
                    code = min(code, np.int64(_LARGEST) << 2)
                    entry = last + (code >> 1) if code & 1 == 0 else -((code + 1) >> 1)
                value = (entry + np.int64(low[c])) << shift
                if shift:
                    rest, state, pos = take_bits(shift, state, words, pos)
                    value += rest
                z[c, i] = min(max(value, -np.int64(_LARGEST)), np.int64(_LARGEST))
            else:
                entry = (np.int64(z[c, i]) >> shift) - np.int64(low[c])
                code = np.int64(-1)
                if entry < 0 or entry >= last:
                    code = 2 * (entry - last) if entry >= last else -2 * entry - 1
                    entry = last
                begin = np.int64(cdf[base + entry])
                start[n] = begin
                freq[n] = np.int64(cdf[base + entry + 1]) - begin
                n += 1
                if code >= 0:
                    n = add_gamma(code, start, freq, n)
                if shift:
                    n = add_bits(np.int64(z[c, i]) & ((1 << shift) - 1), shift, start, freq, n)
    return n, state, pos


@kernel
def _located(  # type: ignore[no-untyped-def]
    z, location, octaves, cdf, offset, low, size, first, decoding, start, freq, n, state, words, pos
):  # fmt: skip
    height, width = z.shape
    for i in range(height):
        for j in range(width):
            scale = min(max(((np.int64(octaves[i, j]) + 4) >> 3) + SCALE_OFFSET, 0), MAX_SCALE)
            if decoding:
                value, state, pos = take_value(location[i, j], scale, cdf, offset, low, size, first, state, words, pos)
                z[i, j] = min(max(value, -_LARGEST), _LARGEST)
            else:
                n = add_value(z[i, j], location[i, j], scale, cdf, offset, low, size, start, freq, n)
    return n, state, pos
