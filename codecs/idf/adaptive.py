r"""The adaptive coupling: what the last coupling before each factor-out learns from the picture at hand, while coding.

The network of a factor-out knows scanners and stains that it was trained on. This stage knows the picture: it is the
integer discrete coupling of the paper (section 3.1) with a translation that also depends on what was coded before it,
sample by sample, so that encoder and decoder learn the same and nothing is sent.

Location: *experts* correct the network's. Each is a linear predictor of what is left by the expert that it builds on,
from errors around the sample (causal ones of its own channel; of channels done before, on all sides) and from slopes
of the band below; one set of weights for the channel, or one for each phase of a periodic grid, since JPEG's blocks and
subsampled chroma make phases differ. Weights are least squares: normal equations of all samples so far, each divided by
its scale, with a ridge; one Gauss-Seidel sweep a row moves the weights towards their solution. The experts'
predictions are blended by the inverse squares of their errors nearby.

Scale: corrections to the network's log-scale, from tables by the errors nearby (in the channel; in each channel done
before) and the scale predicted, and by phase; each sample moves its entries by the gradient of its own code length.

Everything is integers: errors in 1/16 sample, weights in 2**-16, log-scales in 1/64 octave, corrections in 2**-16.
"""

from __future__ import annotations

import numpy as np

from haarchive.codecs.distributions.jit import kernel
from haarchive.codecs.haar.adapt import NEAR_FLOOR, logarithm
from haarchive.codecs.haar.scales import gradient_row
from haarchive.codecs.rans.values import MAX_SCALE, add_value, take_value

__all__ = ["MARGIN", "PERIOD", "adapt_channel"]

MARGIN = 3
"""Rows and columns of padding around every plane that features look at."""

PERIOD = 8
"""Phases of rows, and of columns, that scale corrections tell apart."""

_WEIGHT_BITS = 16
_WEIGHT_LIMIT = 1 << 18
_DIAGONAL_BITS = 30
_SIGNIFICANT = 2047
"""Features are clamped to eight scales: outliers must not decide."""
_LEVELS, _NEARS = 48, 32
_LARGEST = 1 << 30
_ERROR_LIMIT = 4095

