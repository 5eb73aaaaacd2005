"""Pixels that a colour transform does not reproduce: where they are and what they are, behind all samples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.distributions.jit import kernel
from haarchive.codecs.errors import BitstreamError
from haarchive.codecs.rans.kernels import add_bits, add_gamma, take_bits, take_gamma
from haarchive.codecs.rans.stream import OperationList, WordReader

__all__ = ["read_outliers", "write_outliers"]

_BITS = 8


def write_outliers(missed: NDArray[np.bool_], rgb: NDArray[np.int32], operations: OperationList) -> None:
    """Append the pixels that were missed.

    Parameters
    ----------
    missed : ndarray, shape (H, W), bool
        One at least.
    rgb : ndarray, shape (3, H, W), int32
        In ``[0, 255]``.
    operations : OperationList
    """
    places = np.flatnonzero(missed)
    # A value has room for a gap and three samples.
    start, freq, n = operations.reserve(1 + places.size)
    operations.n = _add(places, rgb.reshape(3, -1), start, freq, n)


def read_outliers(reader: WordReader, picture: NDArray[np.uint8]) -> None:
    """Put what `write_outliers` appended into a picture ``(H, W, C)``, which is contiguous.

    Raises
    ------
    BitstreamError
        If there are more than the picture has pixels, or the stream ends too early.
    """
    pixels = picture.reshape(-1, picture.shape[2])
    within, state, pos = _take(pixels, reader.state, reader.words, reader.pos)
    reader.resume(0, state, pos)
    if not within:
        raise BitstreamError("a pixel lies outside of its picture: the bitstream is damaged")


@kernel
def _add(places, rgb, start, freq, n):  # type: ignore[no-untyped-def]
    n = add_gamma(places.size - 1, start, freq, n)
    before = np.int64(-1)
    for place in places:
        n = add_gamma(place - before - 1, start, freq, n)
        for c in range(3):
            n = add_bits(rgb[c, place], _BITS, start, freq, n)
        before = place
    return n


@kernel
def _take(pixels, state, words, pos):  # type: ignore[no-untyped-def]
    """Fill `pixels` ``(N, C)``; returns whether all lay within them, and ``state, pos``."""
    count, state, pos = take_gamma(state, words, pos)
    place = np.int64(-1)
    for _ in range(count + 1):
        gap, state, pos = take_gamma(state, words, pos)
        place += gap + 1
        if place >= pixels.shape[0] or pos > words.size:
            return False, state, pos
        for c in range(3):
            pixels[place, c], state, pos = take_bits(_BITS, state, words, pos)
    return True, state, pos
