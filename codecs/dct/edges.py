"""Recovering the units that the edges of a picture cut; only encoders search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.dct.history import History
from haarchive.codecs.dct.partial import LEAST_SEEN, solve_columns, solve_corner, solve_rows
from haarchive.codecs.dct.transform import BLOCK, blocks_of, coefficients_of

__all__ = ["Seen", "with_edges"]

_FRAME, _FRAME_CONVERTED, _WRONG, _COEFFICIENT = 4.0, 2.5, 6.0, 5.0
"""About how many bits a sample of the frame takes, one of Y, Cb, Cr, one that comes out wrong, a coefficient but 0."""

_Components = list[NDArray[np.int32]]
_SIDES = ((0, 0), (0, 1), (1, 0), (1, 1))
"""Axis, and whether at its end."""


class Seen(NamedTuple):
    """All samples of a component that a picture tells, centred on zero, and where in them its complete blocks begin."""

    samples: NDArray[np.float32]
    origin: tuple[int, int]


class _Span(NamedTuple):
    """Rows (or columns) of blocks: how many, where in them the first seen sample lies, and which samples are seen."""

    blocks: int
    begin: int
    start: int
    stop: int

    @property
    def is_complete(self) -> bool:
        return self.stop - self.start == BLOCK * self.blocks


def with_edges(
    history: History, components: Sequence[NDArray[np.int32]], seen: Sequence[Seen], planes: NDArray[np.int32]
) -> tuple[History, _Components, NDArray[np.int32] | None]:
    """Add units at the edges of a picture, on the sides where that is shorter than to have them in the frame.

    Parameters
    ----------
    history : History
        Of complete units.
    components : sequence of ndarray, shape (64, h, w), int32
    seen : sequence of Seen
        Of each component.
    planes : ndarray, shape (C, H, W), int32
        The picture.

    Returns
    -------
    history : History
    components : list of ndarray, int32
    decoded : ndarray, shape (C, H, W), int32, optional
        What these decode to, where units were added.
    """
    shares = history.sampling[0] * BLOCK, history.sampling[1] * BLOCK
    known: list[dict[tuple[_Span, _Span], NDArray[np.int32]]] = [{} for _ in components]
    sides = {
        side for side in _SIDES if all(_nearest(one, history, n, side) >= LEAST_SEEN for n, one in enumerate(seen))
    }
    while sides:
        made = [
            _extended(one, component, history, n, sides, known[n])
            for n, (one, component) in enumerate(zip(seen, components, strict=True))
        ]
        before = [(axis, 0) in sides for axis in (0, 1)]
        after = [(axis, 1) in sides for axis in (0, 1)]
        grown = replace(
            history,
            origin=(history.origin[0] - shares[0] * before[0], history.origin[1] - shares[1] * before[1]),
            units=(history.units[0] + before[0] + after[0], history.units[1] + before[1] + after[1]),
        )
        decoded = grown.decode(made)
        wrong = decoded[:, *grown.seen] != planes[:, *grown.region.slices]
        bad = {side for side in sides if not _pays(_strip(wrong, history, grown, side), made, history, side)}
        if not bad:
            return grown, made, decoded
        sides -= bad
    return history, list(components), None


def _pays(wrong: NDArray[np.bool_], made: _Components, history: History, side: tuple[int, int]) -> bool:
    """Whether the units of a side take less than the samples that are seen of them."""
    axis, at_end = side
    coefficients = 0
    for n, component in enumerate(made):
        added = _factor(history, n, axis)
        lines = np.moveaxis(component, 1 + axis, 0)
        coefficients += int(np.count_nonzero(lines[-added:] if at_end else lines[:added]))
    each = _FRAME_CONVERTED if history.converted else _FRAME
    return bool(_COEFFICIENT * coefficients + _WRONG * np.count_nonzero(wrong) < each * wrong.size)


def _strip(wrong: NDArray[np.bool_], history: History, grown: History, side: tuple[int, int]) -> NDArray[np.bool_]:
    """The part of `grown`'s region that lies beyond `history`'s on one side."""
    old, new = history.region, grown.region
    rows = slice(old.top - new.top, old.bottom - new.top)
    columns = slice(old.left - new.left, old.right - new.left)
    axis, at_end = side
    if axis == 0:
        return wrong[:, rows.stop :, columns] if at_end else wrong[:, : rows.start, columns]
    return wrong[:, rows, columns.stop :] if at_end else wrong[:, rows, : columns.start]


def _factor(history: History, n: int, axis: int) -> int:
    """How many blocks of a component a unit has along an axis."""
    return history.sampling[axis] if n == 0 else 1


def _nearest(seen: Seen, history: History, n: int, side: tuple[int, int]) -> int:
    """How many rows (columns) are seen of the block next to the complete ones."""
    axis, at_end = side
    first = seen.origin[axis]
    if not at_end:
        return min(first, BLOCK)
    last = first + BLOCK * _factor(history, n, axis) * history.units[axis]
    return min(int(seen.samples.shape[axis]) - last, BLOCK)


def _spans(seen: Seen, history: History, n: int, axis: int, sides: set[tuple[int, int]]) -> list[_Span]:
    factor, first = _factor(history, n, axis), seen.origin[axis]
    last = first + BLOCK * factor * history.units[axis]
    spans = [_Span(factor * history.units[axis], 0, first, last)]
    for k in range(factor):
        if (axis, 0) in sides:
            stop = max(first - BLOCK * k, 0)
            start = max(stop - BLOCK, 0)
            spans.insert(0, _Span(1, BLOCK - (stop - start), start, stop))
        if (axis, 1) in sides:
            start = min(last + BLOCK * k, seen.samples.shape[axis])
            spans.append(_Span(1, 0, start, min(start + BLOCK, seen.samples.shape[axis])))
    return spans


def _extended(
    seen: Seen,
    component: NDArray[np.int32],
    history: History,
    n: int,
    sides: set[tuple[int, int]],
    known: dict[tuple[_Span, _Span], NDArray[np.int32]],
) -> NDArray[np.int32]:
    """A component with blocks added on some sides."""
    rows, columns = (_spans(seen, history, n, axis, sides) for axis in (0, 1))
    middle = _spans(seen, history, n, 0, set())[0], _spans(seen, history, n, 1, set())[0]
    known[middle] = component
    solve = partial(_solved, seen.samples, steps=history.steps[n])
    for pair in product(rows, columns):
        if pair not in known:
            known[pair] = solve(*pair)
    return np.concatenate([np.concatenate([known[row, column] for column in columns], axis=2) for row in rows], axis=1)


def _solved(
    samples: NDArray[np.float32], rows: _Span, columns: _Span, *, steps: NDArray[np.int64]
) -> NDArray[np.int32]:
    """The coefficients ``(64, h, w)`` of some blocks."""
    shape = rows.blocks, columns.blocks
    part = samples[rows.start : rows.stop, columns.start : columns.stop]
    if not part.size:
        return np.zeros((BLOCK * BLOCK, *shape), np.int32)
    if rows.is_complete and columns.is_complete:
        found = coefficients_of(np.ascontiguousarray(blocks_of(part))).reshape(*shape, -1)
        return np.moveaxis(np.rint(found / steps).astype(np.int32), 2, 0)
    if columns.is_complete:
        return solve_rows(part, rows.begin, steps).reshape(-1, *shape)
    if rows.is_complete:
        return solve_columns(part, columns.begin, steps).reshape(-1, *shape)
    return solve_corner(part, (rows.begin, columns.begin), steps).reshape(-1, *shape)
