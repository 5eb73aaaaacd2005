"""Where a coefficient is expected: linear prediction from what is known of the coefficients around it.

For each frequency and component a predictor learns while blocks are coded, so that encoder and decoder learn the same:
weighted least squares over the blocks so far, whose normal equations are moved towards their solution by Gauss-Seidel
sweeps before each row of blocks (as `idf.adaptive` does). It finds by itself how components hang together, and how
blocks continue each other: pictures seldom break off where a block does, so the coarser frequencies of the neighbours,
with signs that alternate, say much about a finer one.

Blocks count by the inverse of what was missed in and around them, as least squares should where noise is not the same
everywhere. Before bitstreams had that, predictors saw less, too: `earlier_predictors`.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.distributions.jit import kernel, leaf
from haarchive.codecs.idf.adaptive import solve

__all__ = ["FIRST_USUAL", "earlier_predictors", "learn", "look", "predictors", "sweep", "worth"]

FIRST_USUAL = 2048
"""What is usually missed in and around a block, in the units of `worth`, before any was coded."""

_RIDGE, _RIDGE_MISSED, _EARLIER_RIDGE = 4096, 24, 16
_MOST_WORTH = 1 << 10
_LOUDNESS = 1024
_FIRST_ROWS = 8

Feature = tuple[int, int, int, int]


@lru_cache(maxsize=8)
def predictors(components: int, known: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """What the predictor of each frequency and component sees.

    Parameters
    ----------
    components : int
        How many are coded together.
    known : int
        How many more there are behind these, which are known as a whole.

    Returns
    -------
    features : ndarray, shape (C, 64, F, 4), int64
        Of each feature: component, frequency, and row and column of its block, from the one at hand. The first is the
        block before.
    counts : ndarray, shape (C, 64), int64
        How many features each has.
    """
    return _tables([[_features(c, k, components, known) for k in range(64)] for c in range(components)])


@lru_cache(maxsize=8)
def earlier_predictors(components: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """What predictors saw in earlier bitstreams; see `predictors`."""
    return _tables([[_earlier_features(c, k) for k in range(64)] for c in range(components)])


def _features(c: int, k: int, components: int, known: int) -> list[Feature]:
    down, across = divmod(k, 8)
    seen = [(c, k, 0, -1), (c, k, -1, 0)]
    if k == 0:
        seen += [(c, k, -1, -1), (c, k, -1, 1)]
    for back in range(1, 8):
        if across >= back:
            seen += [(c, k - back, 0, 0), (c, k - back, 0, -1), (c, k - back, 0, 1)]
        if down >= back:
            seen += [(c, k - 8 * back, 0, 0), (c, k - 8 * back, -1, 0), (c, k - 8 * back, 1, 0)]
    for q in range(max(0, c - 3), c):
        seen += [(q, k, 0, 0), (q, k, 0, -1), (q, k, 0, 1), (q, k, -1, 0), (q, k, 1, 0)]
        if across:
            seen += [(q, k - 1, 0, 0), (q, k - 1, 0, -1), (q, k - 1, 0, 1)]
        if down:
            seen += [(q, k - 8, 0, 0), (q, k - 8, -1, 0), (q, k - 8, 1, 0)]
    for q in range(components, components + known):
        seen += [(q, k, 0, 0), (q, k, 0, -1), (q, k, 0, 1), (q, k, -1, 0), (q, k, 1, 0)]
    return seen


def _earlier_features(c: int, k: int) -> list[Feature]:
    seen = [(c, k, 0, -1), (c, k, -1, 0), (c, k, -1, -1), (c, k, -1, 1)]
    for back in (1, 2):
        if k % 8 >= back:
            seen += [(c, k - back, 0, 0), (c, k - back, 0, -1), (c, k - back, 0, 1)]
        if k // 8 >= back:
            seen += [(c, k - 8 * back, 0, 0), (c, k - 8 * back, -1, 0), (c, k - 8 * back, 1, 0)]
    seen += [(q, k, 0, 0) for q in range(max(0, c - 3), c)]
    if c:
        seen += [(c - 1, k, 0, -1), (c - 1, k, 0, 1), (c - 1, k, -1, 0), (c - 1, k, 1, 0)]
    return seen


def _tables(lists: list[list[list[Feature]]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    counts = np.array([[len(seen) for seen in component] for component in lists], np.int64)
    features = np.zeros((*counts.shape, counts.max(), 4), np.int64)
    for c, component in enumerate(lists):
        for k, seen in enumerate(component):
            features[c, k, : len(seen)] = seen
    return features, counts


@kernel
def look(k, i, features, steps, seen, alive):  # type: ignore[no-untyped-def]
    """Fill the features ``(F, w)`` of a row of blocks, dequantised, and which are not all zero (few fine ones are not).

    All but the first, the block before.
    """
    width = seen.shape[1]
    for f in range(1, len(features)):
        q, u, above, left = features[f, 0], features[f, 1], features[f, 2], features[f, 3]
        step, line, out = np.int32(steps[q, u]), k[q, u, i + above], seen[f]
        some = np.int32(0)
        for j in range(width):
            value = line[j + 1 + left] * step
            out[j] = value
            some |= value
        alive[f] = some != 0


@leaf
def sweep(gram, moment, weights, step, row, usual, earlier):  # type: ignore[no-untyped-def]
    """Move the weights of a predictor towards the solution of its normal equations; twice as far in the first rows.

    The ridge grows with what is missed: where that is much, there is more noise to learn by heart.
    """
    ridge = step * step * (_EARLIER_RIDGE if earlier else _RIDGE + _RIDGE_MISSED * usual)
    for _ in range(1 if earlier or row > _FIRST_ROWS else 2):
        solve(gram, ridge, moment, weights, weights.size)


@leaf
def worth(missed, usual):  # type: ignore[no-untyped-def]
    """How much a block counts, and what is usually missed from now on.

    Parameters
    ----------
    missed, usual : int
        In and around the block, and until now.

    Returns
    -------
    weight : int
        At most 2**10, so that sums of products of coefficients below 2**15 of 2**19 blocks stay within 64 bits.
    usual : int
    """
    return _LOUDNESS * _MOST_WORTH // (_LOUDNESS + missed), usual + ((min(missed, 4 * usual + 64) - usual) >> 6)


@kernel
def learn(seen, alive, here, step, worths, gram, moment):  # type: ignore[no-untyped-def]
    """Add a row of blocks to the normal equations, each as often as it is worth."""
    count, width = seen.shape
    live, some = np.empty(count, np.int64), 0
    weighted = np.empty(width, np.int32)
    for a in range(count):
        if alive[a]:
            live[some] = a
            some += 1
    for n in range(some):
        a = live[n]
        one = seen[a]
        total = np.int64(0)
        for j in range(width):
            weighted[j] = one[j] * worths[j]
            total += np.int64(weighted[j]) * here[j + 1]
        moment[a] += total * step
        for m in range(n, some):
            b = live[m]
            other = seen[b]
            total = np.int64(0)
            for j in range(width):
                total += np.int64(weighted[j]) * np.int64(other[j])
            gram[a, b] += total
            gram[b, a] = gram[a, b]
