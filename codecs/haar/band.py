"""One detail band of all planes: what its predictors look at, laid out in arrays, and its coding.

A `Band` holds what both directions know before a plane of it is coded; `run` then takes the same steps whichever way
the bits flow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.distributions import logistic_tables
from haarchive.codecs.errors import BitstreamError
from haarchive.codecs.haar.adapt import MARGIN, NEAR_FLOOR, add_known, code_band, log_features, weigh_features
from haarchive.codecs.haar.phases import NO_GRID, SCALE_PHASES, Grid
from haarchive.codecs.haar.scales import scale_tables
from haarchive.codecs.haar.stream import OperationList, WordReader
from haarchive.codecs.haar.taps import BandSpec, Tap, band_taps, rich_taps

__all__ = ["CONSTANT_LIMIT", "SCALE_LIMIT", "WEIGHT_LIMIT", "Band", "BandModel", "Classes", "default_model", "run"]

WEIGHT_LIMIT = (1 << 12) - 1
"""Weights of taps are clamped to this magnitude."""

SCALE_LIMIT = (1 << 11) - 1
"""Weights of features of the log-scale, in 1/256, too."""

CONSTANT_LIMIT = (1 << 13) - 1
"""The log-scale's constant, in 1/64 octave, too."""

_FITTED, _FITTED_SHORT = 256, 1024
"""Bands of fewer samples have no fitted weights; where taps come from the short list, the second counts."""
_RICH = 4096
"""Bands of fewer samples have the short list of taps."""
_CONSTANT_SCALE = 96
_DEFAULT_SCALE = (-449, 128, 102)
"""Constant, and the weights of the two causal logarithms, where nothing is fitted: the residuals around a sample
have the mean magnitude that its scale implies."""
_DEFAULT_WEIGHTS = (1, 1, -1)
"""Of the samples to the left, above, and above to the left, in the coarsest band: those around it on a plane."""


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


