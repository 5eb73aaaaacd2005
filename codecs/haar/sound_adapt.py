"""The adaptive stage for sound: what `haarchive.codecs.haar.adapt` is for pictures.

A detail sample is predicted in three steps: a linear predictor whose weights the encoder sent (`fit`), then two
normalised least-mean-squares filters in cascade on what each leaves (Widrow and Hoff, 1960; the cascade as in the
RLS-LMS predictor of MPEG-4 ALS: Huang, Franti, Huang, Rahardja, "Cascaded RLS-LMS prediction in MPEG-4 lossless audio
coding", IEEE TASLP 16(3), 2008, here without its RLS stage). Its log-scale starts from three decaying means of the
residuals and the network's opinion, corrected by two tables that move by the gradient of the code length.

All in integers: locations, residuals and filter inputs in 1/16 sample, filter weights in 2**-20.
"""

from __future__ import annotations

import numpy as np

from haarchive.codecs.distributions.jit import kernel
from haarchive.codecs.haar.scales import gradient_row, half_octaves, log64
from haarchive.codecs.rans.values import MAX_SCALE, add_value, take_value

__all__ = ["CASCADE", "SOUND_MARGIN", "add_known_sound", "code_sound"]

SOUND_MARGIN = 16
"""Samples of padding on both sides of everything that taps look at."""

CASCADE = (32, 16)
"""Taps of the two filters."""

_CLASSES = 48
_PRIORS = 32
_FAMILIAR = 8
_INPUT_LIMIT = (1 << 24) - 1
_WEIGHT_LIMIT = (1 << 23) - 1
_LONG, _SHORT = CASCADE


@kernel
def add_known_sound(weights, sources, dx, lines, begin, end, total):  # type: ignore[no-untyped-def]
    """Add the taps on samples that are known before the band is coded, for samples ``begin`` to ``end``.

    Parameters
    ----------
    weights : (k,) int32
    sources, dx : (k,) int64
    lines : (S, n + 2 * SOUND_MARGIN) int32
    begin, end : int
    total : (n,) int64
        Incremented.
    """
    for k in range(weights.size):
        weight = np.int64(weights[k])
        line = lines[sources[k], SOUND_MARGIN + dx[k] :]
        for j in range(begin, end):
            total[j] += weight * line[j]


@kernel
def _filter(history, t, order, weights):  # type: ignore[no-untyped-def]
    """Output of a filter on the `order` inputs before position t, in 1/16."""
    acc = np.int64(0)
    for k in range(order):
        acc += weights[k] * history[t - order + k]
    return acc >> 20


@kernel
def _learn(history, t, order, weights, error, energy, rate):  # type: ignore[no-untyped-def]
    """Normalised LMS: move the weights along the inputs by ``error * rate / energy``, rate in 2**-12."""
    # In 2**-28 and 1/16: |error| < 2**24, so the dividend stays below 2**60.
    step = ((error * rate) << 20) // (energy + order * 1024)
    step = min(max(step, -(1 << 36)), 1 << 36)
    for k in range(order):
        weight = weights[k] + ((step * history[t - order + k] + (1 << 11)) >> 12)
        weights[k] = min(max(weight, -_WEIGHT_LIMIT), _WEIGHT_LIMIT)


