"""Renumbering of sparse sample values.

Some recordings use few of the values in their range: samples scaled up by a constant, or shifted left. Numbering the
used values one after the other makes them look like the quieter recordings they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.distributions import logistic_tables
from haarchive.codecs.distributions.jit import kernel
from haarchive.codecs.errors import BitstreamError
from haarchive.codecs.rans.stream import OperationList, WordReader
from haarchive.codecs.rans.values import add_value, take_value

__all__ = ["SampleMap", "find_map"]

_LIMIT = 1 << 20
_WIDE = 232


@dataclass(frozen=True, eq=False)
class SampleMap:
    """From samples to their numbers and back.

    Parameters
    ----------
    shift : int
        Zero bits that all samples end in; they are dropped.
    values : ndarray, shape (k,), int64
        The values in use, ascending, after the shift; empty where they keep their values.
    """

    shift: int = 0
    values: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))

    @property
    def trivial(self) -> bool:
        """Whether nothing changes."""
        return self.shift == 0 and not self.values.size

    @property
    def _zero(self) -> int:
        """The number of the value nearest to zero, which becomes zero."""
        return int(np.abs(self.values).argmin())

    def forward(self, x: NDArray[np.int64]) -> NDArray[np.int64]:
        """Number the samples."""
        x = x >> self.shift
        return np.searchsorted(self.values, x) - self._zero if self.values.size else x

    def inverse(self, x: NDArray[np.int64]) -> NDArray[np.int64]:
        """Undo `forward`.

        Raises
        ------
        BitstreamError
            If there is no such number.
        """
        if self.values.size:
            x = x + self._zero
            if x.min() < 0 or x.max() >= self.values.size:
                raise BitstreamError("a sample's number is outside of the map: the bitstream is damaged")
            x = self.values[x]
        return x << self.shift

    def write(self, operations: OperationList) -> None:
        """Append the map to a list of operations."""
        operations.add_value(self.shift, 0, _WIDE)
        operations.add_value(self.values.size, 0, _WIDE)
        if self.values.size:
            operations.add_value(int(self.values[0]), 0, _WIDE)
            gaps = np.diff(self.values)
            tables = logistic_tables()
            start, freq, n = operations.reserve(gaps.size)
            operations.resume(_add_gaps(gaps, tables.cdf, tables.offset, tables.low, tables.size, start, freq, n), 0, 0)

    @classmethod
    def read(cls, reader: WordReader) -> SampleMap:
        """Read what `write` appended.

        Raises
        ------
        BitstreamError
            If it is not a map.
        """
        shift, count = reader.value(0, _WIDE), reader.value(0, _WIDE)
        if not 0 <= shift < 32 or not 0 <= count <= _LIMIT:
            raise BitstreamError("the map of sample values is damaged")
        if not count:
            return cls(shift)
        first = reader.value(0, _WIDE)
        tables, gaps = logistic_tables(), np.empty(count - 1, np.int64)
        good, state, pos = _take_gaps(
            gaps, tables.cdf, tables.offset, tables.low, tables.size, tables.first, reader.state, reader.words,
            reader.pos,
        )  # fmt: skip
        reader.resume(0, state, pos)
        if not good:
            raise BitstreamError("the map of sample values is damaged")
        return cls(shift, np.cumsum(np.append(np.int64(first), gaps)))


@kernel
def _gap_scale(spread):  # type: ignore[no-untyped-def]
    """Scale that a change of the gap is coded under: small where gaps have been regular."""
    octave = 0
    while spread > 0:
        spread >>= 1
        octave += 1
    return min(8 * octave, _WIDE)


@kernel
def _new_spread(spread, change):  # type: ignore[no-untyped-def]
    """Decaying mean of the changes' magnitude, in 1/16."""
    return (7 * spread + 16 * abs(change)) >> 3


@kernel
def _add_gaps(gaps, cdf, offset, low, size, start, freq, n):  # type: ignore[no-untyped-def]
    """Append each gap, (k,) int64, as its change from the one before, the first from 1; returns the new n."""
    last, spread = np.int64(1), np.int64(0)
    for i in range(gaps.size):
        change = gaps[i] - last
        n = add_value(change, 0, _gap_scale(spread), cdf, offset, low, size, start, freq, n)
        last, spread = gaps[i], _new_spread(spread, change)
    return n


@kernel
def _take_gaps(gaps, cdf, offset, low, size, first, state, words, pos):  # type: ignore[no-untyped-def]
    """Fill `gaps`, (k,) int64, with what `_add_gaps` coded; returns whether all are positive, state and pos."""
    last, spread = np.int64(1), np.int64(0)
    for i in range(gaps.size):
        change, state, pos = take_value(0, _gap_scale(spread), cdf, offset, low, size, first, state, words, pos)
        last, spread = last + change, _new_spread(spread, change)
        gaps[i] = last
        if last < 1:
            return False, state, pos
    return True, state, pos


def find_map(x: NDArray[np.int64]) -> SampleMap:
    """Choose a map: drop common zero bits, and renumber where that saves more than the map costs.

    Constant sound becomes zeros.
    A recording counts as sparse if its common values, those below the median magnitude, are visited eight times
    each on average and yet many of them never occur.
    """
    used = int(np.bitwise_or.reduce(x, axis=None)) if x.size else 0
    shift = (used & -used).bit_length() - 1 if used else 0
    x = x >> shift
    if not x.size:
        return SampleMap()
    values, counts = _histogram(x)
    order = np.argsort(np.abs(values), kind="stable")
    middle = int(np.abs(values)[order[np.searchsorted(counts[order].cumsum(), x.size / 2)]])
    if values.size == 1 and values[0]:
        return SampleMap(shift, values)
    common = values[np.abs(values) <= middle].size
    density = common / (2 * middle + 1)
    sampled = x.size / 2 >= 8 * (2 * middle + 1)
    codable = values.size <= _LIMIT and int(values[-1]) - int(values[0]) < 1 << 31
    if not (middle and sampled and codable and density < 0.75):
        return SampleMap(shift)
    values = _without_holes(values)
    # A change of the gap costs some bits; regular gaps cost next to nothing.
    changes = int(np.count_nonzero(np.diff(values, 2)))
    worth = x.size * -np.log2(density) > 6 * changes + values.size / 64
    return SampleMap(shift, values) if worth and values.size <= _LIMIT else SampleMap(shift)


def _histogram(x: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The values in use, ascending, and how often each occurs."""
    least, most = int(x.min()), int(x.max())
    if most - least >= _LIMIT:
        return np.unique(x, return_counts=True)
    counts = np.bincount((x - least).ravel())
    used = np.flatnonzero(counts)
    return used + least, counts[used]


def _without_holes(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Add the values that the commonest gap steps over in larger gaps: a regular map is cheaper than an exact one."""
    gaps = np.diff(values)
    if not gaps.size:
        return values
    sizes, counts = np.unique(gaps, return_counts=True)
    step = int(sizes[counts.argmax()])
    repeats = np.where(gaps % step == 0, gaps // step, 1)
    if step == 1 or values.size + int(repeats.sum()) > _LIMIT:
        return values
    steps = np.repeat(np.where(repeats > 1, step, gaps), repeats)
    return np.append(values[0], values[0] + np.cumsum(steps))
