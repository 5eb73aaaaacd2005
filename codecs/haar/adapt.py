"""The adaptive stage: what is learned from the source itself while it is coded, in integers only.

Forward: the encoder fits a linear predictor of a band's samples, and one of the logarithm of their scale, to the
source (`haarchive.codecs.haar.band_fit`) and sends the weights. Backward: encoder and decoder keep two tables of
corrections to the log-scale, one by the residuals around a sample and the scale predicted, one by the sample's phase
in a periodic grid; each sample moves its two entries by the gradient of its own code length (stochastic gradient
descent on the logistic's scale, with a step that shrinks with the visits).

All quantities are integers: locations and distances in 1/16 sample, log-scales in 1/64 octave, corrections in 2**-16
octave, weights in 2**-fraction.
"""

from __future__ import annotations

import numpy as np

from haarchive.codecs.distributions.jit import kernel, leaf
from haarchive.codecs.haar.logarithms import NEAR_FLOOR, logarithm
from haarchive.codecs.haar.margins import MARGIN
from haarchive.codecs.haar.phases import SCALE_PHASES
from haarchive.codecs.haar.scales import gradient_row
from haarchive.codecs.haar.weighed import take_weighed
from haarchive.codecs.rans.values import MAX_SCALE, TOP_TABLE, take_value

__all__ = [
    "DISTANCE_LIMIT",
    "LEVELS",
    "NEARS",
    "add_known",
    "cell",
    "decode_band",
    "learn",
    "scale_of",
    "weigh_features",
    "with_centres",
]

DISTANCE_LIMIT = 1 << 24

NEARS, LEVELS = 24, 32
"""Cells of scale corrections: by the residuals around a sample, and by the scale predicted."""

_NEAR_LOWEST = 10
"""Half octaves of `NEAR_FLOOR`, rounded down."""

