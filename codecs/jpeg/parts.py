"""JPEG files that lie one behind the other, as parts that can be laid down again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.dct.coefficients import LARGEST_COEFFICIENT
from haarchive.codecs.errors import BitstreamError, UnsupportedSamplesError
from haarchive.codecs.jpeg.scan import read_scan, write_scan
from haarchive.codecs.jpeg.syntax import SOI, Frame, read_frame

__all__ = ["MOST_BLOCKS", "Components", "Part", "interval_of", "read_intervals", "read_parts", "write_parts"]

MOST_BLOCKS = 1 << 19
"""Of a chunk: coefficients and what is known of them take a kilobyte a block while they are coded."""

Components = list[NDArray[np.int32]]
"""Coefficients of each component: ``(64, h, w)`` by frequency ``8 * vertical + horizontal``."""

_NEXT = SOI + b"\xff"
_RESTARTS = frozenset(bytes([0xFF, marker]) for marker in range(0xD0, 0xD8))


@dataclass(frozen=True, eq=False)
class Part:
    """A JPEG file, or restart intervals of one, without its coefficients.

    Parameters
    ----------
    frame : Frame
    head, tail : bytes
        What lies before the data of the scan, and behind it.
    pad : int
        The bit that fills the last byte of the scan.
    """

    frame: Frame
    head: bytes
    tail: bytes
    pad: int


def read_parts(data: bytes, tables: bytes = b"") -> tuple[list[Part], list[Components], int]:
    """Take JPEG files apart.

    Parameters
    ----------
    data : bytes
        Files, one behind the other; between and behind them may be other bytes.
    tables : bytes
        Marker segments that belong behind the SOI of each.

    Returns
    -------
    parts : list of Part
    components : list of Components
        Of each part.
    room : int
        Bytes of all scans.

    Raises
    ------
    UnsupportedSamplesError
        If one is of a kind that cannot be made again from this.
    """
    return _read(data, lambda begin: read_frame(data, begin, tables))


def read_intervals(data: bytes, interval: Frame) -> tuple[list[Part], list[Components], int]:
    """Take restart intervals apart.

    Parameters
    ----------
    data : bytes
        Whole intervals of a file, each but the last with the marker behind it.
    interval : Frame
        Of one interval: see `interval_of`.

    Returns
    -------
    parts, components, room
        As of `read_parts`.

    Raises
    ------
    UnsupportedSamplesError
        If one cannot be made again from this.
    """
    return _read(data, lambda begin: (interval, begin), _RESTARTS)


def interval_of(frame: Frame) -> Frame:
    """A restart interval as if it were a file of one row of units.

    Raises
    ------
    UnsupportedSamplesError
        If the file has no restart markers.
    """
    if not frame.restart:
        raise UnsupportedSamplesError("a JPEG file without restart markers has no intervals")
    return replace(frame, units=(1, frame.restart), restart=0)


def _read(
    data: bytes, frame_at: Callable[[int], tuple[Frame, int]], last: frozenset[bytes] = frozenset()
) -> tuple[list[Part], list[Components], int]:
    """Take parts apart whose frame, and where the data of whose scan begins, `frame_at` knows.

    A part ends with one of the markers `last` where its scan does, else where the next file begins.
    """
    octets = np.frombuffer(data, np.uint8)
    parts, components = [], []
    begin, room, blocks = 0, 0, 0
    while begin < len(data):
        frame, at = frame_at(begin)
        blocks += frame.blocks
        if blocks > MOST_BLOCKS:
            raise UnsupportedSamplesError(f"JPEG files of more than {MOST_BLOCKS} blocks together")
        found, pad, end = _read_scan(frame, data, octets, at)
        following = data.find(_NEXT, end)
        following = len(data) if following < 0 else following
        if data[end : end + 2] in last:
            following = end + 2
        parts.append(Part(frame, data[begin:at], data[end:following], pad))
        components.append(found)
        room += end - at
        begin = following
    return parts, components, room


def _read_scan(frame: Frame, data: bytes, octets: NDArray[np.uint8], at: int) -> tuple[Components, int, int]:
    """Decode the scan that begins at `at`, and prove that it can be made again; see `read_scan`."""
    found = read_scan(frame, octets, at)
    if found is None:
        raise UnsupportedSamplesError("a JPEG file whose scan cannot be decoded")
    components, pad, end = found
    largest = max(int((np.abs(c).max(axis=(1, 2)) * s).max()) for c, s in zip(components, frame.steps, strict=True))
    if largest > LARGEST_COEFFICIENT:
        raise UnsupportedSamplesError("a JPEG file with coefficients that are too large")
    if write_scan(frame, components, pad, end - at) != data[at:end]:
        raise UnsupportedSamplesError("a JPEG file whose scan was coded in an unusual way")
    return components, pad, end


def write_parts(parts: Sequence[Part], components: Sequence[Components], room: int) -> bytes:
    """Lay parts down again.

    Raises
    ------
    BitstreamError
        If their scans take more or less than `room` together.
    """
    out = bytearray()
    for part, found in zip(parts, components, strict=True):
        scan = write_scan(part.frame, found, part.pad, room)
        if scan is None:
            raise BitstreamError("the coefficients of a jpeg bitstream are not those of its JPEG file")
        room -= len(scan)
        out += part.head + scan + part.tail
    if room:
        raise BitstreamError("the coefficients of a jpeg bitstream are not those of its JPEG file")
    return bytes(out)
