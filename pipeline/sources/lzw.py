"""LZW as TIFF writers lay it down, exactly, so that a strip can be made again from its pixels.

Codes of 9 to 12 bits, most significant bit first, 256 = clear, 257 = end; codes become one bit wider one
entry early (TIFF 6.0, section 13). Writers agree on all of that. They differ in

``full``
    the number of the table entry at which they clear it: 4094 in libtiff, 4096 in Bio-Formats and
    imagecodecs;
``ratio``
    whether they also clear when the compression ratio got worse since they last looked, every 10 000 bytes
    (libtiff);
``wide_end``
    whether the end code is as wide as if the last string had made a table entry too (libtiff since 4.0.11);
``pad``
    whether a stream that ends on a byte's boundary gets one more zero byte (Bio-Formats).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from haarchive.codecs.distributions.jit import kernel

__all__ = ["lzw_encode", "recipes"]

_CLEAR, _END, _FIRST = 256, 257, 258
_SLOTS = 1 << 13
_GAP = 10_000


def recipes() -> Iterator[dict[str, Any]]:
    """Every known way of laying LZW down, the most frequent first."""
    for full, ratio in ((4094, True), (4096, False), (4094, False), (4095, False), (4093, False)):
        for wide_end in (True, False):
            for pad in (False, True):
                yield {"full": full, "ratio": ratio, "wide_end": wide_end, "pad": pad}


def lzw_encode(raw: bytes, *, full: int, ratio: bool, wide_end: bool, pad: bool) -> bytes:
    """Compress bytes as a TIFF writer with these habits does; see the module's text."""
    out = np.empty(2 * len(raw) + 16, np.uint8)
    size = _encode(np.frombuffer(raw, np.uint8), out, full, ratio, wide_end, pad)
    return out[: int(size)].tobytes()


@kernel
def _encode(raw: NDArray[Any], out: NDArray[Any], full: int, ratio: bool, wide_end: bool, pad: bool) -> int:
    """``raw`` (n,) uint8 to ``out`` (2n + 16,) uint8; returns the bytes written.

    The table is open addressing over ``prefix code << 8 | byte``; `held` < 8 bits of `window` wait to be
    written.
    """
    keys = np.full(_SLOTS, -1, np.int64)
    codes = np.zeros(_SLOTS, np.int64)
    window, held, size = 0, 0, 0
    width, free = 9, _FIRST
    bytes_in, bits_out, best, checkpoint = 0, 0, 0, _GAP

    window, held, size = _put(_CLEAR, width, window, held, size, out)
    bits_out += width
    if len(raw) == 0:
        window, held, size = _put(_END, width, window, held, size, out)
        return int(_flush(window, held, size, out, pad))
    prefix = np.int64(raw[0])
    bytes_in = 1
    for position in range(1, len(raw)):
        byte = np.int64(raw[position])
        bytes_in += 1
        key = prefix << 8 | byte
        slot = (key * 40503 >> 3) & (_SLOTS - 1)
        while keys[slot] >= 0 and keys[slot] != key:
            slot = (slot + 1) & (_SLOTS - 1)
        if keys[slot] == key:
            prefix = codes[slot]
            continue
        window, held, size = _put(prefix, width, window, held, size, out)
        bits_out += width
        prefix = byte
        keys[slot] = key
        codes[slot] = free
        free += 1
        clear = free == full
        if not clear and free >= 1 << width:
            width += 1
        elif not clear and ratio and bytes_in >= checkpoint:
            checkpoint = bytes_in + _GAP
            now = (bytes_in << 8) // bits_out if bytes_in <= 0x7FFFFF else bytes_in // max(1, bits_out >> 8)
            clear = now <= best
            best = now
        if clear:
            window, held, size = _put(_CLEAR, width, window, held, size, out)
            keys[:] = -1
            free, best, bytes_in, bits_out = _FIRST, 0, 0, width
            width = 9
    window, held, size = _put(prefix, width, window, held, size, out)
    if wide_end:
        free += 1
        if free == full:
            window, held, size = _put(_CLEAR, width, window, held, size, out)
            width = 9
        elif free >= 1 << width:
            width += 1
    window, held, size = _put(_END, width, window, held, size, out)
    return int(_flush(window, held, size, out, pad))


@njit(inline="always")
def _put(code: int, width: int, window: int, held: int, size: int, out: NDArray[Any]) -> tuple[int, int, int]:
    window = (window << width | code) & 0xFFFFF
    held += width
    while held >= 8:
        out[size] = window >> (held - 8) & 0xFF
        size += 1
        held -= 8
    return window, held, size


@njit(inline="always")
def _flush(window: int, held: int, size: int, out: NDArray[Any], pad: bool) -> int:
    if held or pad:
        out[size] = window << (8 - held) & 0xFF
        size += 1
    return size
