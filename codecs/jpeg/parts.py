"""JPEG files that lie one behind the other, as parts that can be laid down again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.dct.coefficients import LARGEST_COEFFICIENT
from haarchive.codecs.errors import BitstreamError, UnsupportedSamplesError
from haarchive.codecs.jpeg.scan import read_scan, write_scan
from haarchive.codecs.jpeg.syntax import SOI, Frame, read_frame

__all__ = ["MOST_BLOCKS", "Components", "Part", "interval_of", "read_intervals", "read_parts", "write_parts"]

MOST_BLOCKS = 1 << 19
"""Of a part: coefficients and what is known of them take a kilobyte a block while they are coded."""

Components = list[NDArray[np.int32]]
"""Coefficients of each component: ``(64, h, w)`` by frequency ``8 * vertical + horizontal``."""

_NEXT = SOI + b"\xff"
_RST0 = 0xD0


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
    octets = np.frombuffer(data, np.uint8)
    parts, components = [], []
    begin, room = 0, 0
    while begin < len(data):
        frame, at = read_frame(data, begin, tables)
        part, found, size = _read_part(frame, data, octets, begin, at)
        parts.append(part)
        components.append(found)
        room += size
        begin = at + size + len(part.tail)
    return parts, components, room


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
    octets = np.frombuffer(data, np.uint8)
    parts, components = [], []
    begin, room = 0, 0
    while begin < len(data):
        part, found, size = _read_part(interval, data, octets, begin, begin)
        if part.tail[:1] == b"\xff" and part.tail[1] & 0xF8 == _RST0:
            part = replace(part, tail=part.tail[:2])
        parts.append(part)
        components.append(found)
        room += size
        begin += size + len(part.tail)
    return parts, components, room


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


def _read_part(
    frame: Frame, data: bytes, octets: NDArray[np.uint8], begin: int, at: int
) -> tuple[Part, Components, int]:
    """Take apart what begins at `begin`, whose scan begins at `at`, and prove that the scan can be made again.

    The last of what is returned is the bytes of the scan.
    """
    if frame.blocks > MOST_BLOCKS:
        raise UnsupportedSamplesError(f"a JPEG file of more than {MOST_BLOCKS} blocks")
    found = read_scan(frame, octets, at)
    if found is None:
        raise UnsupportedSamplesError("a JPEG file whose scan cannot be decoded")
    components, pad, end = found
    largest = max(int((np.abs(c).max(axis=(1, 2)) * s).max()) for c, s in zip(components, frame.steps, strict=True))
    if largest > LARGEST_COEFFICIENT:
        raise UnsupportedSamplesError("a JPEG file with coefficients that are too large")
    if write_scan(frame, components, pad, end - at) != data[at:end]:
        raise UnsupportedSamplesError("a JPEG file whose scan was coded in an unusual way")
    following = data.find(_NEXT, end)
    tail = data[end : following if following >= 0 else len(data)]
    return Part(frame, data[begin:at], tail, pad), components, end - at


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