@dataclass(frozen=True, eq=False)
class BandModel:
    """What the encoder fitted to a plane of a band.

    Parameters
    ----------
    kept : ndarray, shape (k,), int64
        Indices of the taps that are used.
    weights : ndarray, shape (k,), int32
        In units of ``2**-fraction``.
    network : int
        The weight of the network's location, in the same units.
    by_row, by_column : bool
        Whether classes of rows, of columns have weights of their own.
    changes : ndarray, shape (C, k), int32
        What each class adds to `weights`; C is 0 where there are no classes.
    constant : int
        Of the log-scale, in 1/64 octave.
    scale : ndarray, shape (F,), int32
        Weights of the log-scale's features, in 1/256: those of `Band.features`, the network's log-scale where there is
        one, the two causal ones.
    """

    kept: NDArray[np.int64]
    weights: NDArray[np.int32]
    network: int
    constant: int
    scale: NDArray[np.int32]
    by_row: bool = False
    by_column: bool = False
    changes: NDArray[np.int32] = field(default_factory=lambda: np.zeros((0, 0), np.int32))

    def of_classes(self) -> NDArray[np.int32]:
        """Weights of each class, ``(C, k)``, at least one."""
        if not len(self.changes):
            return self.weights[None]
        weights: NDArray[np.int32] = np.clip(self.weights + self.changes, -WEIGHT_LIMIT, WEIGHT_LIMIT)
        return weights


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
    ) -> None:
        self.spec, self.level, self.shape, self.grids = spec, level, shape, grids
        self.shift, self.limit, self.networks = shift, limit, networks
        self.rich = rich and shape[1] * shape[2] >= _RICH
        self._before = len(before)
        self._least = _FITTED if rich else _FITTED_SHORT
        self._features: tuple[int, NDArray[np.int16]] | None = None
        count, height, width = shape
        details = before[: spec.details]
        self.planes = np.zeros(
            ((len(lows) + len(details) + 1) * count, height + 2 * MARGIN, width + 2 * MARGIN), np.int32
        )
        for n, low in enumerate(lows):
            # Where a low band goes on past this one, its own samples are better than repeated ones.
            inner = low[:, : height + MARGIN, : width + MARGIN]
            after = [s + MARGIN - i for s, i in zip(shape[1:], inner.shape[1:], strict=True)]
            padding = ((0, 0), (MARGIN, after[0]), (MARGIN, after[1]))
            self.planes[n * count : (n + 1) * count] = np.pad(inner, padding, mode="edge")
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

    def taps(self, plane: int) -> tuple[Tap, ...]:
        """All taps that a plane's predictor may use, the causal ones last.

        Where the band is too small for a fit there are none, but for the coarsest: those of `default_model`.
        """
        if not self.fitted:
            return () if self.spec.lows else self.spec.taps[: len(_DEFAULT_WEIGHTS)]
        taps = rich_taps(self.spec, plane, self.shape[0]) if self.rich else band_taps(self.spec, plane)
        return tuple(sorted(taps, key=lambda tap: tap.source == "self"))

    def places(self, taps: Sequence[Tap], plane: int) -> tuple[NDArray[np.int64], ...]:
        """For each tap its index in `planes`, its offsets, and the index of what is subtracted or -1."""
        sources, centres = [], []
        for tap in taps:
            of = plane if tap.plane is None else tap.plane
            match tap.source:
                case "low":
                    source = tap.index * self.shape[0] + of
                case "detail":
                    source = (self.spec.lows + tap.index) * self.shape[0] + of
                case "cross":
                    source = self.target(tap.index)
                case _:
                    source = self.target(plane)
            sources.append(source)
            centres.append(of if tap.source == "low" else -1)
        columns = (sources, [t.dy for t in taps], [t.dx for t in taps], centres)
        return tuple(np.array(column, np.int64) for column in columns)

    def classes(self, by_row: bool, by_column: bool) -> Classes:
        """Which weights each sample has."""
        _, height, width = self.shape
        rows = self.grids[0].class_of(height, self.level) if by_row else np.zeros(height, np.int64)
        columns = self.grids[1].class_of(width, self.level) if by_column else np.zeros(width, np.int64)
        return Classes(rows, columns)

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

    def known(self, plane: int, weights: NDArray[np.int32], taps: Sequence[Tap], classes: Classes) -> NDArray[np.int64]:
        """The sum of taps, and the network's location by its weight, in 2**-(fraction + 4).

        Parameters
        ----------
        plane : int
        weights : ndarray, shape (C, k), int32
            For each class.
        taps : sequence of Tap
            As many as there are columns of weights.
        classes : Classes
        """
        sources, dy, dx, centres = self.places(taps, plane)
        for centre in np.unique(centres[centres >= 0]):
            # Low taps are differences from the sample at the place: one more tap with the negative sum.
            weights = np.column_stack([weights, -weights[:, : len(taps)][:, centres == centre].sum(axis=1)])
            sources, dy, dx = (np.append(a, v) for a, v in ((sources, centre), (dy, 0), (dx, 0)))
        # 200 weights of 2**12 on values of 2**11 stay inside int32; larger values need the wider, slower sums.
        total = np.zeros(self.shape[1:], np.int32 if self.limit <= 1 << 14 else np.int64)
        if len(sources):
            weights = np.ascontiguousarray(weights, np.int32)
            add_known(weights, sources, dy, dx, self.planes, classes.rows, classes.columns, classes.across, total)
        return total.astype(np.int64) << 4


def _copy(source: NDArray[np.int32], target: NDArray[np.int32]) -> None:
    """Copy padded planes into others, as far as both reach."""
    height, width = (min(a, b) for a, b in zip(source.shape[1:], target.shape[1:], strict=True))
    target[:, :height, :width] = source[:, :height, :width]


