"""One band of one channel of sound: its neighbourhood laid out in arrays, coded and decoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.distributions import logistic_tables
from haarchive.codecs.haar.fit import quantise, solve_weights
from haarchive.codecs.haar.scales import scale_tables
from haarchive.codecs.haar.sound_adapt import SOUND_MARGIN, add_known_sound, code_sound
from haarchive.codecs.haar.taps import AUDIO_BANDS, AUDIO_COARSEST, Tap, band_taps
from haarchive.codecs.rans.stream import OperationList, WordReader

__all__ = ["SoundBand", "amplitude_shift", "code", "code_coarsest", "decode"]

_SEGMENT = 8192
_FEW = 16
_DESIGN_BITS = 16
_FRACTION_BITS = 4
_LEAST_FRACTION = 4
_WEIGHT_LIMIT = (1 << 24) - 1
_ROUNDING_NOISE = 0.2
_NO_PRIOR = 96


def amplitude_shift(x: NDArray[np.integer]) -> int:
    """Bits to drop so that sound has the mean magnitude that the networks were trained on."""
    mean = int(np.abs(x.astype(np.int64)).sum()) // x.size
    return max(0, mean.bit_length() - 6)


@dataclass(frozen=True, eq=False)
class SoundBand:
    """What is known before a band of a channel is coded.

    Parameters
    ----------
    channel, size : int
        Which channel, and how many samples the band has.
    low : ndarray, shape (size or size + 1,), int32
        The low band of the channel; empty for the coarsest band.
    cross : sequence of ndarray
        This band in the channels before; the last two are looked at.
    location, prior : ndarray, shape (size,), int32
        The network's location (1/16, amplitude shift applied) and log-scale (1/64 octave, not applied).
    shift, limit : int
        Amplitude shift; bound of locations in 1/16.
    """

    channel: int
    size: int
    low: NDArray[np.int32]
    cross: Sequence[NDArray[np.int32]]
    location: NDArray[np.int32]
    prior: NDArray[np.int32]
    shift: int
    limit: int

    @property
    def taps(self) -> tuple[Tap, ...]:
        """The taps, none where the band is too short for a fit."""
        taps = band_taps(AUDIO_BANDS[0] if self.low.size else AUDIO_COARSEST, self.channel)
        return taps if self.size >= _FEW * len(taps) else ()

    @property
    def segment(self) -> int:
        """Samples that one set of weights serves."""
        count = max(1, self.size // _SEGMENT)
        return -(-self.size // count)

    def lines(self) -> NDArray[np.int32]:
        """The low band, repeated at its ends, and the last two channels, with zeros around."""
        lines = np.zeros((3, self.size + 2 * SOUND_MARGIN), np.int32)
        if self.low.size:
            inner = self.low[: self.size + SOUND_MARGIN]
            lines[0] = np.pad(inner, (SOUND_MARGIN, self.size + SOUND_MARGIN - inner.size), mode="edge")
        for n, other in enumerate(self.cross[-2:]):
            lines[1 + n, SOUND_MARGIN:-SOUND_MARGIN] = other
        return lines

    def source_of(self, tap: Tap) -> int:
        """Index of a tap's line in `lines`; the band itself comes after all."""
        match tap.source:
            case "low":
                return 0
            case "cross":
                return 1 + tap.index - max(0, self.channel - 2)
            case _:
                return 3


def code(band: SoundBand, values: NDArray[np.int32], operations: OperationList) -> None:
    """Append a band's weights and samples ``(size,) int32`` to a list of operations."""
    target = np.pad(values, (SOUND_MARGIN, 0))
    weights, fractions = _default_weights(band)
    if band.taps:
        lines = np.concatenate([band.lines(), np.pad(values, SOUND_MARGIN)[None]])
        for s in range(len(weights)):
            weights[s], fractions[s] = _fit(band, lines, values, s)
            operations.add_bits(int(fractions[s]) - _LEAST_FRACTION, _FRACTION_BITS)
            operations.add_weights(weights[s])
    _run(band, weights, fractions, target, operations)


def decode(band: SoundBand, reader: WordReader) -> NDArray[np.int32]:
    """Read what `code` appended.

    Returns
    -------
    ndarray, shape (size,), int32
    """
    target = np.zeros(SOUND_MARGIN + band.size, np.int32)
    weights, fractions = _default_weights(band)
    if band.taps:
        for s in range(len(weights)):
            fractions[s] = reader.bits(_FRACTION_BITS) + _LEAST_FRACTION
            weights[s] = reader.weights(weights.shape[1], _WEIGHT_LIMIT)
    _run(band, weights, fractions, target, reader)
    return target[SOUND_MARGIN:]


