"""One band of all planes: what its predictors look at, laid out in arrays.

A `Band` holds what both directions know before a plane of it is coded (`band_code`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.haar.adapt import add_known, with_centres
from haarchive.codecs.haar.layout import Layout, long_layout, short_layout, unfitted_layout
from haarchive.codecs.haar.logarithms import NEAR_FLOOR, log_features
from haarchive.codecs.haar.margins import MARGIN, pad
from haarchive.codecs.haar.occurrences import Occurrences
from haarchive.codecs.haar.phases import NO_GRID, SCALE_PHASES, Grid
from haarchive.codecs.haar.taps import BandSpec
from haarchive.codecs.haar.weighed import Weighed, weighed

__all__ = ["Band", "Classes"]

_FITTED, _FITTED_SHORT = 256, 1024
"""Bands of fewer samples have no fitted weights; where taps come from the short list, the second counts."""
_RICH = 4096
"""Bands of fewer samples have the short list of taps."""


@dataclass(frozen=True, eq=False)
class Classes:
    """Classes of samples by their phases in a grid.

    Parameters
    ----------
    rows, columns : ndarray, shape (H,), (W,), int64
        Sample (i, j) is of class ``rows[i] * across + columns[j]``.
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]

    @property
    def across(self) -> int:
        """Classes of columns."""
        return int(self.columns.max(initial=0)) + 1

    @property
    def count(self) -> int:
        """Classes of samples."""
        return (int(self.rows.max(initial=0)) + 1) * self.across


