"""Chroma of half the size: how decoders enlarge it, exactly, and how an encoder finds what was enlarged.

Decoders interpolate linearly ("fancy upsampling" of libjpeg's ``jdsample.c``, its default): each sample is three parts
the nearer one and one part the next, in each direction that was halved. At edges, and at seams of tiles that were
decoded each for itself, there is no next one, and the nearer one is repeated.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["NO_SEAMS", "SAMPLINGS", "Lines", "Seams", "downsampled", "upsample"]

SAMPLINGS = ((1, 1), (1, 2), (2, 2))
"""Rows and columns of luma to one of chroma: 4:4:4, 4:2:2, 4:2:0."""


Lines = tuple[tuple[int, ...], tuple[int, ...]]
"""Rows, and columns, of chroma with which a tile begins; without the first one."""


class Seams(NamedTuple):
    """Rows, or columns, of a picture with which tiles begin.

    Parameters
    ----------
    first : int
        Any of them; 0 if there is none.
    period : int
        How many there are from one to the next; 0 if there is only one.
    """

    first: int
    period: int

    def between(self, begin: int, end: int) -> range:
        """Those after `begin` and before `end`."""
        if not self.period:
            return range(self.first, self.first + (begin < self.first < end and self.first > 0))
        return range(begin + self.period - (begin - self.first) % self.period, end, self.period)


NO_SEAMS = Seams(0, 0)


def upsample(chroma: NDArray[np.int32], sampling: tuple[int, int], lines: Lines = ((), ())) -> NDArray[np.int32]:
    """Enlarge a component as libjpeg does.

    Parameters
    ----------
    chroma : ndarray, shape (h, w), int32
    sampling : tuple of int
        One of `SAMPLINGS`.
    lines : Lines
        Of tiles.

    Returns
    -------
    ndarray, shape (h * rows, w * columns), int32
    """
    rows, columns = sampling
    if columns == 1:
        return chroma
    height, width = chroma.shape
    if rows == 1:
        tall, bias, down = chroma[:, None], (1, 2), 2
    else:
        above, below = _next(height, lines[0])
        tall, bias, down = 3 * chroma[:, None] + np.stack([chroma[above], chroma[below]], axis=1), (8, 7), 4
    before, after = _next(width, lines[1])
    out = np.empty((height, rows, width, 2), np.int32)
    out[..., 0] = (3 * tall + tall[..., before] + bias[0]) >> down
    out[..., 1] = (3 * tall + tall[..., after] + bias[1]) >> down
    return out.reshape(height * rows, width * 2)


def _next(size: int, lines: tuple[int, ...]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The place before each one, and that after it, within its tile."""
    begins, ends = [0, *lines], [*lines, size]
    before, after = np.arange(size) - 1, np.arange(size) + 1
    before[begins] = begins
    after[np.array(ends) - 1] = np.array(ends) - 1
    return before, after


def downsampled(full: NDArray[np.float32], sampling: tuple[int, int], lines: Lines = ((), ())) -> NDArray[np.float32]:
    """The component that `upsample` comes nearest to a plane with, in the sense of least squares; not rounded.

    Parameters
    ----------
    full : ndarray, shape (h * rows, w * columns), float32
    sampling : tuple of int
    lines : Lines
        Of tiles.

    Returns
    -------
    ndarray, shape (h, w), float32
    """
    rows, columns = sampling
    if columns == 2:
        full = _by_tiles(full.T, lines[1]).T
    return _by_tiles(full, lines[0]) if rows == 2 else full


def _by_tiles(full: NDArray[np.float32], lines: tuple[int, ...]) -> NDArray[np.float32]:
    """Half the rows, tile by tile."""
    tiles = np.split(full, [2 * line for line in lines])
    last = len(tiles) - 1
    return np.concatenate([_inverse(len(one) // 2, n > 0, n < last) @ one for n, one in enumerate(tiles)])


@lru_cache(maxsize=32)
def _inverse(size: int, begins: bool, ends: bool) -> NDArray[np.float32]:
    """The pseudoinverse ``(size, 2 size)`` of enlarging a line.

    Where it neither begins nor ends with a tile, the samples beyond are unknown, too.
    """
    enlarge = np.zeros((2 * size, size + 2))
    at = np.arange(size)
    enlarge[2 * at, at + 1] = enlarge[2 * at + 1, at + 1] = 0.75
    enlarge[2 * at, at] = enlarge[2 * at + 1, at + 2] = 0.25
    if begins:
        enlarge[0, :2] = 0, 1
    if ends:
        enlarge[-1, -2:] = 1, 0
    enlarge = enlarge[:, begins : enlarge.shape[1] - ends]
    normal = enlarge.T @ enlarge
    return np.linalg.solve(normal, enlarge.T)[1 - begins :][:size].astype(np.float32)
