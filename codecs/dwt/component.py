"""Coding of a component, level by level from the coarsest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.dwt.axis import LEVELS, Axis
from haarchive.codecs.dwt.coefficients import code_band, fresh_mixer
from haarchive.codecs.dwt.pyramid import Pyramid, expected, rounded
from haarchive.codecs.dwt.remainder import LARGEST_SAMPLE, code_coarsest, code_remainder, remainder_mixer
from haarchive.codecs.dwt.steps import Steps
from haarchive.codecs.dwt.surroundings import look_around
from haarchive.codecs.rans.stream import OperationList, WordReader

__all__ = ["Component", "code_component"]


@dataclass(frozen=True, eq=False)
class Component:
    """A component that is coded.

    Parameters
    ----------
    pyramid : Pyramid
    axes : tuple of Axis
        Of its rows and columns.
    """

    pyramid: Pyramid
    axes: tuple[Axis, Axis]

    def at(self, level: int) -> tuple[Axis, Axis]:
        """Axes of the samples that a level's coefficients give."""
        rows, columns = self.axes
        return rows.at_level(level - 1), columns.at_level(level - 1)


def code_component(
    pyramid: Pyramid | None,
    axes: tuple[Axis, Axis],
    steps: Steps,
    before: Sequence[Component],
    stream: OperationList | WordReader,
) -> Component:
    """Code one component, given those before: luma, which has two columns for one of chroma, and Cb.

    Parameters
    ----------
    pyramid : Pyramid, optional
        None when decoding.
    axes : tuple of Axis
    steps : Steps
    before : sequence of Component
    stream : OperationList or WordReader

    Returns
    -------
    Component
    """
    empty = Component(Pyramid((), ()), axes)
    coarsest = tuple(axis.at_level(LEVELS) for axis in axes)
    low = np.zeros((coarsest[0].size, coarsest[1].size), np.int32)
    if pyramid:
        low[:] = pyramid.samples[LEVELS]
    code_coarsest(low, stream)
    samples, numbers = [low], []
    mixers = [fresh_mixer() for _ in range(3)]
    misses = remainder_mixer()
    parents: tuple[NDArray[np.int32] | None, ...] = (None, None, None)
    for level in range(LEVELS, 0, -1):
        here = empty.at(level)
        coded: list[NDArray[np.int32]] = []
        for band in (1, 2, 3):
            target = _shaped(here, band)
            if pyramid:
                target[:] = pyramid.numbers[level - 1][band - 1]
            around = look_around(
                band,
                here,
                steps.of(level, band),
                low,
                parents[band - 1],
                [(other, one) for other, one in enumerate(coded, 1)],
                [(n == 0, one.at(level), one.pyramid.numbers[level - 1][band - 1]) for n, one in enumerate(before)],
            )
            code_band(target, level, around, mixers[band - 1], stream)
            coded.append(target)
        fine = expected(low, tuple(coded), level, steps, *here)
        whole = rounded(fine, level)
        left = pyramid.samples[level - 1] - whole if pyramid else np.zeros_like(whole)
        code_remainder(left, fine, level, here, misses, stream)
        low = np.clip(whole + left, -LARGEST_SAMPLE, LARGEST_SAMPLE).astype(np.int32)
        samples.append(low)
        numbers.append((coded[0], coded[1], coded[2]))
        parents = tuple(coded)
    return Component(Pyramid(tuple(samples[::-1]), tuple(numbers[::-1])), axes)


def _shaped(axes: tuple[Axis, Axis], band: int) -> NDArray[np.int32]:
    """Zeros of a band's shape."""
    (first_row, last_row), (first_column, last_column) = (axis.high for axis in axes)
    height = last_row - first_row if band >= 2 else axes[0].low.size
    width = last_column - first_column if band % 2 else axes[1].low.size
    return np.zeros((height, width), np.int32)
