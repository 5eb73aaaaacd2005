"""JPEG's discrete cosine transform: backward exactly as decoders do it, forward in floating point for the search.

The inverse is the integer transform of Loeffler, Ligtenberg and Moschytz ("Practical fast 1-D DCT algorithms with 11
multiplications", ICASSP 1989) with 13-bit constants and the rounding of libjpeg's ``jidctint.c`` ("islow"), the default
of libjpeg, libjpeg-turbo and what is built on them (Pillow, OpenCV, OpenSlide, tifffile's codecs, ...).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.distributions.jit import kernel

__all__ = ["BLOCK", "ZIGZAG", "basis", "blocks_of", "coefficients_of", "decode_blocks"]

BLOCK = 8

ZIGZAG = np.array(
    sorted(range(64), key=lambda k: (k // 8 + k % 8, k // 8 if (k // 8 + k % 8) % 2 else k % 8)), np.int64
)
"""Frequencies, ``8 * vertical + horizontal``, from coarse to fine (ITU-T T.81, figure A.6)."""


@lru_cache(maxsize=1)
def basis() -> NDArray[np.float32]:
    """The orthonormal cosines ``(8, 8)``, by frequency and place."""
    u, x = np.meshgrid(np.arange(BLOCK), np.arange(BLOCK), indexing="ij")
    cosines = np.cos((2 * x + 1) * u * np.pi / 16) / 2
    cosines[0] /= np.sqrt(2)
    return cosines.astype(np.float32)


def blocks_of(plane: NDArray[Any]) -> NDArray[Any]:
    """A plane ``(8 h, 8 w)`` as blocks ``(h, w, 8, 8)``: a view."""
    height, width = plane.shape
    return plane.reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK).swapaxes(1, 2)


def coefficients_of(blocks: NDArray[np.float32]) -> NDArray[np.float32]:
    """The orthonormal transform of blocks ``(..., 8, 8)``, which are centred on zero."""
    transformed: NDArray[np.float32] = np.matmul(np.matmul(basis(), blocks), basis().T)
    return transformed


def decode_blocks(coefficients: NDArray[np.int32], steps: NDArray[np.int64]) -> NDArray[np.int32]:
    """The samples of a component.

    Parameters
    ----------
    coefficients : ndarray, shape (64, h, w), int32
        Quantised, by frequency ``8 * vertical + horizontal``.
    steps : ndarray, shape (64,), int64
        Of the quantisation.

    Returns
    -------
    ndarray, shape (8 h, 8 w), int32
        0 to 255.
    """
    _, height, width = coefficients.shape
    out = np.empty((BLOCK * height, BLOCK * width), np.int32)
    _decode(np.ascontiguousarray(coefficients), steps, out)
    return out


@kernel
def _pass(x, down):  # type: ignore[no-untyped-def]
    """One dimension of the inverse transform, in place; `down` bits are rounded away."""
    z1 = (x[2] + x[6]) * 4433
    even2 = z1 - x[6] * 15137
    even3 = z1 + x[2] * 6270
    even0 = (x[0] + x[4]) << 13
    even1 = (x[0] - x[4]) << 13
    a, d, b, c = even0 + even3, even0 - even3, even1 + even2, even1 - even2
    odd0, odd1, odd2, odd3 = x[7], x[5], x[3], x[1]
    z1, z2, z3, z4 = odd0 + odd3, odd1 + odd2, odd0 + odd2, odd1 + odd3
    z5 = (z3 + z4) * 9633
    z1, z2 = -z1 * 7373, -z2 * 20995
    z3, z4 = z5 - z3 * 16069, z5 - z4 * 3196
    odd0 = odd0 * 2446 + z1 + z3
    odd1 = odd1 * 16819 + z2 + z4
    odd2 = odd2 * 25172 + z2 + z3
    odd3 = odd3 * 12299 + z1 + z4
    half = 1 << (down - 1)
    x[0], x[7] = (a + odd3 + half) >> down, (a - odd3 + half) >> down
    x[1], x[6] = (b + odd2 + half) >> down, (b - odd2 + half) >> down
    x[2], x[5] = (c + odd1 + half) >> down, (c - odd1 + half) >> down
    x[3], x[4] = (d + odd0 + half) >> down, (d - odd0 + half) >> down


@kernel
def _decode(coefficients, steps, out):  # type: ignore[no-untyped-def]
    _, height, width = coefficients.shape
    block = np.empty((8, 8), np.int64)
    line = np.empty(8, np.int64)
    for i in range(height):
        for j in range(width):
            for v in range(8):
                for u in range(8):
                    line[u] = coefficients[8 * u + v, i, j] * steps[8 * u + v]
                _pass(line, 11)
                for u in range(8):
                    block[u, v] = line[u]
            for y in range(8):
                row = block[y]
                _pass(row, 18)
                for x in range(8):
                    out[8 * i + y, 8 * j + x] = min(max(row[x] + 128, 0), 255)
