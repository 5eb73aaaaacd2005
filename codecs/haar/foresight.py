"""What the encoder of a plane of a band works out ahead, in rows: kernels.

A decoder learns one sample after the other. An encoder has them all, so that nothing but the scale corrections has to
be done in turn. It takes the same integers as `adapt.decode_band` by other ways; everything that is not plainly the
same sum shares one function with it.
"""

from __future__ import annotations

import numpy as np

from haarchive.codecs.distributions.jit import kernel
from haarchive.codecs.haar.adapt import DISTANCE_LIMIT, LEVELS, NEARS, cell, learn, scale_of
from haarchive.codecs.haar.logarithms import LOG_LIMIT
from haarchive.codecs.haar.margins import MARGIN
from haarchive.codecs.haar.phases import SCALE_PHASES
from haarchive.codecs.haar.weighed import add_weighed
from haarchive.codecs.rans.values import TOP_TABLE, add_value

__all__ = ["causal_logs", "code_ahead", "measure"]


@kernel
def measure(total, network, network_weight, target, fraction, limit, places, distances):  # type: ignore[no-untyped-def]
    """Locations, and the distances of samples from them.

    Parameters
    ----------
    total : (H, W) int32 or int64
        The sum of all taps, in 2**-fraction.
    network : (H, W) int32
        Locations of the network, in 1/16; not looked at where their weight is 0.
    network_weight : int
        In 2**-fraction.
    target : (H + 6, W + 6) int32
    fraction, limit : int
    places : (H, W) int32
        Filled, in 1/16.
    distances : (H + 6, W + 6) int32
        Filled but for the margin.
    """
    height, width = total.shape
    half = np.int64(1) << (fraction - 1)
    for i in range(height):
        here = total[i]
        place = places[i]
        if network_weight:
            located = network[i]
            for j in range(width):
                acc = (np.int64(here[j]) << 4) + np.int64(network_weight) * located[j]
                place[j] = min(max((acc + half) >> fraction, -limit), limit)
        else:
            for j in range(width):
                place[j] = min(max(((np.int64(here[j]) << 4) + half) >> fraction, -limit), limit)
        samples = target[i + MARGIN, MARGIN : MARGIN + width]
        distance = distances[i + MARGIN, MARGIN : MARGIN + width]
        for j in range(width):
            distance[j] = min(abs((np.int64(samples[j]) << 4) - place[j]), DISTANCE_LIMIT)


@kernel
def causal_logs(distances, floor, features):  # type: ignore[no-untyped-def]
    """The two logarithms that `adapt.decode_band` takes of causal neighbours.

    Parameters
    ----------
    distances : (H + 6, W + 6) int32
    floor : int
    features : (2, H, W) int16
        Filled.
    """
    _, height, width = features.shape
    real = np.empty((2, width), np.float32)
    whole = real.view(np.int32)
    near_floor, wide_floor = np.int32(floor), np.int32(2 * floor)
    for i in range(height):
        here, above, over = distances[i + MARGIN], distances[i + MARGIN - 1], distances[i + MARGIN - 2]
        farthest = distances[i + MARGIN - 3]
        for j in range(width):
            x = j + MARGIN
            near = np.int32(np.int32(here[x - 1]) + above[x]) * np.int32(2)
            near = np.int32(near + np.int32(above[x - 1] + above[x + 1]) + np.int32(here[x - 2] + over[x]))
            wide = np.int32(np.int32(above[x - 2] + above[x + 2]) + np.int32(over[x - 1] + over[x + 1]))
            wide = np.int32(wide + np.int32(over[x - 2] + over[x + 2]) + np.int32(here[x - 3] + farthest[x]))
            real[0, j] = min(np.int32(near + near_floor), np.int32(LOG_LIMIT))
            real[1, j] = min(np.int32(near + wide + wide_floor), np.int32(LOG_LIMIT))
        for f in range(2):
            for j in range(width):
                features[f, i, j] = (whole[f, j] >> 17) - (127 << 6)


@kernel
def code_ahead(  # type: ignore[no-untyped-def]
    target, places, distances, near_logs, base, row_phase, column_phase, shift, gradient,
    weighed, cdf, offset, low, size, start, freq, n,
):  # fmt: skip
    """Append the operations that code a plane of a band.

    Parameters
    ----------
    target : (H + 6, W + 6) int32
        The samples.
    places : (H, W) int32
    distances : (H + 6, W + 6) int32
        Of `measure`.
    near_logs : (H, W) int16
        The first of `causal_logs`.
    base : (H, W) int32
        The log-scale without corrections, in 2**-14 octave.
    row_phase, column_phase, shift, gradient, weighed, cdf, offset, low, size
        As for `adapt.decode_band`.
    start, freq : (>= n + H * W * MAX_VALUE_OPS,) uint16
        The list of operations, n of it filled.
    n : int

    Returns
    -------
    n : int
        The new one.
    saved : float
        Bits that weights save.
    """
    height, width = places.shape
    by_level = np.zeros((NEARS, LEVELS), np.int32)
    by_phase = np.zeros((SCALE_PHASES, SCALE_PHASES), np.int32)
    seen_level = np.zeros((NEARS, LEVELS), np.uint8)
    seen_phase = np.zeros((SCALE_PHASES, SCALE_PHASES), np.uint8)
    scales = np.empty(width, np.int32)
    saved = 0.0
    for i in range(height):
        p = row_phase[i]
        for j in range(width):
            octaves = np.int64(base[i, j]) >> 8
            near, level = cell(np.int64(near_logs[i, j]), octaves, shift)
            q = column_phase[j]
            scale = scale_of(octaves, by_level[near, level] + by_phase[p, q])
            scales[j] = scale
            distance = np.int64(distances[i + MARGIN, j + MARGIN])
            learn(scale, distance, gradient, by_level, seen_level, near, level, by_phase, seen_phase, p, q)
        for j in range(width):
            scale, place = np.int64(scales[j]), np.int64(places[i, j])
            value = np.int64(target[i + MARGIN, j + MARGIN])
            if weighed.rising.size and scale <= TOP_TABLE:
                coded = n
                n, plain = add_weighed(value, place, scale, i, j, weighed, cdf, offset, low, size, start, freq, n)
                saved += np.log2(np.float64(freq[coded]) / plain)
                continue
            # `add_value` for what a table holds, without a call that would take twice as long as all else.
            if scale <= TOP_TABLE:
                table = (scale << 4) | (place & 15)
                entry = value - (place >> 4) - low[table]
                if 0 <= entry < size[table] - 1:
                    at = np.int64(offset[table]) + entry
                    first = cdf[at]
                    start[n] = first
                    freq[n] = cdf[at + 1] - first
                    n += 1
                    continue
            n = add_value(value, place, scale, cdf, offset, low, size, start, freq, n)
    return n, saved
