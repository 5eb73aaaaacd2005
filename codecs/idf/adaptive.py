r"""The adaptive coupling: what the last coupling before each factor-out learns from the picture at hand, while coding.

The network of a factor-out knows scanners and stains that it was trained on. This stage knows the picture: it is the
integer discrete coupling of the paper (section 3.1) with a translation that also depends on what was coded before it,
sample by sample, so that encoder and decoder learn the same and nothing is sent.

Location: *experts* correct the network's. Each is a linear predictor of what is left by the expert that it builds on,
from features around the sample: errors (causal ones of its own channel; of channels done before, on all sides), and
samples of the bands that are known. It has one set of weights for the channel, or one for each phase of a periodic
grid, since JPEG's blocks and subsampled chroma make phases differ. Weights are least squares: normal equations of all
samples so far, each divided by its scale, with a ridge; three Gauss-Seidel sweeps a row move the weights towards
their solution. The experts' predictions are blended by the inverse cubes of their errors nearby.

Scale: corrections to the network's log-scale, from tables by the errors nearby (in the channel; in each channel done
before) and the scale predicted, and by phase; each sample moves its entries by the gradient of its own code length.

Everything is integers: errors in 1/16 sample, weights in 2**-16, log-scales in 1/64 octave, corrections in 2**-16.
"""

from __future__ import annotations

import numpy as np

from haarchive.codecs.distributions.jit import kernel, leaf
from haarchive.codecs.haar.logarithms import NEAR_FLOOR, logarithm
from haarchive.codecs.haar.scales import gradient_row
from haarchive.codecs.rans.values import MAX_SCALE, add_value, take_value

__all__ = ["MARGIN", "PERIOD", "accumulate", "adapt_channel", "solve"]

MARGIN = 3
"""Rows and columns of padding around every plane that features look at."""

PERIOD = 8
"""Phases of rows, and of columns, that scale corrections tell apart."""

_WEIGHT_BITS = 16
_WEIGHT_LIMIT = 1 << 18
_DIAGONAL_BITS = 30
_SWEEPS = 3
_SIGNIFICANT = (1 << 15) - 1
"""Features are clamped to 128 scales."""
_LEVELS, _NEARS = 48, 32
_LARGEST = 1 << 30
_ERROR_LIMIT = 4095

