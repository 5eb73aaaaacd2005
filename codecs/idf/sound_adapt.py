r"""The adaptive coupling of sound: what the last coupling before each factor-out learns from the recording at hand.

What `haarchive.codecs.idf.adaptive` is for pictures. The details of one level are coded sample by sample, those of two
channels frame by frame::

    network's location            ──────────────────────────┐
    low bands, on both sides      ──┐                       │
    details before                ──┴─ three least squares ─┴─ mix ─ + filter 1 ─ + filter 2 ... ─ location
    magnitudes of what all leave  ── three decaying means ─┐
    network's log-scale           ─────────────────────────┤
    what the coarser level left   ─────────────────────────┴─ tables ─ scale

Least squares (`haarchive.codecs.haar.sound_squares`) and filters (`sound_cascade`) are those of `haar-audio`, given
the low bands as well: lines of samples whose lags 0 ... order lie around the detail's place. Encoder and decoder run
the same kernel, and nothing is sent but the details.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.distributions.jit import kernel, leaf
from haarchive.codecs.haar.scales import gradient_row, half_octaves, log64
from haarchive.codecs.haar.sound_cascade import (
    INPUT_LIMIT,
    bound_weights,
    filter_output,
    learn,
    normalised,
    reciprocal,
)
from haarchive.codecs.haar.sound_squares import add_block, inverse_root_table, solve
from haarchive.codecs.rans.values import MAX_SCALE, add_value, take_value

__all__ = ["LARGEST", "MAX_BITS", "STAGES", "SoundStages", "adapt_sound", "inverse_roots"]

MAX_BITS = 25
"""Samples of more bits could leave 64 bits in the sums of products."""

LARGEST = 1 << 26
"""No detail or low band of undamaged sound of `MAX_BITS` is larger."""

_STEP = 800000
_CLASSES = 64
_PRIORS = 32
_FAMILIAR = 8
_WINDOW = 4096
_TRUST_DECAY = 5


@dataclass(frozen=True)
class SoundStages:
    """Which predictors a bitstream uses.

    Parameters
    ----------
    orders : tuple of int
        Of the least squares, each even: how many details before they look at, and half as many samples of a low
        band on each side.
    decays : tuple of int
        The past loses ``2**-decay`` of its weight at each solution.
    block_bits : int
        Binary logarithm of the details between two solutions.
    filters : tuple of int
        Binary logarithms of the filters' taps, in order.
    """

    orders: tuple[int, int, int]
    decays: tuple[int, int, int]
    block_bits: int
    filters: tuple[int, ...]

    @property
    def taps(self) -> NDArray[np.int64]:
        """Of each filter."""
        return np.array([1 << bits for bits in self.filters], np.int64)

    @property
    def gains(self) -> NDArray[np.int64]:
        """Of each filter, in 2**-24."""
        return np.array([_STEP >> bits for bits in self.filters], np.int64)


STAGES: tuple[tuple[SoundStages, SoundStages], ...] = (
    (SoundStages((2, 4, 10), (4, 4, 6), 5, (5, 4)), SoundStages((2, 4, 8), (4, 4, 6), 5, (5, 4))),
    (SoundStages((2, 6, 20), (3, 4, 6), 4, (8, 5, 4)), SoundStages((2, 4, 20), (3, 5, 7), 4, (8, 5, 4))),
    (SoundStages((2, 8, 24), (3, 5, 7), 4, (9, 8, 5, 4)), SoundStages((4, 10, 28), (4, 5, 7), 4, (11, 9, 5, 4))),
)
"""For one channel, and for two. More than 123 variables, lines x (order + 1), could leave 64 bits in `solve`."""


@lru_cache(maxsize=1)
def inverse_roots() -> NDArray[np.int64]:
    """The table that `solve` starts from."""
    return inverse_root_table()


@kernel
def _square(lines, order):  # type: ignore[no-untyped-def]
    return np.zeros((lines * (order + 1), lines * (order + 1)), np.int64)


@kernel
def _weights(lines, order):  # type: ignore[no-untyped-def]
    return np.zeros((lines, lines, order + 1), np.int32)


@leaf
def _linear(all_weights, all_lines, predictor, t, order, line, limit):  # type: ignore[no-untyped-def]
    """What one of the predictors' weights ``(G, G, order + 1) int32`` say of a line at time `t`, in 1/16."""
    weights, x = all_weights[predictor], all_lines[predictor]
    here = order + 1 + t
    acc = np.int64(0)
    for h in range(x.shape[0]):
        now = weights[line, h, :order]
        past = x[h, here - order : here]
        for k in range(order):
            acc += np.int64(now[k]) * np.int64(past[k])
    for h in range(line):
        acc += np.int64(weights[line, h, order]) * np.int64(x[h, here])
    return min(max(acc >> 20, -limit), limit)


