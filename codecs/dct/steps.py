"""What a component was quantised with, from the coefficients of its decoded samples; only encoders search.

Coefficients of samples that were decoded and rounded lie near multiples of the step of their frequency (Neelamani,
de Queiroz, Fan, Dash, Baraniuk, "JPEG compression history estimation for color images", IEEE Transactions on Image
Processing 15(6), 2006). Where a frequency has too few coefficients that are not zero to tell, tables of the Independent
JPEG Group's quality scale that agree with the others do.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["find_steps", "ijg_tables", "of_same_quality"]

_LARGEST_STEP = 255
_CLEAR_FROM = 1.5
"""Larger magnitudes are not zeros that rounding moved."""
_LEAST, _PART = 6, 64
"""Coefficients that are not zero, for a step to be told from them alone, and one in how many: clipping and enlarged
chroma move some zeros farther."""
_SEEN = 256
_NEAR = 0.75
"""What rounded samples add to a coefficient has a standard deviation of 0.29."""
_MOST = 0.75
"""Part of the magnitudes that are near multiples; clipping moves the others."""
_AGREEING = 0.85
_AS_WELL = 0.03
_LATTICE = 0.5
"""Part of the frequencies that must have a step above 1."""

# ITU-T T.81, tables K.1 and K.2, in rows.
_LUMINANCE = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51,
    87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121, 120, 101,
    72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
_CHROMINANCE = (
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99, 47, 66,
    *[99] * 38,
)  # fmt: skip


def find_steps(coefficients: NDArray[np.float32], *, enlarged: bool = False) -> NDArray[np.int64] | None:
    """The steps of the quantisation.

    Parameters
    ----------
    coefficients : ndarray, shape (N, 64), float32
        By frequency ``8 * vertical + horizontal``.
    enlarged : bool
        Whether they are of a component that was enlarged in between, which makes them less certain.

    Returns
    -------
    ndarray, shape (64,), int64, optional
        Where several steps explain a frequency, the largest: multiples are what counts. None where the coefficients
        do not lie on a lattice.
    """
    if np.abs(coefficients).max(initial=0) < _NEAR:  # chroma of a grey picture
        return np.ones(64, np.int64)
    clear = _CLEAR_FROM * (2 if enlarged else 1)
    fits = np.zeros((64, _LARGEST_STEP + 1), bool)
    fits[:, 1] = True
    known = np.zeros(64, bool)
    for k in range(64):
        sizes = np.abs(coefficients[:, k])
        sizes = sizes[sizes > clear]
        known[k] = sizes.size >= max(_LEAST, len(coefficients) // _PART)
        if sizes.size:
            _find_fitting(sizes, fits[k])
    steps: NDArray[np.int64] = _LARGEST_STEP - fits[:, ::-1].argmax(axis=1)
    if not known.any() or (steps[known] > 1).mean() < _LATTICE:
        return None
    tables = ijg_tables()
    # A step of 1 fits everything; it agrees where no other does.
    fits[:, 1] = steps == 1
    agreeing = fits[np.flatnonzero(known), tables[:, known]].mean(axis=1)
    if agreeing.max() < _AGREEING:
        return steps
    # Of tables that agree as well, the coarsest: finer ones may agree with multiples.
    best = np.flatnonzero(agreeing >= agreeing.max() - _AS_WELL)
    table: NDArray[np.int64] = tables[best[tables[best].sum(axis=1).argmax()]]
    return table


def _find_fitting(sizes: NDArray[np.float32], fits: NDArray[np.bool_]) -> None:
    """Mark the steps whose multiples are near the magnitudes."""
    some = sizes[:: max(1, sizes.size // _SEEN)][:_SEEN]
    most = min(_LARGEST_STEP, int(np.median(some)) + 2)
    candidates = np.arange(2, most + 1, dtype=np.float32)[:, None]
    multiples = np.rint(some / candidates)
    near = np.abs(some - candidates * multiples) < np.minimum(_NEAR, 0.3 * candidates)
    fits[2 : most + 1] = (near & (multiples > 0)).mean(axis=1) >= _MOST


def of_same_quality(luma: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The tables that go with one of luma on the Independent JPEG Group's scale: chroma's, and the same again."""
    tables = ijg_tables()
    half = len(tables) // 2
    known = np.flatnonzero((tables[:half] == luma).all(axis=1))
    return [*(tables[half + n] for n in known), luma]


@lru_cache(maxsize=1)
def ijg_tables() -> NDArray[np.int64]:
    """The Independent JPEG Group's tables: qualities 1 to 100 of luminance, then of chrominance, ``(200, 64)``."""
    quality = np.arange(1, 101)
    scale = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    bases = np.array([_LUMINANCE, _CHROMINANCE], np.int64)
    return np.clip((bases[:, None] * scale[None, :, None] + 50) // 100, 1, _LARGEST_STEP).reshape(-1, 64)
