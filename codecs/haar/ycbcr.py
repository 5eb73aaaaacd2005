"""Pictures that were made from integer YCbCr: found, and taken back to it.

JPEG and JPEG 2000 decoders, and so cameras and scanners, give RGB that they computed from integers Y, Cb, Cr. Of four
RGB triples only one can occur then: as Y, Cb, Cr such a picture takes 0.4 to 0.7 bit a sample less.

The conversion to RGB is part of the bitstream. How to find the Y, Cb, Cr of a pixel is the encoder's affair.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.distributions.jit import kernel

__all__ = ["CONVERSIONS", "Conversion", "Found", "find", "from_rgb", "likely", "rgb_of", "to_rgb"]

_HALF = 1 << 15
_TOP = 255
_CHROMA = 128
_NONE = -1000
_NO_TABLE = np.zeros((0, 0, 0, 3), np.int16)
_SAMPLED = 4096
_FEWEST = 64
_LIKELY = 0.98
_RARE = 256


class Conversion(NamedTuple):
    """What Cr adds to red, Cb and Cr take off green, and Cb adds to blue, in 2**-16."""

    red: int
    green_by_blue: int
    green_by_red: int
    blue: int


CONVERSIONS = {
    "ycbcr": Conversion(91881, 22554, 46802, 116130),
    "ycbcr-coarse": Conversion(92160, 22528, 47104, 115712),
}
"""By name, in the order of their numbers in the bitstream.

