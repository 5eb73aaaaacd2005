"""What is known around a coefficient when it is coded: maps of its band's size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.distributions.jit import kernel
from haarchive.codecs.dwt.axis import Axis
from haarchive.codecs.dwt.steps import STEP_BITS

__all__ = ["Place", "Surroundings", "look_around", "places_of", "spread"]

_STEEPEST = 1 << 20


@dataclass(frozen=True)
class Place:
    """Coordinates of a band's first coefficient and its size, along one side."""

    first: int
    size: int

    @property
    def coordinates(self) -> NDArray[np.int64]:
        """Of all coefficients, counted from the tile that the side's coordinate 0 is in."""
        return np.arange(self.first, self.first + self.size)

    def index(self, coordinates: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where coefficients are, the nearest if there is none."""
        return np.clip(coordinates - self.first, 0, self.size - 1)


def places_of(axes: tuple[Axis, Axis], band: int) -> tuple[Place, Place]:
    """Rows and columns of a band of samples.

    Parameters
    ----------
    axes : tuple of Axis
        Rows and columns of the samples.
    band : int
        Of `synthesis.Bands`, from 0.
    """
    rows, columns = axes
    return _place(rows, high=band >= 2), _place(columns, high=band % 2 == 1)


def _place(axis: Axis, *, high: bool) -> Place:
    """The high or the low coefficients along a side."""
    first, last = axis.high if high else (axis.low.begin, axis.low.end)
    return Place(first, last - first)


@dataclass(frozen=True, eq=False)
class Surroundings:
    """Maps ``(h, w)`` int32 of a band.

    Parameters
    ----------
    coarser : ndarray
        Magnitudes around the same place of the same band of the next coarser level, in sixteenths.
    beside : ndarray
        Of this level's bands that are coded before, likewise.
    others : ndarray
        Of the same band of components that are coded before.
    slope : ndarray
        How the low band goes on, a third difference in the direction in which the band is high, in quarters of a step.
    one, two : ndarray
        The same band's coefficients in the component before, and in the one before that.
    """

    coarser: NDArray[np.int32]
    beside: NDArray[np.int32]
    others: NDArray[np.int32]
    slope: NDArray[np.int32]
    one: NDArray[np.int32]
    two: NDArray[np.int32]

    @property
    def arrays(self) -> tuple[NDArray[np.int32], ...]:
        """All, for kernels."""
        return self.coarser, self.beside, self.others, self.slope, self.one, self.two


def spread(band: NDArray[np.int32]) -> NDArray[np.int32]:
    """Magnitudes in the window of 3 x 3 around each coefficient, weighted by 4, 2 and 1."""
    out = np.zeros(band.shape, np.int32)
    if band.size:
        _spread(np.abs(np.pad(band, 1)), out)
    return out


@kernel
def _spread(padded, out):  # type: ignore[no-untyped-def]
    for i in range(out.shape[0]):
        over, here, under = padded[i], padded[i + 1], padded[i + 2]
        for j in range(out.shape[1]):
            out[i, j] = (
                4 * here[j + 1]
                + 2 * (here[j] + here[j + 2] + over[j + 1] + under[j + 1])
                + over[j] + over[j + 2] + under[j] + under[j + 2]
            )  # fmt: skip


def look_around(
    band: int,
    axes: tuple[Axis, Axis],
    step: int,
    low: NDArray[np.int32],
    coarser: NDArray[np.int32] | None,
    beside: list[tuple[int, NDArray[np.int32]]],
    before: list[tuple[bool, tuple[Axis, Axis], NDArray[np.int32]]],
) -> Surroundings:
    """The surroundings of a band's coefficients.

    Parameters
    ----------
    band : int
        1 to 3: HL, LH, HH.
    axes : tuple of Axis
        Rows and columns of the level's samples.
    step : int
        The band's, in 2**-10.
    low : ndarray
        The low band.
    coarser : ndarray, optional
        The same band of the next coarser level; None at the coarsest.
    beside : list of tuple
        Numbers and coefficients of bands of this level.
    before : list of tuple
        The band in components before: whether it has two columns for one, its axes and coefficients.
    """
    rows, columns = places_of(axes, band)
    shape = rows.size, columns.size
    nothing = np.zeros(shape, np.int32)
    from_coarser = nothing
    if coarser is not None and coarser.size:
        parents = places_of((axes[0].low, axes[1].low), band)
        from_coarser = _gather(spread(coarser), parents, rows.coordinates // 2, columns.coordinates // 2)
    from_beside = nothing.copy()
    for other, coefficients in beside:
        if coefficients.size:
            from_beside += _gather(spread(coefficients), places_of(axes, other), rows.coordinates, columns.coordinates)
    from_others, signed = nothing.copy(), [nothing, nothing]
    for n, (wide, other_axes, coefficients) in enumerate(reversed(before)):
        if not coefficients.size:
            continue
        places, across = places_of(other_axes, band), columns.coordinates * (2 if wide else 1)
        from_others += _gather(spread(coefficients), places, rows.coordinates, across)
        signed[n] = _gather(coefficients, places, rows.coordinates, across)
        if wide:
            from_others += _gather(spread(coefficients), places, rows.coordinates, across + 1)
            signed[n] = signed[n] + _gather(coefficients, places, rows.coordinates, across + 1)
    return Surroundings(from_coarser, from_beside, from_others, _slope(band, axes, step, low), *signed)


def _gather(
    values: NDArray[np.int32], places: tuple[Place, Place], rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> NDArray[np.int32]:
    found: NDArray[np.int32] = values[places[0].index(rows)][:, places[1].index(columns)]
    return found


def _slope(band: int, axes: tuple[Axis, Axis], step: int, low: NDArray[np.int32]) -> NDArray[np.int32]:
    """Third differences of the low band, in the directions in which a band is high, in quarters of its step."""
    rows, columns = places_of(axes, band)
    lows = places_of(axes, 0)
    if not low.size:
        return np.zeros((rows.size, columns.size), np.int32)
    wide = low.astype(np.int64)

    def along(values: NDArray[np.int64], axis: int, place: Place, target: Place) -> NDArray[np.int64]:
        taken = [np.take(values, place.index(target.coordinates + k), axis) for k in (-1, 0, 1, 2)]
        return np.asarray(taken[0] - 3 * taken[1] + 3 * taken[2] - taken[3])

    if band % 2:
        wide = along(wide, 1, lows[1], columns)
    if band >= 2:
        wide = along(wide, 0, lows[0], rows)
    slope: NDArray[np.int32] = np.clip((wide << (STEP_BITS + 2)) // step, -_STEEPEST, _STEEPEST).astype(np.int32)
    return slope