def run(band: Band, plane: int, model: BandModel | None, coder: OperationList | WordReader) -> None:
    """Code a plane, whose samples are in `Band.planes`, with what was fitted to it; or decode it into them.

    Parameters
    ----------
    band : Band
    plane : int
    model : BandModel, optional
        None when decoding.
    coder : OperationList or WordReader
    """
    taps, features = band.taps(plane), band.features(plane)
    if isinstance(coder, WordReader):
        model = _read(band, len(taps), len(features), coder)
    else:
        assert model is not None
        _write(band, len(taps), model, coder)
    used = [taps[n] for n in model.kept]
    split = sum(tap.source != "self" for tap in used)
    classes, weights = band.classes(model.by_row, model.by_column), model.of_classes()
    total = band.known(plane, weights[:, :split], used[:split], classes)
    base = np.full(band.shape[1:], model.constant << 8, np.int32)
    prior, prior_weight = np.zeros((1, 1), np.int32), 0
    scale = model.scale.astype(np.int64)
    if band.networks is not None:
        total += model.network * band.networks[0][plane].astype(np.int64)
        prior, prior_weight = band.networks[1][plane], int(scale[-3])
    weigh_features(features, scale, prior, prior_weight, base)
    _, dy, dx, _ = band.places(used[split:], plane)
    tables, scales = logistic_tables(), scale_tables()
    coder.resume(
        *code_band(
            coder.decoding, band.planes[band.target(plane)], total, np.ascontiguousarray(weights[:, split:]), dy, dx,
            classes.rows, classes.columns, classes.across, band.fraction, base, scale[-2:],
            band.grids[0].phases(total.shape[0], band.level, SCALE_PHASES),
            band.grids[1].phases(total.shape[1], band.level, SCALE_PHASES),
            band.shift, band.distances[plane], band.limit, scales.gradient,
            tables.cdf, tables.offset, tables.low, tables.size, tables.first, *coder.suspend(total.size),
        )
    )  # fmt: skip


def _write(band: Band, taps: int, model: BandModel, operations: OperationList) -> None:
    """Append what was fitted to a plane."""
    if not band.fitted:
        return
    operations.add_mask(model.kept, taps)
    operations.add_weights(
        model.weights if band.networks is None else np.append(model.weights, np.int32(model.network))
    )
    if band.has_grid:
        operations.add_bits(2 * model.by_row + model.by_column, 2)
    for changes in model.changes:
        changed = np.flatnonzero(changes)
        operations.add_mask(changed, len(changes))
        operations.add_weights(changes[changed])
    operations.add_value(model.constant, 0, _CONSTANT_SCALE)
    operations.add_weights(model.scale)


def _read(band: Band, taps: int, features: int, reader: WordReader) -> BandModel:
    """Read what `_write` appended."""
    if not band.fitted:
        return default_model(band, features)
    kept = reader.mask(taps)
    weights, network = reader.weights(len(kept) + (band.networks is not None), WEIGHT_LIMIT), 0
    if band.networks is not None:
        weights, network = weights[:-1], int(weights[-1])
    flags = reader.bits(2) if band.has_grid else 0
    changes = np.zeros((0, len(kept)), np.int32)
    if flags:
        changes = np.zeros((band.classes(flags >= 2, flags % 2 == 1).count, len(kept)), np.int32)
        for row in changes:
            changed = reader.mask(len(kept))
            row[changed] = reader.weights(len(changed), 2 * WEIGHT_LIMIT)
    constant = reader.value(0, _CONSTANT_SCALE)
    if abs(constant) > CONSTANT_LIMIT:
        raise BitstreamError("the constant of a log-scale is out of range: the bitstream is damaged")
    scale = reader.weights(features + (band.networks is not None) + 2, SCALE_LIMIT)
    return BandModel(kept, weights, network, constant, scale, flags >= 2, flags % 2 == 1, changes)


def default_model(band: Band, features: int) -> BandModel:
    """What takes the place of a fitted model where a band is too small for one."""
    weights = np.array(() if band.spec.lows else _DEFAULT_WEIGHTS, np.int32) << band.fraction
    scale = np.zeros(features + (band.networks is not None) + 2, np.int32)
    scale[-2:] = _DEFAULT_SCALE[1:]
    return BandModel(np.arange(len(weights)), weights, 0, _DEFAULT_SCALE[0], scale)
