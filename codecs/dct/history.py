"""What a picture that was a JPEG is decoded with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.dct.inverse import INVERSES, decode_blocks
from haarchive.codecs.dct.sampling import NO_SEAMS, Lines, Seams, upsample
from haarchive.codecs.dct.transform import BLOCK
from haarchive.codecs.haar.ycbcr import to_rgb

__all__ = ["CONVERSION", "History", "Region"]

CONVERSION = "ycbcr"
"""Of Y, Cb, Cr: JFIF's."""
_CENTRES = np.array([0, 128, 128], np.int32)


@dataclass(frozen=True)
class Region:
    """The part of a picture that blocks cover.

    Parameters
    ----------
    top, left, bottom, right : int
        In samples; the last two are exclusive.
    """

    top: int
    left: int
    bottom: int
    right: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Of rows and columns."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def is_all_of(self, shape: tuple[int, ...]) -> bool:
        """Whether nothing of a picture ``(height, width, ...)`` is outside."""
        return (self.top, self.left, self.bottom, self.right) == (0, 0, *shape[:2])


@dataclass(frozen=True, eq=False)
class History:
    """How coefficients become samples.

    Parameters
    ----------
    shape : tuple of int
        Height, width and planes of the picture, without a constant one.
    converted : bool
        Whether the components are Y, Cb, Cr (JFIF's), not the planes themselves.
    sampling : tuple of int
        Rows and columns of luma to one of chroma; (1, 1) where nothing is converted.
    origin : tuple of int
        The row and column at which the first unit of blocks begins; negative where the picture begins within one.
    units : tuple of int
        How many units there are, down and across; the last may reach beyond the picture. A unit has a block of each
        component of chroma, and as many of luma as fit.
    steps : ndarray, shape (C, 64), int64
        Of each component's quantisation, by frequency ``8 * vertical + horizontal``.
    constant : int, optional
        What all samples of one more plane are, as of alpha where nothing is transparent; None where there is none.
    inverse : str
        The inverse cosine transform, one of `INVERSES`.
    frame_converted : bool
        Whether what is outside of the region is Y, Cb, Cr, too.
    seams : tuple of Seams
        Rows and columns of the picture with which tiles begin that were decoded each for itself; between units.
    """

    shape: tuple[int, int, int]
    converted: bool
    sampling: tuple[int, int]
    origin: tuple[int, int]
    units: tuple[int, int]
    steps: NDArray[np.int64]
    constant: int | None = None
    inverse: str = INVERSES[0]
    frame_converted: bool = False
    seams: tuple[Seams, Seams] = (NO_SEAMS, NO_SEAMS)

    @property
    def covered(self) -> Region:
        """What the units cover, also beyond the picture."""
        (top, left), (rows, columns), (down, across) = self.origin, self.sampling, self.units
        return Region(top, left, top + BLOCK * rows * down, left + BLOCK * columns * across)

    @property
    def region(self) -> Region:
        """What they cover of the picture."""
        whole = self.covered
        height, width = self.shape[:2]
        return Region(max(whole.top, 0), max(whole.left, 0), min(whole.bottom, height), min(whole.right, width))

    @property
    def seen(self) -> tuple[slice, slice]:
        """The rows and columns of `decode` that are in the picture."""
        whole, region = self.covered, self.region
        return (
            slice(region.top - whole.top, region.bottom - whole.top),
            slice(region.left - whole.left, region.right - whole.left),
        )

    def chroma_lines(self, top: int, left: int, bottom: int, right: int) -> Lines:
        """Where tiles begin in chroma of a part of the picture, or beyond it, counted from its first row and column."""
        rows, columns = self.sampling
        return (
            tuple((line - top) // rows for line in self.seams[0].between(top, bottom)),
            tuple((line - left) // columns for line in self.seams[1].between(left, right)),
        )

    def grid(self, component: int) -> tuple[int, int]:
        """How many blocks a component has, down and across."""
        down, across = self.units
        rows, columns = self.sampling if component == 0 else (1, 1)
        return down * rows, across * columns

    def cut(self, component: int) -> NDArray[np.bool_]:
        """The blocks of a component that reach beyond the picture."""
        begins = self.covered.top, self.covered.left
        factors = (1, 1) if component == 0 else self.sampling
        down, across = (
            begin + BLOCK * factor * np.arange(count)
            for begin, factor, count in zip(begins, factors, self.grid(component), strict=True)
        )
        (height, width, _), (rows, columns) = self.shape, factors
        beyond = (down < 0) | (down + BLOCK * rows > height), (across < 0) | (across + BLOCK * columns > width)
        return np.logical_or.outer(*beyond)

    def decode(self, components: Sequence[NDArray[np.int32]]) -> NDArray[np.int32]:
        """The samples of all units.

        Parameters
        ----------
        components : sequence of ndarray, shape (64, h, w), int32
            Quantised coefficients.

        Returns
        -------
        ndarray, shape (C, H, W), int32
            Planes, 0 to 255.
        """
        return self.converted_to_planes(self.decode_components(components))

    def decode_components(self, components: Sequence[NDArray[np.int32]]) -> NDArray[np.int32]:
        """The samples of the components ``(C, H, W)`` at full size, before their conversion."""
        whole = self.covered
        out = np.empty((len(components), whole.bottom - whole.top, whole.right - whole.left), np.int32)
        lines = self.chroma_lines(whole.top, whole.left, whole.bottom, whole.right)
        for n, (one, steps) in enumerate(zip(components, self.steps, strict=True)):
            if n == 0 or self.sampling == (1, 1):
                decode_blocks(one, steps, self.inverse, out=out[n])
            else:
                out[n] = upsample(decode_blocks(one, steps, self.inverse), self.sampling, lines)
        return out

    def converted_to_planes(self, samples: NDArray[np.int32]) -> NDArray[np.int32]:
        """What samples ``(C, ...)`` of the components are in the picture's planes."""
        return (
            to_rgb(CONVERSION, samples - _CENTRES.reshape(3, *[1] * (samples.ndim - 1))) if self.converted else samples
        )
