"""Parts of one kind, put together as tiles are in a picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.jpeg.parts import Components
from haarchive.codecs.jpeg.syntax import Frame

__all__ = ["columns_of", "join", "joined_shapes", "sets_of", "split", "stacks"]


def stacks(frames: Sequence[Frame]) -> Iterator[slice]:
    """Runs of parts that are coded together: of the same components, size and steps."""
    begin = 0
    for n in range(1, len(frames)):
        if not _alike(frames[n - 1], frames[n]):
            yield slice(begin, n)
            begin = n
    yield slice(begin, len(frames))


def sets_of(frame: Frame) -> list[list[int]]:
    """Components on one grid of blocks, in their order."""
    sets: dict[tuple[int, int], list[int]] = {}
    for n in range(len(frame.components)):
        sets.setdefault(frame.grid(n), []).append(n)
    return list(sets.values())


def columns_of(parts: Sequence[Components]) -> int:
    """How many parts of a stack were most likely side by side in the picture.

    DC coefficients of the first component are compared over the seams; at the upper and left edges of the stack, where
    there is nothing to compare, they are reckoned as far from their neighbour as from their mean.
    """
    dc = np.stack([components[0][0] for components in parts]).astype(np.int64)
    spread = float(np.abs(dc - dc.mean()).mean())
    fitting = [columns for columns in range(1, len(parts) + 1) if len(parts) % columns == 0]
    return min(fitting, key=lambda columns: _seams(dc, columns, spread))


def _seams(dc: NDArray[np.int64], columns: int, spread: float) -> float:
    count, height, width = dc.shape
    rows = count // columns
    tiles = dc.reshape(rows, columns, height, width)
    across = int(np.abs(tiles[:, 1:, :, 0] - tiles[:, :-1, :, -1]).sum())
    down = int(np.abs(tiles[1:, :, 0] - tiles[:-1, :, -1]).sum())
    return float(across + down + spread * (rows * height + columns * width))


def join(parts: Sequence[Components], columns: int) -> Components:
    """Put parts together, rows of `columns` one below the other."""
    rows = [parts[at : at + columns] for at in range(0, len(parts), columns)]
    return [np.block([[part[n] for part in row] for row in rows]) for n in range(len(parts[0]))]


def joined_shapes(frame: Frame, count: int, columns: int) -> list[tuple[int, int, int]]:
    """Of the components that `join` gives."""
    grids = [frame.grid(n) for n in range(len(frame.components))]
    return [(64, h * (count // columns), w * columns) for h, w in grids]


def split(components: Components, count: int, columns: int) -> list[Components]:
    """Undo `join` of so many parts."""
    of_each = [
        [part for row in np.split(component, count // columns, axis=1) for part in np.split(row, columns, axis=2)]
        for component in components
    ]
    return [list(part) for part in zip(*of_each, strict=True)]


def _alike(one: Frame, other: Frame) -> bool:
    same = one.components == other.components and one.units == other.units
    return same and np.array_equal(one.steps, other.steps)
