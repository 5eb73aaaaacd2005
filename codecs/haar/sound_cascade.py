"""Filters that learn from every sample: a cascade of normalised least-mean-squares predictors, in integers.

Each filter predicts what the one before it left (Widrow and Hoff, 1960; as a cascade from long to short: Huang,
Franti, Huang, Rahardja, "Cascaded RLS-LMS prediction in MPEG-4 lossless audio coding", IEEE TASLP 16(3), 2008). Inputs
and errors that weights learn from are divided by the recent mean magnitude of the cascade's input when they come, and
clipped: a loud click counts like eight ordinary samples and not like a thousand, and there is one division a sample.

Integer formats: inputs in 1/16 sample, below 2**24; weights in 2**-24, at most 2**27 after each block (`bound_weights`)
and within one below 2**28 for 16 taps, the less beyond 2**27 the more taps; normalised inputs in 1/16, errors in 1/512.
Sums of 2048 products stay below 2**63.
"""

from __future__ import annotations

import numpy as np

from haarchive.codecs.distributions.jit import leaf

__all__ = ["INPUT_LIMIT", "bound_weights", "filter_output", "learn", "normalised", "reciprocal"]

INPUT_LIMIT = (1 << 24) - 1
_WEIGHT_LIMIT = 1 << 27


@leaf
def filter_output(history, weights, channel, stage, end, taps):  # type: ignore[no-untyped-def]
    """What a filter says of the next input: in 1/16, at most `INPUT_LIMIT`.

    Parameters
    ----------
    history : (C, F, n) int32
        Inputs of each channel's filters; the last one is at ``end - 1``.
    weights : (C, F, k) int32
        The first `taps` of them count, the last for the latest input.
    channel, stage, end, taps : int
    """
    past, own = history[channel, stage, end - taps : end], weights[channel, stage, :taps]
    acc = np.int64(0)
    for k in range(own.size):
        acc += np.int64(own[k]) * np.int64(past[k])
    return min(max(acc >> 24, -INPUT_LIMIT), INPUT_LIMIT)


@leaf
def learn(heard, weights, channel, stage, end, taps, error, gain):  # type: ignore[no-untyped-def]
    """Move a filter's weights along the normalised inputs.

    Parameters
    ----------
    heard : (C, F, n) int8
        Inputs, normalised, in 1/16.
    weights, channel, stage, end, taps
        As for `filter_output`.
    error : int
        What the filter left, normalised, in 1/512; at most 2047.
    gain : int
        The filter's step size in 2**-24; below 2**16.
    """
    # |step| < 2**14, so that |step * heard| < 2**21.
    step = np.int32((error * gain + (1 << 12)) >> 13)
    past, own = heard[channel, stage, end - taps : end], weights[channel, stage, :taps]
    for k in range(own.size):
        own[k] = np.int32(own[k] + np.int32(step * np.int32(past[k])))


@leaf
def bound_weights(weights):  # type: ignore[no-untyped-def]
    """Clamp weights; between two calls at most 64 steps of less than 2**21 each may be made."""
    for k in range(weights.size):
        weights[k] = min(max(weights[k], -_WEIGHT_LIMIT), _WEIGHT_LIMIT)


@leaf
def reciprocal(mean):  # type: ignore[no-untyped-def]
    """``2**40 / mean`` of a mean magnitude in 2**-12 sample, which counts as half a sample at least."""
    return (1 << 40) // max(mean, 1 << 11)


@leaf
def normalised(value, inverse, bits, limit):  # type: ignore[no-untyped-def]
    """``value`` (1/16, below 2**26) by its `reciprocal` mean, with so many fraction bits, clipped."""
    return min(max((value * inverse) >> (32 - bits), -limit), limit)