@kernel
def code_sound(  # type: ignore[no-untyped-def]
    decoding, target, total, segment, weights, dx, network_weight, fractions, location, prior, shift, limit,
    gradient, log, fine, rate, cdf, offset, low, size, first, start, freq, n, state, words, pos,
):  # fmt: skip
    """Code or decode one band of one channel.

    Parameters
    ----------
    decoding : bool
    target : (SOUND_MARGIN + n,) int32
        The samples behind a margin of zeros; filled when decoding.
    total : (n,) int64
        Sum of the known taps, in units of their segment's fraction.
    segment : int
        Samples that one set of weights serves.
    weights : (segments, k) int32
        Weights of the causal taps.
    dx : (k,) int64
        Where they look, all negative.
    network_weight : (segments,) int32
    fractions : (segments,) int64
        Fraction bits of the weights.
    location, prior : (n,) int32
        The network's location (1/16, amplitude shift applied) and log-scale (1/64 octave, not applied).
    shift, limit : int
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
    count = total.size
    by_energy = np.zeros((_CLASSES, _CLASSES), np.int32)
    by_prior = np.zeros((_PRIORS, _CLASSES), np.int32)
    # Starting as if visited before: the decaying means are a good first guess, first steps should be small.
    seen_energy = np.full((_CLASSES, _CLASSES), _FAMILIAR, np.uint8)
    seen_prior = np.full((_PRIORS, _CLASSES), _FAMILIAR, np.uint8)
    long_input = np.zeros(count + _LONG, np.int64)
    short_input = np.zeros(count + _SHORT, np.int64)
    long_weights = np.zeros(_LONG, np.int64)
    short_weights = np.zeros(_SHORT, np.int64)
    long_energy = np.int64(0)
    short_energy = np.int64(0)
    # Means of the distance in 2**-12 sample, over some 6, 24 and 160 samples.
    fast = np.int64(16 << 8)
    medium = np.int64(16 << 8)
    slow = np.int64(16 << 8)
    for t in range(count):
        s = t // segment
        acc = total[t]
        for k in range(dx.size):
            acc += np.int64(weights[s, k]) * target[SOUND_MARGIN + t + dx[k]]
        acc = (acc << 4) + np.int64(network_weight[s]) * location[t]
        fraction = fractions[s]
        linear = (acc + (1 << (fraction - 1))) >> fraction
        first_step = _filter(long_input, t + _LONG, _LONG, long_weights)
        second_step = _filter(short_input, t + _SHORT, _SHORT, short_weights)
        place = min(max(linear + first_step + second_step, -limit), limit)
        near = min(max(half_octaves(fast >> 5, log) - 4, 0), _CLASSES - 1)
        far = min(max(half_octaves(slow >> 5, log) - 4, 0), _CLASSES - 1)
        mean = (13 * fast + 11 * medium + 8 * slow) >> 5
        base = log64(mean + 256, fine) - (12 << 6) - 30
        opinion = np.int64(prior[t]) + (shift << 6) - base
        klass = min(max((opinion >> 4) + 16, 0), _PRIORS - 1)
        octaves = base + ((by_energy[near, far] + by_prior[klass, near]) >> 10)
        scale = min(max(((octaves + 4) >> 3) + 40, 0), MAX_SCALE)
        if decoding:
            value, state, pos = take_value(place, scale, cdf, offset, low, size, first, state, words, pos)
            target[SOUND_MARGIN + t] = value
        else:
            value = np.int64(target[SOUND_MARGIN + t])
            n = add_value(value, place, scale, cdf, offset, low, size, start, freq, n)
        distance = min(abs((value << 4) - place), _INPUT_LIMIT)
        slope = gradient_row(scale, distance, gradient)
        by_energy[near, far] += (slope * rate[seen_energy[near, far]] * 40) >> 14
        by_prior[klass, near] += (slope * rate[seen_prior[klass, near]] * 27) >> 14
        seen_energy[near, far] = min(np.int64(seen_energy[near, far]) + 1, 255)
        seen_prior[klass, near] = min(np.int64(seen_prior[klass, near]) + 1, 255)
        fast += ((distance << 8) - fast) // 6
        medium += ((distance << 8) - medium) // 24
        slow += ((distance << 8) - slow) // 160
        left = min(max((value << 4) - linear, -_INPUT_LIMIT), _INPUT_LIMIT)
        rest = min(max(left - first_step, -_INPUT_LIMIT), _INPUT_LIMIT)
        error = min(max(rest - second_step, -_INPUT_LIMIT), _INPUT_LIMIT)
        _learn(long_input, t + _LONG, _LONG, long_weights, rest, long_energy, 12)
        _learn(short_input, t + _SHORT, _SHORT, short_weights, error, short_energy, 20)
        long_energy += left * left - long_input[t] * long_input[t]
        short_energy += rest * rest - short_input[t] * short_input[t]
        long_input[t + _LONG] = left
        short_input[t + _SHORT] = rest
    return n, state, pos
