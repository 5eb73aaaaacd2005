"""The encoder's search for what a plane of a band is coded with: taps, weights, classes, log-scale.

1. Robust least squares on all taps (Holland and Welsch, 1977).
2. The log-scale's weights, by maximum likelihood, for what that leaves.
3. Least squares by the likelihood that those scales give, without the taps that cost more than they save; as often
   as the preset says. The log-scale's weights again.
4. Where the picture has a grid: what weights of their own for its phases would save.

Only the encoder runs this, in floating point; what it sends are integers, and decoders use nothing else.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.haar.adapt import LOG_ONE, MARGIN, NEAR_FLOOR, causal_logs, measure
from haarchive.codecs.haar.band import CONSTANT_LIMIT, SCALE_LIMIT, WEIGHT_LIMIT, Band, BandModel, default_model
from haarchive.codecs.haar.fit import quantise
from haarchive.codecs.haar.location_fit import (
    Moments,
    design,
    likelihood_weights,
    moments,
    prune,
    robust_weights,
    steadied,
)
from haarchive.codecs.haar.scale_fit import fit_scale, scales_of
from haarchive.codecs.haar.taps import Tap

__all__ = ["Effort", "fit_band", "log_residuals"]

_FEW = 8
"""A fit needs this many samples a tap."""
_TAP_COST = 6.0 * math.log(2)
"""Nats that a weight takes in the stream."""
_ROUNDING = 0.2
"""Samples that integer rounding adds to a scale."""


@dataclass(frozen=True)
class Effort:
    """How much an encoder searches.

    Parameters
    ----------
    samples : int
        Samples of a plane that fits see.
    passes : int
        Fits by likelihood.
    refine : bool
        Whether the log-scale is fitted again after the last of them.
    """

    samples: int
    passes: int
    refine: bool = True


@dataclass(frozen=True, eq=False)
class _Fit:
    """A plane's samples and what taps see of them."""

    band: Band
    plane: int
    taps: tuple[Tap, ...]
    rows: NDArray[np.int64]
    seen: NDArray[np.float64]
    goal: NDArray[np.float64]

    @property
    def share(self) -> float:
        """Samples of the plane for each one that the fit sees."""
        return self.band.size / self.goal.size


