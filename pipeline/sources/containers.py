"""New containers for pixels and samples whose own container cannot be made again: plain BigTIFF and WAV.

Under the guarantee 'sample-exact' a source is archived as if it were such a file, of which everything but the samples
is the skeleton. So restoring it is the same as restoring any other file.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from haarchive.pipeline.layout import Plane
from haarchive.pipeline.sources.packers import get_packer
from haarchive.pipeline.sources.scan import PlaneScan

__all__ = ["Container", "Tag", "big_tiff", "baseline_tags", "wav"]

_SHORT, _LONG, _LONG8 = 3, 4, 16
_OFFSETS, _BYTE_COUNTS = {False: 273, True: 324}, {False: 279, True: 325}
_PCM_GUID = bytes.fromhex("0100000000001000800000aa00389b71")
_RIFF_LIMIT = 0xFFFFFFFF


@dataclass(frozen=True)
class Container:
    """A file that does not exist: its skeleton, its size, and where the segments of its planes lie in it."""

    skeleton: bytes
    size: int
    planes: tuple[PlaneScan, ...]


@dataclass(frozen=True)
class Tag:
    """One TIFF tag: `data` is the value's bytes, in the byte order of the file that it goes into."""

    code: int
    dtype: int
    count: int
    data: bytes


@dataclass(frozen=True)
class Page:
    """A page to be written: its tags but for offsets and byte counts, its plane, the segments that exist.

    `parent` is the number of the page whose SubIFD it is, None for pages of the main chain.
    """

    tags: Sequence[Tag]
    plane: Plane
    tiled: bool
    segments: NDArray[np.int64]
    parent: int | None = None
