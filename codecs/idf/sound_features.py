"""Coding what a factor-out takes out of one chunk of sound."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.distributions import logistic_tables
from haarchive.codecs.haar.scales import scale_tables
from haarchive.codecs.idf.entropy import code_located
from haarchive.codecs.idf.sound_adapt import LARGEST, STAGES, SoundStages, adapt_sound, inverse_roots
from haarchive.codecs.idf.steps import COEFFICIENT_BITS, LOCATION_BITS, FactorOut
from haarchive.codecs.idf.streams import Coding, FactoredCoder
from haarchive.codecs.rans.stream import OperationList, WordReader

__all__ = ["SoundCoding", "SoundLevelCoder"]

_OCTAVE = 64
_DISTANCE_BITS = 8
"""What decaying means of distances have beyond 1/16 sample."""


class SoundCoding(Coding):
    """How the latents of one group of channels are coded, and what its coarser levels left.

    Parameters
    ----------
    planes : int
        Of the flow.
    shift : int
        Amplitude shift.
    limit : int
        Bound of locations, in 1/16.
    effort : int
        0: no adaptive coupling; else which set of stages.
    """

    def __init__(self, planes: int, shift: int, limit: int, effort: int) -> None:
        super().__init__(planes, shift, limit, effort > 0)
        self.stages: SoundStages | None = STAGES[effort - 1][planes - 1] if effort else None
        self.left: dict[int, NDArray[np.int32]] = {}
        """Sizes of errors of each level where not all latents are zero, in 1/16: ``(C, n) int32``."""

    def level(self, level: int, stream: OperationList | WordReader) -> FactoredCoder:
        """A coder of one level."""
        return SoundLevelCoder(level, self, stream)


class SoundLevelCoder:
    """Codes or decodes the factor-out of one level of one group of channels.

    Parameters
    ----------
    level : int
        1 is the finest.
    coding : SoundCoding
    stream : OperationList or WordReader
    """

    def __init__(self, level: int, coding: SoundCoding, stream: OperationList | WordReader) -> None:
        self._level, self._coding, self._stream = level, coding, stream

    def code(
        self, step: FactorOut, given: NDArray[np.int32], parameters: NDArray[np.int32], z: NDArray[np.int32]
    ) -> None:
        """Code one factor-out.

        Parameters
        ----------
        step : FactorOut
            That takes one or two channels.
        given : ndarray, shape (kept, 1, n), int32
        parameters : ndarray, shape (outputs, 1, n), int32
            What the step's network gives.
        z : ndarray, shape (taken, 1, n), int32
            The latents: read when encoding, filled when decoding.
        """
        shift, taken = self._coding.shift, step.taken
        base = (parameters[:taken, 0].astype(np.int64) << shift) << (COEFFICIENT_BITS - LOCATION_BITS)
        octaves = parameters[taken : 2 * taken, 0] + np.int32(shift * _OCTAVE)
        cross = parameters[2 * taken, 0] if step.triangular and taken > 1 else np.zeros(z.shape[2], np.int32)
        if self._coding.stages is None:
            self._code_fixed(base, cross, octaves, z)
        else:
            self._adapt(self._coding.stages, base, cross, octaves, given[:, 0], z[:, 0])

    def _code_fixed(
        self, base: NDArray[np.int64], cross: NDArray[np.int32], octaves: NDArray[np.int32], z: NDArray[np.int32]
    ) -> None:
        down, limit = COEFFICIENT_BITS - LOCATION_BITS, self._coding.limit
        for channel in range(len(z)):
            total = base[channel] + (cross * z[0, 0].astype(np.int64) if channel else 0)
            location = ((total + (1 << (down - 1))) >> down).clip(-limit, limit)
            code_located(z[channel], location[None], octaves[channel, None], self._stream)

    def _adapt(
        self,
        stages: SoundStages,
        base: NDArray[np.int64],
        cross: NDArray[np.int32],
        octaves: NDArray[np.int32],
        given: NDArray[np.int32],
        z: NDArray[np.int32],
    ) -> None:
        first, second, third = (_lines(given, z, order) for order in stages.orders)
        errors = np.zeros(z.shape, np.int32)
        tables, scales = logistic_tables(), scale_tables()
        self._stream.resume(
            *adapt_sound(
                self._stream.decoding, (first, second, third), len(given), base, np.ascontiguousarray(cross),
                np.ascontiguousarray(octaves), self._around(z.shape), errors, np.array(stages.decays),
                1 << stages.block_bits, stages.taps, stages.gains, self._coding.shift, self._coding.limit,
                inverse_roots(), scales.gradient, scales.log, scales.fine, scales.rate,
                tables.cdf, tables.offset, tables.low, tables.size, tables.first, *self._stream.suspend(z.size),
            )
        )  # fmt: skip
        if self._stream.decoding:
            z[:] = first[len(given) :, stages.orders[0] + 1 :]
        if z.any():  # Decoders are not asked for levels of zeros: they must leave nothing.
            self._coding.left[self._level] = errors

    def _around(self, shape: tuple[int, ...]) -> NDArray[np.int64]:
        """Mean sizes of the coarser level's errors at and beside the place of each detail, in 2**-12 sample."""
        coarser = self._coding.left.get(self._level + 1)
        if coarser is None or len(coarser) != shape[0]:
            return np.zeros(shape, np.int64)
        padded = np.pad(coarser, ((0, 0), (1, 1)), mode="edge").astype(np.int64) << _DISTANCE_BITS
        mean = (padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]) >> 2
        return np.ascontiguousarray(np.repeat(mean, 2, 1)[:, : shape[1]])


def _lines(given: NDArray[np.int32], z: NDArray[np.int32], order: int) -> NDArray[np.int32]:
    """Low bands, half of the order ahead of their place, and details, behind a margin, as `adapt_sound` takes them."""
    size, ahead = z.shape[1], order // 2
    lines = np.zeros((len(given) + len(z), order + 1 + size), np.int32)
    low = np.pad(given, ((0, 0), (0, ahead)), mode="edge")
    lines[: len(given), order + 1 - ahead :] = low.clip(-LARGEST, LARGEST)
    lines[len(given) :, order + 1 :] = z
    return lines