# Steps after n visits, in 2**-16: 1 / (n + 20.5) down to 1 / 100 for what starts from a fitted scale, and
# 0.7 / (n + 10.5) down to 1 / 200 for phases.
_STEP = np.array([max((1 << 17) // (2 * n + 41), (1 << 16) // 100) for n in range(256)], np.int64)
_PHASE_STEP = np.array([max(7 * (1 << 17) // (10 * (2 * n + 21)), (1 << 16) // 200) for n in range(256)], np.int64)


@kernel
def with_centres(weights, sources, dy, dx, centres):  # type: ignore[no-untyped-def]
    """Taps that are differences from the sample at the place as plain ones: one more, with the negative sum.

    Parameters
    ----------
    weights : (C, k) int32
    sources, dy, dx : (k,) int64
    centres : (k,) int64
        The plane whose sample is subtracted; -1 for none.

    Returns
    -------
    weights, sources, dy, dx
        With one more column for each of the centres.
    """
    classes, count = weights.shape
    of = np.empty(count, np.int64)
    found = np.empty(count, np.int64)
    many = 0
    for k in range(count):
        of[k] = -1
        if centres[k] >= 0:
            for m in range(many):
                if found[m] == centres[k]:
                    of[k] = m
            if of[k] < 0:
                found[many] = centres[k]
                of[k] = many
                many += 1
    full = np.zeros((classes, count + many), np.int32)
    for c in range(classes):
        for k in range(count):
            full[c, k] = weights[c, k]
            if of[k] >= 0:
                full[c, count + of[k]] -= weights[c, k]
    nowhere = np.zeros(many, np.int64)
    places = np.concatenate((sources, found[:many]))
    return full, places, np.concatenate((dy, nowhere)), np.concatenate((dx, nowhere))


@kernel
def add_known(weights, sources, dy, dx, planes, row_class, column_class, classes, total):  # type: ignore[no-untyped-def]
    """Add the taps on samples that are known before a band is coded.

    Parameters
    ----------
    weights : (C, k) int32
        One row for each class of samples.
    sources, dy, dx : (k,) int64
        For each tap the plane it looks at, and where.
    planes : (S, H + 6, W + 6) int32
    row_class, column_class : (H,), (W,) int64
        The class of sample (i, j) is ``row_class[i] * classes + column_class[j]``.
    classes : int
        Classes of columns.
    total : (H, W) int32 or int64
        Incremented.
    """
    height, width = total.shape
    spread = np.empty((weights.shape[1], width), np.int32)
    last = -1
    for i in range(height):
        row = total[i]
        first = row_class[i] * classes
        if classes == 1:
            for k in range(sources.size):
                weight = weights[first, k]
                begin = MARGIN + dx[k]
                taps = planes[sources[k], i + MARGIN + dy[k], begin : begin + width]
                for j in range(width):
                    row[j] += weight * taps[j]
            continue
        if first != last:
            for k in range(sources.size):
                for j in range(width):
                    spread[k, j] = weights[first + column_class[j], k]
            last = first
        for k in range(sources.size):
            many = spread[k]
            begin = MARGIN + dx[k]
            taps = planes[sources[k], i + MARGIN + dy[k], begin : begin + width]
            for j in range(width):
                row[j] += many[j] * taps[j]


@kernel
def weigh_features(features, weights, prior, prior_weight, base):  # type: ignore[no-untyped-def]
    """Add features times weights, and the network's log-scale times its own, to ``base (H, W) int32``."""
    count, height, width = features.shape
    for i in range(height):
        row = base[i]
        for f in range(count):
            weight = np.int32(weights[f])
            feature = features[f, i]
            for j in range(width):
                row[j] += np.int32(weight * np.int32(feature[j]))
        if prior_weight:
            for j in range(width):
                row[j] += prior_weight * prior[i, j]


@leaf
def _near(distances, y, x):  # type: ignore[no-untyped-def]
    """Eight times the weighted mean of the distances of six causal neighbours."""
    above = distances[y - 1]
    here = distances[y]
    return 2 * (np.int64(here[x - 1]) + above[x]) + above[x - 1] + above[x + 1] + here[x - 2] + distances[y - 2, x]


@leaf
def _wide(near, distances, y, x):  # type: ignore[no-untyped-def]
    """`_near` and eight neighbours farther out: sixteen times a mean."""
    above = distances[y - 1]
    over = distances[y - 2]
    return (
        near + above[x - 2] + above[x + 2] + over[x - 1] + over[x + 1] + over[x - 2] + over[x + 2]
        + distances[y, x - 3] + distances[y - 3, x]
    )  # fmt: skip


@leaf
def cell(nearby, octaves, shift):  # type: ignore[no-untyped-def]
    """The cell of corrections for a logarithm of what is near and a log-scale, both in 1/64 octave."""
    near = min(max((nearby >> 5) - _NEAR_LOWEST - 2 * shift, 0), NEARS - 1)
    return near, min(max(((octaves - (shift << 6)) >> 5) + 8, 0), LEVELS - 1)


@leaf
def scale_of(octaves, correction):  # type: ignore[no-untyped-def]
    """The scale to code with, in eighths of an octave from 2**-5."""
    return min(max(((octaves + (correction >> 10) + 4) >> 3) + 40, 0), MAX_SCALE)


@leaf
def learn(  # type: ignore[no-untyped-def]
    scale, distance, gradient, by_level, seen_level, near, level, by_phase, seen_phase, p, q
):  # fmt: skip
    """Move the two corrections that a sample had by the gradient of its code length."""
    slope = gradient_row(scale, distance, gradient)
    by_level[near, level] += (slope * _STEP[seen_level[near, level]] * 92) >> 14
    by_phase[p, q] += (slope * _PHASE_STEP[seen_phase[p, q]] * 92) >> 14
    seen_level[near, level] = min(np.int64(seen_level[near, level]) + 1, 255)
    seen_phase[p, q] = min(np.int64(seen_phase[p, q]) + 1, 255)


@kernel
def decode_band(  # type: ignore[no-untyped-def]
    target, total, weights, dy, dx, row_class, column_class, classes, fraction, base, scale_weights,
    row_phase, column_phase, shift, distances, limit, gradient, weighed,
    cdf, offset, low, size, first, state, words, pos,
):  # fmt: skip
    """Decode a band of one plane, sample by sample.

    Parameters
    ----------
    target : (H + 6, W + 6) int32
        The samples, padded with zeros; filled.
    total : (H, W) int64
        Sum of the known taps and the network's share, in 2**-(fraction + 4).
    weights : (C, k) int32
        Of the causal taps, a row for each class.
    dy, dx : (k,) int64
    row_class, column_class, classes
        As for `add_known`.
    fraction : int
    base : (H, W) int32
        What is known of the log-scale, in 2**-14 octave.
    scale_weights : (2,) int64
        Of the two logarithms of causal neighbours, in 1/256.
    row_phase, column_phase : (H,), (W,) int64
        Phases of rows and columns, below `SCALE_PHASES`.
    shift : int
        Amplitude shift.
    distances : (H + 6, W + 6) int32
        Zeros; filled with each sample's distance from its location, in 1/16.
    limit : int
        Locations are clamped to this magnitude, in 1/16.
    gradient : ndarray
        Of the `ScaleTables`.
    weighed : Weighed
    cdf, offset, low, size, first : ndarray
        Of the `LogisticTables`.
    state, words, pos
        A decoder.

    Returns
    -------
    state, pos : int
    """
    height, width = total.shape
    by_level = np.zeros((NEARS, LEVELS), np.int32)
    by_phase = np.zeros((SCALE_PHASES, SCALE_PHASES), np.int32)
    seen_level = np.zeros((NEARS, LEVELS), np.uint8)
    seen_phase = np.zeros((SCALE_PHASES, SCALE_PHASES), np.uint8)
    real = np.empty(1, np.float32)
    whole = real.view(np.int32)
    floor = NEAR_FLOOR << shift
    half = 1 << (fraction - 1)
    for i in range(height):
        y = i + MARGIN
        for j in range(width):
            x = j + MARGIN
            acc = np.int64(0)
            klass = row_class[i] * classes + column_class[j]
            for k in range(dy.size):
                acc += np.int64(weights[klass, k]) * target[y + dy[k], x + dx[k]]
            place = min(max((total[i, j] + (acc << 4) + half) >> fraction, -limit), limit)
            around = _near(distances, y, x)
            nearby = logarithm(around + floor, real, whole)
            octaves = np.int64(base[i, j]) + scale_weights[0] * nearby
            octaves += scale_weights[1] * logarithm(_wide(around, distances, y, x) + 2 * floor, real, whole)
            octaves >>= 8
            near, level = cell(nearby, octaves, shift)
            p, q = row_phase[i], column_phase[j]
            scale = scale_of(octaves, by_level[near, level] + by_phase[p, q])
            if weighed.rising.size and scale <= TOP_TABLE:
                value, state, pos = take_weighed(
                    place, scale, i, j, weighed, cdf, offset, low, size, state, words, pos
                )  # fmt: skip
            else:
                value, state, pos = take_value(place, scale, cdf, offset, low, size, first, state, words, pos)
            target[y, x] = value
            distance = min(abs((value << 4) - place), DISTANCE_LIMIT)
            distances[y, x] = distance
            learn(scale, distance, gradient, by_level, seen_level, near, level, by_phase, seen_phase, p, q)
    return state, pos
