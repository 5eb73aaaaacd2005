"""Coding what a factor-out takes out of one chunk, channel by channel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.distributions import logistic_tables
from haarchive.codecs.haar.layout import short_layout
from haarchive.codecs.haar.scales import scale_tables
from haarchive.codecs.haar.taps import IMAGE_BANDS
from haarchive.codecs.idf.adaptive import MARGIN, adapt_channel
from haarchive.codecs.idf.entropy import code_located
from haarchive.codecs.idf.features import Experts, Features, FeatureStack, pad_plane
from haarchive.codecs.idf.steps import COEFFICIENT_BITS, LOCATION_BITS, FactorOut, n_coefficients
from haarchive.codecs.rans.stream import OperationList, WordReader

__all__ = ["LevelCoder", "expect"]

_OCTAVE = 64
_MOST_DONE = 2
"""Factor-outs of the level that the adaptive coupling looks back at, and channels of its own."""
_DETAILS = 2
"""Groups of planes, ll and v, that come before detail bands that taps look at as they are."""


class LevelCoder:
    """Codes or decodes the factor-outs of one level of one chunk, in decoding order.

    Parameters
    ----------
    level : int
        1 is the finest.
    planes : int
        Of a flow whose steps are Haar's (`Flow.pyramid`), so that bands are what they seem; 0 of others.
    shift : int
        Amplitude shift.
    limit : int
        Bound of the adaptive coupling's corrections, in 1/16.
    adaptive : bool
    stream : OperationList or WordReader
    """

    def __init__(
        self, level: int, planes: int, shift: int, limit: int, adaptive: bool, stream: OperationList | WordReader
    ) -> None:
        self._level, self._planes, self._shift, self._limit = level, planes, shift, limit
        self._adaptive, self._stream = adaptive, stream
        self._done: list[list[NDArray[np.int32]]] = []
        """Errors of the channels of each factor-out before, latest first."""

    def code(
        self, step: FactorOut, given: NDArray[np.int32], parameters: NDArray[np.int32], z: NDArray[np.int32]
    ) -> None:
        """Code one factor-out.

        Parameters
        ----------
        step : FactorOut
        given : ndarray, shape (kept, H, W), int32
        parameters : ndarray, shape (outputs, H, W), int32
            What the step's network gives.
        z : ndarray, shape (taken, H, W), int32
            The latents: read when encoding, filled when decoding.
        """
        errors: list[NDArray[np.int32]] = []
        for channel in range(step.taken):
            location = _located(step, parameters, z, channel, self._shift)
            octaves = parameters[step.taken + channel] + np.int32(self._shift * _OCTAVE)
            if self._adaptive:
                errors.append(self._adapt(location, octaves, given, z, channel, errors))
            else:
                code_located(z[channel], location, octaves, self._stream)
        self._done.insert(0, errors)

    def _adapt(
        self,
        location: NDArray[np.int64],
        octaves: NDArray[np.int32],
        given: NDArray[np.int32],
        latents: NDArray[np.int32],
        channel: int,
        errors: Sequence[NDArray[np.int32]],
    ) -> NDArray[np.int32]:
        """Code one channel with the adaptive coupling; returns its errors, padded."""
        z = latents[channel]
        features = self._features(location, given, latents, channel, errors)
        experts = Experts(self._level, features)
        tables = logistic_tables()
        self._stream.resume(
            *adapt_channel(
                z, location, octaves, features.stack, features.stride, features.own, features.raw, features.nears,
                features.plus, features.minus, experts.counts, experts.phased, experts.parents, experts.ridges,
                experts.period, self._shift, self._limit, scale_tables().gradient,
                tables.cdf, tables.offset, tables.low, tables.size, tables.first,
                self._stream.decoding, *self._stream.suspend(z.size),
            )
        )  # fmt: skip
        height, width = z.shape[0] + 2 * MARGIN, z.shape[1] + 2 * MARGIN
        return features.stack[features.own : features.own + height * width].reshape(height, width).copy()

    def _features(
        self,
        location: NDArray[np.int64],
        given: NDArray[np.int32],
        z: NDArray[np.int32],
        channel: int,
        errors: Sequence[NDArray[np.int32]],
    ) -> Features:
        around = FeatureStack((location.shape[0], location.shape[1]))
        around.add_low(pad_plane(given[channel % (self._planes or len(given))] << LOCATION_BITS, repeat=True))
        around.add_value(pad_plane(location.clip(-self._limit, self._limit), repeat=False))
        for done in errors[-_MOST_DONE:]:
            around.add_done(done)
        for group in self._done[:_MOST_DONE]:
            if channel < len(group):
                around.add_done(group[channel])
        around.add_own()
        if self._planes:
            before = len(given) // self._planes - 1
            spec = IMAGE_BANDS[before]
            planes = [pad_plane(low << LOCATION_BITS, repeat=True) for low in _lows(given, self._planes)]
            planes += [pad_plane(detail << LOCATION_BITS, repeat=False) for detail in given[_DETAILS * self._planes :]]
            own = len(planes) + channel
            planes += [pad_plane(done << LOCATION_BITS, repeat=False) for done in z[:channel]]
            planes += [np.zeros_like(planes[0])] * (self._planes - channel)
            around.add_samples(planes, own, short_layout(spec, channel, self._planes))
        return around.finish()


def _lows(given: NDArray[np.int32], planes: int) -> NDArray[np.int32]:
    """The low bands that taps look at: ll, or the low rows of each cell, those of the row that is coded first."""
    ll = given[:planes]
    if len(given) == planes:
        return ll
    v = given[planes : 2 * planes]
    upper = ll - (v >> 1)
    lower = upper + v
    return np.concatenate([upper, lower] if len(given) == 2 * planes else [lower, upper])


def expect(step: FactorOut, parameters: NDArray[np.int32], shift: int, z: NDArray[np.int32]) -> None:
    """Fill latents with what the prior expects, channel by channel."""
    for channel in range(step.taken):
        z[channel] = (_located(step, parameters, z, channel, shift) + (1 << (LOCATION_BITS - 1))) >> LOCATION_BITS


def _located(
    step: FactorOut, parameters: NDArray[np.int32], z: NDArray[np.int32], channel: int, shift: int
) -> NDArray[np.int64]:
    """The network's location of a channel, in 1/16: its own, and what the channels before add to it."""
    total = (parameters[channel].astype(np.int64) << shift) << (COEFFICIENT_BITS - LOCATION_BITS)
    if step.triangular:
        first = 2 * step.taken + n_coefficients(channel, True)
        for before in range(channel):
            total += parameters[first + before] * z[before].astype(np.int64)
    down = COEFFICIENT_BITS - LOCATION_BITS
    location: NDArray[np.int64] = (total + (1 << (down - 1))) >> down
    return location
