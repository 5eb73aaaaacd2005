"""Sample values that occur rarely, or never: gaps and combs of a histogram.

Stretched contrast, gain, gamma, and video's 219 levels spread over 256 leave values between the others that hardly
occur. What is coded of a picture are sums and differences, in which nothing of that is left, but for the finest
details: each of them tells two neighbouring samples, given their low sample. There each entry of the detail's table
is weighed by how often the two samples that it stands for occur.

Values that never occur are better packed (`packing`), which rare ones prevent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.errors import BitstreamError
from haarchive.codecs.haar import colour, ycbcr
from haarchive.codecs.planes import plane_groups
from haarchive.codecs.rans.stream import OperationList, WordReader

__all__ = ["MOST", "ONE", "VALUES", "Occurrences", "RareValues", "find_rare_values"]

VALUES = 256
"""Of a sample: pictures of more bits have no weights."""

ONE = 16
"""The weight of values that occur as often as those around them."""

MOST = 63
"""The largest weight."""

_BITS = 8
_AROUND = 9
_LEAST_GAIN = 0.02
_COST = 6
_FEWEST = 16
"""Where fewer values occur, predictions tell most of what weights would."""
_MIXED = "ycocg-r"


@dataclass(frozen=True, eq=False)
class Occurrences:
    """How often the values of a picture's samples occur, relative to those around them.

    Parameters
    ----------
    transform : str
        The colour transform.
    middle : int
        What was subtracted from the first plane of each group.
    weights : Mapping of int to ndarray, shape (256,), int64
        By plane; in ``[0, 63]``, 16 where a value is neither rare nor common.
    """

    transform: str
    middle: int
    weights: Mapping[int, NDArray[np.int64]]

    def references(self, low: NDArray[np.int32], details: NDArray[np.int32], plane: int) -> NDArray[np.int32]:
        """What is added to the two samples that a detail of a plane gives, to have values of the picture.

        Parameters
        ----------
        low : ndarray, shape (P, H, W), int32
            Low samples, of at least `plane` planes and one.
        details : ndarray, shape (P, H, W), int32
            Of the planes before.

        Returns
        -------
        ndarray, shape (2, H, W), int32
        """
        shape = (2, *details.shape[1:])
        if plane == 0 or plane > 2 or self.transform in ("none", *ycbcr.CONVERSIONS):
            group = next(group for group in plane_groups(len(details)) if plane < group.stop)
            return np.full(shape, self.middle if plane == group.start else 0, np.int32)
        first = _samples(low[0], details[0]) + np.int32(self.middle)
        if plane == 1:
            return first
        return (2 * first + _samples(low[1], details[1])) >> 1

    def write(self, planes: int, operations: OperationList) -> None:
        """Append the weights of a picture of so many planes."""
        for plane in _of_samples(self.transform, planes):
            weights = self.weights.get(plane)
            operations.add_bits(weights is not None, 1)
            if weights is None:
                continue
            used = np.flatnonzero(weights)
            operations.add_bits(used[0], _BITS)
            operations.add_bits(used[-1] - used[0], _BITS)
            operations.add_weights((weights[used[0] : used[-1] + 1] - ONE).astype(np.int32))

    @classmethod
    def read(cls, transform: str, middle: int, planes: int, reader: WordReader) -> Occurrences:
        """Read what `write` appended.

        Raises
        ------
        BitstreamError
            If it is damaged.
        """
        found = {}
        for plane in _of_samples(transform, planes):
            if not reader.bits(1):
                continue
            first, more = reader.bits(_BITS), reader.bits(_BITS)
            weights = reader.weights(more + 1, MOST) + ONE
            if first + more >= VALUES or weights.min() < 0 or weights.max() > MOST:
                raise BitstreamError("the weights of sample values are out of range: the bitstream is damaged")
            found[plane] = np.zeros(VALUES, np.int64)
            found[plane][first : first + more + 1] = weights
        return cls(transform, middle, found)


@dataclass(frozen=True, eq=False)
class RareValues:
    """What the encoder found in the planes of a picture.

    Parameters
    ----------
    weights : Mapping of int to ndarray, shape (256,), int64
        By plane, of those that gain from them.
    gains : Mapping of int to float
        Bits that they save, about.
    """

    weights: Mapping[int, NDArray[np.int64]]
    gains: Mapping[int, float]

    def gain(self, transform: str, planes: int) -> float:
        """Bits that are saved, about, where the first three of so many planes go through a colour transform."""
        return sum(self.gains.get(_source(transform, plane), 0.0) for plane in _of_samples(transform, planes))

    def occurrences(self, transform: str, middle: int, planes: int) -> Occurrences:
        """For the bitstream, in the order of the transformed planes."""
        of_plane = {plane: self.weights.get(_source(transform, plane)) for plane in _of_samples(transform, planes)}
        return Occurrences(transform, middle, {plane: w for plane, w in of_plane.items() if w is not None})


def find_rare_values(counts: Mapping[int, NDArray[np.int64]]) -> RareValues:
    """Look for values that are rarer than those around them.

    Parameters
    ----------
    counts : Mapping of int to ndarray, shape (256,), int64
        By plane: the `haarchive.codecs.planes.histogram`, not all 0.
    """
    found = {plane: _weights(of_plane) for plane, of_plane in counts.items()}
    paying = [plane for plane, (_, gain) in found.items() if gain > 0]
    return RareValues({plane: found[plane][0] for plane in paying}, {plane: found[plane][1] for plane in paying})


def _weights(counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], float]:
    """Weights of values, and the bits that they save, about; none where that is little."""
    # A triangle is flat for combs of all distances up to its half.
    around = np.convolve(counts, np.bartlett(2 * _AROUND + 1) / _AROUND, "same")
    # A half is added so that a value that is seldom by chance is not taken for one that never occurs.
    weights = np.clip(np.rint(ONE * (counts + 0.5) / (around + 0.5)), 1, MOST).astype(np.int64)
    weights[counts == 0] = 0
    used = np.flatnonzero(counts)
    gain = float(counts[used] @ np.log2(weights[used] / ONE))
    cost = _COST * (used[-1] - used[0] + 1)
    pays = used.size >= _FEWEST and gain > max(_LEAST_GAIN * counts.sum(), 2 * cost)
    return weights, gain if pays else 0.0


def _of_samples(transform: str, planes: int) -> Iterator[int]:
    """Planes whose coded values, with what is decoded before them, are values of the picture."""
    for plane in range(planes):
        if plane > 2 or not (transform == _MIXED or (transform in ycbcr.CONVERSIONS and plane)):
            yield plane


def _source(transform: str, plane: int) -> int:
    """The plane of the picture that a transformed plane tells, given those before it."""
    order = colour.ORDERS.get(transform, ())
    return order[plane] if plane < len(order) else plane


def _samples(low: NDArray[np.int32], details: NDArray[np.int32]) -> NDArray[np.int32]:
    """The two samples of each low one and its detail, ``(2, H, W)``."""
    first = low - (details >> 1)
    return np.stack([first, first + details])
