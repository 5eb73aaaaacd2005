"""JPEG files, and those that lie within files of formats that we do not take apart.

Slides in DICOM, MIRAX, CZI and VSI can be JPEG tiles with other data around them. Where a JPEG begins and ends is seen
from its markers alone, so nothing else needs to be understood: what is around is kept as it is.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

import numpy as np

from haarchive.codecs.jpeg.files import OPENING, end_of_file, size_of
from haarchive.pipeline.sources.files import SourceBytes
from haarchive.pipeline.sources.scan import PlaneScan, Scan
from haarchive.pipeline.sources.tiles import MAX_SEGMENT, opaque_tiles, tiles_per_chunk

__all__ = ["scan_embedded"]

_BLOCK = 4 << 20
_MANY = 16
_LEAST = 2048
"""Bytes of JPEG in a file, below which it is not worth while to keep them apart."""


def scan_embedded(files: SourceBytes, kind: str) -> Scan:
    """Find all JPEG files in a file; see `scan_tiff` for what is returned.

    Those of one size are tiles, if there are many: each such size has a plane, whose chunks are of several.
    """
    found = list(_jpegs(files))
    if sum(length for _, length, _ in found) < _LEAST:
        return Scan(kind)
    counts = Counter(size for _, _, size in found)
    classes: dict[tuple[int, int] | None, list[tuple[int, int]]] = {}
    for offset, length, size in found:
        tiled = size is not None and min(size) > 0 and counts[size] >= _MANY
        classes.setdefault(size if tiled else None, []).append((offset, length))
    planes = [_plane(size, where, files.size) for size, where in classes.items()]
    return Scan(kind, [plane for plane in planes if plane])


def _plane(size: tuple[int, int] | None, where: list[tuple[int, int]], end: int) -> PlaneScan | None:
    offset, length = np.array(where, np.int64).T
    together = math.prod(tiles_per_chunk(*size)) if size else 1
    together = max(1, min(together, MAX_SEGMENT // int(length.max())))
    return opaque_tiles("jpeg-xl", {}, offset, length, end, chunk=(together, 1))


def _jpegs(files: SourceBytes) -> Iterator[tuple[int, int, tuple[int, int] | None]]:
    """Offset, bytes, and height and width of each JPEG file, those within others left out."""
    base, data, at = 0, b"", 0  # `data` are the bytes from `base` on, `at` is a place in them
    while base + at < files.size:
        if at + len(OPENING) > len(data):
            base, at = base + at, 0
            data = files.peek(base, _BLOCK)
        begin = data.find(OPENING, at)
        if begin < 0:
            if base + len(data) == files.size:
                return
            at = len(data) - len(OPENING) + 1
            continue
        end = end_of_file(data, begin)
        if end > len(data) and base + len(data) < files.size:  # it goes on behind what was read
            base, at = base + begin, 0
            data, end = _read_on(files, base)
            begin = 0
        if 0 < end <= len(data):
            yield base + begin, end - begin, size_of(data, begin)
            at = end
        else:
            at = begin + len(OPENING) - 1


def _read_on(files: SourceBytes, base: int) -> tuple[bytes, int]:
    """More and more of the JPEG file that begins at `base`, up to its end or what a chunk may be; and where it ends."""
    data, end, room = b"", 1, _BLOCK
    while end > len(data) and len(data) < min(MAX_SEGMENT, files.size - base):
        room = min(2 * room, MAX_SEGMENT)
        data = files.peek(base, room)
        end = end_of_file(data, 0)
    return data, end
