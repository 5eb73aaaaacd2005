"""What the experts of the adaptive coupling look at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.idf.adaptive import MARGIN

__all__ = ["Experts", "FeatureStack", "pad_plane", "padded_errors"]

_CAUSAL = ((0, -1), (-1, 0), (-1, -1), (-1, 1), (0, -2), (-2, 0))
_CROSS = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))
_SLOPES = (((0, 1), (0, -1)), ((1, 0), (-1, 0)), ((0, 1), (0, 0)), ((1, 0), (0, 0)))

_CHANNEL_RIDGE, _PHASE_RIDGE = 1 << 24, 1 << 26
_FINEST_PERIOD = 4
"""Samples of a finest detail band to a block of JPEG's eight."""


class FeatureStack:
    """Planes around a channel that is being coded, and the features that are taken from them.

    Parameters
    ----------
    shape : tuple of int
        Height and width.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self._shape = shape[0] + 2 * MARGIN, shape[1] + 2 * MARGIN
        self._planes: list[NDArray[np.int32]] = []
        self._plus: list[int] = []
        self._minus: list[tuple[int, int] | None] = []
        self._nears: list[int] = []

    def add_low(self, plane: NDArray[np.int32]) -> None:
        """Add slopes of a padded plane."""
        begin = self._add(plane)
        for one, other in _SLOPES:
            self._feature(begin, one)
            self._minus[-1] = (begin, self._distance(other))

    def add_done(self, errors: NDArray[np.int32]) -> None:
        """Add the errors of a channel that is done, on all sides."""
        begin = self._add(errors)
        self._nears.append(begin)
        for place in _CROSS:
            self._feature(begin, place)

    def add_value(self, plane: NDArray[np.int32]) -> None:
        """Add a padded plane's sample at the place itself."""
        self._feature(self._add(plane), (0, 0))

    def finish(
        self,
    ) -> tuple[NDArray[np.int32], int, int, int, NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Add the channel's own errors, to be filled, and a plane of zeros.

        Returns
        -------
        stack, stride, own, nears, near_planes, plus, minus
            As `adaptive.adapt_channel` takes them.
        """
        empty = np.zeros(self._shape, np.int32)
        own = self._add(empty)
        for place in _CAUSAL:
            self._feature(own, place)
        zero = self._add(empty)
        minus = [zero if other is None else other[0] + other[1] for other in self._minus]
        stack = np.concatenate([plane.ravel() for plane in self._planes])
        return (
            stack, self._shape[1], own, len(self._nears), np.array([*self._nears, 0], np.int64),
            np.array(self._plus, np.int64), np.array(minus, np.int64),
        )  # fmt: skip

    def _add(self, plane: NDArray[np.int32]) -> int:
        self._planes.append(plane)
        return (len(self._planes) - 1) * self._shape[0] * self._shape[1]

    def _feature(self, begin: int, place: tuple[int, int]) -> None:
        self._plus.append(begin + self._distance(place))
        self._minus.append(None)

    def _distance(self, place: tuple[int, int]) -> int:
        return place[0] * self._shape[1] + place[1]


class Experts:
    """The experts of a channel: one for all samples, and on top of it one for each phase of JPEG's blocks.

    Parameters
    ----------
    level : int
        1 is the finest.
    features : int
    """

    def __init__(self, level: int, features: int) -> None:
        period = _FINEST_PERIOD >> (level - 1)
        several = period > 1
        self.counts = np.array([features] * (1 + several), np.int64)
        self.periods = np.array([1, period] if several else [1], np.int64)
        self.parents = np.array([-1, 0] if several else [-1], np.int64)
        self.ridges = np.array([_CHANNEL_RIDGE, _PHASE_RIDGE] if several else [_CHANNEL_RIDGE], np.int64)


def pad_plane(plane: NDArray[np.integer], *, repeat: bool) -> NDArray[np.int32]:
    """A plane ``(H, W)`` with a margin of repeated edges, or of zeros."""
    return np.pad(plane, MARGIN, mode="edge" if repeat else "constant").astype(np.int32)


def padded_errors(stack: NDArray[np.int32], own: int, shape: Sequence[int]) -> NDArray[np.int32]:
    """The errors that `adaptive.adapt_channel` filled in, padded."""
    height, width = shape[0] + 2 * MARGIN, shape[1] + 2 * MARGIN
    return stack[own : own + height * width].reshape(height, width).copy()
