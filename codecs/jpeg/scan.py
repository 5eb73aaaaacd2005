"""Huffman-coded scans of JPEG files to coefficients and back (ITU-T T.81, annex F)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.dct.coefficients import LARGEST_COEFFICIENT
from haarchive.codecs.dct.transform import ZIGZAG
from haarchive.codecs.distributions.jit import kernel, leaf
from haarchive.codecs.jpeg.huffman import Table
from haarchive.codecs.jpeg.syntax import Frame

__all__ = ["MOST_BLOCKS_A_BYTE", "read_scan", "write_scan"]

_END, _SIXTEEN_ZEROS = 0x00, 0xF0
_MOST_SIZE = 15
MOST_BLOCKS_A_BYTE = 4
"""A block takes two bits at least, one each for DC and AC."""
_RST0 = 0xD0
_SLACK = 8
"""Room for a zero after FF, and for a marker, that may not come."""


def read_scan(frame: Frame, data: NDArray[np.uint8], begin: int) -> tuple[list[NDArray[np.int32]], int, int] | None:
    """Decode a scan.

    Parameters
    ----------
    frame : Frame
    data : ndarray, shape (n,), uint8
    begin : int
        Where in `data` the scan begins.

    Returns
    -------
    components : list of ndarray, shape (64, h, w), int32
        Coefficients by frequency ``8 * vertical + horizontal``.
    pad : int
        The bit that fills the last byte of the scan.
    end : int
        Where the data ends: at a marker, or at the end of `data`.

    None if it cannot be decoded.
    """
    shapes, total = _shapes(frame)
    if (data.size - begin) * MOST_BLOCKS_A_BYTE < frame.blocks:
        return None
    flat, pad = np.zeros(total, np.int32), np.ones(1, np.int64)
    end = int(_read(data, begin, _stacked("lookup", frame.dc, frame.ac), shapes, _order(frame), ZIGZAG, flat, pad))
    return (_split(flat, shapes), int(pad[0]), end) if end >= 0 else None


def write_scan(frame: Frame, components: Sequence[NDArray[np.int32]], pad: int, room: int) -> bytes | None:
    """Encode a scan, which is what `read_scan` decoded if its encoder did nothing unusual.

    Parameters
    ----------
    frame : Frame
    components : sequence of ndarray, shape (64, h, w), int32
    pad : int
        The bit to fill the last bytes with, before restart markers as well.
    room : int
        How many bytes it may take.

    Returns
    -------
    bytes or None
        None if it takes more than `room`, or the tables have no code for a coefficient.
    """
    shapes, _ = _shapes(frame)
    flat = np.concatenate([component.ravel() for component in components])
    codes, lengths = (_stacked(what, frame.dc, frame.ac) for what in ("codes", "lengths"))
    out = np.empty(room + _SLACK, np.uint8)
    size = int(_write(flat, codes, lengths, shapes, _order(frame), ZIGZAG, pad, out))
    return out[:size].tobytes() if 0 <= size <= room else None


@lru_cache(maxsize=32)
def _stacked(what: str, dc: tuple[Table, ...], ac: tuple[Table, ...]) -> NDArray[np.int32]:
    """An array of each component's tables ``(C, 2, n)``, for DC and AC; tiles share them, and copying takes time."""
    stacked = np.stack([np.stack([getattr(table, what) for table in pair]) for pair in zip(dc, ac, strict=True)])
    stacked.setflags(write=False)
    return stacked


def _shapes(frame: Frame) -> tuple[NDArray[np.int64], int]:
    """Of each component: rows and columns of blocks in a unit, blocks down and across, where it begins; their sum."""
    shapes, total = np.zeros((len(frame.components), 5), np.int64), 0
    for n, component in enumerate(frame.components):
        down, across = frame.grid(n)
        shapes[n] = component.rows, component.columns, down, across, total
        total += 64 * down * across
    return shapes, total


def _split(flat: NDArray[np.int32], shapes: NDArray[np.int64]) -> list[NDArray[np.int32]]:
    return [flat[at : at + 64 * h * w].reshape(64, h, w) for _, _, h, w, at in shapes.tolist()]


def _order(frame: Frame) -> NDArray[np.int64]:
    """Units down and across, and between restart markers."""
    return np.array([*frame.units, frame.restart], np.int64)


@leaf
def _extended(bits: Any, size: Any) -> Any:
    """A number of `size` bits (T.81, F.2.2.1)."""
    return bits if size == 0 or bits >> (size - 1) else bits - (1 << size) + 1


@kernel
def _unstuffed(data, begin, out):  # type: ignore[no-untyped-def]
    """Copy entropy-coded data up to the next marker, without the zeros after FF.

    Returns
    -------
    where : int
        Of the marker's FF, or the end of the data.
    size : int
        Bytes in `out`.
    """
    at, n = begin, 0
    while at < data.size:
        byte = data[at]
        if byte == 0xFF:
            if at + 1 >= data.size or data[at + 1] != 0:
                break
            at += 1
        out[n] = byte
        n, at = n + 1, at + 1
    return at, n


