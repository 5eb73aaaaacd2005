"""Recursive least squares in integers: a linear predictor that both sides fit to the samples coded so far.

One or two channels are predicted from the `order` samples before of each; the second also from the first's sample
at the same time. Every few samples (a block) the sums of products of all pairs of these samples over the block are
added to sums that decay, weighted down where the block was hard to predict, and the normal equations are
solved by Cholesky's method. Since the second channel's equations are the first's with one more variable, one
factorisation serves both. (The covariance method with exponential forgetting, as in OptimFROG-like codecs and "Sac" by
S. Lehmann, there in floating point; here exact.)

Sums of products follow each other along the diagonals, so a block of B samples costs only
``B * (order + 1)`` products a pair of channels and two more for each pair of lags.

Integer formats: samples below 2**27; sums below 2**61; decayed sums as mantissas below 2**45 with a common exponent;
the normalised matrix in units of 2**-56 and its factor in 2**-28, at most 1; weights in 2**-24, at most 32.
"""

from __future__ import annotations

from math import isqrt

import numpy as np

from haarchive.codecs.distributions.jit import kernel

__all__ = ["WEIGHT_BITS", "add_block", "inverse_root_table", "solve"]

WEIGHT_BITS = 24
"""Fraction bits of the predictor's weights."""

_TOP = 44
"""Bits that the largest decayed sum is kept within."""

_UNIT = 28
_WEIGHT = 22
_RIDGE = 1 << 33
_FAR_DOWN = 192
_FAR_UP = 128


