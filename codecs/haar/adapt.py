"""The adaptive stage: what is learned from the source itself while it is coded, in integers only.

Forward: the encoder fits a linear predictor on a band's neighbourhood (`haarchive.codecs.haar.fit`) and sends its
weights. Backward: encoder and decoder keep two tables of corrections to the log-scale that the network gave, one
by the residuals around a sample and those of planes and bands coded before, one by the network's scale and the
residuals around; each sample moves its two entries by the gradient of its own code length (stochastic gradient
descent on the logistic's scale, with a step that shrinks with the visits).

All quantities are integers: locations and distances in 1/16 sample, log-scales in 1/64 octave, corrections in 2**-16
octave, weights in 2**-fraction.
"""

from __future__ import annotations

import numpy as np

from haarchive.codecs.distributions.jit import kernel
from haarchive.codecs.haar.scales import gradient_row, half_octaves
from haarchive.codecs.haar.values import MAX_SCALE, add_value, take_value

__all__ = ["CONTEXTS", "MARGIN", "PRIORS", "PRIOR_CENTRE", "add_known", "code_band", "context_energy"]

MARGIN = 2
"""Rows and columns of padding around every plane that taps look at."""

CONTEXTS = 24
"""Classes of residual energy, half an octave each."""

PRIORS = 32
"""Classes of the network's log-scale, half an octave each."""

PRIOR_CENTRE = 96
"""Log-scale (1/64 octave) where no network says otherwise. A network's counts half of its distance from it: the
residuals around a sample know most of what the network knows, and the tables learn the rest."""

_DISTANCE_LIMIT = 1 << 24


@kernel
def add_known(weights, sources, dy, dx, planes, total):  # type: ignore[no-untyped-def]
    """Add the taps on samples that are known before the band is coded.

    Parameters
    ----------
    weights : (k,) int32
    sources, dy, dx : (k,) int64
        For each tap the plane it looks at, and where.
    planes : (S, H + 4, W + 4) int32
    total : (H, W) int32 or int64
        Incremented.
    """
    height, width = total.shape
    for i in range(height):
        row = total[i]
        for k in range(weights.size):
            weight = weights[k]
            begin = MARGIN + dx[k]
            taps = planes[sources[k], i + MARGIN + dy[k], begin : begin + width]
            for j in range(width):
                row[j] += weight * taps[j]


@kernel
def context_energy(sources, plane, ring, shift, energy, log):  # type: ignore[no-untyped-def]
    """Class of the residuals that are known around each sample, from planes and bands coded before.

    Parameters
    ----------
    sources : (S, H + 4, W + 4) int32
        Distances of bands coded before, padded.
    plane, ring : (S,) int64
        ``ring[s]`` says which samples count: 0 the one at the place twice and its four neighbours by half, 1 the
        one at the place and the one below, by two each.
    shift : int
        Amplitude shift: classes are counted from residuals that are so many octaves larger.
    energy : (H, W) uint8
        Filled with classes below `CONTEXTS`.
    log : (4096,) uint8
    """
    height, width = energy.shape
    count = plane.size
    for i in range(height):
        for j in range(width):
            total = 0
            for s in range(count):
                p = sources[plane[s]]
                y = i + MARGIN
                x = j + MARGIN
                if ring[s] == 0:
                    total += 4 * np.int64(p[y, x]) + p[y, x - 1] + p[y, x + 1] + p[y - 1, x] + p[y + 1, x]
                else:
                    total += 4 * np.int64(p[y, x]) + 4 * np.int64(p[y + 1, x])
            if count > 1:
                total //= count
            energy[i, j] = min(max(half_octaves(total, log) - 4 - 2 * shift, 0), CONTEXTS - 1)


@kernel
def _around(distances, y, x):  # type: ignore[no-untyped-def]
    """Eight times the weighted mean of the distances of six causal neighbours."""
    above = distances[y - 1]
    here = distances[y]
    return 2 * (np.int64(here[x - 1]) + above[x]) + above[x - 1] + above[x + 1] + here[x - 2] + distances[y - 2, x]


