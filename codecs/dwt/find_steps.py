"""The steps that a component was quantised by; only encoders search."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.dwt.analysis import Analysis, analyse
from haarchive.codecs.dwt.axis import LEVELS, Axis
from haarchive.codecs.dwt.steps import STEP_BITS, Steps

__all__ = ["find_steps"]

_MIXED = (10.4, 5.27, 2.515)
_HIGH = (20.8, 22.0, 10.1, 4.9, 2.43)
"""As they were seen, from fine to coarse: one over the norms of the transform's basis, those of HH twice as large.
Finer ones than 2 cannot be told from 1, as coefficients were rounded to integers."""
_SCALES = np.geomspace(0.25, 4.0, 800)
_NEAR = 0.03
_COARSE = 2.0
_MANTISSA_BITS = 11
_LEAST = 2.0
_FEW = 48
_MOST = 12000
_AS_GOOD = 0.03
_RIM = 4


def find_steps(samples: NDArray[np.int32], rows: Axis, columns: Axis) -> Steps:
    """Estimate a component's steps.

    Parameters
    ----------
    samples : ndarray, shape (rows.size, columns.size), int32
    rows, columns : Axis

    Returns
    -------
    Steps
        1, where there is no telling.
    """
    levels: list[Analysis] = []
    for _ in range(LEVELS):
        levels.append(analyse(samples, rows, columns))
        samples = np.rint(levels[-1][0]).astype(np.int32)
        rows, columns = rows.low, columns.low
    scale = _scale(_large(levels[0][1:3], _LEAST), _MIXED[0])
    mixed = [_refine(bands[1:3], expected * scale) for bands, expected in zip(levels, _MIXED, strict=False)]
    high = [_refine(bands[3:], expected * scale) for bands, expected in zip(levels, _HIGH, strict=True)]
    mixed += [1 << STEP_BITS] * (LEVELS - len(mixed))
    return Steps(tuple(mixed), tuple(high))


def _large(bands: tuple[NDArray[np.float32], ...], least: float) -> NDArray[np.float64]:
    """Magnitudes of coefficients that are not zero, without the rim."""
    sizes = np.concatenate([np.abs(band[_RIM:-_RIM, _RIM:-_RIM]).ravel() for band in bands]).astype(np.float64)
    sizes = sizes[sizes > least]
    return sizes[:: max(1, sizes.size // _MOST)]


def _scale(sizes: NDArray[np.float64], usual: float) -> float:
    """How many times as large as usual the steps are, by the coarsest lattice that coefficients lie on."""
    if sizes.size < _FEW:
        return 1.0
    scores = np.array([_periodicity(sizes, usual * scale) for scale in _SCALES])
    return float(_SCALES[np.flatnonzero(scores >= scores.max() - _AS_GOOD)[-1]])


def _periodicity(sizes: NDArray[np.float64], step: float) -> float:
    """How near multiples of a step are, 1 at most; -1 where most would be 0."""
    some = sizes[sizes > step / 2]
    return float(np.cos(2 * np.pi * some / step).mean()) if 2 * some.size > sizes.size else -1.0


def _refine(bands: tuple[NDArray[np.float32], ...], about: float) -> int:
    """The step near an estimate by which most coefficients are integers that it gives, in 2**-10."""
    one = 1 << STEP_BITS
    if about < _COARSE:
        return one
    if min(bands[0].shape) <= 2 * _RIM + 1:
        return round(about * one)
    sizes = _large(bands, about / 2)
    if sizes.size < _FEW:
        return round(about * one)
    # Steps have mantissas of 11 bits (ITU-T T.800, equation E-3).
    grain = max(1, (one << (round(about).bit_length() - 1)) >> _MANTISSA_BITS)
    candidates = np.arange(int(about * (1 - _NEAR) * one) // grain, int(about * (1 + _NEAR) * one) // grain + 1) * grain
    scores = []
    for step in candidates:
        numbers = np.rint(sizes * one / step).astype(np.int64)
        exact = (numbers * step + (one >> 1)) >> STEP_BITS
        scores.append(float(np.minimum((sizes - exact) ** 2, 1.0).mean()))
    best = np.flatnonzero(np.array(scores) <= min(scores) + 1e-9)
    return int(candidates[best[len(best) // 2]])
