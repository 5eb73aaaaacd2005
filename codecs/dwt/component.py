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
from haarchive.codecs.dwt.surroundings import look_around, places_of
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
    low = _zeros(_axes_at(axes, LEVELS), 0)
    if pyramid:
        low[:] = pyramid.samples[LEVELS]
    code_coarsest(low, stream)
    samples, numbers = [low], []
    mixers = [fresh_mixer() for _ in range(3)]
    misses = remainder_mixer()
    parents: tuple[NDArray[np.int32] | None, ...] = (None, None, None)
    for level in range(LEVELS, 0, -1):
        here = _axes_at(axes, level)
        coded: list[NDArray[np.int32]] = []
        for band in (1, 2, 3):
            target = _zeros(here, band)
            if pyramid:
                target[:] = pyramid.numbers[level - 1][band - 1]
            around = look_around(
                band,
                here,
                steps.of(level, band),
                low,
                parents[band - 1],
                [(other, one) for other, one in enumerate(coded, 1)],
                [
                    (n == 0, _axes_at(one.axes, level), one.pyramid.numbers[level - 1][band - 1])
                    for n, one in enumerate(before)
                ],
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


def _axes_at(axes: tuple[Axis, Axis], level: int) -> tuple[Axis, Axis]:
    """Of the samples that a level's coefficients give."""
    rows, columns = axes
    return rows.at_level(level - 1), columns.at_level(level - 1)


def _zeros(axes: tuple[Axis, Axis], band: int) -> NDArray[np.int32]:
    """An array for a band of samples."""
    rows, columns = places_of(axes, band)
    return np.zeros((rows.size, columns.size), np.int32)