class Band:
    """A band of all planes, being coded or decoded plane by plane.

    Parameters
    ----------
    spec : BandSpec
    level : int
        1 for the finest details; the coarsest band counts as one level above its details.
    shape : tuple of int
        Planes, height and width.
    lows : sequence of ndarray, shape (P, h, w), int32
        Low bands on the grid of the coarse band, each at least as large as `shape`.
    before : sequence of Band
        Detail bands of the same level that are done, latest first; as many as `spec.details` are looked at.
    shift : int
        Amplitude shift.
    limit : int
        Locations are clamped to this magnitude, in 1/16.
    rich : bool
        Whether taps are taken from the long list, where the band is large enough.
    grids : tuple of Grid
        Of rows and of columns.
    networks : tuple of ndarray, shape (P, H, W), int32, optional
        Locations (1/16, amplitude shift applied) and log-scales (1/64 octave, not applied).
    occurrences : Occurrences, optional
        How often the values of samples occur, where details give these.
    """

    def __init__(
        self,
        spec: BandSpec,
        level: int,
        shape: tuple[int, int, int],
        lows: Sequence[NDArray[np.int32]],
        before: Sequence[Band],
        *,
        shift: int,
        limit: int,
        rich: bool,
        grids: tuple[Grid, Grid] = (NO_GRID, NO_GRID),
        networks: tuple[NDArray[np.int32], NDArray[np.int32]] | None = None,
        occurrences: Occurrences | None = None,
    ) -> None:
        self.spec, self.level, self.shape, self.grids = spec, level, shape, grids
        self.shift, self.limit, self.networks, self.occurrences = shift, limit, networks, occurrences
        self.rich = rich and shape[1] * shape[2] >= _RICH
        self._before = len(before)
        self._least = _FITTED if rich else _FITTED_SHORT
        self._features: tuple[int, NDArray[np.int16]] | None = None
        self._classes: dict[tuple[bool, bool], Classes] = {}
        count, height, width = shape
        details = before[: spec.details]
        self.planes = np.zeros(
            ((len(lows) + len(details) + 1) * count, height + 2 * MARGIN, width + 2 * MARGIN), np.int32
        )
        for n, low in enumerate(lows):
            pad(low, self.planes[n * count : (n + 1) * count])
        for n, band in enumerate(details):
            _copy(band.planes[-count:], self.planes[(len(lows) + n) * count : (len(lows) + n + 1) * count])
        self.distances = np.zeros(((len(before) + 1) * count, *self.planes.shape[1:]), np.int32)
        for n, band in enumerate(before):
            _copy(band.distances[:count], self.distances[(n + 1) * count : (n + 2) * count])

    @property
    def size(self) -> int:
        """Samples of a plane."""
        return self.shape[1] * self.shape[2]

    @property
    def fitted(self) -> bool:
        """Whether planes have fitted weights."""
        return self.size >= self._least

    @property
    def has_grid(self) -> bool:
        """Whether the samples have phases."""
        return any(grid.frequency for grid in self.grids)

    @property
    def fraction(self) -> int:
        """Fraction bits of weights: finer where more samples share their cost."""
        return 8 if self.size >= 1 << 14 else 7 if self.size >= 1 << 12 else 6

    @property
    def values(self) -> NDArray[np.int32]:
        """The samples of all planes, ``(P, H, W) int32``."""
        return self.planes[-self.shape[0] :, MARGIN:-MARGIN, MARGIN:-MARGIN]

    def target(self, plane: int) -> int:
        """Index of a plane's samples in `planes`."""
        return len(self.planes) - self.shape[0] + plane

    def layout(self, plane: int) -> Layout:
        """All taps that a plane's predictor may use, the causal ones last."""
        layout = unfitted_layout if not self.fitted else long_layout if self.rich else short_layout
        return layout(self.spec, plane, self.shape[0])

    def weighed(self, plane: int) -> Weighed | None:
        """Weights of the samples that a plane's details give; None where there are none."""
        if self.occurrences is None or plane not in self.occurrences.weights:
            return None
        low = self.planes[: self.shape[0], MARGIN:-MARGIN, MARGIN:-MARGIN]
        first, second = low[plane] + self.occurrences.references(low, self.values, plane)
        return weighed(self.occurrences.weights[plane], first, second)

    def classes(self, by_row: bool, by_column: bool) -> Classes:
        """Which weights each sample has."""
        if (by_row, by_column) not in self._classes:
            _, height, width = self.shape
            rows = self.grids[0].class_of(height, self.level) if by_row else np.zeros(height, np.int64)
            columns = self.grids[1].class_of(width, self.level) if by_column else np.zeros(width, np.int64)
            self._classes[by_row, by_column] = Classes(rows, columns)
        return self._classes[by_row, by_column]

    @cached_property
    def phases(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Phases of rows and of columns that scale corrections tell apart."""
        _, height, width = self.shape
        rows, columns = self.grids
        return rows.phases(height, self.level, SCALE_PHASES), columns.phases(width, self.level, SCALE_PHASES)

    def features(self, plane: int) -> NDArray[np.int16]:
        """Logarithms of what is known around each sample, ``(F, H, W) int16``, in 1/64 octave."""
        if self._features is None or self._features[0] != plane:
            self._features = plane, self._logarithms(plane)
        return self._features[1]

    def _logarithms(self, plane: int) -> NDArray[np.int16]:
        count = self.shape[0]
        seen = [(kind, q) for q in range(max(0, plane - 2), plane) for kind in (0, 1)]
        if self._before:
            seen += [(2, count + plane)] if self.spec.details else []
            seen += [(1, (n + 1) * count + plane) for n in range(self._before)]
        if self.spec.lows:
            seen += [(3, plane), (4, plane), (6 if self.spec.lows > 1 else 5, plane)]
        features = np.zeros((len(seen), *self.shape[1:]), np.int16)
        kinds, index = np.array(seen, np.int64).reshape(-1, 2).T.copy()
        log_features(kinds, index, self.distances, self.planes, NEAR_FLOOR << self.shift, features)
        return features

    def known(self, weights: NDArray[np.int32], taps: Layout, classes: Classes) -> NDArray[Any]:
        """The sum of taps, in 2**-fraction.

        Parameters
        ----------
        weights : ndarray, shape (C, k), int32
            For each class.
        taps : Layout
            As many as there are columns of weights.
        classes : Classes
        """
        # 200 weights of 2**12 on values of 2**11 stay inside int32; larger values need the wider, slower sums.
        total = np.zeros(self.shape[1:], np.int32 if self.limit <= 1 << 14 else np.int64)
        if taps.count:
            weights, sources, dy, dx = with_centres(weights, taps.sources, taps.dy, taps.dx, taps.centres)
            add_known(weights, sources, dy, dx, self.planes, classes.rows, classes.columns, classes.across, total)
        return total


def _copy(source: NDArray[np.int32], target: NDArray[np.int32]) -> None:
    """Copy padded planes into others, as far as both reach."""
    height, width = (min(a, b) for a, b in zip(source.shape[1:], target.shape[1:], strict=True))
    target[:, :height, :width] = source[:, :height, :width]
