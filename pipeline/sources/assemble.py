"""From planes back to the bytes of a source."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.errors import IntegrityError
from haarchive.pipeline.layout import SKELETON_CHUNK, SourceLayout
from haarchive.pipeline.sources.packers import Packer, get_packer

__all__ = ["ReadRegion", "assemble", "skeleton_size"]

ReadRegion = Callable[[int, tuple[slice, ...]], NDArray[Any]]
"""``(plane, region) -> samples``. A region has one slice an axis. Of a 'tiles' plane it is one tile, and the samples
are that tile's bytes, (n,) uint8."""


def assemble(
    layout: SourceLayout, read_plane_region: ReadRegion, start: int = 0, stop: int | None = None
) -> Iterator[bytes]:
    """Make the bytes ``[start, stop)`` of a source from its skeleton and its planes.

    Parameters
    ----------
    layout : SourceLayout
    read_plane_region : callable
        See `ReadRegion`. Regions are asked for in the order of the source's bytes.
    start, stop : int
        Byte offsets over the members laid end to end; `stop` defaults to the end.

    Yields
    ------
    bytes
        In order, never empty, at most a piece or a mebibyte at once.

    Raises
    ------
    IntegrityError
        If samples pack to another number of bytes than the piece has.
    """
    stop = layout.size if stop is None else min(stop, layout.size)
    pieces = layout.pieces
    ends = pieces.offset + pieces.length
    packers: dict[int, Packer] = {}
    index = int(np.searchsorted(ends, np.int64(start), side="right"))
    packed = int(pieces.length[:index].sum())  # bytes of pieces before the position: what the skeleton skips
    position = start
    while position < stop:
        begin = int(pieces.offset[index]) if index < len(pieces) else layout.size
        if position < begin:
            gap = min(begin, stop)
            yield from _skeleton(read_plane_region, position - packed, gap - packed)
            position = gap
            continue
        length, plane, segment = (
            int(pieces.length[index]),
            int(pieces.plane[index]),
            int(pieces.segment[index]),
        )
        if plane not in packers:
            packers[plane] = get_packer(layout.planes[plane])
        packer = packers[plane]
        data = packer.pack(read_plane_region(plane, packer.bounds(segment)), segment)
        if len(data) != length:
            raise IntegrityError(
                f"{layout.name}: segment {segment} of plane {plane} gives {len(data)} bytes where the source"
                f" had {length}; the archive is damaged, or this version of haarchive packs differently"
            )
        yield data[position - begin : stop - begin]
        position = min(begin + length, stop)
        packed += length
        index += 1


def skeleton_size(layout: SourceLayout) -> int:
    """Bytes of a source that no piece covers."""
    return layout.size - int(layout.pieces.length.sum())


def _skeleton(read: ReadRegion, start: int, stop: int) -> Iterator[bytes]:
    while start < stop:
        end = min(stop, (start // SKELETON_CHUNK + 1) * SKELETON_CHUNK)
        yield read(0, (slice(start, end),)).tobytes()
        start = end
