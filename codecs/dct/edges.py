"""Recovering the blocks that the edges of a picture cut; only encoders search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.dct.history import History
from haarchive.codecs.dct.inverse import decode_blocks
from haarchive.codecs.dct.partial import LEAST_SEEN, solve_columns, solve_corner, solve_rows
from haarchive.codecs.dct.transform import BLOCK

__all__ = ["with_edges"]

_CENTRE = 128
_ENOUGH = 0.6
"""Part of the blocks of an edge that must come out right: what does not costs more than as part of the frame."""

_Components = list[NDArray[np.int32]]


def with_edges(
    history: History, components: Sequence[NDArray[np.int32]], goal: NDArray[np.float32]
) -> tuple[History, _Components]:
    """Add rows and columns of blocks at the edges of a picture, where enough of them is seen to recover them.

    Parameters
    ----------
    history : History
        Of complete units and components of full size.
    components : sequence of ndarray, shape (64, h, w), int32
    goal : ndarray, shape (C, H, W), float32
        The samples of the components, centred on zero.

    Returns
    -------
    history : History
    components : list of ndarray, int32
    """
    (top, left), (down, across) = history.origin, history.units
    bottom, right = (
        side - first - BLOCK * n for side, first, n in zip(goal.shape[1:], (top, left), (down, across), strict=True)
    )
    rows, columns = slice(top, top + BLOCK * down), slice(left, left + BLOCK * across)
    above = _solved(goal[:, :top, columns], BLOCK - top, history, turned=False)
    below = _solved(goal[:, goal.shape[1] - bottom :, columns], 0, history, turned=False)
    before = _solved(goal[:, rows, :left], BLOCK - left, history, turned=True)
    behind = _solved(goal[:, rows, goal.shape[2] - right :], 0, history, turned=True)
    made = []
    for n, component in enumerate(components):
        steps = history.steps[n]
        rest = [
            [] if above is None else [(above[n], goal[n, :top], BLOCK - top)],
            [(component, goal[n, rows], 0)],
            [] if below is None else [(below[n], goal[n, goal.shape[1] - bottom :], 0)],
        ]
        lines = []
        for blocks, samples, first in (row for kind in rest for row in kind):
            ends: list[NDArray[np.int32]] = []
            for side, seen, begin in (
                (before, samples[:, :left], BLOCK - left),
                (behind, samples[:, goal.shape[2] - right :], 0),
            ):
                if side is None:
                    ends.append(np.zeros((64, blocks.shape[1], 0), np.int32))
                elif blocks is component:
                    ends.append(side[n].transpose(0, 2, 1))
                else:
                    ends.append(solve_corner(seen, (first, begin), steps)[:, None, None])
            lines.append(np.concatenate([ends[0], blocks, ends[1]], axis=2))
        made.append(np.concatenate(lines, axis=1))
    origin = (top - BLOCK * (above is not None), left - BLOCK * (before is not None))
    units = (down + (above is not None) + (below is not None), across + (before is not None) + (behind is not None))
    return replace(history, origin=origin, units=units), made


def _solved(lines: NDArray[np.float32], first: int, history: History, *, turned: bool) -> _Components | None:
    """The coefficients ``(64, 1, n)`` of each component's blocks along an edge; None where too few come out right."""
    if lines.shape[2 if turned else 1] < LEAST_SEEN:
        return None
    solve = solve_columns if turned else solve_rows
    found, right = [], []
    for samples, steps in zip(lines, history.steps, strict=True):
        blocks = solve(samples, first, steps)[:, None]
        found.append(blocks)
        decoded = decode_blocks(blocks.transpose(0, 2, 1) if turned else blocks, steps, history.inverse) - _CENTRE
        seen = decoded[:, first : first + lines.shape[2]] if turned else decoded[first : first + lines.shape[1]]
        same = (seen == samples).all(axis=1 if turned else 0)
        right.append(same.reshape(-1, BLOCK).all(axis=1).mean())
    return found if np.mean(right) >= _ENOUGH else None
