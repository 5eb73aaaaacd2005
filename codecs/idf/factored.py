"""Coding what a factor-out takes out of one chunk, channel by channel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.distributions import logistic_tables
from haarchive.codecs.haar.scales import scale_tables
from haarchive.codecs.idf.adaptive import adapt_channel
from haarchive.codecs.idf.entropy import code_located
from haarchive.codecs.idf.features import Experts, FeatureStack, pad_plane, padded_errors
from haarchive.codecs.idf.steps import COEFFICIENT_BITS, LOCATION_BITS, FactorOut, n_coefficients
from haarchive.codecs.rans.stream import OperationList, WordReader

__all__ = ["LevelCoder", "expect"]

_OCTAVE = 64
_MOST_DONE = 2
"""Factor-outs of the level that the adaptive coupling looks back at, and channels of its own."""


class LevelCoder:
    """Codes or decodes the factor-outs of one level of one chunk, in decoding order.

    Parameters
    ----------
    level : int
        1 is the finest.
    planes : int
        Of the flow.
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
                errors.append(self._adapt(z[channel], location, octaves, given, channel, errors))
            else:
                code_located(z[channel], location, octaves, self._stream)
        self._done.insert(0, errors)

    def _adapt(
        self,
        z: NDArray[np.int32],
        location: NDArray[np.int64],
        octaves: NDArray[np.int32],
        given: NDArray[np.int32],
        channel: int,
        errors: list[NDArray[np.int32]],
    ) -> NDArray[np.int32]:
        """Code one channel with the adaptive coupling; returns its errors, padded."""
        around = FeatureStack((z.shape[0], z.shape[1]))
        around.add_low(pad_plane(given[channel % min(self._planes, len(given))] << LOCATION_BITS, repeat=True))
        around.add_value(pad_plane(location.clip(-self._limit, self._limit), repeat=False))
        for done in errors[-_MOST_DONE:]:
            around.add_done(done)
        for group in self._done[:_MOST_DONE]:
            if channel < len(group):
                around.add_done(group[channel])
        stack, stride, own, nears, near_planes, plus, minus = around.finish()
        experts = Experts(self._level, len(plus))
        tables = logistic_tables()
        self._stream.resume(
            *adapt_channel(
                z, location, octaves, stack, stride, own, nears, near_planes, plus, minus,
                experts.counts, experts.periods, experts.parents, experts.ridges, self._shift, self._limit,
                scale_tables().gradient, tables.cdf, tables.offset, tables.low, tables.size, tables.first,
                self._stream.decoding, *self._stream.suspend(z.size),
            )
        )  # fmt: skip
        return padded_errors(stack, own, z.shape)


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
    return (total + (1 << (down - 1))) >> down