``ycbcr`` is JFIF's (ITU-T T.871, section 7), rounded as libjpeg and libjpeg-turbo do it (jdcolor.c): 1.402, 0.344136,
0.714136, 1.772. ``ycbcr-coarse`` is 45/32, 11/32, 23/32 and 113/64, found in slides that were JPEG 2000.
"""


@dataclass(frozen=True, eq=False)
class Found:
    """A picture as Y, Cb, Cr.

    Parameters
    ----------
    name : str
        One of `CONVERSIONS`.
    ycc : ndarray, shape (3, H, W), int32
        Cb and Cr centred on 0.
    missed : ndarray, shape (H, W), bool
        Where `to_rgb` gives another colour.
    """

    name: str
    ycc: NDArray[np.int32]
    missed: NDArray[np.bool_]


def find(rgb: NDArray[np.int32]) -> Found | None:
    """Take a picture back to the Y, Cb, Cr that it was made from; None where it was not, or has hardly any colour.

    Parameters
    ----------
    rgb : ndarray, shape (3, H, W), int32
        In ``[0, 255]``.
    """
    name = likely(rgb)
    if name is None:
        return None
    ycc, missed = from_rgb(name, rgb)
    # Greys gain nothing, and a missed pixel costs some 30 bits.
    coloured = np.count_nonzero(ycc[1] | ycc[2])
    return Found(name, ycc, missed) if _RARE * np.count_nonzero(missed) < coloured else None


def likely(rgb: NDArray[np.int32]) -> str | None:
    """The conversion that can have made nearly all of some pixels spread over a picture, if there is one.

    Parameters
    ----------
    rgb : ndarray, shape (3, H, W), int32
        In ``[0, 255]``.
    """
    pixels = rgb.reshape(3, -1)
    # An odd step, so as not to look at the same corner of all of a JPEG's blocks.
    sample = pixels[:, :: pixels.shape[1] // _SAMPLED | 1]
    sample = sample[:, ((sample > 0) & (sample < _TOP)).all(axis=0)]
    count = sample.shape[1]
    if count < _FEWEST:
        return None
    hits = {name: _count_hits(sample, one, _inverse(one)) for name, one in CONVERSIONS.items()}
    best = max(hits, key=lambda name: hits[name])
    return best if hits[best] >= _LIKELY * count else None


def to_rgb(name: str, ycc: NDArray[np.int32]) -> NDArray[np.int32]:
    """Convert as decoders do.

    Parameters
    ----------
    name : str
        One of `CONVERSIONS`.
    ycc : ndarray, shape (3, ...), int32
        Cb and Cr centred on 0; of any size.

    Returns
    -------
    ndarray of the same shape, int32
        In ``[0, 255]``.
    """
    rgb = np.empty(ycc.shape, np.int32)
    _convert(ycc.reshape(3, -1), CONVERSIONS[name], rgb.reshape(3, -1))
    return rgb


def from_rgb(name: str, rgb: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """The Y, Cb, Cr that give these colours; of several, those next to what real numbers would be.

    Parameters
    ----------
    name : str
        One of `CONVERSIONS`.
    rgb : ndarray, shape (3, H, W), int32
        In ``[0, 255]``.

    Returns
    -------
    ycc : ndarray, shape (3, H, W), int32
        Of what no Y, Cb, Cr give, the rounded real numbers.
    missed : ndarray, shape (H, W), bool
        Where that is so.
    """
    conversion = CONVERSIONS[name]
    ycc = np.empty(rgb.shape, np.int32)
    missed = np.empty(rgb.shape[1:], bool)
    has_clipped = rgb.size and (rgb.min() == 0 or rgb.max() == _TOP)
    clipped = _clipped(conversion) if has_clipped else _NO_TABLE
    _revert(rgb.reshape(3, -1), conversion, _inverse(conversion), clipped, ycc.reshape(3, -1), missed.reshape(-1))
    return ycc, missed


class _Inverse(NamedTuple):
    """What takes a colour back, in real numbers: luma in 2**-16, chroma by red - Y and blue - Y in 2**-32."""

    luma_of_red: int
    luma_of_green: int
    luma_of_blue: int
    cr: int
    cb: int


@lru_cache
def _inverse(conversion: Conversion) -> _Inverse:
    red, blue = conversion.green_by_red / conversion.red, conversion.green_by_blue / conversion.blue
    luma = (1 << 16) / (red + 1 + blue)
    return _Inverse(
        round(luma * red), round(luma), round(luma * blue),
        round((1 << 48) / conversion.red), round((1 << 48) / conversion.blue),
    )  # fmt: skip


@lru_cache
def _clipped(conversion: Conversion) -> NDArray[np.int16]:
    """The Y, Cb, Cr of each colour with a 0 or 255, ``(6, 256, 256, 3)``: by `_face`; _NONE where there are none.

    Clipping took from these colours what would tell their luma: all that there are, in some 0.15 s, are quicker to try
    once than those of each pixel.
    """
    table = np.full((6, _TOP + 1, _TOP + 1, 3), _NONE, np.int16)
    _enumerate(conversion, _inverse(conversion), table, np.full(table.shape[:3], np.inf, np.float32))
    return table


@kernel
def rgb_of(y, cb, cr, conversion):  # type: ignore[no-untyped-def]
    """The colour of a pixel, for kernels: Cb and Cr centred on 0, all int64."""
    red = y + ((conversion.red * cr + _HALF) >> 16)
    green = y + ((_HALF - conversion.green_by_blue * cb - conversion.green_by_red * cr) >> 16)
    blue = y + ((conversion.blue * cb + _HALF) >> 16)
    return min(max(red, 0), _TOP), min(max(green, 0), _TOP), min(max(blue, 0), _TOP)


@kernel
def _convert(ycc, conversion, rgb):  # type: ignore[no-untyped-def]
    """``(3, N)`` int32 to ``(3, N)``; in 64 bits, as damaged bitstreams hold any number."""
    for n in range(ycc.shape[1]):
        y, cb, cr = np.int64(ycc[0, n]), np.int64(ycc[1, n]), np.int64(ycc[2, n])
        rgb[0, n], rgb[1, n], rgb[2, n] = rgb_of(y, cb, cr, conversion)


@kernel
def _nearest(y, red, blue, inverse):  # type: ignore[no-untyped-def]
    """The rounded Cb and Cr of a colour of this Y."""
    half = 1 << 31
    return ((blue - y) * inverse.cb + half) >> 32, ((red - y) * inverse.cr + half) >> 32


@kernel
def _solve(red, green, blue, conversion, inverse):  # type: ignore[no-untyped-def]
    """Y, Cb, Cr of a colour that was not clipped, and whether they give it.

    Red, green and blue are each at most 1/2 from the real numbers that Y, Cb, Cr give, so that the luma of all
    three, their weighted mean, is at most 1/2 from Y: the rounded luma, or in a tie its neighbour. Red - Y is at most
    1/2 from 1.4 Cr and more, so that Cr is the only one that rounding can give; Cb likewise.
    """
    luma = inverse.luma_of_red * red + inverse.luma_of_green * green + inverse.luma_of_blue * blue
    middle = (luma + _HALF) >> 16
    cb, cr = _nearest(middle, red, blue, inverse)
    if rgb_of(middle, cb, cr, conversion) == (red, green, blue):
        return middle, cb, cr, True
    other = middle - 1 if luma & 0xFFFF >= _HALF else middle + 1
    other_cb, other_cr = _nearest(other, red, blue, inverse)
    if rgb_of(other, other_cb, other_cr, conversion) == (red, green, blue):
        return other, other_cb, other_cr, True
    return middle, cb, cr, False


@kernel
def _face(red, green, blue):  # type: ignore[no-untyped-def]
    """Where `_clipped` has a colour: which side of the cube, row and column; side -1 of one that is inside."""
    if red == 0 or red == _TOP:
        return np.int64(red == _TOP), green, blue
    if green == 0 or green == _TOP:
        return 2 + np.int64(green == _TOP), red, blue
    if blue == 0 or blue == _TOP:
        return 4 + np.int64(blue == _TOP), red, green
    return np.int64(-1), red, green


@kernel
def _enumerate(conversion, inverse, table, nearest):  # type: ignore[no-untyped-def]
    """Fill `_clipped`'s table, with the squared distances from what real numbers would be in `nearest`."""
    for y in range(_TOP + 1):
        for cb in range(-_CHROMA, _CHROMA):
            for cr in range(-_CHROMA, _CHROMA):
                red, green, blue = rgb_of(y, cb, cr, conversion)
                side, row, column = _face(red, green, blue)
                if side < 0:
                    continue
                luma = inverse.luma_of_red * red + inverse.luma_of_green * green + inverse.luma_of_blue * blue
                real = luma / 65536
                real_cb, real_cr = (blue - real) * 65536 / conversion.blue, (red - real) * 65536 / conversion.red
                distance = (y - real) ** 2 + (cb - real_cb) ** 2 + (cr - real_cr) ** 2
                if distance < nearest[side, row, column]:
                    nearest[side, row, column] = distance
                    table[side, row, column, 0] = y
                    table[side, row, column, 1] = cb
                    table[side, row, column, 2] = cr


@kernel
def _revert(rgb, conversion, inverse, clipped, ycc, missed):  # type: ignore[no-untyped-def]
    """``(3, N)`` int32 to ``(3, N)`` and ``(N,)``; `clipped` is looked at where a colour has a 0 or 255."""
    for n in range(rgb.shape[1]):
        red, green, blue = np.int64(rgb[0, n]), np.int64(rgb[1, n]), np.int64(rgb[2, n])
        side, row, column = _face(red, green, blue)
        if side >= 0 and clipped[side, row, column, 0] != _NONE:
            for c in range(3):
                ycc[c, n] = clipped[side, row, column, c]
            missed[n] = False
        else:
            ycc[0, n], ycc[1, n], ycc[2, n], hit = _solve(red, green, blue, conversion, inverse)
            missed[n] = not hit


@kernel
def _count_hits(rgb, conversion, inverse):  # type: ignore[no-untyped-def]
    """How many of colours ``(3, N)`` int32 that were not clipped have a Y, Cb, Cr."""
    count = 0
    for n in range(rgb.shape[1]):
        red, green, blue = np.int64(rgb[0, n]), np.int64(rgb[1, n]), np.int64(rgb[2, n])
        count += _solve(red, green, blue, conversion, inverse)[3]
    return count
