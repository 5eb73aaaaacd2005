"""How the chroma of a picture in Y, Cb, Cr was sampled and quantised; only encoders search."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.dct.history import History
from haarchive.codecs.dct.inverse import decode_blocks
from haarchive.codecs.dct.quantised import clean_blocks, component_of, find_quantised, rounded
from haarchive.codecs.dct.sampling import SAMPLINGS, upsample
from haarchive.codecs.dct.steps import of_same_quality
from haarchive.codecs.dct.transform import BLOCK

__all__ = ["all_histories", "by_quality", "complete"]

_CENTRE = 128
_WINDOW = 192
_MOST_MISSED = 0.25
"""Part of chroma's samples that may come out wrong at first, where seams of tiles are in the way."""


def complete(history: History) -> History:
    """With all units that are complete."""
    down, across = (
        (side - first) // (BLOCK * factor)
        for side, first, factor in zip(history.shape[:2], history.origin, history.sampling, strict=True)
    )
    return replace(history, units=(down, across))


def all_histories(shape: tuple[int, int, int], origin: tuple[int, int]) -> list[History]:
    """All samplings of chroma, and where their units can begin, with all units that are complete."""
    histories = []
    for sampling in SAMPLINGS:
        for down in range(sampling[0]):
            for across in range(sampling[1]):
                begin = (origin[0] + BLOCK * down, origin[1] + BLOCK * across)
                history = complete(History(shape, True, sampling, begin, (0, 0), np.ones((3, 64), np.int64)))
                if min(history.units) > 0:
                    histories.append(history)
    return histories


def by_quality(planes: NDArray[np.int32], ycc: NDArray[np.int32], origin: tuple[int, int]) -> History | None:
    """The history by which chroma is shortest, if it has a table of luma's quality.

    Judged by what the coefficients decode to: where chroma is flat, its rounding errors are all alike, and coefficients
    need not be near multiples of their steps.

    Parameters
    ----------
    planes : ndarray, shape (3, H, W), int32
        0 to 255.
    ycc : ndarray, shape (3, H, W), int32
        The same as Y, Cb, Cr; chroma is centred on 0.
    origin : tuple of int
        Of luma's blocks.

    Returns
    -------
    History, optional
        With steps; None where luma has none, or no sampling gives chroma again.
    """
    unclipped: NDArray[np.bool_] = np.all((planes > 0) & (planes < 255), axis=0)
    whole = all_histories((*planes.shape[1:], 3), origin)
    if not whole:
        return None
    inside = whole[0].region.slices
    luma = find_quantised(ycc[0, *inside].astype(np.float32), clean_blocks(unclipped[inside]))
    if luma is None:
        return None
    window = _busiest(ycc[0], origin)
    ycc, unclipped = ycc[:, *window], unclipped[window]
    best: tuple[History, NDArray[np.int64]] | None = None
    least = np.inf
    for history in all_histories((*unclipped.shape, 3), origin):
        goal, seen = ycc[:, *history.region.slices].astype(np.float32), unclipped[history.region.slices]
        goal[1:] += _CENTRE
        chroma = [component_of(goal, n, history) for n in (1, 2)]
        for table in of_same_quality(luma[0]):
            coded = [rounded(one, table) for one in chroma]
            decoded = np.stack([upsample(decode_blocks(one, table), history.sampling) for one in coded])
            wrong = np.count_nonzero((decoded != goal[1:]) & seen)
            # Of regions of different sizes.
            cost = (wrong + sum(np.count_nonzero(one) for one in coded)) / goal[0].size
            if wrong <= _MOST_MISSED * 2 * goal[0].size and cost < least:
                best, least = (history, np.stack([luma[0], table, table])), cost
    if best is None:
        return None
    history, steps = best
    (found,) = (one for one in whole if (one.sampling, one.origin) == (history.sampling, history.origin))
    return replace(found, steps=steps)


def _busiest(luma: NDArray[np.int32], origin: tuple[int, int]) -> tuple[slice, slice]:
    """A part of a picture in which units begin as they do in the whole, and in which there is much to see."""
    begins = (
        sorted({max(0, (side - first - _WINDOW) * n // 96 * 16) for n in range(7)})
        for side, first in zip(luma.shape, origin, strict=True)
    )
    windows = [
        tuple(slice(begin, begin + _WINDOW + first) for begin, first in zip(pair, origin, strict=True))
        for pair in product(*begins)
    ]
    rough = np.abs(np.diff(luma, axis=0))
    top, left = max(windows, key=lambda one: int(rough[one].sum()))
    return top, left
