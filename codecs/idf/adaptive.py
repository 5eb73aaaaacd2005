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
    shift = _shift(gram, ridge, count)
    for _ in range(_SWEEPS):
        for k in range(count):
            _improve(gram, ridge, moment, weights, count, shift, k)


@leaf
def _shift(gram, ridge, count):  # type: ignore[no-untyped-def]
    """Bits that equations lose so that coefficients have 32: none is larger than the largest of the diagonal."""
    top = np.int64(1)
    for k in range(count):
        top = max(top, gram[k, k])
    shift = 0
    while (top + ridge) >> shift >= 1 << _DIAGONAL_BITS:
        shift += 1
    return shift


@leaf
def _improve(gram, ridge, moment, weights, count, shift, k):  # type: ignore[no-untyped-def]
    """The weight that solves equation `k`, given the others."""
    row = gram[k, :count]
    total = ((moment[k] >> shift) << _WEIGHT_BITS) + (row[k] >> shift) * weights[k]
    for j in range(row.size):
        total -= np.int64(np.int32(row[j] >> shift)) * np.int64(np.int32(weights[j]))
    weight = total // max((row[k] + ridge) >> shift, 1)
    weights[k] = min(max(weight, -_WEIGHT_LIMIT), _WEIGHT_LIMIT)


@leaf
def _solve_together(grams, systems, counts, ridges, moment, weights, n):  # type: ignore[no-untyped-def]
    """As `solve`, `n` systems with an equation of each in turns: each has to wait for its last, but none for another's.

    A row of `systems` is an expert, its class, which of `grams`, and room for the shift.
    """
    most = 0
    for t in range(n):
        e, gram = systems[t, 0], systems[t, 2]
        systems[t, 3] = _shift(grams[gram], ridges[e], counts[e])
        most = max(most, counts[e])
    for _ in range(_SWEEPS):
        for k in range(most):
            for t in range(n):
                e, c, gram, shift = systems[t, 0], systems[t, 1], systems[t, 2], systems[t, 3]
                if k < counts[e]:
                    _improve(grams[gram], ridges[e], moment[e, c], weights[e, c], counts[e], shift, k)


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
def _sum_products(square, features):  # type: ignore[no-untyped-def]
    """Products of features and what they are seen with, ``(n, K + E) int32``, summed over samples: ``(K, K + E)``.

    n is a multiple of four. All of the square, though it is symmetric, and four samples at a time: loops of one length,
    which loads and stores of the sums do not hold up, take half as long as those over the triangle.
    """
    square[:] = 0
    for i in range(0, len(features), 4):
        one, two, three, four = features[i], features[i + 1], features[i + 2], features[i + 3]
        for k in range(len(square)):
            a, b, c, d = np.int64(one[k]), np.int64(two[k]), np.int64(three[k]), np.int64(four[k])
            row = square[k]
            for m in range(one.size):
                row[m] += a * np.int64(one[m]) + b * np.int64(two[m]) + c * np.int64(three[m]) + d * np.int64(four[m])


@leaf
def _add(gram, square):  # type: ignore[no-untyped-def]
    """Add the square part of `square`."""
    for k in range(len(gram)):
        row, more = gram[k], square[k]
        for m in range(row.size):
            row[m] += more[m]


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
def _normalised(value, up, down):  # type: ignore[no-untyped-def]
    """A quantity in 1/16 sample in units of 1/256 of a scale, clamped; one of `up` and `down` is zero."""
    return min(max((value << up) >> down, -_SIGNIFICANT), _SIGNIFICANT)


@leaf
def _look(stack, at, plus, minus, up, down, values, of_row, phase, column):  # type: ignore[no-untyped-def]
    """Take the features of a sample, as they are and normalised."""
    scaled = of_row[phase, column]
    for k in range(plus.size):
        values[k] = np.int64(stack[at + plus[k]]) - np.int64(stack[at + minus[k]])
        scaled[k] = _normalised(values[k], up, down)


@leaf
def _weighted(weights, expert, phase, values, count):  # type: ignore[no-untyped-def]
    """What an expert says, in 2**-20, rounding included."""
    own = weights[expert, phase]
    total = np.int64(1) << (_WEIGHT_BITS - 1)
    for k in range(count):
        total += own[k] * values[k]
    return total


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
    # All experts share the features, so that one sum of outer products serves all: of all samples, and of each phase.
    grams = np.zeros((1 + period * period, features, features), np.int64)
    systems = np.zeros((experts * period, 4), np.int64)
    square = np.empty((features, features + experts), np.int64)
    # Of the row at hand, by its phases: features, and what each expert should have said. In fours; the last has zeros.
    of_row = np.zeros((period, ((width - 1) // period // 4 + 1) * 4, features + experts), np.int32)
    moment = np.zeros((experts, period * period, features), np.int64)
    weights = np.zeros((experts, period * period, features), np.int64)
    values = np.empty(features, np.int64)
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
            n_systems = 0
            for e in range(experts):
                for c in range(row_phase, row_phase + (period if phased[e] else 1)):
                    systems[n_systems, 0] = e
                    systems[n_systems, 1] = c if phased[e] else 0
                    systems[n_systems, 2] = 1 + c if phased[e] else 0
                    n_systems += 1
            _solve_together(grams, systems, counts, ridges, moment, weights, n_systems)
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
            up, down = max(4 - unit, 0), max(unit - 4, 0)
            column = j // period
            _look(stack, at, plus, minus, up, down, values, of_row, q, column)
            for e in range(experts):
                total = _weighted(weights, e, row_phase + q if phased[e] else 0, values, counts[e])
                guess[e + 1] = min(max(guess[parents[e] + 1] + (total >> _WEIGHT_BITS), -limit), limit)
            above, share = np.int64(0), np.int64(0)
            for e in range(experts + 1):
                cost = _missed(missed[e], at, stride) + 16 + (usual[e] >> 10)
                part = (np.int64(1) << 50) // (cost * cost * cost) + 1  # less than 2**17 to the third
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
            for e in range(experts):
                of_row[q, column, features + e] = _normalised(error - guess[parents[e] + 1], up, down)
            slope = gradient_row(scale, min(abs((value << 4) - place), _LARGEST), gradient)
            for t in range(nears.size + 1):
                visits = np.int64(seen_near[t, cells[t], level])
                by_near[t, cells[t], level] += (slope * _STEP[visits] * 92) >> 14
                seen_near[t, cells[t], level] = min(visits + 1, 255)
            visits = np.int64(seen_phase[i % PERIOD, j % PERIOD])
            by_phase[i % PERIOD, j % PERIOD] += (slope * _PHASE_STEP[visits] * 92) >> 14
            seen_phase[i % PERIOD, j % PERIOD] = min(visits + 1, 255)
        for p in range(min(period, width)):
            _sum_products(square, of_row[p])
            _add(grams[0], square)
            _add(grams[1 + row_phase + p], square)
            for e in range(experts):
                own = moment[e, row_phase + p if phased[e] else 0]
                for k in range(features):
                    own[k] += square[k, features + e]
    return n, state, pos
