"""The encoder's search for weights of their own for the phases of a grid.

Only the encoder runs this, in floating point; what it sends are integers, and decoders use nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.haar.band import Classes
from haarchive.codecs.haar.band_model import WEIGHT_LIMIT, BandModel
from haarchive.codecs.haar.squares import eliminate, padded_moments, quantise, saving
from haarchive.codecs.haar.vectors import vector_kernel

__all__ = ["with_classes"]


def with_classes(
    model: BandModel,
    seen: NDArray[np.float32],
    residual: NDArray[np.float32],
    weights: NDArray[np.float32],
    rows: NDArray[np.int64],
    classes: Classes,
    *,
    fraction: int,
    ridge: float,
    cost: float,
    share: float,
) -> BandModel:
    """The model with weights for rows, columns or both of a grid, as far as they save more than they cost.

    Parameters
    ----------
    model : BandModel
    seen : ndarray, shape (K, n), float32
        What all taps see; the model's `kept` tells which it uses.
    residual : ndarray, shape (n,), float32
        What the model leaves.
    weights : ndarray, shape (n,), float32
        Of each sample, in units of the log-likelihood.
    rows : ndarray, shape (R,), int64
        The n = R W samples lie in these rows.
    classes : Classes
        By row and by column.
    fraction : int
        Of weights.
    ridge : float
    cost : float
        Nats that a weight takes in the stream.
    share : float
        Samples of the plane for each one seen.
    """
    down, across = classes.count // classes.across, classes.across
    of_rows = classes.rows[rows] * across
    parts = _cell_moments(seen, model.kept, residual, weights, of_rows, classes.columns, classes.count)
    ridges = np.full(len(model.kept), ridge)
    best, best_gain = model, 0.0
    for by_row, by_column, groups in _groupings(down, across):
        gain, solutions = _judge(parts, groups, ridges, cost, share)
        if gain > best_gain:
            changes = quantise(solutions.ravel(), fraction, WEIGHT_LIMIT).reshape(solutions.shape)
            best, best_gain = replace(model, by_row=by_row, by_column=by_column, changes=changes), gain
    return best


def _groupings(down: int, across: int) -> Iterator[tuple[bool, bool, NDArray[np.int64]]]:
    """By row, by column, and the cells ``(groups, members)`` that then share weights; not where all would."""
    numbers = np.arange(down * across).reshape(down, across)
    if down > 1:
        yield True, False, numbers
    if across > 1:
        yield False, True, np.ascontiguousarray(numbers.T)
    if down > 1 and across > 1:
        yield True, True, numbers.reshape(-1, 1)


@vector_kernel
def _cell_moments(seen, kept, residual, weights, row_class, column_class, cells):  # type: ignore[no-untyped-def]
    """Moments of each cell of a grid, ``(cells, k', k')`` as of `padded_moments`.

    Parameters
    ----------
    seen : (K, R * W) float32
    kept : (k,) int64
        Rows of it.
    residual, weights : (R * W,) float32
    row_class, column_class : (R,), (W,) int64
        Sample (r, j) is in cell ``row_class[r] + column_class[j]``.
    cells : int
    """
    width, n = column_class.size, residual.size
    ends = np.zeros(cells + 1, np.int64)
    for i in range(n):
        ends[row_class[i // width] + column_class[i % width] + 1] += 1
    for c in range(cells):
        ends[c + 1] += ends[c]
    following = ends.copy()
    order = np.empty(n, np.int64)
    for i in range(n):
        c = row_class[i // width] + column_class[i % width]
        order[following[c]] = i
        following[c] += 1
    regrouped = np.empty((kept.size, n), np.float32)
    goal, heavy = np.empty(n, np.float32), np.empty(n, np.float32)
    for k in range(kept.size):
        row, target = seen[kept[k]], regrouped[k]
        for i in range(n):
            target[i] = row[order[i]]
    for i in range(n):
        goal[i] = residual[order[i]]
        heavy[i] = weights[order[i]]
    padded = padded_moments(regrouped, 0, goal[:0], heavy[:0])
    parts = np.empty((cells, padded.shape[0], padded.shape[0]))
    for c in range(cells):
        begin, end = ends[c], ends[c + 1]
        parts[c] = padded_moments(regrouped, begin, goal[begin:end], heavy[begin:end])
    return parts


@vector_kernel
def _judge(parts, groups, ridge, cost, share):  # type: ignore[no-untyped-def]
    """Nats that changes of weights save where so many cells share them, and these changes.

    Parameters
    ----------
    parts : (cells, k', k') float64
    groups : (G, M) int64
        Cells.
    ridge : (k,) float64
    cost, share : float
        As for `with_classes`.

    Returns
    -------
    gain : float
    changes : (G, k) float64
    """
    count = ridge.size
    changes = np.zeros((groups.shape[0], count))
    gain = -2.0 * math.log(2.0)
    gram, moment = np.empty((count, count)), np.empty(count)
    for g in range(groups.shape[0]):
        gram[:] = 0.0
        moment[:] = 0.0
        for m in range(groups.shape[1]):
            part = parts[groups[g, m]]
            for i in range(count):
                moment[i] += part[count, i]
                for j in range(count):
                    gram[i, j] += part[i, j]
        kept, solution = eliminate(gram, ridge, moment, cost / share, count)
        changes[g] = solution
        gain += saving(gram, moment, solution) * share - cost * kept.sum() - math.log(2.0) * count
    return gain, changes
