"""Where the tiles of a picture that was JPEG 2000 begin; only encoders search.

Where the transform is undone with the right parity, most of the coefficients that are high in both directions are zero
but for the rounding of samples, as their steps are large. Across the edge of a tile they are not.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.dwt.analysis import Analysis, analyse
from haarchive.codecs.dwt.axis import LEVELS, Axis

__all__ = ["find_axes"]

_PERIOD = 256
"""Rows and columns of the tiles that were seen."""
_ZERO, _FAR = 0.9, 3.0
"""Three halves and five times the standard deviation of what rounded samples add to a coefficient."""
_STANDS_OUT, _AT_LEAST = 8, 0.02
_MORE = 1.15
"""The right parity has so many times the zeros of the others."""
_RIM = 2
"""Coefficients at a picture's edges that depend on what is beyond."""
_LEAST = 64
"""Rows and columns of a picture, below which there is too little to see."""


def find_axes(luma: NDArray[np.int32], odd: int) -> tuple[Axis, Axis] | None:
    """The coordinates of a picture's rows and columns in their tiles.

    Parameters
    ----------
    luma : ndarray, shape (H, W), int32
    odd : int
        Whether the first column's coordinate is odd, which chroma shows.

    Returns
    -------
    tuple of Axis, optional
        None where no parity stands out. A side in which no edge of tiles is seen has none.
    """
    height, width = luma.shape
    if min(height, width) < _LEAST:
        return None
    tried = [analyse(luma, Axis(parity, parity + height, 0), Axis(odd, odd + width, 0)) for parity in (0, 1)]
    zeros = [_zeros(bands) for bands in tried]
    parity = int(np.argmax(zeros))
    if zeros[parity] < _MORE * zeros[1 - parity]:
        return None
    far = np.abs(tried[parity][3][_RIM:-_RIM, _RIM:-_RIM]) > _FAR
    rows, columns = _edge(far.mean(axis=1), parity), _edge(far.mean(axis=0), odd)
    return _begins(luma, (parity, odd), (rows, columns))


def _zeros(bands: Analysis) -> float:
    """How many of the coefficients that are high are zero, the mean of the bands, without the picture's rim."""
    return float(np.mean([np.mean(np.abs(band[_RIM:-_RIM, _RIM:-_RIM]) < _ZERO) for band in bands[1:]]))


def _edge(far: NDArray[np.float64], odd: int) -> int | None:
    """The coordinate, modulo a tile, of the first sample; None where no edge of a tile stands out.

    The last coefficient of a tile is far from zero if the next tile is taken for more of it.
    """
    half = _PERIOD // 2
    scores = np.array([far[phase::half].mean() if far[phase::half].size else 0.0 for phase in range(half)])
    best = int(np.argmax(scores))
    if scores[best] < max(_AT_LEAST, _STANDS_OUT * float(np.mean(far))):
        return None
    first = 2 * (best + _RIM) + 2 - odd
    return -first % _PERIOD


def _begins(
    luma: NDArray[np.int32], parities: tuple[int, int], edges: tuple[int | None, int | None]
) -> tuple[Axis, Axis]:
    """Axes that begin where edges say; without an edge, where coarser levels have most zeros."""
    begins = [parity if edge is None else edge for parity, edge in zip(parities, edges, strict=True)]
    for level in range(1, LEVELS):
        unknown = [edge is None for edge in edges]
        if not any(unknown):
            break
        choices = product(
            *(
                (begin, begin + (1 << level)) if open_ else (begin,)
                for begin, open_ in zip(begins, unknown, strict=True)
            )
        )
        tried = {choice: _zeros_at(luma, choice, edges, level) for choice in choices}
        begins = list(max(tried.items(), key=lambda one: one[1])[0])
    rows, columns = (
        Axis(begin, begin + size, 0 if edge is None else _PERIOD)
        for begin, size, edge in zip(begins, luma.shape, edges, strict=True)
    )
    return rows, columns


def _zeros_at(
    luma: NDArray[np.int32], begins: tuple[int, ...], edges: tuple[int | None, int | None], level: int
) -> float:
    """How many of a level's coefficients are zero if the picture begins there."""
    rows, columns = (
        Axis(begin, begin + size, 0 if edge is None else _PERIOD)
        for begin, size, edge in zip(begins, luma.shape, edges, strict=True)
    )
    samples = luma
    for _ in range(level):
        if min(samples.shape) < 6 * _RIM:
            return 0.0
        samples = np.rint(analyse(samples, rows, columns)[0]).astype(np.int32)
        rows, columns = rows.low, columns.low
    return _zeros(analyse(samples, rows, columns)) if min(samples.shape) >= 6 * _RIM else 0.0
