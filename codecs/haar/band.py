"""One band of one plane: its neighbourhood laid out in arrays, coded and decoded.

A `Neighbourhood` is what both directions know before the first sample of the band; `code` and `decode` then
differ only in which way the bits flow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.distributions import logistic_tables
from haarchive.codecs.haar.adapt import MARGIN, add_known, code_band, context_energy
from haarchive.codecs.haar.fit import WEIGHT_LIMIT, fit_weights
from haarchive.codecs.haar.scales import scale_tables
from haarchive.codecs.haar.stream import OperationList, WordReader
from haarchive.codecs.haar.taps import BandSpec, Tap, band_taps

__all__ = ["CodedBand", "Neighbourhood", "code", "decode"]

_FEW = 8
"""A fit needs this many samples a tap."""


@dataclass(frozen=True, eq=False)
class CodedBand:
    """A band of one plane, as the bands and planes after it see it.

    Parameters
    ----------
    samples, distances : ndarray, shape (H + 4, W + 4), int32
        The band, and how far each sample was from its location in 1/16; padded with zeros.
    """

    samples: NDArray[np.int32]
    distances: NDArray[np.int32]

    @property
    def values(self) -> NDArray[np.int32]:
        """The samples without the padding, ``(H, W) int32``."""
        return self.samples[MARGIN:-MARGIN, MARGIN:-MARGIN]


@dataclass(frozen=True, eq=False)
class Neighbourhood:
    """What is known before a band of a plane is coded.

    Parameters
    ----------
    band : BandSpec
    plane : int
    shape : tuple of int
        Height and width of the band.
    lows : sequence of ndarray
        Low bands of this plane on the grid of the coarse band, each at least as large as `shape`.
    details : sequence of CodedBand
        Detail bands of this plane that taps look at.
    cross : sequence of CodedBand
        This band in the planes before; the last two are looked at.
    energies : sequence of (CodedBand, int)
        Bands coded before whose residuals tell how large this one's will be, with `context_energy`'s ring.
    location, prior : ndarray, shape (H, W), int32
        What the network says, without the amplitude shift.
    shift : int
        Amplitude shift.
    limit : int
        Locations are clamped to this magnitude, in 1/16.
    """

    band: BandSpec
    plane: int
    shape: tuple[int, int]
    lows: Sequence[NDArray[np.int32]]
    details: Sequence[CodedBand]
    cross: Sequence[CodedBand]
    energies: Sequence[tuple[CodedBand, int]]
    location: NDArray[np.int32]
    prior: NDArray[np.int32]
    shift: int
    limit: int

    @property
    def fraction(self) -> int:
        """Fraction bits of the weights: finer where more samples share their cost."""
        samples = self.shape[0] * self.shape[1]
        return 8 if samples >= 1 << 14 else 7 if samples >= 1 << 12 else 6

    @property
    def taps(self) -> tuple[Tap, ...]:
        """The taps, none where the band is too small for a fit."""
        taps = band_taps(self.band, self.plane)
        return taps if self.shape[0] * self.shape[1] >= _FEW * len(taps) else ()

    def planes(self) -> NDArray[np.int32]:
        """All planes that taps look at, padded: low bands by their edges, the others by zeros."""
        height, width = self.shape
        stack = np.zeros((len(self.lows) + len(self.details) + 2, height + 4, width + 4), np.int32)
        for n, low in enumerate(self.lows):
            # Where the low band goes on past the band, its own samples are better than repeated ones.
            inner = low[: height + MARGIN, : width + MARGIN]
            after = [s + MARGIN - i for s, i in zip(self.shape, inner.shape, strict=True)]
            stack[n] = np.pad(inner, ((MARGIN, after[0]), (MARGIN, after[1])), mode="edge")
        for n, coded in enumerate([*self.details, *self.cross[-2:]]):
            source = coded.samples[: height + 4, : width + 4]
            stack[len(self.lows) + n, : source.shape[0], : source.shape[1]] = source
        return stack

    def source_of(self, tap: Tap) -> int:
        """Index of a tap's plane in `planes`; the band itself comes after all."""
        first_cross = len(self.lows) + len(self.details)
        match tap.source:
            case "low":
                return tap.index
            case "detail":
                return len(self.lows) + tap.index
            case "cross":
                return first_cross + tap.index - max(0, self.plane - 2)
            case _:
                return first_cross + 2

    def energy(self) -> NDArray[np.uint8]:
        """Classes of the residuals known around each sample, ``(H, W) uint8``."""
        height, width = self.shape
        stack = np.zeros((max(1, len(self.energies)), height + 4, width + 4), np.int32)
        for n, (coded, _) in enumerate(self.energies):
            source = coded.distances[: height + 4, : width + 4]
            stack[n, : source.shape[0], : source.shape[1]] = source
        rings = np.array([ring for _, ring in self.energies], np.int64)
        energy = np.zeros(self.shape, np.uint8)
        if len(rings):
            context_energy(stack, np.arange(len(rings)), rings, self.shift, energy, scale_tables().log)
        return energy