# Steps after n visits, in 2**-16: 1 / (n + 30.5) down to 1 / 100, and 0.7 / (n + 20.5) down to 1 / 200 for phases.
_STEP = np.array([max((1 << 17) // (2 * n + 61), (1 << 16) // 100) for n in range(256)], np.int64)
_PHASE_STEP = np.array([max(7 * (1 << 17) // (10 * (2 * n + 41)), (1 << 16) // 200) for n in range(256)], np.int64)


@leaf
def solve(gram, ridge, moment, weights, count):  # type: ignore[no-untyped-def]
    """Gauss-Seidel sweeps of ``(gram + ridge I) w = moment``."""
    top = np.int64(1)
    for k in range(count):
        top = max(top, gram[k, k])
    shift = 0
    while (top + ridge) >> shift >= 1 << _DIAGONAL_BITS:
        shift += 1
    for _ in range(_SWEEPS):
        for k in range(count):
            row = gram[k, :count]
            total = ((moment[k] >> shift) << _WEIGHT_BITS) + (row[k] >> shift) * weights[k]
            for j in range(row.size):
                total -= (row[j] >> shift) * weights[j]
            weight = total // max((row[k] + ridge) >> shift, 1)
            weights[k] = min(max(weight, -_WEIGHT_LIMIT), _WEIGHT_LIMIT)


@leaf
def accumulate(gram, features):  # type: ignore[no-untyped-def]
    """Add the outer product of features to the upper triangle of `gram`."""
    count = features.size
    for k in range(count):
        feature = np.int64(features[k])
        row = gram[k, k:]
        rest = features[k:]
        for m in range(rest.size):
            row[m] += feature * np.int64(rest[m])


@leaf
def _nearby(error, at, stride):  # type: ignore[no-untyped-def]
    """Eight times the weighted mean size of six causal neighbours."""
    return (
        2 * (np.int64(abs(error[at - 1])) + abs(error[at - stride])) + abs(error[at - stride - 1])
        + abs(error[at - stride + 1]) + abs(error[at - 2]) + abs(error[at - 2 * stride])
    )  # fmt: skip


@leaf
def _around(error, at, stride):  # type: ignore[no-untyped-def]
    """Eight times the weighted mean size of a sample and its four neighbours."""
    return (
        4 * np.int64(abs(error[at])) + abs(error[at - stride]) + abs(error[at + stride])
        + abs(error[at - 1]) + abs(error[at + 1])
    )  # fmt: skip


@leaf
def _missed(missed, at, stride):  # type: ignore[no-untyped-def]
    """Sixteen times the weighted mean of how far an expert missed fourteen causal neighbours."""
    above, over = at - stride, at - 2 * stride
    return (
        2 * (np.int64(missed[at - 1]) + missed[above]) + missed[above - 1] + missed[above + 1]
        + missed[at - 2] + missed[over] + missed[above - 2] + missed[above + 2]
        + missed[over - 1] + missed[over + 1] + missed[over - 2] + missed[over + 2]
        + missed[at - 3] + missed[above - 2 * stride]
    )  # fmt: skip


@leaf
def _normalised(value, octave):  # type: ignore[no-untyped-def]
    """A quantity in 1/16 sample in units of 1/256 of the scale ``2**octave``, clamped."""
    scaled = value << (4 - octave) if octave <= 4 else value >> (octave - 4)
    return min(max(scaled, -_SIGNIFICANT), _SIGNIFICANT)


@leaf
def _weighted(weights, expert, phase, values, count):  # type: ignore[no-untyped-def]
    """What an expert says, in 2**-20, rounding included."""
    own = weights[expert, phase]
    total = np.int64(1) << (_WEIGHT_BITS - 1)
    for k in range(count):
        total += own[k] * values[k]
    return total


@leaf
def _add_moment(moment, expert, phase, left, scaled, count):  # type: ignore[no-untyped-def]
    """Add what an expert should have said, times its features."""
    own = moment[expert, phase]
    for k in range(count):
        own[k] += left * np.int64(scaled[k])


@kernel
def adapt_channel(  # type: ignore[no-untyped-def]
    z, location, octaves, stack, stride, own, raw, nears, plus, minus, counts, phased, parents, ridges, period,
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
        Planes that features look at, in 1/16 sample, end to end, each padded by `MARGIN`.
    stride : int
        Of the planes' rows: W + 6.
    own, raw : int
        Where this channel's errors and samples begin in `stack`; zeros, filled here. A negative `raw` is not filled.
    nears : (T,) int64
        Where errors of channels done before begin in `stack`.
    plus, minus : (K,) int64
        Each feature is the difference of two samples of `stack`, at these distances from the sample's own place in
        the first plane.
    counts, phased, parents, ridges : (E,) int64
        Of each expert: how many of the features it sees (the first ones), whether it has weights for each phase, the
        expert that it builds on (-1: the network), and the ridge.
    period : int
        Phases of rows, and of columns.
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
    area = (height + 2 * MARGIN) * stride
    # All experts share the features, so that one sum of outer products serves all: of all samples, of each phase, and
    # of the row at hand by its phases.
    gram = np.zeros((features, features), np.int64)
    by_class = np.zeros((period * period, features, features), np.int64)
    of_row = np.zeros((period, features, features), np.int64)
    moment = np.zeros((experts, period * period, features), np.int64)
    weights = np.zeros((experts, period * period, features), np.int64)
    values = np.empty(features, np.int64)
    scaled = np.empty(features, np.int32)
    guess = np.zeros(experts + 1, np.int64)
    missed = np.zeros((experts + 1, area), np.int32)
    usual = np.zeros(experts + 1, np.int64)
    by_near = np.zeros((nears.size + 1, _NEARS, _LEVELS), np.int32)
    seen_near = np.zeros((nears.size + 1, _NEARS, _LEVELS), np.uint8)
    by_phase = np.zeros((PERIOD, PERIOD), np.int32)
    seen_phase = np.zeros((PERIOD, PERIOD), np.uint8)
    cells = np.empty(nears.size + 1, np.int64)
    real = np.empty(1, np.float32)
    whole = real.view(np.int32)
    floor = np.int64(NEAR_FLOOR) << shift
    errors = stack[own : own + area]
    for i in range(height):
        row_phase = (i % period) * period
        if i:
            for e in range(experts):
                if phased[e]:
                    for c in range(row_phase, row_phase + period):
                        solve(by_class[c], ridges[e], moment[e, c], weights[e, c], counts[e])
                else:
                    solve(gram, ridges[e], moment[e, 0], weights[e, 0], counts[e])
        for j in range(width):
            at = (i + MARGIN) * stride + j + MARGIN
            q = j % period
            # Scale.
            octave = np.int64(octaves[i, j])
            level = min(max(((octave - (shift << 6)) >> 5) + 10, 0), _LEVELS - 1)
            correction = np.int64(by_phase[i % PERIOD, j % PERIOD])
            for t in range(nears.size + 1):
                near = _nearby(errors, at, stride) if t == 0 else _around(stack, nears[t - 1] + at, stride)
                cells[t] = min(max((logarithm(near + floor, real, whole) >> 5) - 10 - 2 * shift, 0), _NEARS - 1)
                correction += by_near[t, cells[t], level]
            scale = min(max(((octave + (correction >> 10) + 4) >> 3) + 40, 0), MAX_SCALE)
            unit = min(max((scale >> 3) - 5, -4), 24)
            # Location.
            for k in range(features):
                values[k] = np.int64(stack[at + plus[k]]) - np.int64(stack[at + minus[k]])
                scaled[k] = _normalised(values[k], unit)
            for e in range(experts):
                total = _weighted(weights, e, row_phase + q if phased[e] else 0, values, counts[e])
                guess[e + 1] = min(max(guess[parents[e] + 1] + (total >> _WEIGHT_BITS), -limit), limit)
            above, share = np.int64(0), np.int64(0)
            for e in range(experts + 1):
                cost = _missed(missed[e], at, stride) + 16 + (usual[e] >> 10)
                part = (np.int64(1) << 50) // (cost * cost) // cost + 1
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
            if raw >= 0:
                stack[raw + at] = min(max(value << 4, -_LARGEST), _LARGEST)
            for e in range(experts + 1):
                miss = min(abs(error - guess[e]) >> shift, _ERROR_LIMIT)
                missed[e, at] = miss
                usual[e] += (miss << 6) - (usual[e] >> 8)
            accumulate(of_row[q], scaled)
            for e in range(experts):
                left = _normalised(error - guess[parents[e] + 1], unit)
                _add_moment(moment, e, row_phase + q if phased[e] else 0, left, scaled, counts[e])
            slope = gradient_row(scale, min(abs((value << 4) - place), _LARGEST), gradient)
            for t in range(nears.size + 1):
                visits = np.int64(seen_near[t, cells[t], level])
                by_near[t, cells[t], level] += (slope * _STEP[visits] * 92) >> 14
                seen_near[t, cells[t], level] = min(visits + 1, 255)
            visits = np.int64(seen_phase[i % PERIOD, j % PERIOD])
            by_phase[i % PERIOD, j % PERIOD] += (slope * _PHASE_STEP[visits] * 92) >> 14
            seen_phase[i % PERIOD, j % PERIOD] = min(visits + 1, 255)
        for p in range(min(period, width)):
            of_class = by_class[row_phase + p]
            for k in range(features):
                for m in range(k, features):
                    gram[k, m] += of_row[p, k, m]
                    of_class[k, m] += of_row[p, k, m]
                    of_row[p, k, m] = 0
                for m in range(k):
                    gram[k, m] = gram[m, k]
                    of_class[k, m] = of_class[m, k]
    return n, state, pos