@kernel
def _read(data, begin, lookups, shapes, order, zigzag, out, pad):  # type: ignore[no-untyped-def]
    """Decode a scan into `out`; returns where its data ends, or -1.

    `lookups` is ``(C, 2, 65536)`` for DC and AC, `order` and `shapes` are as `_order` and `_shapes` make them.
    """
    room = np.empty(data.size - begin + 8, np.uint8)
    count = shapes.shape[0]
    last = np.zeros(count, np.int64)
    down, across, restart = order[0], order[1], order[2]
    end, size = _unstuffed(data, begin, room)
    acc, held, at = np.int64(0), 0, 0
    for unit in range(down * across):
        if restart and unit and unit % restart == 0:
            if end + 1 >= data.size or data[end + 1] != _RST0 + ((unit // restart - 1) & 7) or at - held // 8 < size:
                return -1
            if held % 8:
                pad[0] = (acc >> (held - 1)) & 1
            end, size = _unstuffed(data, end + 2, room)
            acc, held, at = np.int64(0), 0, 0
            last[:] = 0
        row, column = unit // across, unit % across
        for c in range(count):
            high, wide, width = shapes[c, 0], shapes[c, 1], shapes[c, 3]
            plane = shapes[c, 2] * width
            for y in range(high):
                for x in range(wide):
                    base = shapes[c, 4] + (row * high + y) * width + column * wide + x
                    k = 0
                    while k < 64:
                        while held <= 40:  # 16 bits of code, 15 of value
                            acc = (acc << 8) | (room[at] if at < size else 0xFF)
                            held, at = held + 8, at + 1
                        found = lookups[c, min(k, 1), (acc >> (held - 16)) & 0xFFFF]
                        length, symbol = found >> 8, found & 255
                        if length == 0:
                            return -1
                        held -= length
                        bits = symbol & 15
                        if k == 0:
                            bits = symbol
                        elif bits == 0:
                            if symbol == _SIXTEEN_ZEROS:
                                k += 16
                                continue
                            if symbol != _END:
                                return -1
                            break
                        else:
                            k += symbol >> 4
                        if bits > _MOST_SIZE or k > 63:
                            return -1
                        held -= bits
                        value = _extended((acc >> held) & ((1 << bits) - 1), bits)
                        acc &= (1 << held) - 1
                        if k == 0:
                            last[c] += value
                            value = last[c]
                        if abs(value) > LARGEST_COEFFICIENT:
                            return -1
                        out[base + zigzag[k] * plane] = value
                        k += 1
        if at - held // 8 > size:
            return -1
    if at - held // 8 < size:
        return -1
    if held % 8:
        pad[0] = (acc >> (held - 1)) & 1
    return end


@leaf
def _put(bits, length, acc, held, out, at):  # type: ignore[no-untyped-def]
    """Append bits; whole bytes go to `out`, with a zero after FF, while there is room."""
    acc, held = (acc << length) | bits, held + length
    while held >= 8:
        held -= 8
        byte = (acc >> held) & 0xFF
        if at + 2 > out.size:
            return acc & ((1 << held) - 1), held, out.size + 1
        out[at] = byte
        at += 1
        if byte == 0xFF:
            out[at] = 0
            at += 1
    return acc & ((1 << held) - 1), held, at


@leaf
def _bit_length(x: Any) -> Any:
    n = 0
    while x >> n:
        n += 1
    return n


@kernel
def _write(coefficients, codes, lengths, shapes, order, zigzag, pad, out):  # type: ignore[no-untyped-def]
    """Encode a scan into `out`; returns how many bytes that are, or -1. `codes` and `lengths` are ``(C, 2, 256)``."""
    count = shapes.shape[0]
    last = np.zeros(count, np.int64)
    down, across, restart = order[0], order[1], order[2]
    acc, held, at = np.int64(0), 0, 0
    fill = np.int64(0xFF if pad else 0)
    for unit in range(down * across):
        if restart and unit and unit % restart == 0:
            if held:
                acc, held, at = _put(fill >> held, 8 - held, acc, held, out, at)
            if at + 4 > out.size:
                return -1
            out[at], out[at + 1] = 0xFF, _RST0 + ((unit // restart - 1) & 7)
            at += 2
            last[:] = 0
        row, column = unit // across, unit % across
        for c in range(count):
            high, wide, width = shapes[c, 0], shapes[c, 1], shapes[c, 3]
            plane = shapes[c, 2] * width
            for y in range(high):
                for x in range(wide):
                    base = shapes[c, 4] + (row * high + y) * width + column * wide + x
                    run = 0
                    for k in range(64):
                        value = np.int64(coefficients[base + zigzag[k] * plane])
                        if k == 0:
                            value, last[c] = value - last[c], value
                        elif value == 0:
                            run += 1
                            continue
                        while run > 15:
                            if lengths[c, 1, _SIXTEEN_ZEROS] == 0:
                                return -1
                            acc, held, at = _put(
                                codes[c, 1, _SIXTEEN_ZEROS], lengths[c, 1, _SIXTEEN_ZEROS], acc, held, out, at
                            )
                            run -= 16
                        size = _bit_length(abs(value))
                        symbol = run << 4 | size
                        length = lengths[c, min(k, 1), symbol] if size <= _MOST_SIZE else 0
                        if length == 0:
                            return -1
                        acc, held, at = _put(codes[c, min(k, 1), symbol], length, acc, held, out, at)
                        if size:
                            bits = value if value > 0 else value + (1 << size) - 1
                            acc, held, at = _put(bits, size, acc, held, out, at)
                        run = 0
                    if run:
                        if lengths[c, 1, _END] == 0:
                            return -1
                        acc, held, at = _put(codes[c, 1, _END], lengths[c, 1, _END], acc, held, out, at)
        if at > out.size:
            return -1
    if held:
        acc, held, at = _put(fill >> held, 8 - held, acc, held, out, at)
    return at if at <= out.size else -1