def inverse_root_table() -> np.ndarray:
    """``2**44 / sqrt(m)`` in the middle of the intervals of m that `_inverse_root` starts from, (192,) int64."""
    return np.array([isqrt((1 << 88) // ((i << 22) + (1 << 21))) for i in range(64, 256)], np.int64)


@kernel
def _bit_length(value):  # type: ignore[no-untyped-def]
    """Binary digits of ``0 <= value < 2**63``."""
    bits = 0
    if value >= 1 << 32:
        value >>= 32
        bits += 32
    if value >= 1 << 16:
        value >>= 16
        bits += 16
    if value >= 1 << 8:
        value >>= 8
        bits += 8
    while value:
        value >>= 1
        bits += 1
    return bits


@kernel
def _inverse_root(m, table):  # type: ignore[no-untyped-def]
    """About ``2**44 / sqrt(m)`` for ``2**28 <= m < 2**30``: a table and three steps of Newton's method."""
    y = table[(m >> 22) - 64]
    for _ in range(3):
        # y * y < 2**61, its product with m after the shift < 2**61.
        y = (y * (3 * (1 << 30) - ((((y * y) >> 30) * m) >> 28))) >> 31
    return min(y, 1 << 30)


@kernel
def _block_sums(x, begin, end, order, sums):  # type: ignore[no-untyped-def]
    """Sums over ``begin <= t < end`` of ``x[g, t - i] * x[h, t - j]``, for lags i, j of 0 to `order`.

    Parameters
    ----------
    x : (C, n) int32
        Below 2**27 in magnitude.
    begin, end : int
        ``begin > order``, at most 64 samples.
    sums : (C * (order + 1), C * (order + 1)) int64
        Filled in its upper triangle, rows and columns by channel, then lag.
    """
    lags = order + 1
    before = np.empty((x.shape[0], lags), np.int32)
    after = np.empty((x.shape[0], lags), np.int32)
    for g in range(x.shape[0]):
        for i in range(lags):
            before[g, i] = x[g, begin - 1 - i]
            after[g, i] = x[g, end - 1 - i]
    for g in range(x.shape[0]):
        now = x[g, begin:end]
        for h in range(g, x.shape[0]):
            block = sums[g * lags : (g + 1) * lags, h * lags : (h + 1) * lags]
            for j in range(lags):
                block[0, j] = _sum_of_products(now, x[h, begin - j : end - j])
            if g < h:
                for i in range(1, lags):
                    block[i, 0] = _sum_of_products(x[g, begin - i : end - i], x[h, begin:end])
            for i in range(order):
                enter = np.int64(before[g, i])
                leave = np.int64(after[g, i])
                least = i if g == h else 0
                row = block[i, least:order]
                below = block[i + 1, least + 1 :]
                entering = before[h, least:]
                leaving = after[h, least:]
                for j in range(row.size):
                    below[j] = row[j] + enter * np.int64(entering[j]) - leave * np.int64(leaving[j])


@kernel
def _sum_of_products(a, b):  # type: ignore[no-untyped-def]
    acc = np.int64(0)
    for t in range(a.size):
        acc += np.int64(a[t]) * np.int64(b[t])
    return acc


@kernel
def add_block(x, begin, end, order, hardness, decay, sums, total, state):  # type: ignore[no-untyped-def]
    """Decay the sums of products and add those of a block.

    Parameters
    ----------
    x, begin, end, order
        As for `_block_sums`.
    hardness : int
        ``64 * log2`` of the mean square of what the predictor left in the block, plus one.
    decay : int
        Of the sums, ``2**-decay`` is lost in each block.
    sums : (v, v) int64
        Scratch.
    total : (v, v) int64
        The decayed sums (upper triangle), changed.
    state : (3,) int64
        Common exponent of `total`; log-weight of the past in 1/64 octave; whether there is any past.
    """
    v = total.shape[0]
    _block_sums(x, begin, end, order, sums)
    # A block counts by its difficulty to the power -3/4, within bounds relative to the blocks before it.
    weight = -((3 * hardness) >> 2)
    if state[2] == 0:
        state[0] = (weight >> 6) - 64
        state[1] = weight
        state[2] = 1
    weight = min(weight, state[1] + _FAR_UP)
    forget = np.int64(0)
    if weight < state[1] - _FAR_DOWN:
        forget = (state[1] - _FAR_DOWN - weight) >> 6
        state[1] -= forget << 6
    state[1] += (weight - state[1]) >> 4
    largest = np.int64(1)
    for a in range(v):
        largest = max(largest, sums[a, a])
    # New sums are those of the block times 2**(weight - exponent), the weight to the nearest octave.
    lift = ((weight + 32) >> 6) - state[0]
    excess = max(_bit_length(largest) + lift - _TOP, 0)
    state[0] += excess
    lift -= excess
    if forget + excess > 0:
        keep = min(forget + excess, 63)
        for a in range(v):
            row = total[a, a:]
            for b in range(row.size):
                row[b] >>= keep
    largest = np.int64(0)
    for a in range(v):
        now = sums[a, a:]
        row = total[a, a:]
        if lift <= 0:
            drop = min(-lift, 63)
            for b in range(row.size):
                row[b] += (now[b] >> drop) - (row[b] >> decay)
        else:
            for b in range(row.size):
                row[b] += (now[b] << lift) - (row[b] >> decay)
        largest = max(largest, row[0])
    shift = _TOP - _bit_length(largest)
    if shift < 0 or shift > 8:
        state[0] -= shift
        for a in range(v):
            row = total[a, a:]
            for b in range(row.size):
                row[b] = row[b] << shift if shift >= 0 else row[b] >> -shift


@kernel
def _normalise(channels, order, total, matrix, sizes):  # type: ignore[no-untyped-def]
    """Fill the upper triangle of `matrix`: all lags of a channel, of the other, then the samples at the time."""
    lags = order + 1
    known = channels * order
    for g in range(channels):
        largest = np.int64(0)
        for i in range(lags):
            largest = max(largest, total[g * lags + i, g * lags + i])
        sizes[g] = max((_bit_length(largest) + 1) & ~1, 12)
    for g in range(channels):
        for h in range(g, channels):
            shift = 2 * _UNIT - ((sizes[g] + sizes[h]) >> 1)
            for i in range(1, lags):
                least = i if g == h else 1
                source = total[g * lags + i, h * lags + least : (h + 1) * lags]
                row = matrix[g * order + i - 1, h * order + least - 1 :]
                for j in range(source.size):
                    row[j] = source[j] << shift
                matrix[h * order + i - 1, known + g] = total[g * lags, h * lags + i] << shift
                if g < h:
                    matrix[g * order + i - 1, known + h] = total[g * lags + i, h * lags] << shift
            matrix[known + g, known + h] = total[g * lags, h * lags] << shift
    for p in range(known + channels):
        matrix[p, p] += _RIDGE


@kernel
def solve(channels, begin, order, total, matrix, factor, inverse, exponent, solution, roots, weights):  # type: ignore[no-untyped-def]
    """Weights of the channels from `begin` on from the decayed sums.

    Parameters
    ----------
    channels, begin, order : int
    total : (v, v) int64
    matrix : (v, v) int64
        Scratch; so are factor (v, v) int32, inverse and exponent (v,) int64, solution (v,) int32.
    roots : (192,) int64
        `inverse_root_table`.
    weights : (C, C, order + 1) int32
        Filled from `begin` on: of the target's channel, the other channel, and the time, the latest last. The latest is
        used only where the other channel comes before the target's.
    """
    lags = order + 1
    known = channels * order
    v = known + channels
    sizes = np.zeros(channels, np.int64)
    _normalise(channels, order, total, matrix, sizes)
    for panel in range(0, v - 1, 4):
        last = min(panel + 4, v - 1)
        for k in range(panel, last):
            row = matrix[k]
            pivot = max(row[k], _RIDGE)
            e = (_bit_length(pivot) - 29) >> 1
            r = _inverse_root(pivot >> (2 * e), roots)
            inverse[k] = r
            exponent[k] = e
            values = matrix[k, k + 1 : v]
            column = factor[k, k + 1 : v]
            for j in range(values.size):
                # |value| is at most 2**(43 + e) where the matrix is positive definite.
                value = min(max(values[j] >> (e + 12), -(1 << 31)), (1 << 31) - 1)
                column[j] = min(max((value * r) >> 32, -(1 << _UNIT)), 1 << _UNIT)
            for i in range(k + 1, last):
                u = np.int64(factor[k, i])
                other = factor[k, i:v]
                target = matrix[i, i:v]
                for j in range(target.size):
                    target[j] -= u * np.int64(other[j])
        if last == panel + 4:
            for i in range(last, v):
                target = matrix[i, i:v]
                u0 = np.int64(factor[panel, i])
                u1 = np.int64(factor[panel + 1, i])
                u2 = np.int64(factor[panel + 2, i])
                u3 = np.int64(factor[panel + 3, i])
                c0 = factor[panel, i:v]
                c1 = factor[panel + 1, i:v]
                c2 = factor[panel + 2, i:v]
                c3 = factor[panel + 3, i:v]
                for j in range(target.size):
                    target[j] -= (
                        u0 * np.int64(c0[j]) + u1 * np.int64(c1[j]) + u2 * np.int64(c2[j]) + u3 * np.int64(c3[j])
                    )
    for c in range(begin, channels):
        goal = known + c
        for i in range(goal - 1, -1, -1):
            row = factor[i, i + 1 : goal]
            done = solution[i + 1 : goal]
            acc = np.int64(factor[i, goal]) << _WEIGHT
            for k in range(goal - i - 1):
                acc -= np.int64(row[k]) * np.int64(done[k])
            value = min(max(acc >> (exponent[i] + 12), -(1 << 31)), (1 << 31) - 1)
            solution[i] = min(max((value * inverse[i]) >> 32, -(1 << 28)), 1 << 28)
        for h in range(channels):
            shift = WEIGHT_BITS - _WEIGHT + ((sizes[c] - sizes[h]) >> 1)
            row = weights[c, h]
            for lag in range(1, lags):
                row[order - lag] = _weight(np.int64(solution[h * order + lag - 1]), shift)
            row[order] = _weight(np.int64(solution[known + h]), shift) if h < c else 0


@kernel
def _weight(value, shift):  # type: ignore[no-untyped-def]
    """A weight of at most 2**28 in its final units, at most 2**29."""
    wide = value << min(shift, 30) if shift >= 0 else value >> min(-shift, 63)
    return min(max(wide, -(1 << 29)), 1 << 29)
