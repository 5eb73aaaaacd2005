"""Where the blocks of a picture that was a JPEG begin; only encoders search.

At the true phase of the 8 x 8 grid most coefficients are what the quantisation made of them: zero, but for the rounding
of samples. At any other they are not, unless there is nothing to see.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.dct.transform import BLOCK, basis
from haarchive.codecs.haar.vectors import vector_kernel

__all__ = ["find_origin"]

_WINDOW = 2 * BLOCK - 1
_WINDOWS = 96
_ZERO = 0.9
"""Three standard deviations of what rounded samples add to a coefficient."""
_MORE, _MUCH_MORE = 1.12, 1.2
"""The best phase has so many times what the next one has, and what the others have on average."""


def find_origin(luma: NDArray[np.float32]) -> tuple[int, int] | None:
    """The phase of the grid of blocks.

    Parameters
    ----------
    luma : ndarray, shape (H, W), float32

    Returns
    -------
    tuple of int, optional
        The first row and column at which a block begins, 0 to 7; None where no phase stands out.
    """
    height, width = luma.shape
    if min(height, width) < 2 * _WINDOW:
        return None
    side = int(np.sqrt(_WINDOWS))
    rows = np.linspace(0, height - _WINDOW, min(side, height // _WINDOW)).astype(np.int64)
    columns = np.linspace(0, width - _WINDOW, min(side, width // _WINDOW)).astype(np.int64)
    counts = np.zeros((BLOCK, BLOCK), np.int64)
    _count_zeros(np.ascontiguousarray(luma), rows, columns, basis(), _ZERO, counts)
    best = int(counts.argmax())
    others = np.delete(counts.ravel(), best)
    if counts.ravel()[best] <= max(_MORE * others.max(), _MUCH_MORE * others.mean()):
        return None
    return best // BLOCK, best % BLOCK


@vector_kernel
def _count_zeros(luma, rows, columns, basis, zero, counts):  # type: ignore[no-untyped-def]
    """Add up, for each phase, how many AC coefficients are as good as zero in windows that are not flat.

    Windows begin at multiples of nothing in particular: their own phase is taken into account.
    """
    size = _WINDOW
    lines = np.empty((BLOCK, size, BLOCK), np.float32)
    for top in rows:
        for left in columns:
            window = luma[top : top + size, left : left + size]
            if window.max() - window.min() < np.float32(8):
                continue
            for x in range(BLOCK):
                for y in range(size):
                    for v in range(BLOCK):
                        total = np.float32(0)
                        for t in range(BLOCK):
                            total += window[y, x + t] * basis[v, t]
                        lines[x, y, v] = total
            for y in range(BLOCK):
                for x in range(BLOCK):
                    found = 0
                    for u in range(BLOCK):
                        for v in range(BLOCK):
                            total = np.float32(0)
                            for t in range(BLOCK):
                                total += lines[x, y + t, v] * basis[u, t]
                            found += abs(total) < zero and (u + v > 0)
                    counts[(top + y) % BLOCK, (left + x) % BLOCK] += found