def code(near: Neighbourhood, values: NDArray[np.int32], operations: OperationList) -> CodedBand:
    """Append a band's weights and samples to a list of operations.

    Parameters
    ----------
    near : Neighbourhood
    values : ndarray, shape (H, W), int32
    operations : OperationList
    """
    result = CodedBand(np.pad(values, MARGIN), np.zeros((values.shape[0] + 4, values.shape[1] + 4), np.int32))
    taps, planes = near.taps, near.planes()
    weights = np.array([1 << near.fraction], np.int32)
    if taps:
        sources = np.array([near.source_of(tap) for tap in taps], np.int64)
        stack = np.concatenate([planes, result.samples[None]])
        weights = fit_weights(taps, sources, stack, values, near.location << near.shift, near.fraction)
        operations.add_weights(weights)
    return _run(near, planes, weights, result, operations)


def decode(near: Neighbourhood, reader: WordReader) -> CodedBand:
    """Read what `code` appended."""
    height, width = near.shape
    result = CodedBand(*(np.zeros((height + 4, width + 4), np.int32) for _ in range(2)))
    count = len(near.taps)
    weights = reader.weights(count + 1, WEIGHT_LIMIT) if count else np.array([1 << near.fraction], np.int32)
    return _run(near, near.planes(), weights, result, reader)


def _run(
    near: Neighbourhood,
    planes: NDArray[np.int32],
    weights: NDArray[np.int32],
    result: CodedBand,
    coder: OperationList | WordReader,
) -> CodedBand:
    total, causal = _known(near, near.taps, weights, planes)
    tables, scales = logistic_tables(), scale_tables()
    coder.resume(
        *code_band(
            coder.decoding, result.samples, total, *causal, int(weights[-1]), near.fraction,
            near.location << near.shift, near.prior, near.shift, near.energy(), result.distances, near.limit,
            scales.gradient, scales.log, scales.rate,
            tables.cdf, tables.offset, tables.low, tables.size, tables.first, *coder.suspend(total.size),
        )
    )  # fmt: skip
    return result


def _known(
    near: Neighbourhood, taps: tuple[Tap, ...], weights: NDArray[np.int32], planes: NDArray[np.int32]
) -> tuple[NDArray[np.integer], tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]]:
    """The sum of the known taps, and the causal taps that are left."""
    # 40 weights of 2**12 on values of 2**13 stay inside int32; larger values need the wider, slower sums.
    total = np.zeros(near.shape, np.int32 if near.limit < 1 << (13 + 4) else np.int64)
    own = np.array([tap.source == "self" for tap in taps], bool)
    dy = np.array([tap.dy for tap in taps], np.int64)
    dx = np.array([tap.dx for tap in taps], np.int64)
    sources = np.array([near.source_of(tap) for tap in taps], np.int64)
    if taps:
        low = np.array([tap.source == "low" for tap in taps], bool)
        known = ~own
        # Low taps are differences from plane 0 at the place itself: one more tap with the negative sum.
        centre = np.array([-weights[:-1][low].sum()], np.int32)
        add_known(
            np.append(weights[:-1][known], centre), np.append(sources[known], 0), np.append(dy[known], 0),
            np.append(dx[known], 0), planes, total,
        )  # fmt: skip
    return total, (np.ascontiguousarray(weights[:-1][own]), dy[own], dx[own])
