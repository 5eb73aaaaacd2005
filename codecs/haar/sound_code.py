"""Sound coded sample by sample under what the decoder has learned from the samples before.

::

    samples of one or two channels, frame by frame
      order samples before of each channel ── least squares (sound_squares) ──┐
      what that left                       ── filter 1 ── filter 2 ... ───────┴─ location
      magnitudes of what all that left     ── three decaying means, table ────── scale

Encoder and decoder run the same kernel; nothing is sent but the samples. Locations are in 1/16 sample, distances from
them at most 2**24; decaying means of the distance in 2**-12 sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.distributions import logistic_tables
from haarchive.codecs.distributions.jit import kernel, leaf
from haarchive.codecs.haar.scales import gradient_row, half_octaves, log64, scale_tables
from haarchive.codecs.haar.sound_cascade import (
    INPUT_LIMIT,
    bound_weights,
    filter_output,
    learn,
    normalised,
    reciprocal,
)
from haarchive.codecs.haar.sound_squares import WEIGHT_BITS, add_block, inverse_root_table, solve
from haarchive.codecs.rans.stream import OperationList, WordReader
from haarchive.codecs.rans.values import MAX_SCALE, add_value, take_value

__all__ = ["MAX_FILTERS", "MAX_ORDER", "Stages", "code_channels"]

MAX_ORDER = 32
"""The most samples before of each channel."""

MAX_FILTERS = 6
MIN_FILTER_BITS = 4
MAX_FILTER_BITS = 11
BLOCK_BITS = (4, 6)
"""Least and most binary logarithm of the samples between two solutions."""

_STEP = 800000
_CLASSES = 64
_FAMILIAR = 8
_DISTANCE_LIMIT = (1 << 24) - 1
_WINDOW = 4096
_TRUST_DECAY = 5


@dataclass(frozen=True)
class Stages:
    """Which predictors a bitstream uses.

    Parameters
    ----------
    order : int
        Samples before of each channel that least squares looks at; 1 to `MAX_ORDER`.
    block_bits : int
        Binary logarithm of the samples between two solutions.
    decay : int
        The past loses ``2**-decay`` of its weight at each solution.
    second_order, second_decay : int
        Of a second predictor by least squares, that is mixed with the first; order 0 for none.
    filters : tuple of int
        Binary logarithms of the filters' taps, in order; at most `MAX_FILTERS`, each 4 to 11.
    """

    order: int
    block_bits: int
    decay: int
    second_order: int
    second_decay: int
    filters: tuple[int, ...]

    @property
    def valid(self) -> bool:
        """Whether everything is in its range."""
        return (
            1 <= self.order <= MAX_ORDER
            and BLOCK_BITS[0] <= self.block_bits <= BLOCK_BITS[1]
            and 2 <= self.decay <= 10
            and 0 <= self.second_order <= self.order
            and 2 <= self.second_decay <= 10
            and len(self.filters) <= MAX_FILTERS
            and all(MIN_FILTER_BITS <= bits <= MAX_FILTER_BITS for bits in self.filters)
        )


def code_channels(
    x: NDArray[np.int32], stages: Stages, limit: int, coder: OperationList | WordReader
) -> NDArray[np.int32]:
    """Code or decode one channel, or two that are predicted from each other.

    Parameters
    ----------
    x : ndarray, shape (1 or 2, n), int32
        Below 2**27 in magnitude; only its shape counts when decoding.
    stages : Stages
    limit : int
        Bound of locations, in 1/16.

    Returns
    -------
    ndarray, shape (1 or 2, n), int32
        The samples.
    """
    margin = stages.order + 1
    line = np.zeros((len(x), margin + x.shape[1]), np.int32)
    if not coder.decoding:
        line[:, margin:] = x
    taps = np.array([1 << bits for bits in stages.filters], np.int64)
    gains = np.array([_STEP >> bits for bits in stages.filters], np.int64)
    tables, scales = logistic_tables(), scale_tables()
    coder.resume(
        *_code(
            coder.decoding, line, stages.order, 1 << stages.block_bits, stages.decay, stages.second_order,
            stages.second_decay, taps, gains, limit, _inverse_roots(),
            scales.gradient, scales.log, scales.fine, scales.rate,
            tables.cdf, tables.offset, tables.low, tables.size, tables.first, *coder.suspend(x.size),
        )
    )  # fmt: skip
    return line[:, margin:]


@lru_cache(maxsize=1)
def _inverse_roots() -> NDArray[np.int64]:
    return inverse_root_table()


@leaf
def _products(weights, history):  # type: ignore[no-untyped-def]
    acc = np.int64(0)
    for k in range(weights.size):
        acc += np.int64(weights[k]) * np.int64(history[k])
    return acc


@leaf
def _linear(weights, x, here, order, channel, limit):  # type: ignore[no-untyped-def]
    """What the weights ``(C, C, order + 1) int32`` predict of a channel at a time, in 1/16."""
    acc = np.int64(0)
    for h in range(x.shape[0]):
        acc += _products(weights[channel, h, :order], x[h, here - order : here])
    if channel == 1:
        acc += np.int64(weights[1, 0, order]) * np.int64(x[0, here])
    return min(max(acc >> 20, -limit), limit)


@kernel
def _code(  # type: ignore[no-untyped-def]
    decoding, x, order, block, decay, second_order, second_decay, taps, gains, limit, roots,
    gradient, log, fine, rate, cdf, offset, low, size, first, start, freq, n, state, words, pos,
):  # fmt: skip
    """Code or decode.

    Parameters
    ----------
    decoding : bool
    x : (C, order + 1 + frames) int32
        The samples behind a margin of zeros; filled when decoding.
    order, block, decay, second_order, second_decay : int
    taps, gains : (F,) int64
        Of the filters.
    limit : int
    roots : ndarray
        `inverse_root_table`.
    gradient, log, fine, rate : ndarray
        Tables of `scales`.
    cdf, offset, low, size, first : ndarray
        Of the `LogisticTables`.
    start, freq, n, state, words, pos
        As in `adapt.code_band`.

    Returns
    -------
    n, state, pos : int
    """
    channels = x.shape[0]
    margin = order + 1
    frames = x.shape[1] - margin
    v = channels * margin
    sums = np.zeros((v, v), np.int64)
    total = np.zeros((v, v), np.int64)
    matrix = np.zeros((v, v), np.int64)
    factor = np.zeros((v, v), np.int32)
    inverse = np.zeros(v, np.int64)
    exponent = np.zeros(v, np.int64)
    solution = np.zeros(v, np.int32)
    weights = np.zeros((channels, channels, margin), np.int32)
    past = np.zeros(3, np.int64)
    for c in range(channels):
        weights[c, c, order - 1] = 1 << WEIGHT_BITS
    squares = np.int64(0)
    v = channels * (second_order + 1)
    second_sums = np.zeros((v, v), np.int64)
    second_total = np.zeros((v, v), np.int64)
    second_matrix = np.zeros((v, v), np.int64)
    second_factor = np.zeros((v, v), np.int32)
    second_weights = np.zeros((channels, channels, second_order + 1), np.int32)
    second_past = np.zeros(3, np.int64)
    if second_order:
        for c in range(channels):
            second_weights[c, c, second_order - 1] = 1 << WEIGHT_BITS
    second_squares = np.int64(0)
    mix = np.full(channels, 128)
    mix_agreed = np.full(channels, 1 << 17)
    mix_squared = np.full(channels, 1 << 18)
    filters = taps.size
    longest = np.int64(0)
    for s in range(filters):
        longest = max(longest, taps[s])
    filter_weights = np.zeros((channels, filters, longest), np.int32)
    history = np.zeros((channels, filters, longest + _WINDOW), np.int32)
    heard = np.zeros((channels, filters, longest + _WINDOW), np.int8)
    # Means of the distance in 2**-12 sample: of what least squares leaves, and of what all leaves.
    loudness = np.full(channels, 16 << 8)
    fast = np.full(channels, 16 << 8)
    medium = np.full(channels, 16 << 8)
    slow = np.full(channels, 16 << 8)
    table = np.zeros((channels, _CLASSES, _CLASSES), np.int32)
    seen = np.full((channels, _CLASSES, _CLASSES), _FAMILIAR, np.uint8)
    # How much of a filter's output is right: a decaying regression on it, in 1/256.
    trust = np.full((channels, filters), 256)
    agreed = np.full((channels, filters), 1 << 18)
    said_squared = np.full((channels, filters), 1 << 18)
    output = np.zeros(MAX_FILTERS, np.int64)
    at = np.int64(0)
    for t in range(frames):
        if at == _WINDOW:
            at = np.int64(0)
            for c in range(channels):
                for s in range(filters):
                    history[c, s, :longest] = history[c, s, _WINDOW:]
                    heard[c, s, :longest] = heard[c, s, _WINDOW:]
        here = margin + t
        for c in range(channels):
            linear = _linear(weights, x, here, order, c, limit)
            first_linear = linear
            second_linear = linear
            if second_order:
                second_linear = _linear(second_weights, x, here, second_order, c, limit)
                linear += ((second_linear - linear) * mix[c] + 128) >> 8
            place = linear
            # The filters' outputs need what is known before the sample only: each predicts what the one before leaves.
            for s in range(filters):
                output[s] = filter_output(history, filter_weights, c, s, at + longest, taps[s])
                place += (output[s] * trust[c, s] + 128) >> 8
            place = min(max(place, -limit), limit)
            near = min(max(half_octaves(fast[c] >> 5, log) - 4, 0), _CLASSES - 1)
            far = min(max(half_octaves(slow[c] >> 5, log) - 4, 0), _CLASSES - 1)
            mean = (13 * fast[c] + 11 * medium[c] + 8 * slow[c]) >> 5
            octaves = log64(mean + 256, fine) - (12 << 6) - 30 + (np.int64(table[c, near, far]) >> 10)
            scale = min(max(((octaves + 4) >> 3) + 40, 0), MAX_SCALE)
            if decoding:
                value, state, pos = take_value(place, scale, cdf, offset, low, size, first, state, words, pos)
                value = min(max(value, -(1 << 27)), 1 << 27)
                x[c, here] = value
            else:
                value = np.int64(x[c, here])
                n = add_value(value, place, scale, cdf, offset, low, size, start, freq, n)
            distance = min(abs((value << 4) - place), _DISTANCE_LIMIT)
            slope = gradient_row(scale, distance, gradient)
            visits = np.int64(seen[c, near, far])
            table[c, near, far] += (slope * rate[visits] * 48) >> 14
            seen[c, near, far] = min(visits + 1, 255)
            fast[c] += ((distance << 8) - fast[c]) >> 2
            medium[c] += ((distance << 8) - medium[c]) >> 4
            slow[c] += ((distance << 8) - slow[c]) >> 7
            per_loudness = reciprocal(loudness[c])
            loudness[c] += ((abs((value << 4) - linear) << 8) - loudness[c]) >> 4
            error = min(max((value << 4) - first_linear, -INPUT_LIMIT), INPUT_LIMIT)
            squares += (error >> 4) * (error >> 4)
            if second_order:
                second_error = min(max((value << 4) - second_linear, -INPUT_LIMIT), INPUT_LIMIT)
                second_squares += (second_error >> 4) * (second_error >> 4)
                goal = normalised(error, per_loudness, 9, 4095)
                said = normalised(error - second_error, per_loudness, 9, 4095)
                mix_agreed[c] += goal * said
                mix_squared[c] += said * said
            rest = min(max((value << 4) - linear, -INPUT_LIMIT), INPUT_LIMIT)
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
                mix_agreed[c] -= mix_agreed[c] >> _TRUST_DECAY
                mix_squared[c] -= mix_squared[c] >> _TRUST_DECAY
                mix[c] = min(max((mix_agreed[c] << 8) // max(mix_squared[c], 1), 0), 256)
                for s in range(filters):
                    bound_weights(filter_weights[c, s])
                    agreed[c, s] -= agreed[c, s] >> _TRUST_DECAY
                    said_squared[c, s] -= said_squared[c, s] >> _TRUST_DECAY
                    trust[c, s] = min(max((agreed[c, s] << 8) // max(said_squared[c, s], 1), 0), 256)
            hardness = log64(1 + squares // (block * channels), fine)
            squares = np.int64(0)
            add_block(x, here + 1 - block, here + 1, order, hardness, decay, sums, total, past)
            solve(channels, 0, order, total, matrix, factor, inverse, exponent, solution, roots, weights)
            if second_order:
                hardness = log64(1 + second_squares // (block * channels), fine)
                second_squares = np.int64(0)
                add_block(
                    x, here + 1 - block, here + 1, second_order, hardness, second_decay,
                    second_sums, second_total, second_past,
                )  # fmt: skip
                solve(
                    channels, 0, second_order, second_total, second_matrix, second_factor,
                    inverse, exponent, solution, roots, second_weights,
                )  # fmt: skip
    return n, state, pos