def code_coarsest(x: NDArray[np.int32], limit: int, coder: OperationList | WordReader) -> NDArray[np.int32]:
    """Code or decode the coarsest band of all channels.

    Parameters
    ----------
    x : ndarray, shape (channels, size), int32
        The band; only its shape counts when decoding.
    """
    size = x.shape[1]
    nothing = np.zeros(size, np.int32)
    prior = np.full(size, _NO_PRIOR, np.int32)
    done: list[NDArray[np.int32]] = []
    for channel, values in enumerate(x):
        band = SoundBand(channel, size, np.empty(0, np.int32), done, nothing, prior, 0, limit)
        if isinstance(coder, WordReader):
            done.append(decode(band, coder))
        else:
            code(band, values, coder)
            done.append(values)
    return np.stack(done)


def _default_weights(band: SoundBand) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """No taps, the network's location as it is: weights and their fraction bits, one row a segment."""
    weights = np.zeros((-(-band.size // band.segment), len(band.taps) + 1), np.int32)
    fractions = np.full(len(weights), _LEAST_FRACTION)
    weights[:, -1] = 1 << _LEAST_FRACTION
    return weights, fractions


def _fit(band: SoundBand, lines: NDArray[np.int32], values: NDArray[np.int32], s: int) -> tuple[NDArray[np.int32], int]:
    """Weights of one segment and how many fraction bits they need."""
    begin, end = s * band.segment, min((s + 1) * band.segment, band.size)
    # Scaled down so that the sums of products stay exact in float64 (see `fit.weighted_moments`).
    scale = max(0, band.limit.bit_length() - 1 - 4 - 1 - _DESIGN_BITS)
    centre = lines[0, SOUND_MARGIN + begin : SOUND_MARGIN + end]
    design = np.empty((len(band.taps) + 1, end - begin), np.float32)
    for row, tap in zip(design, band.taps, strict=False):
        at = SOUND_MARGIN + tap.dx
        line = lines[band.source_of(tap), at + begin : at + end]
        row[:] = (line - centre if tap.source == "low" else line) >> scale
    design[-1] = band.location[begin:end] >> scale
    goal = (values[begin:end].astype(np.float64) - band.location[begin:end] / 16) / (1 << scale)
    unit = max(1.0, float(np.abs(np.diff(goal)).mean()) / 8)
    solution, residual = solve_weights(design, goal, unit, passes=3)
    # Rounding each weight to 2**-f adds noise of 2**-f / sqrt(12) times its input; keep it well below the residual.
    power = float(np.mean(np.square(design[:-1]), axis=1, dtype=np.float64).sum())
    wanted = np.log2(max(1e-9, np.sqrt(power / 12) / (_ROUNDING_NOISE * (residual + 0.25))))
    fraction = int(np.clip(np.ceil(wanted), _LEAST_FRACTION, _LEAST_FRACTION + (1 << _FRACTION_BITS) - 1))
    return quantise(solution, fraction, _WEIGHT_LIMIT), fraction


def _run(
    band: SoundBand,
    weights: NDArray[np.int32],
    fractions: NDArray[np.int64],
    target: NDArray[np.int32],
    coder: OperationList | WordReader,
) -> None:
    taps = band.taps
    total = np.zeros(band.size, np.int64)
    own = np.array([tap.source == "self" for tap in taps], bool)
    dx = np.array([tap.dx for tap in taps], np.int64)
    if taps:
        low = np.array([tap.source == "low" for tap in taps], bool)
        sources = np.append(np.array([band.source_of(tap) for tap in taps], np.int64)[~own], 0)
        offsets = np.append(dx[~own], 0)
        lines = band.lines()
        for s, row in enumerate(weights):
            # Low taps are differences from the low band at the place itself.
            known = np.append(row[:-1][~own], np.int32(-row[:-1][low].sum()))
            begin, end = s * band.segment, min((s + 1) * band.segment, band.size)
            add_known_sound(known, sources, offsets, lines, begin, end, total)
    tables, scales = logistic_tables(), scale_tables()
    coder.resume(
        *code_sound(
            coder.decoding, target, total, band.segment, np.ascontiguousarray(weights[:, :-1][:, own]), dx[own],
            np.ascontiguousarray(weights[:, -1]), fractions, band.location, band.prior, band.shift, band.limit,
            scales.gradient, scales.log, scales.fine, scales.rate,
            tables.cdf, tables.offset, tables.low, tables.size, tables.first, *coder.suspend(band.size),
        )
    )  # fmt: skip
