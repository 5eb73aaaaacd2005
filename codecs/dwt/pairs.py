"""Chroma of half the width: a sample of Cb and Cr for every two pixels of a row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.distributions.jit import kernel
from haarchive.codecs.haar.ycbcr import CONVERSIONS, from_rgb, rgb_of, to_rgb

__all__ = ["CONVERSION", "Halved", "find_pairs", "halve", "to_planes"]

CONVERSION = "ycbcr-coarse"
"""Of Y, Cb, Cr (`haar.ycbcr`), in the slides that were seen."""

_ALIKE = 0.97
_TOP = 255
_NONE = -1000
_NO_GUESS = np.zeros((0, 0), np.int32)


@dataclass(frozen=True, eq=False)
class Halved:
    """A picture as luma and chroma of half the width.

    Parameters
    ----------
    luma : ndarray, shape (H, W), int32
        0 to 255.
    cb, cr : ndarray, shape (H, N), int32
        -128 to 127.
    """

    luma: NDArray[np.int32]
    cb: NDArray[np.int32]
    cr: NDArray[np.int32]


def find_pairs(rgb: NDArray[np.int32]) -> int | None:
    """Whether the first column is the second of a pair (1) or the first (0); None where chroma is not in pairs.

    Parameters
    ----------
    rgb : ndarray, shape (3, H, W), int32
    """
    ycc, missed = from_rgb(CONVERSION, rgb)
    clear = ((rgb > 0) & (rgb < _TOP)).all(axis=0) & ~missed
    both = clear[:, 1:] & clear[:, :-1]
    alike = (ycc[1:, :, 1:] == ycc[1:, :, :-1]).all(axis=0) & both
    shares = [int(alike[:, k::2].sum()) / max(1, int(both[:, k::2].sum())) for k in (0, 1)]
    odd = int(np.argmax(shares))
    return odd if shares[odd] >= _ALIKE > shares[1 - odd] and missed.mean() < 1 - _ALIKE else None


def to_planes(halved: Halved, odd: int) -> NDArray[np.int32]:
    """The picture ``(3, H, W)`` int32; `odd` is whether the first column is the second of a pair."""
    width = halved.luma.shape[1]
    wide = [chroma.repeat(2, axis=1)[:, odd : odd + width] for chroma in (halved.cb, halved.cr)]
    return to_rgb(CONVERSION, np.stack([halved.luma, *wide]))


def halve(rgb: NDArray[np.int32], odd: int, guess: Halved | None = None) -> tuple[Halved, NDArray[np.bool_]]:
    """The luma and chroma that give a picture.

    Parameters
    ----------
    rgb : ndarray, shape (3, H, W), int32
        In ``[0, 255]``.
    odd : int
        Whether the first column is the second of a pair.
    guess : Halved, optional
        What is taken where it is right: a clipped colour may have several.

    Returns
    -------
    halved : Halved
    missed : ndarray, shape (H, W), bool
        Where `to_planes` gives another colour.
    """
    height, width = rgb.shape[1:]
    ycc, _ = from_rgb(CONVERSION, rgb)
    count = (width + odd + 1) // 2
    halved = Halved(np.empty((height, width), np.int32), *np.empty((2, height, count), np.int32))
    missed = np.empty((height, width), np.bool_)
    guessed = (guess.luma, guess.cb, guess.cr) if guess else (_NO_GUESS,) * 3
    _halve(rgb, ycc, odd, *guessed, CONVERSIONS[CONVERSION], halved.luma, halved.cb, halved.cr, missed)
    return halved, missed


@kernel
def _luma(rgb, i, j, first, second, cb, cr, conversion):  # type: ignore[no-untyped-def]
    """The luma that gives a pixel with this chroma: one of two, or any of a clipped colour; _NONE if there is none."""
    red, green, blue = rgb[0, i, j], rgb[1, i, j], rgb[2, i, j]
    for y in (first, second):
        if rgb_of(np.int64(y), cb, cr, conversion) == (red, green, blue):
            return y
    clipped = red == 0 or red == _TOP or green == 0 or green == _TOP or blue == 0 or blue == _TOP
    if clipped:
        for distance in range(_TOP + 1):
            for y in (first - distance, first + distance):
                if 0 <= y <= _TOP and rgb_of(np.int64(y), cb, cr, conversion) == (red, green, blue):
                    return y
    return np.int32(_NONE)


@kernel
def _halve(rgb, ycc, odd, guess_luma, guess_cb, guess_cr, conversion, luma, cb, cr, missed):  # type: ignore[no-untyped-def]
    height, width = luma.shape
    guessed = guess_luma.size > 0
    for i in range(height):
        for n in range(cb.shape[1]):
            begin, end = max(2 * n - odd, 0), min(2 * n - odd + 2, width)
            most = -1
            for source in range(3):
                if source == 0 and not guessed:
                    continue
                at = begin if source == 1 else end - 1
                one = np.int64(ycc[1, i, at] if source else guess_cb[i, n])
                two = np.int64(ycc[2, i, at] if source else guess_cr[i, n])
                hits = 0
                for j in range(begin, end):
                    first = guess_luma[i, j] if guessed else ycc[0, i, j]
                    hits += _luma(rgb, i, j, first, ycc[0, i, j], one, two, conversion) != _NONE
                if hits > most:
                    most, cb[i, n], cr[i, n] = hits, one, two
                if hits == end - begin:
                    break
            for j in range(begin, end):
                first = guess_luma[i, j] if guessed else ycc[0, i, j]
                y = _luma(rgb, i, j, first, ycc[0, i, j], np.int64(cb[i, n]), np.int64(cr[i, n]), conversion)
                missed[i, j] = y == _NONE
                luma[i, j] = ycc[0, i, j] if y == _NONE else y
