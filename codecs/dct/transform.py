"""JPEG's blocks and their frequencies, and the forward cosine transform, in floating point for the search."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["BLOCK", "ZIGZAG", "basis", "blocks_of", "coefficients_of"]

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
