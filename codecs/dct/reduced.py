"""Luma in the size of chroma: blocks of coefficients from several of a component that has more samples.

Encoders that halve chroma take means of samples. The same means of luma, as coefficients, are a linear function of
luma's: what the cosine transform makes of it, in integers here.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.dct.transform import BLOCK
from haarchive.codecs.distributions.jit import kernel

__all__ = ["reduced", "reducing_matrices"]

_BITS = 12
LARGEST = (1 << 15) - 1


@lru_cache(maxsize=4)
def reducing_matrices(factor: int) -> NDArray[np.int64]:
    """What each of several blocks, one after the other, gives to that of means of so many samples.

    Parameters
    ----------
    factor : int

    Returns
    -------
    ndarray, shape (factor, 8, 8), int64
        ``C P C^T`` in 2**-12, rounded: C is the orthonormal cosine transform, and ``P[y, x]`` is 1 / factor where the
        sample x of the block is part of the mean y.
    """
    u, x = np.meshgrid(np.arange(BLOCK), np.arange(BLOCK), indexing="ij")
    cosines = np.cos((2 * x + 1) * u * np.pi / 16) / 2
    cosines[0] /= np.sqrt(2)
    means = np.repeat(np.eye(BLOCK), factor, axis=1).reshape(BLOCK, factor, BLOCK).swapaxes(0, 1) / factor
    return np.rint(cosines @ means @ cosines.T * (1 << _BITS)).astype(np.int64)


def reduced(component: NDArray[np.int32], steps: NDArray[np.int64], grid: tuple[int, int]) -> NDArray[np.int32]:
    """Coefficients of means of a component's samples.

    Parameters
    ----------
    component : ndarray, shape (64, h, w), int32
        Quantised.
    steps : ndarray, shape (64,), int64
    grid : tuple of int
        How many blocks there are to be, down and across; h and w are multiples of these.

    Returns
    -------
    ndarray, shape (64, *grid), int32
        Dequantised, within 2**15.
    """
    down, across = component.shape[1] // grid[0], component.shape[2] // grid[1]
    out = np.empty((BLOCK * BLOCK, *grid), np.int32)
    _reduce(np.ascontiguousarray(component), steps, reducing_matrices(down), reducing_matrices(across), out)
    return out


@kernel
def _reduce(component, steps, vertical, horizontal, out):  # type: ignore[no-untyped-def]
    _, height, width = out.shape
    down, across = len(vertical), len(horizontal)
    sums, half = np.empty((8, 8), np.int64), np.empty((8, 8), np.int64)
    for i in range(height):
        for j in range(width):
            sums[:] = 0
            for a in range(down):
                for b in range(across):
                    half[:] = 0
                    for k in range(64):
                        value = component[k, i * down + a, j * across + b] * steps[k]
                        if value:
                            for u in range(8):
                                half[u, k % 8] += vertical[a, u, k // 8] * value
                    for u in range(8):
                        for v in range(8):
                            for x in range(8):
                                sums[u, v] += half[u, x] * horizontal[b, v, x]
            for k in range(64):
                rounded = (sums[k // 8, k % 8] + (1 << (2 * _BITS - 1))) >> (2 * _BITS)
                out[k, i, j] = min(max(rounded, -LARGEST), LARGEST)
