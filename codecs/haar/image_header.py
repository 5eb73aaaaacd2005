"""What the bitstream of a picture begins with."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from haarchive.codecs.errors import BitstreamError
from haarchive.codecs.haar import colour, ycbcr
from haarchive.codecs.haar.phases import NO_GRID, Grid

__all__ = ["DTYPES", "MAX_SIDE", "TRANSFORMS", "ImageHeader", "most_levels"]

DTYPES = (np.dtype(np.uint8), np.dtype(np.uint16))
"""By their number in the header."""

TRANSFORMS = (*colour.TRANSFORMS, *ycbcr.CONVERSIONS)
"""Colour transforms by their number in the header."""

MAX_SIDE = 1 << 16
"""The most rows, and the most columns."""

_HEADER = struct.Struct("<BBBBBBHHIIIIBB")
_VERSION, _NEWER = 2, 3
"""The newer version is that of pictures that are packed or weighed."""
_MAX_LEVELS = 5
_SMALLEST_SPLIT = 16
_MAX_CLASSES = 8
_NETWORKS, _RICH, _OUTLIERS, _WEIGHED, _PACKED = 1, 2, 4, 8, 128
_DROPPED_SHIFT, _DROPPED_MASK = 4, 7
"""Flags, and where the number of levels that were dropped is."""


@dataclass(frozen=True)
class ImageHeader:
    """What a decoder must know of a whole picture.

    Parameters
    ----------
    dtype : numpy.dtype
    transform : str
        One of `TRANSFORMS`.
    levels : int
        How often the picture is split.
    bits : int
        Of a sample, after division.
    shape : tuple of int
        Height, width and planes.
    divisor : int
        By which all samples were divided.
    networks : bool
        Whether networks predict.
    rich : bool
        Whether predictors choose from the long list of taps.
    grids : tuple of Grid
        Of rows and of columns.
    dropped : int
        Levels of finest details that were left out; where there are any the picture is lossy.
    outliers : bool
        Whether pixels that the colour transform does not reproduce are behind the finest details.
    weighed : bool
        Whether weights of sample values are ahead of the finest details; from version 3 on.
    packed : bool
        Whether samples are numbers of the values in use, and maps of these ahead of the coarsest band; likewise.
    """

    SIZE: ClassVar[int] = _HEADER.size

    dtype: np.dtype
    transform: str
    levels: int
    bits: int
    shape: tuple[int, int, int]
    divisor: int = 1
    networks: bool = False
    rich: bool = False
    grids: tuple[Grid, Grid] = (NO_GRID, NO_GRID)
    dropped: int = 0
    outliers: bool = False
    weighed: bool = False
    packed: bool = False

    @property
    def shift(self) -> int:
        """Amplitude shift: what the networks know are 8-bit pictures."""
        return max(0, self.bits - 8)

    @property
    def limit(self) -> int:
        """Bound of locations, in 1/16: differences of colour differences have two bits more than samples."""
        return 1 << (self.bits + 2 + 4)

    def to_bytes(self) -> bytes:
        """Lay it out."""
        height, width, planes = self.shape
        dtype, transform = DTYPES.index(self.dtype), TRANSFORMS.index(self.transform)
        flags = _NETWORKS * self.networks + _RICH * self.rich + _OUTLIERS * self.outliers
        flags += _WEIGHED * self.weighed + _PACKED * self.packed + (self.dropped << _DROPPED_SHIFT)
        version = _NEWER if self.weighed or self.packed else _VERSION
        rows, columns = self.grids
        return _HEADER.pack(
            version, dtype, transform, self.levels, self.bits, flags, self.divisor, planes, height, width,
            rows.frequency, columns.frequency, rows.classes, columns.classes,
        )  # fmt: skip

    @classmethod
    def from_bytes(cls, data: bytes) -> ImageHeader:
        """Read what `to_bytes` made.

        Raises
        ------
        BitstreamError
            If it is damaged, or of another version.
        """
        try:
            version, dtype, transform, levels, bits, flags, divisor, planes, *rest = _HEADER.unpack_from(data)
            height, width, by_row, by_column, row_classes, column_classes = rest
            header = cls(
                DTYPES[dtype], TRANSFORMS[transform], levels, bits, (height, width, planes), divisor,
                bool(flags & _NETWORKS), bool(flags & _RICH),
                (Grid(by_row, row_classes), Grid(by_column, column_classes)),
                flags >> _DROPPED_SHIFT & _DROPPED_MASK, bool(flags & _OUTLIERS), bool(flags & _WEIGHED),
                bool(flags & _PACKED),
            )  # fmt: skip
        except (struct.error, IndexError) as error:
            raise BitstreamError(f"the header of a haar bitstream is damaged: {error}") from None
        if version not in (_VERSION, _NEWER):
            raise BitstreamError(
                f"haar bitstream version {version} is none of {_VERSION} and {_NEWER}: update haarchive"
            )
        sane = max(height, width) <= MAX_SIDE and 1 <= bits <= 8 * header.dtype.itemsize and divisor >= 1
        converted = header.transform in ycbcr.CONVERSIONS
        sane = (
            sane
            and (header.weighed or header.packed) == (version == _NEWER)
            and not (header.packed and converted)
            and (not header.weighed or (bits == 8 and levels > 0 and not header.dropped))
            and header.dropped <= levels
            and (not converted or (header.dtype == np.uint8 and bits == 8 and divisor == 1))
            and (not header.outliers or (converted and not header.dropped))
            and all(1 <= grid.classes <= _MAX_CLASSES for grid in header.grids)
        )
        if not sane or levels != most_levels(header.shape) or (header.transform != "none" and planes < 3):
            raise BitstreamError("the header of a haar bitstream is damaged")
        return header


def most_levels(shape: tuple[int, int, int]) -> int:
    """How often a picture is split: while both sides have 16 samples, at most five times."""
    side, levels = min(shape[:2]), 0
    while side >= _SMALLEST_SPLIT and levels < _MAX_LEVELS:
        side, levels = -(-side // 2), levels + 1
    return levels
