"""JPEG files, and those that lie within files of formats that we do not take apart.

Slides in DICOM, MIRAX, CZI and VSI can be JPEG tiles with other data around them. Where a JPEG begins and ends is seen
from its markers alone, so nothing else needs to be understood: what is around is kept as it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from haarchive.codecs.jpeg.files import OPENING, end_of_file, size_of
from haarchive.pipeline.sources.files import SourceBytes
from haarchive.pipeline.sources.scan import Scan
from haarchive.pipeline.sources.tiles import MAX_SEGMENT, opaque_tiles, tiles_per_chunk

__all__ = ["scan_embedded"]

_BLOCK = 4 << 20
_LEAST = 2048
"""Bytes of JPEG in a file, below which it is not worth while to keep them apart."""


def scan_embedded(files: SourceBytes, kind: str) -> Scan:
    """Find all JPEG files in a file; see `scan_tiff` for what is returned."""
    found = list(_jpegs(files))
    if sum(length for _, length, _ in found) < _LEAST:
        return Scan(kind)
    offset, length = np.array([(at, size) for at, size, _ in found], np.int64).T
    sizes = [size for _, _, size in found if size and min(size) > 0]
    # Most of them are tiles of one size, if there are many.
    together = math.prod(tiles_per_chunk(*max(set(sizes), key=sizes.count))) if sizes else 1
    plane = opaque_tiles("jpeg-xl", {}, offset, length, files.size, chunk=(together, 1))
    return Scan(kind, [plane] if plane else [])


def _jpegs(files: SourceBytes) -> Iterator[tuple[int, int, tuple[int, int] | None]]:
    """Offset, bytes, and height and width of each JPEG file, those within others left out."""
    at, data = 0, b""  # `data` are the bytes from `at` on
    while at < files.size:
        if len(data) < len(OPENING):
            data = files.peek(at, _BLOCK)
        begin = data.find(OPENING)
        if begin < 0:
            keep = len(OPENING) - 1 if at + len(data) < files.size else 0
            at, data = at + len(data) - keep, b""
            if not keep:
                return
            continue
        at, data = at + begin, data[begin:]
        end = end_of_file(data, 0)
        while end > len(data) and len(data) < min(MAX_SEGMENT, files.size - at):
            data = files.peek(at, max(_BLOCK, 2 * len(data)))
            end = end_of_file(data, 0)
        if 0 < end <= len(data):
            yield at, end, size_of(data)
        else:
            end = len(OPENING) - 1
        at, data = at + end, data[end:]