@kernel
def adapt_sound(  # type: ignore[no-untyped-def]
    decoding, x, known, base, cross, octaves, around, errors, decays, block, taps, gains, shift, limit, roots,
    gradient, log, fine, rate, cdf, offset, low, size, first, start, freq, n, state, words, pos,
):  # fmt: skip
    """Code or decode the details of one level.

    Parameters
    ----------
    decoding : bool
    x : tuple of (known + C, order + 1 + n) int32
        Lines that each of the least squares looks at, behind a margin of ``order + 1`` zeros: low bands, each
        ``order / 2`` samples ahead of its place, then the details of each channel, which are filled when decoding.
    known : int
        How many low bands.
    base : (C, n) int64
        The network's locations without what channels add to each other, in 1/128.
    cross : (n,) int32
        What the first channel's detail adds to the second's location, in 1/128.
    octaves : (C, n) int32
        The network's log-scales, in 1/64 octave, amplitude shift applied.
    around : (C, n) int64
        Mean size of what the coarser level left here, in 2**-12 sample; 0 where there is none.
    errors : (C, n) int32
        Filled: distances of details from their locations, in 1/16, up to `INPUT_LIMIT`.
    decays : (P,) int64
    block : int
    taps, gains : (F,) int64
        Of the filters.
    shift : int
        Amplitude shift.
    limit : int
        Bound of locations, in 1/16.
    roots : ndarray
        `inverse_roots`.
    gradient, log, fine, rate : ndarray
        Of the `ScaleTables`.
    cdf, offset, low, size, first : ndarray
        Of the `LogisticTables`.
    start, freq, n, state, words, pos
        The encoder's list of operations, and the decoder.

    Returns
    -------
    n, state, pos
    """
    predictors = len(x)
    lines = x[0].shape[0]
    channels = lines - known
    count = base.shape[1]
    orders = np.array([x[0].shape[1], x[1].shape[1], x[2].shape[1]]) - count - 1
    sums = _square(lines, orders[0]), _square(lines, orders[1]), _square(lines, orders[2])
    total = sums[0].copy(), sums[1].copy(), sums[2].copy()
    matrix = sums[0].copy(), sums[1].copy(), sums[2].copy()
    factor = sums[0].astype(np.int32), sums[1].astype(np.int32), sums[2].astype(np.int32)
    weights = _weights(lines, orders[0]), _weights(lines, orders[1]), _weights(lines, orders[2])
    v = lines * (orders.max() + 1)
    inverse = np.zeros(v, np.int64)
    exponent = np.zeros(v, np.int64)
    solution = np.zeros(v, np.int32)
    past = np.zeros((predictors, 3), np.int64)
    squares = np.zeros(predictors, np.int64)
    fitted = np.zeros(predictors, np.int64)
    before = np.zeros(predictors, np.int64)
    mix = np.zeros((channels, predictors), np.int64)
    mix_agreed = np.zeros((channels, predictors), np.int64)
    mix_squared = np.full((channels, predictors), 1 << 18)
    filters = taps.size
    longest = np.int64(0)
    for s in range(filters):
        longest = max(longest, taps[s])
    filter_weights = np.zeros((channels, filters, longest), np.int32)
    history = np.zeros((channels, filters, longest + _WINDOW), np.int32)
    heard = np.zeros((channels, filters, longest + _WINDOW), np.int8)
    # Means of the distance in 2**-12 sample: of what mixing leaves, and of what all leaves.
    begin = np.int64(16 << 8) << shift
    loudness = np.full(channels, begin)
    fast = np.full(channels, begin)
    medium = np.full(channels, begin)
    slow = np.full(channels, begin)
    by_means = np.zeros((channels, _CLASSES, _CLASSES), np.int32)
    seen_means = np.full((channels, _CLASSES, _CLASSES), _FAMILIAR, np.uint8)
    by_prior = np.zeros((channels, _PRIORS, _CLASSES), np.int32)
    seen_prior = np.full((channels, _PRIORS, _CLASSES), _FAMILIAR, np.uint8)
    by_around = np.zeros((channels, _PRIORS, _CLASSES), np.int32)
    seen_around = np.full((channels, _PRIORS, _CLASSES), _FAMILIAR, np.uint8)
    trust = np.full((channels, filters), 256)
    agreed = np.full((channels, filters), 1 << 18)
    said_squared = np.full((channels, filters), 1 << 18)
    output = np.zeros(max(1, filters), np.int64)
    at = np.int64(0)
    for t in range(count):
        if at == _WINDOW:
            at = np.int64(0)
            for c in range(channels):
                for s in range(filters):
                    history[c, s, :longest] = history[c, s, _WINDOW:]
                    heard[c, s, :longest] = heard[c, s, _WINDOW:]
        for c in range(channels):
            line = known + c
            # Location.
            network = base[c, t]
            if c == 1:
                network += np.int64(cross[t]) * np.int64(x[0][known, orders[0] + 1 + t])
            linear = min(max((network + 4) >> 3, -limit), limit)
            for p in range(predictors):
                before[p] = linear
                fitted[p] = _linear(weights, x, p, t, orders[p], line, limit)
                linear += ((fitted[p] - linear) * mix[c, p] + 128) >> 8
            place = linear
            for s in range(filters):
                output[s] = filter_output(history, filter_weights, c, s, at + longest, taps[s])
                place += (output[s] * trust[c, s] + 128) >> 8
            place = min(max(place, -limit), limit)
            # Scale.
            near = min(max(half_octaves(fast[c] >> 5, log) - 4, 0), _CLASSES - 1)
            far = min(max(half_octaves(slow[c] >> 5, log) - 4, 0), _CLASSES - 1)
            mean = (13 * fast[c] + 11 * medium[c] + 8 * slow[c]) >> 5
            octave = log64(mean + 256, fine) - (12 << 6) - 30
            opinion = min(max(((np.int64(octaves[c, t]) - octave) >> 4) + 16, 0), _PRIORS - 1)
            coarser = min(max(((log64(around[c, t] + 256, fine) - (12 << 6) - 30 - octave) >> 5) + 16, 0), _PRIORS - 1)
            correction = np.int64(by_means[c, near, far]) + by_prior[c, opinion, near] + by_around[c, coarser, near]
            scale = min(max(((octave + (correction >> 10) + 4) >> 3) + 40, 0), MAX_SCALE)
            # The detail.
            if decoding:
                value, state, pos = take_value(place, scale, cdf, offset, low, size, first, state, words, pos)
                value = min(max(value, -LARGEST), LARGEST)
                for p in range(predictors):
                    x[p][line, orders[p] + 1 + t] = value
            else:
                value = np.int64(x[0][line, orders[0] + 1 + t])
                n = add_value(value, place, scale, cdf, offset, low, size, start, freq, n)
            # What it teaches: scales.
            distance = min(abs((value << 4) - place), INPUT_LIMIT)
            errors[c, t] = distance
            slope = gradient_row(scale, distance, gradient)
            visits = np.int64(seen_means[c, near, far])
            by_means[c, near, far] += (slope * rate[visits] * 40) >> 14
            seen_means[c, near, far] = min(visits + 1, 255)
            visits = np.int64(seen_prior[c, opinion, near])
            by_prior[c, opinion, near] += (slope * rate[visits] * 20) >> 14
            seen_prior[c, opinion, near] = min(visits + 1, 255)
            visits = np.int64(seen_around[c, coarser, near])
            by_around[c, coarser, near] += (slope * rate[visits] * 20) >> 14
            seen_around[c, coarser, near] = min(visits + 1, 255)
            fast[c] += ((distance << 8) - fast[c]) >> 2
            medium[c] += ((distance << 8) - medium[c]) >> 4
            slow[c] += ((distance << 8) - slow[c]) >> 7
            # Mixing, and filters.
            rest = min(max((value << 4) - linear, -INPUT_LIMIT), INPUT_LIMIT)
            per_loudness = reciprocal(loudness[c])
            loudness[c] += ((abs(rest) << 8) - loudness[c]) >> 4
            for p in range(predictors):
                error = min(max((value << 4) - fitted[p], -INPUT_LIMIT), INPUT_LIMIT)
                squares[p] += (error >> 4) * (error >> 4)
                missed = min(max((value << 4) - before[p], -INPUT_LIMIT), INPUT_LIMIT)
                goal = normalised(missed, per_loudness, 9, 4095)
                said = normalised(missed - error, per_loudness, 9, 4095)
                mix_agreed[c, p] += goal * said
                mix_squared[c, p] += said * said
            for s in range(filters):
                end = at + longest
                goal = normalised(rest, per_loudness, 9, 4095)
                said = normalised(output[s], per_loudness, 9, 4095)
                agreed[c, s] += goal * said
                said_squared[c, s] += said * said
                wrong = normalised(rest - output[s], per_loudness, 9, 2047)
                learn(heard, filter_weights, c, s, end, taps[s], wrong, gains[s])
                history[c, s, end] = rest
                heard[c, s, end] = min(max(goal >> 5, -127), 127)
                rest = min(max(rest - ((output[s] * trust[c, s] + 128) >> 8), -INPUT_LIMIT), INPUT_LIMIT)
        at += 1
        if (t + 1) & (block - 1) == 0:
            if decoding and pos > words.size:
                break  # The stream has ended: what follows would be made of nothing.
            for c in range(channels):
                for p in range(predictors):
                    mix_agreed[c, p] -= mix_agreed[c, p] >> _TRUST_DECAY
                    mix_squared[c, p] -= mix_squared[c, p] >> _TRUST_DECAY
                    mix[c, p] = min(max((mix_agreed[c, p] << 8) // max(mix_squared[c, p], 1), 0), 256)
                for s in range(filters):
                    bound_weights(filter_weights[c, s])
                    agreed[c, s] -= agreed[c, s] >> _TRUST_DECAY
                    said_squared[c, s] -= said_squared[c, s] >> _TRUST_DECAY
                    trust[c, s] = min(max((agreed[c, s] << 8) // max(said_squared[c, s], 1), 0), 256)
            for p in range(predictors):
                hardness = log64(1 + squares[p] // (block * channels), fine)
                squares[p] = 0
                end = orders[p] + 2 + t
                add_block(x[p], end - block, end, orders[p], hardness, decays[p], sums[p], total[p], past[p])
                solve(
                    lines, known, orders[p], total[p], matrix[p], factor[p], inverse, exponent, solution, roots,
                    weights[p],
                )  # fmt: skip
    return n, state, pos
