"""Planes of opaque tiles: bytes that no flow should touch, kept apart so that each can be fetched alone."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from haarchive.pipeline.layout import Plane
from haarchive.pipeline.sources.scan import PlaneScan

__all__ = ["MAX_SEGMENT", "SMALL_SEGMENT", "opaque_tiles", "tiles_per_chunk"]

MAX_SEGMENT = 64 << 20
"""The largest segment, in bytes as stored, that is held in memory as one chunk."""

SMALL_SEGMENT = 64 << 10
"""Segments that are stored as they are get chunks from this mean size of a chunk, in bytes, on."""


_CHUNK_SIDE = 512
"""Pixels that a chunk of JPEG tiles has along each side, about: what is coded together is smaller, and what is read
together slower."""
_CHUNK_PIXELS = 1 << 22


def tiles_per_chunk(height: int, width: int) -> tuple[int, int]:
    """How many JPEG tiles of a size in pixels make a chunk, down and across."""
    across = max(1, round(_CHUNK_SIDE / width))
    down = max(1, round(_CHUNK_SIDE / height))
    return max(1, min(down, _CHUNK_PIXELS // (height * width * across))), across


def opaque_tiles(
    codec: str,
    attrs: Mapping[str, Any],
    offset: NDArray[np.int64],
    length: NDArray[np.int64],
    size: int,
    *,
    grid: tuple[int, int] | None = None,
    chunk: tuple[int, int] = (1, 1),
) -> PlaneScan | None:
    """Describe segments that are kept as the bytes they are.

    Parameters
    ----------
    codec : str
        'jpeg', 'jpeg-xl' or 'stored'.
    attrs : Mapping
        Bytes among the values become base64.
    offset, length : ndarray of int64, shape (n,)
        Sparse segments, those outside of the file and those above `MAX_SEGMENT` are left out.
    size : int
        Bytes of the source.
    grid : tuple of int, optional
        Rows and columns of the segments in a picture, if they are all of one.
    chunk : tuple of int
        How many make a chunk, down and across; in reading order where there is no grid, or some are left out.

    Returns
    -------
    PlaneScan or None
        None where no segment is left. The plane has no chunks, and its bytes stay in the skeleton, where the
        segments are so small that an index entry for each would make the archive larger than the source.
    """
    kept = (length > 0) & (length <= MAX_SEGMENT) & (offset >= 0) & (offset <= size - length)
    if not kept.any():
        return None
    if codec == "stored" and length[kept].mean() * math.prod(chunk) < SMALL_SEGMENT:
        kept &= False
    whole = grid is not None and kept.all() and math.prod(grid) == len(kept) and chunk != (1, 1)
    plane = Plane(
        kind="tiles",
        shape=grid if grid and whole else (int(kept.sum()),),
        dtype="uint8",
        chunk_shape=chunk if whole else (math.prod(chunk),),
        codec=codec,
        packer={"name": "identity"},
        attrs={k: base64.b64encode(v).decode() if isinstance(v, bytes) else v for k, v in attrs.items()},
    )
    return PlaneScan(plane, np.flatnonzero(kept), offset[kept], length[kept])
