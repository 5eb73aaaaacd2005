"""Coding and decoding of a plane of a band with what was fitted to it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.distributions import logistic_tables
from haarchive.codecs.haar.adapt import decode_band, weigh_features
from haarchive.codecs.haar.band import Band
from haarchive.codecs.haar.band_model import BandModel, read_model, write_model
from haarchive.codecs.haar.foresight import causal_logs, code_ahead, measure
from haarchive.codecs.haar.logarithms import NEAR_FLOOR
from haarchive.codecs.haar.scales import scale_tables
from haarchive.codecs.haar.weighed import UNWEIGHED, Weighed
from haarchive.codecs.rans.stream import OperationList, WordReader

__all__ = ["Foresight", "code_plane", "decode_plane", "foresee"]

_NOTHING = np.zeros((1, 1), np.int32)


@dataclass(frozen=True, eq=False)
class Foresight:
    """What an encoder knows of all samples of a plane once it has their predictor's weights.

    Parameters
    ----------
    places : ndarray, shape (H, W), int32
        Locations, in 1/16.
    distances : ndarray, shape (H + 6, W + 6), int32
        Of the samples from them, in 1/16, and a margin of zeros.
    causal : ndarray, shape (2, H, W), int16
        Logarithms of the distances around each sample, in 1/64 octave.
    """

    places: NDArray[np.int32]
    distances: NDArray[np.int32]
    causal: NDArray[np.int16]


def foresee(band: Band, plane: int, model: BandModel) -> Foresight:
    """Work out what follows from the samples of a plane and the weights of its taps."""
    classes, taps = band.classes(model.by_row, model.by_column), band.layout(plane).only(model.kept)
    total = band.known(model.of_classes(), taps, classes)
    located = _NOTHING if band.networks is None else band.networks[0][plane]
    target = band.planes[band.target(plane)]
    places, distances = np.empty(band.shape[1:], np.int32), np.zeros(target.shape, np.int32)
    measure(total, located, model.network, target, band.fraction, band.limit, places, distances)
    causal = np.empty((2, *band.shape[1:]), np.int16)
    causal_logs(distances, NEAR_FLOOR << band.shift, causal)
    return Foresight(places, distances, causal)


def code_plane(band: Band, plane: int, model: BandModel, ahead: Foresight, operations: OperationList) -> None:
    """Append a plane, whose samples are in `Band.planes`, with what was fitted to it.

    Parameters
    ----------
    band : Band
        Its distances of the plane are filled.
    plane : int
    model : BandModel
    ahead : Foresight
        Of this model.
    operations : OperationList
    """
    write_model(band, plane, model, operations)
    base = _log_scales(band, plane, model)
    weigh_features(ahead.causal, model.scale[-2:].astype(np.int64), _NOTHING, 0, base)
    band.distances[plane] = ahead.distances
    tables = logistic_tables()

    def code(weighed: Weighed) -> float:
        """Append the samples; returns the bits that weights save."""
        start, freq, n = operations.reserve(band.size)
        operations.n, saved = code_ahead(
            band.planes[band.target(plane)], ahead.places, ahead.distances, ahead.causal[0], base, *band.phases,
            band.shift, scale_tables().gradient, weighed,
            tables.cdf, tables.offset, tables.low, tables.size, start, freq, n,
        )  # fmt: skip
        return float(saved)

    weighed, begin = band.weighed(plane), operations.n
    if weighed is not None:
        operations.add_bits(1, 1)
        if code(weighed) > 0:
            return
        operations.n = begin
        operations.add_bits(0, 1)
    code(UNWEIGHED)


def decode_plane(band: Band, plane: int, reader: WordReader) -> None:
    """Read what `code_plane` appended into `Band.planes` and `Band.distances`."""
    model = read_model(band, plane, reader)
    taps, classes, weights = (
        band.layout(plane).only(model.kept),
        band.classes(model.by_row, model.by_column),
        model.of_classes(),
    )
    known = np.arange(taps.causal)
    total = band.known(np.ascontiguousarray(weights[:, known]), taps.only(known), classes).astype(np.int64) << 4
    if band.networks is not None:
        total += model.network * band.networks[0][plane].astype(np.int64)
    weighed = band.weighed(plane)
    if weighed is None or not reader.bits(1):
        weighed = UNWEIGHED
    tables = logistic_tables()
    reader.resume(
        0,
        *decode_band(
            band.planes[band.target(plane)], total, np.ascontiguousarray(weights[:, taps.causal :]),
            taps.dy[taps.causal :], taps.dx[taps.causal :], classes.rows, classes.columns, classes.across,
            band.fraction, _log_scales(band, plane, model), model.scale[-2:].astype(np.int64), *band.phases,
            band.shift, band.distances[plane], band.limit, scale_tables().gradient, weighed,
            tables.cdf, tables.offset, tables.low, tables.size, tables.first, reader.state, reader.words, reader.pos,
        )
    )  # fmt: skip


def _log_scales(band: Band, plane: int, model: BandModel) -> NDArray[np.int32]:
    """What is known of log-scales before a plane is coded, in 2**-14 octave."""
    base = np.full(band.shape[1:], model.constant << 8, np.int32)
    prior, prior_weight = (_NOTHING, 0) if band.networks is None else (band.networks[1][plane], int(model.scale[-3]))
    weigh_features(band.features(plane), model.scale.astype(np.int64), prior, prior_weight, base)
    return base
