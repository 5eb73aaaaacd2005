"""Periodic grids that pictures carry: JPEG's blocks, subsampled chroma, the beat of a resampling.

A picture that was decoded from JPEG is smoother inside of blocks of eight than across their edges; one that was
resampled has a noise whose size and colour change with the phase between old and new pixels. Each axis may have one
frequency, and samples are told apart by their phase in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["NO_GRID", "SCALE_PHASES", "Grid", "find_grid"]

SCALE_PHASES = 8
"""Phases an axis that scale corrections tell apart."""

_ONE = 1 << 32
_TRANSFORM = 1 << 13
_LONGEST = 32.0
_SHORTEST_PROFILE = 48
_SIGNIFICANT = 20.0
_FAMILIAR = ((1 / 2, 1 / 4, 4), (1 / 4, 1 / 4, 4), (1 / 3, 1 / 3, 3), (1 / 8, 1 / 8, 8), (3 / 8, 1 / 8, 8))
"""Frequencies that are taken for exact ones: as found, as it is then, and its phases."""
_MOST_CLASSES = 4


@dataclass(frozen=True)
class Grid:
    """One axis of a periodic grid.

    Parameters
    ----------
    frequency : int
        In 2**-32 cycles a sample of the finest detail bands; 0 where there is no grid.
    classes : int
        Phases that the predictor's weights tell apart.
    """

    frequency: int = 0
    classes: int = 1

    @property
    def of_blocks(self) -> bool:
        """Whether it is that of JPEG's blocks of eight: every fourth of the finest details."""
        return self.frequency == _ONE // 4

    def phases(self, length: int, level: int, count: int) -> NDArray[np.int64]:
        """The phase of each row or column of a band.

        Parameters
        ----------
        length : int
        level : int
            1 is the finest; every further one has half of the samples.
        count : int
            Phases a cycle.

        Returns
        -------
        ndarray, shape (length,), int64
            In ``[0, count)``; the first third of a cycle of three is phase 0 wherever rounding puts its edge.
        """
        frequency = (self.frequency << (level - 1)) % _ONE
        turns = (np.arange(length, dtype=np.int64) * frequency + _ONE // (2 * count)) % _ONE
        return turns * count >> 32

    def class_of(self, length: int, level: int) -> NDArray[np.int64]:
        """Like `phases`, of `classes`, numbered without gaps in ascending order."""
        phases = self.phases(length, level, self.classes)
        seen = np.bincount(phases, minlength=self.classes) > 0
        return (np.cumsum(seen) - 1)[phases]


NO_GRID = Grid()


def find_grid(magnitudes: Sequence[NDArray[np.float32]], axis: int) -> Grid:
    """Look for a periodic change in the size of residuals; only encoders do.

    Parameters
    ----------
    magnitudes : sequence of ndarray, shape (H, W)
        Logarithms of the residuals of the finest detail bands.
    axis : int
        0 for a change from row to row, 1 from column to column.

    Returns
    -------
    Grid
        `NO_GRID` where no frequency stands out.
    """
    length = min(m.shape[axis] for m in magnitudes)
    if length < _SHORTEST_PROFILE:
        return NO_GRID
    power = np.zeros(_TRANSFORM // 2 + 1)
    for magnitude in magnitudes:
        profile = magnitude.mean(axis=1 - axis, dtype=np.float64)[:length]
        # Texture of the tissue is slower than any grid that is looked for.
        slow = np.convolve(np.pad(profile, 16, mode="reflect"), np.ones(33) / 33, mode="valid")
        spectrum = np.abs(np.fft.rfft((profile - slow) * np.hanning(length), _TRANSFORM)) ** 2
        spectrum[: int(_TRANSFORM / _LONGEST)] = 0.0
        power += spectrum / max(float(np.median(spectrum[spectrum > 0.0])) if spectrum.any() else 0.0, 1e-12)
    peak = int(power.argmax())
    if power[peak] < _SIGNIFICANT * len(magnitudes):
        return NO_GRID
    found = peak / _TRANSFORM
    for near, exact, phases in _FAMILIAR:
        if abs(found - near) < 1.0 / length:
            return Grid(round(exact * _ONE), min(phases, _MOST_CLASSES))
    return Grid(round(found * _ONE), _MOST_CLASSES)
