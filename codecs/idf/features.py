"""What the experts of the adaptive coupling look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.haar.layout import Layout
from haarchive.codecs.idf.adaptive import MARGIN

__all__ = ["Experts", "FeatureStack", "Features", "pad_plane"]

_CAUSAL = ((0, -1), (-1, 0), (-1, -1), (-1, 1), (0, -2), (-2, 0))
_CROSS = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))
_SLOPES = (((0, 1), (0, -1)), ((1, 0), (-1, 0)), ((0, 1), (0, 0)), ((1, 0), (0, 0)))

_RIDGE, _PHASE_RIDGE = 1 << 24, 1 << 26
"""In squares of 1/256 scale: as if each weight had been seen to be zero some 256 and 1024 times."""

_FINEST_PERIOD = 4
"""Samples of a finest detail band to a block of JPEG's eight."""


@dataclass(frozen=True, eq=False)
class Features:
    """Where features lie, as `adaptive.adapt_channel` takes it.

    Parameters
    ----------
    stack : ndarray, shape (S * (H + 6) * stride,), int32
    stride, own, raw : int
    nears, plus, minus : ndarray of int64
    few : int
        How many of the features are errors and slopes; samples follow.
    """

    stack: NDArray[np.int32]
    stride: int
    own: int
    raw: int
    nears: NDArray[np.int64]
    plus: NDArray[np.int64]
    minus: NDArray[np.int64]
    few: int


class FeatureStack:
    """Planes around a channel that is being coded, and the features that are taken from them.

    Errors and slopes come first, then samples.

    Parameters
    ----------
    shape : tuple of int
        Height and width.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self._shape = shape[0] + 2 * MARGIN, shape[1] + 2 * MARGIN
        self._planes = [np.zeros(self._shape, np.int32)]  # what a feature without a `minus` subtracts
        self._plus: list[int] = []
        self._minus: list[int] = []
        self._nears: list[int] = []
        self._raw = -1
        self._few = 0

    def add_low(self, plane: NDArray[np.int32]) -> None:
        """Add slopes of a padded plane."""
        begin = self._add(plane)
        for (dy, dx), other in _SLOPES:
            self._feature(begin, dy, dx, begin + self._distance(*other))

    def add_value(self, plane: NDArray[np.int32]) -> None:
        """Add a padded plane's sample at the place itself."""
        self._feature(self._add(plane), 0, 0)

    def add_done(self, errors: NDArray[np.int32]) -> None:
        """Add the errors of a channel that is done, on all sides."""
        begin = self._add(errors)
        self._nears.append(begin)
        for place in _CROSS:
            self._feature(begin, *place)

    def add_own(self) -> None:
        """Add causal errors of the channel itself."""
        self._own = self._add(np.zeros(self._shape, np.int32))
        for place in _CAUSAL:
            self._feature(self._own, *place)
        self._few = len(self._plus)

    def add_samples(self, planes: Sequence[NDArray[np.int32]], own: int, layout: Layout) -> None:
        """Add samples.

        Parameters
        ----------
        planes : sequence of ndarray
            Padded.
        own : int
            Which of them is the channel itself, and zero yet.
        layout : Layout
            Where taps lie in these planes.
        """
        begins = [self._add(plane) for plane in planes]
        self._raw = begins[own]
        for source, dy, dx, centre in zip(layout.sources, layout.dy, layout.dx, layout.centres, strict=True):
            self._feature(begins[source], int(dy), int(dx), begins[centre] if centre >= 0 else 0)

    def finish(self) -> Features:
        """Lay everything out."""
        return Features(
            np.concatenate([plane.ravel() for plane in self._planes]), self._shape[1], self._own, self._raw,
            np.array(self._nears, np.int64), np.array(self._plus, np.int64), np.array(self._minus, np.int64), self._few,
        )  # fmt: skip

    def _add(self, plane: NDArray[np.int32]) -> int:
        self._planes.append(plane)
        return (len(self._planes) - 1) * self._shape[0] * self._shape[1]

    def _feature(self, begin: int, dy: int, dx: int, minus: int = 0) -> None:
        self._plus.append(begin + self._distance(dy, dx))
        self._minus.append(minus)

    def _distance(self, dy: int, dx: int) -> int:
        return dy * self._shape[1] + dx


class Experts:
    """The experts of a channel, as `adaptive.adapt_channel` takes them.

    One sees errors and slopes, one samples as well; at the finest two levels a third builds on the second and has
    weights for each phase of JPEG's blocks.

    Parameters
    ----------
    level : int
        1 is the finest.
    features : Features
    """

    def __init__(self, level: int, features: Features) -> None:
        every = len(features.plus)
        self.period = max(1, _FINEST_PERIOD >> (level - 1))
        experts = [(features.few, 0, -1, _RIDGE)]
        if every > features.few:
            experts.append((every, 0, -1, _RIDGE))
        if self.period > 1:
            experts.append((every, 1, len(experts) - 1, _PHASE_RIDGE))
        self.counts, self.phased, self.parents, self.ridges = (
            np.array(column, np.int64) for column in zip(*experts, strict=True)
        )


def pad_plane(plane: NDArray[np.integer], *, repeat: bool) -> NDArray[np.int32]:
    """A plane ``(H, W)`` with a margin of repeated edges, or of zeros."""
    return np.pad(plane, MARGIN, mode="edge" if repeat else "constant").astype(np.int32)