def fit_band(band: Band, plane: int, effort: Effort) -> BandModel:
    """Fit everything that is sent ahead of a plane of a band.

    Parameters
    ----------
    band : Band
        With the plane's samples, and those of the planes before.
    plane : int
    effort : Effort
    """
    features = band.features(plane)
    if not band.fitted:
        return default_model(band, len(features))
    fit = _sampled(band, plane, effort)
    solution = _robust(fit)
    model, kept = _quantised(fit, np.arange(len(solution)), solution), np.arange(len(solution))
    most = max(4, band.size // _FEW)
    start = None
    for _ in range(effort.passes):
        model, start, scale = _with_scale(fit, model, features, start)
        seen = fit.seen[kept] if len(kept) < len(fit.seen) else fit.seen
        residual = fit.goal - solution @ seen
        weights = np.empty(residual.size)
        unit = likelihood_weights(residual, scale + _ROUNDING, weights)
        ridge = _ridge(fit, 4.0 * float((weights * residual**2).mean()))[kept]
        inner, solution = prune(moments(seen, fit.goal, weights), ridge, unit, _TAP_COST / fit.share, most)
        kept = kept[inner]
        model = replace(_quantised(fit, kept, solution), constant=model.constant, scale=model.scale)
    if effort.passes and band.has_grid:
        model = _with_classes(fit, model, scale)
    if not effort.refine and len(model.scale):
        return model
    return _with_scale(fit, model, features, start)[0]


def _robust(fit: _Fit) -> NDArray[np.float64]:
    """Robust least squares on all taps: plain on a quarter of the samples, then reweighted on half of them."""
    solution = np.zeros(len(fit.seen))
    for part in (4, 2):
        some = slice(0, max(1, fit.goal.size // part))
        seen, goal = fit.seen[:, some], fit.goal[some]
        residual = goal - solution @ seen
        even = max(1.0, round(256.0 / math.sqrt(float(np.mean(goal**2)) + 1.0)))
        weights = robust_weights(residual) if solution.any() else np.full(goal.size, even)
        # As much as four samples of pure residual on every tap.
        ridge = _ridge(fit, 4.0 * float((weights * residual**2).mean()) + 4.0)
        gram, moment = moments(seen, goal, weights)
        solution[:] = np.linalg.solve(steadied(gram, ridge), moment)
    return solution


def log_residuals(band: Band, plane: int) -> NDArray[np.float32]:
    """Natural logarithms of what quick least squares leave of each sample, ``(H, W)``, relative to their neighbours."""
    fit = _sampled(band, plane, Effort(4096, 0))
    solution = _robust(fit)
    distances, causal = _residuals(fit, _quantised(fit, np.arange(len(fit.taps)), solution))
    sizes = distances[MARGIN:-MARGIN, MARGIN:-MARGIN].astype(np.float32) / 16.0
    expected = causal[1].astype(np.float32) * np.float32(math.log(2) / LOG_ONE)
    return np.log(sizes + np.float32(0.3)) - expected  # type: ignore[no-any-return]


def _residuals(fit: _Fit, model: BandModel) -> tuple[NDArray[np.int32], NDArray[np.int16]]:
    """Distances of all samples from their locations, and the logarithms of those around them."""
    band, plane = fit.band, fit.plane
    classes = band.classes(model.by_row, model.by_column)
    total = band.known(plane, model.of_classes(), [fit.taps[n] for n in model.kept], classes)
    if band.networks is not None:
        total += model.network * band.networks[0][plane].astype(np.int64)
    distances = np.zeros(band.planes.shape[1:], np.int32)
    measure(total, band.planes[band.target(plane)], band.fraction, band.limit, distances)
    causal = np.empty((2, *band.shape[1:]), np.int16)
    causal_logs(distances, NEAR_FLOOR << band.shift, causal)
    return distances, causal


def _sampled(band: Band, plane: int, effort: Effort) -> _Fit:
    _, height, width = band.shape
    count = min(height, max(1, round(effort.samples / width)))
    rows = np.unique(np.linspace(0, height - 1, count).astype(np.int64))
    # Each quarter of the samples is spread over the picture.
    rows = np.concatenate([rows[first::4] for first in (0, 2, 1, 3)])
    taps = band.taps(plane)
    seen = np.empty((len(taps) + (band.networks is not None), rows.size * width))
    design(band.planes, *band.places(taps, plane), rows, seen)
    if band.networks is not None:
        seen[-1] = band.networks[0][plane][rows].ravel()
    return _Fit(band, plane, taps, rows, seen, band.values[plane][rows].ravel().astype(np.float64))


def _ridge(fit: _Fit, power: float) -> NDArray[np.float64]:
    ridge = np.full(len(fit.seen), max(power, 1e-9))
    if fit.band.networks is not None:
        ridge[-1] *= 256.0  # the network's location is in 1/16
    return ridge


def _quantised(fit: _Fit, kept: NDArray[np.int64], solution: NDArray[np.float64]) -> BandModel:
    """The model of a solution for some of the taps and, numbered after all of them, the network."""
    fraction = fit.band.fraction
    of_taps = kept < len(fit.taps)
    weights = quantise(solution[of_taps], fraction, WEIGHT_LIMIT)
    network = int(quantise(solution[~of_taps].sum(keepdims=True) * 16, fraction, WEIGHT_LIMIT)[0])
    used = np.flatnonzero(weights)
    return BandModel(kept[of_taps][used], weights[used], network, 0, np.zeros(0, np.int32))


def _with_scale(
    fit: _Fit, model: BandModel, features: NDArray[np.int16], start: NDArray[np.float64] | None
) -> tuple[BandModel, NDArray[np.float64], NDArray[np.float64]]:
    """The model with its log-scale's weights; these as they were found; the scales at the sampled places."""
    band, plane = fit.band, fit.plane
    distances, causal = _residuals(fit, model)
    rows = [feature[fit.rows] for feature in features]
    if band.networks is not None:
        rows.append(band.networks[1][plane][fit.rows])
    rows += [feature[fit.rows] for feature in causal]
    logs = np.empty((len(rows) + 1, fit.goal.size))
    logs[0] = 1.0
    for n, row in enumerate(rows):
        np.multiply(row.ravel(), math.log(2) / LOG_ONE, out=logs[n + 1])
    size = distances[MARGIN:-MARGIN, MARGIN:-MARGIN][fit.rows].ravel() / 16.0
    some = slice(0, max(1, size.size // 2))
    weights = fit_scale(logs[:, some], size[some], start)
    constant = int(np.clip(np.rint(np.nan_to_num(weights[0]) * LOG_ONE / math.log(2)), -CONSTANT_LIMIT, CONSTANT_LIMIT))
    quantised = np.clip(np.rint(np.nan_to_num(weights[1:]) * 256.0), -SCALE_LIMIT, SCALE_LIMIT).astype(np.int32)
    scale = scales_of(logs, np.append(constant * math.log(2) / LOG_ONE, quantised / 256.0))
    return replace(model, constant=constant, scale=quantised), weights, scale


def _with_classes(fit: _Fit, model: BandModel, scale: NDArray[np.float64]) -> BandModel:
    """The model with weights for the phases of the grid, as far as they save more than they cost."""
    if not model.kept.size:
        return model
    band = fit.band
    seen = fit.seen[model.kept]
    residual = fit.goal - model.weights / (1 << band.fraction) @ seen
    if band.networks is not None:
        residual -= model.network / (16 << band.fraction) * fit.seen[-1]
    weights = np.empty(residual.size)
    unit = likelihood_weights(residual, scale + _ROUNDING, weights)
    finest = band.classes(True, True)
    cell = (finest.rows[fit.rows][:, None] * finest.across + finest.columns).ravel()
    parts: list[Moments] = []
    for number in range(finest.count):
        inside = np.flatnonzero(cell == number)
        parts.append(moments(np.ascontiguousarray(seen[:, inside]), residual[inside], weights[inside]))
    ridge = np.full(len(seen), 4.0 * float((weights * residual**2).mean()))
    down = finest.count // finest.across
    best, best_gain = model, 0.0
    for by_row, by_column in ((True, False), (False, True), (True, True)):
        if (by_row and down == 1) or (by_column and finest.across == 1):
            continue
        groups = [
            [r * finest.across + c for r in rows for c in columns]
            for rows in ([[r] for r in range(down)] if by_row else [list(range(down))])
            for columns in ([[c] for c in range(finest.across)] if by_column else [list(range(finest.across))])
        ]
        gain, changes = -2.0 * math.log(2), np.zeros((len(groups), len(seen)), np.int32)
        for number, group in enumerate(groups):
            gram, moment = (np.sum([parts[n][k] for n in group], axis=0) for k in (0, 1))
            kept, change = prune((gram, moment), ridge, unit, _TAP_COST / fit.share, len(seen))
            changes[number, kept] = quantise(change, band.fraction, WEIGHT_LIMIT)
            inner = gram[np.ix_(kept, kept)]
            saved = (change @ moment[kept] - 0.5 * change @ inner @ change) / unit * fit.share
            gain += saved - _TAP_COST * kept.size - math.log(2) * len(seen)
        if gain > best_gain:
            best, best_gain = replace(model, by_row=by_row, by_column=by_column, changes=changes), gain
    return best