@kernel
def _locate(total, place, i, j, y, x, weights, dy, dx, network_weight, fraction, location):  # type: ignore[no-untyped-def]
    """Location of one sample, in 1/16: known taps, causal taps and the network's share."""
    acc = np.int64(total[i, j])
    for k in range(weights.size):
        acc += np.int64(weights[k]) * place[y + dy[k], x + dx[k]]
    acc = (acc << 4) + np.int64(network_weight) * location[i, j]
    return (acc + (1 << (fraction - 1))) >> fraction


@kernel
def code_band(  # type: ignore[no-untyped-def]
    decoding, target, total, weights, dy, dx, network_weight, fraction, location, prior, shift, energy, distances,
    limit, gradient, log, rate, cdf, offset, low, size, first, start, freq, n, state, words, pos,
):  # fmt: skip
    """Code or decode a band of one plane; one body for both, so that they cannot drift apart.

    Parameters
    ----------
    decoding : bool
    target : (H + 4, W + 4) int32
        The samples, padded with zeros; filled when decoding.
    total : (H, W) int32 or int64
        Sum of the known taps, in 2**-fraction.
    weights, dy, dx : (k,) int32, int64, int64
        The causal taps.
    network_weight, fraction : int
    location, prior : (H, W) int32
        The network's location (1/16, amplitude shift applied) and log-scale (1/64 octave, not applied).
    shift : int
        Amplitude shift of the network's outputs.
    energy : (H, W) uint8
        From `context_energy`.
    distances : (H + 4, W + 4) int32
        Zeros; filled with each sample's distance from its location, in 1/16.
    limit : int
        Locations are clamped to this magnitude, in 1/16.
    gradient, log, rate : ndarray
        Of the `ScaleTables`.
    cdf, offset, low, size, first : ndarray
        Of the `LogisticTables`.
    start, freq : (>= n + H * W * MAX_VALUE_OPS,) uint16
        Operations; only touched when coding.
    n : int
    state, words, pos
        A decoder; only touched when decoding.

    Returns
    -------
    n, state, pos : int
    """
    height, width = total.shape
    by_energy = np.zeros((CONTEXTS, CONTEXTS), np.int32)
    by_prior = np.zeros((PRIORS, CONTEXTS), np.int32)
    seen_energy = np.zeros((CONTEXTS, CONTEXTS), np.uint8)
    seen_prior = np.zeros((PRIORS, CONTEXTS), np.uint8)
    for i in range(height):
        y = i + MARGIN
        for j in range(width):
            x = j + MARGIN
            place = _locate(total, target, i, j, y, x, weights, dy, dx, network_weight, fraction, location)
            place = min(max(place, -limit), limit)
            near = min(max(half_octaves(_around(distances, y, x), log) - 4 - 2 * shift, 0), CONTEXTS - 1)
            far = np.int64(energy[i, j])
            level = np.int64(prior[i, j])
            klass = min(max((level >> 5) + 10, 0), PRIORS - 1)
            octaves = (
                PRIOR_CENTRE
                + ((level - PRIOR_CENTRE) >> 1)
                + (shift << 6)
                + ((by_energy[near, far] + by_prior[klass, near]) >> 10)
            )
            scale = min(max(((octaves + 4) >> 3) + 40, 0), MAX_SCALE)
            if decoding:
                value, state, pos = take_value(place, scale, cdf, offset, low, size, first, state, words, pos)
                target[y, x] = value
            else:
                value = np.int64(target[y, x])
                n = add_value(value, place, scale, cdf, offset, low, size, start, freq, n)
            distance = min(abs((value << 4) - place), _DISTANCE_LIMIT)
            distances[y, x] = distance
            slope = gradient_row(scale, distance, gradient)
            by_energy[near, far] += (slope * rate[seen_energy[near, far]] * 40) >> 14
            by_prior[klass, near] += (slope * rate[seen_prior[klass, near]] * 27) >> 14
            seen_energy[near, far] = min(np.int64(seen_energy[near, far]) + 1, 255)
            seen_prior[klass, near] = min(np.int64(seen_prior[klass, near]) + 1, 255)
    return n, state, pos
