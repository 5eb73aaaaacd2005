"""The encoder's search for what a plane of a band is coded with: taps, weights, classes, log-scale.

1. Robust least squares on all taps (Holland and Welsch, 1977).
2. The log-scale's weights, by maximum likelihood, for what that leaves; where time is short, no more than the
   magnitudes of the residuals beside each one.
3. Least squares by the likelihood that those scales give, without the taps that cost more than they save. This and the
   step before as often as the preset says.
4. Where the picture has a grid: what weights of their own for its phases would save.
5. The log-scale's weights for what is left in the end.

Only the encoder runs this, in floating point; what it sends are integers, and decoders use nothing else.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.haar.band import Band
from haarchive.codecs.haar.band_code import Foresight, foresee
from haarchive.codecs.haar.band_model import (
    CONSTANT_LIMIT,
    DEFAULT_SCALE,
    SCALE_LIMIT,
    WEIGHT_LIMIT,
    BandModel,
    default_model,
)
from haarchive.codecs.haar.class_fit import with_classes
from haarchive.codecs.haar.location_fit import design, likelihood_weights, mean_square, robust_weights, scales_along
from haarchive.codecs.haar.logarithms import LOG_ONE
from haarchive.codecs.haar.margins import MARGIN
from haarchive.codecs.haar.scale_fit import fit_scale, gather, scales_of
from haarchive.codecs.haar.squares import eliminate, moments, quantise, residuals, solve

__all__ = ["Effort", "fit_band", "log_residuals"]

_FEW = 8
"""A fit needs this many samples a tap."""
_TAP_COST = 6.0 * math.log(2)
"""Nats that a weight takes in the stream."""
_ROUNDING = 0.2
"""Samples that integer rounding adds to a scale."""
_PRIOR = 4.0
"""The ridge is as much as so many samples of pure residual on every tap."""
_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0
_LOG_UNIT = math.log(2) / LOG_ONE
_ITERATIONS, _QUICK_ITERATIONS, _MORE_ITERATIONS = 5, 2, 2
"""Of a first fit of the log-scale, of one in a hurry, and of one that starts from another."""


@dataclass(frozen=True)
class Effort:
    """How much an encoder searches.

    Parameters
    ----------
    samples : int
        Samples of a plane that fits see.
    passes : int
        Fits by likelihood.
    quick : bool
        Whether these take their scales from residuals nearby, not from a fit; other fits see half as many samples, none
        more than half of a band's, and only blocks of JPEG get weights of their own, in the finest details.
    """

    samples: int
    passes: int
    quick: bool = False


@dataclass(frozen=True, eq=False)
class _Fit:
    """A plane's samples and what taps see of them."""

    band: Band
    plane: int
    quick: bool
    rows: NDArray[np.int64]
    seen: NDArray[np.float32]
    goal: NDArray[np.float32]

    @property
    def taps(self) -> int:
        """How many taps there are; a network's location comes after them in `seen`."""
        return len(self.seen) - (self.band.networks is not None)

    @property
    def share(self) -> float:
        """Samples of the plane for each one that the fit sees."""
        return self.band.size / self.goal.size

    def some(self, part: int) -> slice:
        """A part of the samples, half of that where it is quick."""
        return slice(0, max(1, self.goal.size // (2 * part if self.quick else part)))


def fit_band(band: Band, plane: int, effort: Effort) -> tuple[BandModel, Foresight]:
    """Fit everything that is sent ahead of a plane of a band.

    Parameters
    ----------
    band : Band
        With the plane's samples, and those of the planes before.
    plane : int
    effort : Effort

    Returns
    -------
    model : BandModel
    ahead : Foresight
        What follows from it.
    """
    if not band.fitted:
        model = default_model(band, len(band.features(plane)))
        return model, foresee(band, plane, model)
    fit = _sampled(band, plane, effort)
    solution = _robust(fit)
    kept = np.arange(len(solution))
    model = _quantised(fit, kept, solution)
    most = max(4, band.size // _FEW)
    start = None
    for _ in range(effort.passes):
        seen = fit.seen[kept] if len(kept) < len(fit.seen) else fit.seen
        residual = residuals(seen, fit.goal, solution)
        if effort.quick:
            scale = scales_along(residual, band.shape[2])
        else:
            model, start, scale = _with_scale(fit, model, foresee(band, plane, model), start)
        weights = likelihood_weights(residual, scale, _ROUNDING)
        ridge = _ridge(fit, _PRIOR * mean_square(residual, weights))[kept]
        gram, moment = moments(seen, fit.goal, weights)
        pays, solution = eliminate(gram, ridge, moment, _TAP_COST / fit.share, most)
        kept, solution = kept[pays], solution[pays]
        model = replace(_quantised(fit, kept, solution), constant=model.constant, scale=model.scale)
    in_hurry = effort.quick and not (band.level == 1 and any(grid.of_blocks for grid in band.grids))
    if effort.passes and band.has_grid and model.kept.size and not in_hurry:
        model = _with_classes(fit, model, scale)
    ahead = foresee(band, plane, model)
    return _with_scale(fit, model, ahead, start)[0], ahead


def log_residuals(band: Band, plane: int) -> NDArray[np.float32]:
    """Natural logarithms of what quick least squares leave of each sample, ``(H, W)``, relative to their neighbours."""
    fit = _sampled(band, plane, Effort(4096, 0))
    solution = _robust(fit)
    ahead = foresee(band, plane, _quantised(fit, np.arange(len(solution)), solution))
    sizes = ahead.distances[MARGIN:-MARGIN, MARGIN:-MARGIN].astype(np.float32) / 16.0
    expected = ahead.causal[1].astype(np.float32) * np.float32(_LOG_UNIT)
    return np.log(sizes + np.float32(0.3)) - expected  # type: ignore[no-any-return]


def _sampled(band: Band, plane: int, effort: Effort) -> _Fit:
    _, height, width = band.shape
    samples = min(effort.samples, band.size // 2) if effort.quick else effort.samples
    count = min(height, max(1, round(samples / width)))
    # Each quarter of the samples is spread over the picture.
    order = np.concatenate([np.arange(first, count, 4) for first in (0, 2, 1, 3)])
    # No even steps: those could miss all but one phase of a grid.
    rows = ((order + order * _GOLDEN % 1.0) * (height / count)).astype(np.int64)
    taps = band.layout(plane)
    seen = np.empty((taps.count + (band.networks is not None), rows.size * width), np.float32)
    design(band.planes, taps.sources, taps.dy, taps.dx, taps.centres, rows, seen)
    if band.networks is not None:
        seen[-1] = band.networks[0][plane][rows].ravel()
    return _Fit(band, plane, effort.quick, rows, seen, band.values[plane][rows].ravel().astype(np.float32))


def _robust(fit: _Fit) -> NDArray[np.float64]:
    """Robust least squares on all taps: plain on a quarter of the samples, then reweighted on half of them."""
    solution = np.zeros(len(fit.seen))
    for part in (4, 2):
        some = fit.some(part)
        residual = fit.goal[some]
        if part == 4:
            weights = np.full(residual.size, 1.0 / math.sqrt(float(np.square(residual).mean()) + 1.0), np.float32)
        else:
            residual = residuals(fit.seen, residual, solution)
            weights = robust_weights(residual)
        ridge = _ridge(fit, _PRIOR * mean_square(residual, weights) + 1 / 64)
        gram, moment = moments(fit.seen, fit.goal[some], weights)
        solution = solve(gram, ridge, moment)
    return solution


def _ridge(fit: _Fit, power: float) -> NDArray[np.float64]:
    ridge = np.full(len(fit.seen), max(power, 1e-9))
    if fit.band.networks is not None:
        ridge[-1] *= 256.0  # the network's location is in 1/16
    return ridge


def _quantised(fit: _Fit, kept: NDArray[np.int64], solution: NDArray[np.float64]) -> BandModel:
    """The model of a solution for some of the taps and, numbered after all of them, the network."""
    fraction, network = fit.band.fraction, 0
    if kept.size and kept[-1] == fit.taps:
        network = int(quantise(solution[-1:] * 16, fraction, WEIGHT_LIMIT)[0])
        kept, solution = kept[:-1], solution[:-1]
    weights = quantise(solution, fraction, WEIGHT_LIMIT)
    used = weights.nonzero()[0]
    return BandModel(kept[used], weights[used], network, 0, np.zeros(0, np.int32))


def _with_scale(
    fit: _Fit, model: BandModel, ahead: Foresight, start: NDArray[np.float64] | None
) -> tuple[BandModel, NDArray[np.float64], NDArray[np.float64]]:
    """The model with its log-scale's weights; these as they were found; the scales at the sampled places."""
    band, plane = fit.band, fit.plane
    features = band.features(plane)
    logs = np.empty((1 + len(features) + (band.networks is not None) + 2, fit.goal.size), np.float32)
    logs[0] = 1.0
    gather(features, fit.rows, _LOG_UNIT, logs[1:])
    if band.networks is not None:
        gather(band.networks[1][plane][None], fit.rows, _LOG_UNIT, logs[-3:])
    gather(ahead.causal, fit.rows, _LOG_UNIT, logs[-2:])
    some = fit.some(2)
    inner = ahead.distances[MARGIN:-MARGIN, MARGIN:-MARGIN]
    size = inner[fit.rows].ravel()[some].astype(np.float32) / np.float32(16.0)
    if start is None:
        start = np.zeros(len(logs))
        start[0] = DEFAULT_SCALE[0] * _LOG_UNIT
        start[-2:] = np.array(DEFAULT_SCALE[1:]) / 256.0
        weights = fit_scale(logs, size, start, _QUICK_ITERATIONS if fit.quick else _ITERATIONS)
    else:
        weights = fit_scale(logs, size, start, _MORE_ITERATIONS)
    constant = int(quantise(weights[:1] / _LOG_UNIT, 0, CONSTANT_LIMIT)[0])
    quantised = quantise(weights[1:], 8, SCALE_LIMIT)
    scale = scales_of(logs, np.append(constant * _LOG_UNIT, quantised / 256.0), fit.goal.size)
    return replace(model, constant=constant, scale=quantised), weights, scale


def _with_classes(fit: _Fit, model: BandModel, scale: NDArray[np.float32]) -> BandModel:
    """The model with weights for the phases of the grid, as far as they save more than they cost."""
    band = fit.band
    solution = np.zeros(len(fit.seen))
    solution[model.kept] = model.weights / (1 << band.fraction)
    if band.networks is not None:
        solution[-1] = model.network / (16 << band.fraction)
    residual = residuals(fit.seen, fit.goal, solution)
    weights = likelihood_weights(residual, scale, _ROUNDING)
    return with_classes(
        model, fit.seen, residual, weights, fit.rows, band.classes(True, True), fraction=band.fraction,
        ridge=_PRIOR * mean_square(residual, weights), cost=_TAP_COST, share=fit.share,
    )  # fmt: skip
