"""Chroma of half the size: how decoders enlarge it, exactly, and how an encoder finds what was enlarged.

Decoders interpolate linearly ("fancy upsampling" of libjpeg's ``jdsample.c``, its default): each sample is three parts
the nearer one and one part the next, in each direction that was halved.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["SAMPLINGS", "downsampled", "upsample"]

SAMPLINGS = ((1, 1), (1, 2), (2, 2))
"""Rows and columns of luma to one of chroma: 4:4:4, 4:2:2, 4:2:0."""


def upsample(chroma: NDArray[np.int32], sampling: tuple[int, int]) -> NDArray[np.int32]:
    """Enlarge a component as libjpeg does.

    Parameters
    ----------
    chroma : ndarray, shape (h, w), int32
    sampling : tuple of int
        One of `SAMPLINGS`.

    Returns
    -------
    ndarray, shape (h * rows, w * columns), int32
    """
    rows, columns = sampling
    if columns == 1:
        return chroma
    padded = np.pad(chroma, 1, mode="edge")
    if rows == 1:
        lines, bias, down = padded[1:-1][:, None], (1, 2), 2
    else:
        near = 3 * padded[1:-1]
        lines, bias, down = np.stack([near + padded[:-2], near + padded[2:]], axis=1), (8, 7), 4
    height, width = chroma.shape
    out = np.empty((height, rows, width, 2), np.int32)
    out[..., 0] = (3 * lines[..., 1:-1] + lines[..., :-2] + bias[0]) >> down
    out[..., 1] = (3 * lines[..., 1:-1] + lines[..., 2:] + bias[1]) >> down
    return out.reshape(height * rows, width * 2)


def downsampled(full: NDArray[np.float32], sampling: tuple[int, int]) -> NDArray[np.float32]:
    """The component that `upsample` comes nearest to a plane with, in the sense of least squares; not rounded.

    Parameters
    ----------
    full : ndarray, shape (h * rows, w * columns), float32
    sampling : tuple of int

    Returns
    -------
    ndarray, shape (h, w), float32
    """
    rows, columns = sampling
    if columns == 2:
        full = full @ _inverse(full.shape[1] // 2).T
    return _inverse(full.shape[0] // 2) @ full if rows == 2 else full


@lru_cache(maxsize=8)
def _inverse(size: int) -> NDArray[np.float32]:
    """The pseudoinverse ``(size, 2 size)`` of enlarging a line; the samples beyond its ends are unknown, too."""
    enlarge = np.zeros((2 * size, size + 2))
    at = np.arange(size)
    enlarge[2 * at, at + 1] = enlarge[2 * at + 1, at + 1] = 0.75
    enlarge[2 * at, at] = enlarge[2 * at + 1, at + 2] = 0.25
    normal = enlarge.T @ enlarge
    return np.linalg.solve(normal, enlarge.T)[1:-1].astype(np.float32)
