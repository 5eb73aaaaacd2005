"""Along one side of a picture: where its tiles begin, and where low and high coefficients lie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["LEVELS", "Axis"]

LEVELS = 5
"""How often a tile is transformed, JPEG 2000's usual number."""


@dataclass(frozen=True)
class Axis:
    """A side of a picture in the coordinates of its tiles.

    A sample's coordinate is even where it is low in the transform, odd where it is high (ITU-T T.800, annex F). Tiles
    begin at coordinates that are multiples of the period.

    Parameters
    ----------
    begin, end : int
        Coordinates of the first sample and behind the last, 0 or more.
    period : int
        Samples of a tile; 0 where all of the side is in one.
    """

    begin: int
    end: int
    period: int

    @property
    def low(self) -> Axis:
        """The low coefficients, which are the samples of the next coarser level."""
        return Axis((self.begin + 1) // 2, (self.end + 1) // 2, self.period // 2)

    @property
    def high(self) -> tuple[int, int]:
        """The first of the high coefficients, counted from the tile that coordinate 0 is in, and behind the last."""
        return self.begin // 2, self.end // 2

    @property
    def size(self) -> int:
        """How many samples there are."""
        return self.end - self.begin

    @property
    def bounds(self) -> NDArray[np.int64]:
        """Where tiles begin, from the first sample on, and where the last ends."""
        inner = range((self.begin // self.period + 1) * self.period, self.end, self.period) if self.period else ()
        return np.array([self.begin, *inner, self.end], np.int64)

    def halved(self) -> Axis:
        """The same side of planes that have one sample for two."""
        return Axis(self.begin // 2, (self.end + 1) // 2, self.period // 2)

    def at_level(self, level: int) -> Axis:
        """The samples after so many transforms."""
        axis = self
        for _ in range(level):
            axis = axis.low
        return axis
