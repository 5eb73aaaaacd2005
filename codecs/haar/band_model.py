"""What an encoder fitted to a plane of a band, and how it is sent."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.errors import BitstreamError
from haarchive.codecs.haar.band import Band
from haarchive.codecs.rans.stream import OperationList, WordReader

__all__ = [
    "CONSTANT_LIMIT",
    "DEFAULT_SCALE",
    "SCALE_LIMIT",
    "WEIGHT_LIMIT",
    "BandModel",
    "default_model",
    "read_model",
    "write_model",
]

WEIGHT_LIMIT = (1 << 12) - 1
"""Weights of taps are clamped to this magnitude."""

SCALE_LIMIT = (1 << 11) - 1
"""Weights of features of the log-scale, in 1/256, too."""

CONSTANT_LIMIT = (1 << 13) - 1
"""The log-scale's constant, in 1/64 octave, too."""

_CONSTANT_SCALE = 96
DEFAULT_SCALE = (-449, 128, 102)
"""Constant, and the weights of the two causal logarithms, where nothing is fitted: the residuals around a sample
have the mean magnitude that its scale implies."""
_DEFAULT_WEIGHTS = (1, 1, -1)
"""Of the samples to the left, above, and above to the left, in the coarsest band: those around it on a plane."""


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


def write_model(band: Band, plane: int, model: BandModel, operations: OperationList) -> None:
    """Append what was fitted to a plane."""
    if not band.fitted:
        return
    operations.add_mask(model.kept, band.layout(plane).count)
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


def read_model(band: Band, plane: int, reader: WordReader) -> BandModel:
    """Read what `write_model` appended."""
    features = len(band.features(plane))
    if not band.fitted:
        return default_model(band, features)
    kept = reader.mask(band.layout(plane).count)
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
    scale[-2:] = DEFAULT_SCALE[1:]
    return BandModel(np.arange(len(weights)), weights, 0, DEFAULT_SCALE[0], scale)