# Steps after n visits, in 2**-16, as in `haarchive.codecs.haar.adapt`, but that phases move slower.
_STEP = np.array([max((1 << 17) // (2 * n + 41), (1 << 16) // 100) for n in range(256)], np.int64)
_PHASE_STEP = np.array([max(7 * (1 << 17) // (10 * (2 * n + 41)), (1 << 16) // 200) for n in range(256)], np.int64)


@kernel
def _solve(gram, moment, weights, count):  # type: ignore[no-untyped-def]
    """One Gauss-Seidel sweep of ``gram w = moment``; the upper triangle of `gram` counts."""
    top = np.int64(1)
    for k in range(count):
        top = max(top, gram[k, k])
    shift = 0
    while top >> shift >= 1 << _DIAGONAL_BITS:
        shift += 1
    for k in range(count):
        total = (moment[k] >> shift) << _WEIGHT_BITS
        for j in range(k):
            total -= (gram[j, k] >> shift) * weights[j]
        for j in range(k + 1, count):
            total -= (gram[k, j] >> shift) * weights[j]
        weight = total // max(gram[k, k] >> shift, 1)
        weights[k] = min(max(weight, -_WEIGHT_LIMIT), _WEIGHT_LIMIT)


@kernel
def _nearby(error, at, stride):  # type: ignore[no-untyped-def]
    """Eight times the weighted mean size of six causal neighbours."""
    return (
        2 * (np.int64(abs(error[at - 1])) + abs(error[at - stride])) + abs(error[at - stride - 1])
        + abs(error[at - stride + 1]) + abs(error[at - 2]) + abs(error[at - 2 * stride])
    )  # fmt: skip


@kernel
def _around(error, at, stride):  # type: ignore[no-untyped-def]
    """Eight times the weighted mean size of a sample and its four neighbours."""
    return (
        4 * np.int64(abs(error[at])) + abs(error[at - stride]) + abs(error[at + stride])
        + abs(error[at - 1]) + abs(error[at + 1])
    )  # fmt: skip


@kernel
def _normalised(value, octave):  # type: ignore[no-untyped-def]
    """A quantity in 1/16 sample in units of 1/256 of the scale ``2**octave``, clamped."""
    scaled = value << (4 - octave) if octave <= 4 else value >> (octave - 4)
    return min(max(scaled, -_SIGNIFICANT), _SIGNIFICANT)


@kernel
def adapt_channel(  # type: ignore[no-untyped-def]
    z, location, octaves, stack, stride, own, nears, near_planes, plus, minus, counts, periods, parents, ridges,
    shift, limit, gradient, cdf, offset, low, size, first, decoding, start, freq, n, state, words, pos,
):  # fmt: skip
    """Code or decode one channel of a factor-out.

    Parameters
    ----------
    z : (H, W) int32
        Latents; read or filled.
    location : (H, W) int64
        The network's, in 1/16.
    octaves : (H, W) int32
        The network's log-scales, in 1/64 octave.
    stack : (S * (H + 6) * stride,) int32
        Planes that features look at, in 1/16 sample, end to end, each padded by `MARGIN`; the last but one is this
        channel's errors, filled here, and the last is zero.
    stride : int
        Of the planes' rows: W + 6.
    own : int
        Where this channel's errors begin in `stack`.
    nears : int
        How many of `near_planes` there are.
    near_planes : (>= nears,) int64
        Where errors of channels done before begin in `stack`.
    plus, minus : (K,) int64
        Each feature is the difference of two samples of `stack`, at these distances from the sample's own place in
        the first plane.
    counts, periods, parents, ridges : (E,) int64
        Of each expert: how many of the features it sees (the first ones), the period of its classes, the expert that
        it builds on (-1: the network), and the ridge.
    shift : int
        Amplitude shift.
    limit : int
        Bound of the experts' corrections, in 1/16.
    gradient : ndarray
        Of the `ScaleTables`.
    cdf, offset, low, size, first : ndarray
        Of the `LogisticTables`.
    decoding : bool
    start, freq, n, state, words, pos
        The encoder's list of operations, and the decoder.

    Returns
    -------
    n, state, pos : int
    """
    height, width = z.shape
    experts, features = counts.size, plus.size
    rows = height + 2 * MARGIN
    classes = np.int64(0)
    bases = np.empty(experts, np.int64)
    for e in range(experts):
        bases[e] = classes
        classes += periods[e] * periods[e]
    gram = np.zeros((classes, features, features), np.int64)
    moment = np.zeros((classes, features), np.int64)
    weights = np.zeros((classes, features), np.int64)
    for e in range(experts):
        for c in range(bases[e], bases[e] + periods[e] * periods[e]):
            for k in range(features):
                gram[c, k, k] = ridges[e]
    raw = np.empty(features, np.int64)
    scaled = np.empty(features, np.int64)
    guess = np.zeros(experts + 1, np.int64)
    missed = np.zeros((experts + 1, rows * stride), np.int32)
    usual = np.zeros(experts + 1, np.int64)
    by_near = np.zeros((nears + 1, _NEARS, _LEVELS), np.int32)
    seen_near = np.zeros((nears + 1, _NEARS, _LEVELS), np.uint8)
    by_phase = np.zeros((PERIOD, PERIOD), np.int32)
    seen_phase = np.zeros((PERIOD, PERIOD), np.uint8)
    cells = np.empty(nears + 1, np.int64)
    real = np.empty(1, np.float32)
    whole = real.view(np.int32)
    floor = np.int64(NEAR_FLOOR) << shift
    errors = stack[own : own + rows * stride]
    for i in range(height):
        if i:
            for e in range(experts):
                for q in range(periods[e]):
                    c = bases[e] + (i % periods[e]) * periods[e] + q
                    _solve(gram[c], moment[c], weights[c], counts[e])
        for j in range(width):
            at = (i + MARGIN) * stride + j + MARGIN
            # Scale.
            octave = np.int64(octaves[i, j])
            level = min(max(((octave - (shift << 6)) >> 5) + 10, 0), _LEVELS - 1)
            correction = np.int64(by_phase[i % PERIOD, j % PERIOD])
            for t in range(nears + 1):
                if t == 0:
                    size_near = _nearby(errors, at, stride)
                else:
                    size_near = _around(stack, near_planes[t - 1] + at, stride)
                nearby = logarithm(size_near + floor, real, whole)
                cells[t] = min(max((nearby >> 5) - 10 - 2 * shift, 0), _NEARS - 1)
                correction += by_near[t, cells[t], level]
            scale = min(max(((octave + (correction >> 10) + 4) >> 3) + 40, 0), MAX_SCALE)
            unit = min(max((scale >> 3) - 5, -4), 24)
            # Location.
            for k in range(features):
                raw[k] = np.int64(stack[at + plus[k]]) - stack[at + minus[k]]
                scaled[k] = _normalised(raw[k], unit)
            for e in range(experts):
                c = bases[e] + (i % periods[e]) * periods[e] + j % periods[e]
                total = np.int64(1) << (_WEIGHT_BITS - 1)
                for k in range(counts[e]):
                    total += weights[c, k] * raw[k]
                guess[e + 1] = min(max(guess[parents[e] + 1] + (total >> _WEIGHT_BITS), -limit), limit)
            above, share = np.int64(0), np.int64(0)
            for e in range(experts + 1):
                miss = missed[e]
                cost = (
                    2 * (np.int64(miss[at - 1]) + miss[at - stride]) + miss[at - stride - 1] + miss[at - stride + 1]
                    + miss[at - 2] + miss[at - 2 * stride] + miss[at - stride - 2] + miss[at - stride + 2]
                    + miss[at - 2 * stride - 1] + miss[at - 2 * stride + 1] + miss[at - 2 * stride - 2]
                    + miss[at - 2 * stride + 2] + miss[at - 3] + miss[at - 3 * stride]
                )  # fmt: skip
                cost += 16 + (usual[e] >> 10)
                part = (np.int64(1) << 40) // (cost * cost)
                above += part * guess[e]
                share += part
            place = location[i, j] + (above + (share >> 1)) // share
            # The sample.
            if decoding:
                value, state, pos = take_value(place, scale, cdf, offset, low, size, first, state, words, pos)
                value = min(max(value, -_LARGEST), _LARGEST)
                z[i, j] = value
            else:
                value = np.int64(z[i, j])
                n = add_value(value, place, scale, cdf, offset, low, size, start, freq, n)
            # What it teaches.
            error = min(max((value << 4) - location[i, j], -_LARGEST), _LARGEST)
            errors[at] = error
            for e in range(experts + 1):
                miss_now = min(abs(error - guess[e]) >> shift, _ERROR_LIMIT)
                missed[e, at] = miss_now
                usual[e] += (miss_now << 6) - (usual[e] >> 8)
            for e in range(experts):
                c = bases[e] + (i % periods[e]) * periods[e] + j % periods[e]
                left = _normalised(error - guess[parents[e] + 1], unit)
                normal = gram[c]
                for k in range(counts[e]):
                    feature = scaled[k]
                    moment[c, k] += feature * left
                    for m in range(k, counts[e]):
                        normal[k, m] += feature * scaled[m]
            slope = gradient_row(scale, min(abs((value << 4) - place), _LARGEST), gradient)
            for t in range(nears + 1):
                visits = np.int64(seen_near[t, cells[t], level])
                by_near[t, cells[t], level] += (slope * _STEP[visits] * 92) >> 14
                seen_near[t, cells[t], level] = min(visits + 1, 255)
            p, q = i % PERIOD, j % PERIOD
            visits = np.int64(seen_phase[p, q])
            by_phase[p, q] += (slope * _PHASE_STEP[visits] * 92) >> 14
            seen_phase[p, q] = min(visits + 1, 255)
    return n, state, pos
