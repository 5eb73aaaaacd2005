"""Planes of opaque tiles: bytes that no flow should touch, kept apart so that each can be fetched alone."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from haarchive.pipeline.layout import Plane
from haarchive.pipeline.sources.scan import PlaneScan

__all__ = ["MAX_SEGMENT", "SMALL_SEGMENT", "opaque_tiles"]

MAX_SEGMENT = 64 << 20
"""The largest segment, in bytes as stored, that is held in memory as one chunk."""

SMALL_SEGMENT = 64 << 10
"""Segments that are stored as they are get chunks of their own from this mean size, in bytes, on."""


def opaque_tiles(
    codec: str, attrs: Mapping[str, Any], offset: NDArray[np.int64], length: NDArray[np.int64], size: int
) -> PlaneScan | None:
    """Describe segments that are kept as the bytes they are.

    Parameters
    ----------
    codec : str
        'jpeg-xl' or 'stored'.
    attrs : Mapping
        Bytes among the values become base64.
    offset, length : ndarray of int64, shape (n,)
        Sparse segments, those outside of the file and those above `MAX_SEGMENT` are left out.
    size : int
        Bytes of the source.

    Returns
    -------
    PlaneScan or None
        None where no segment is left. The plane has no chunks, and its bytes stay in the skeleton, where the
        segments are so small that an index entry for each would make the archive larger than the source.
    """
    kept = (length > 0) & (length <= MAX_SEGMENT) & (offset >= 0) & (offset <= size - length)
    if not kept.any():
        return None
    if codec == "stored" and length[kept].mean() < SMALL_SEGMENT:
        kept &= False
    plane = Plane(
        kind="tiles",
        shape=(int(kept.sum()),),
        dtype="uint8",
        chunk_shape=(1,),
        codec=codec,
        packer={"name": "identity"},
        attrs={k: base64.b64encode(v).decode() if isinstance(v, bytes) else v for k, v in attrs.items()},
    )
    return PlaneScan(plane, np.flatnonzero(kept), offset[kept], length[kept])
