"""The inverse cosine transforms of JPEG decoders, in their own integers, bit for bit.

``libjpeg`` is the transform of Loeffler, Ligtenberg and Moschytz ("Practical fast 1-D DCT algorithms with 11
multiplications", ICASSP 1989) with 13-bit constants and the rounding of libjpeg's ``jidctint.c`` ("islow"), the default
of libjpeg, libjpeg-turbo and what is built on them (Pillow, OpenCV, OpenSlide, tifffile's codecs, ...).

``intel`` is that of Intel's application note AP-922 ("A fast precise implementation of 8x8 discrete cosine transform
using the streaming SIMD extensions and MMX instructions", 1999), which works on 16-bit numbers, with offsets of the
rows that cancel the bias of the columns' truncated products. Scanners' software that was built on Intel's libraries
decodes so: slides that it cut pictures from are recognised by these offsets.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.distributions.jit import kernel

__all__ = ["INVERSES", "decode_blocks"]

INVERSES = ("libjpeg", "intel")
"""By their numbers in the bitstream."""

# cos(n pi / 16), n = 1 ... 7, in 2**-15, of the rows 0 and 4, 1 and 7, 2 and 6, 3 and 5: each times what the columns
# leave to the rows, cos(pi / 4), cos(pi / 16), cos(pi / 8), cos(3 pi / 16), and the square root of 2.
_ROWS = np.array(
    [
        [22725, 21407, 19266, 16384, 12873, 8867, 4520],
        [31521, 29692, 26722, 22725, 17855, 12299, 6270],
        [29692, 27969, 25172, 21407, 16819, 11585, 5906],
        [26722, 25172, 22654, 19266, 15137, 10426, 5315],
    ],
    np.int64,
)
_ROW_KIND = (0, 1, 2, 3, 0, 3, 2, 1)
# One half, and what cancels the bias of `_intel_columns`, in 2**-11; that of row 0 rounds the samples themselves.
_ROW_OFFSET = (65536, 2901, 2260, 1704, 1024, 454, 512, 373)
# tan(n pi / 16) and cos(pi / 4), in 2**-16.
_TAN1, _TAN2, _TAN3, _COS = 13036, 27146, 43790, 46341


def decode_blocks(
    coefficients: NDArray[np.int32],
    steps: NDArray[np.int64],
    inverse: str = INVERSES[0],
    *,
    out: NDArray[np.int32] | None = None,
) -> NDArray[np.int32]:
    """The samples of a component.

    Parameters
    ----------
    coefficients : ndarray, shape (64, h, w), int32
        Quantised, by frequency ``8 * vertical + horizontal``.
    steps : ndarray, shape (64,), int64
        Of the quantisation.
    inverse : str
        One of `INVERSES`.
    out : ndarray, shape (8 h, 8 w), int32, optional
        To be filled and returned, contiguous.

    Returns
    -------
    ndarray, shape (8 h, 8 w), int32
        0 to 255.
    """
    _, height, width = coefficients.shape
    if out is None:
        out = np.empty((8 * height, 8 * width), np.int32)
    decode = {"libjpeg": _decode_libjpeg, "intel": _decode_intel}[inverse]
    decode(np.ascontiguousarray(coefficients), steps, out)
    return out


@kernel
def _libjpeg_pass(x, down):  # type: ignore[no-untyped-def]
    """One dimension, in place; `down` bits are rounded away."""
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
def _decode_libjpeg(coefficients, steps, out):  # type: ignore[no-untyped-def]
    _, height, width = coefficients.shape
    block = np.empty((8, 8), np.int64)
    line = np.empty(8, np.int64)
    for i in range(height):
        for j in range(width):
            for v in range(8):
                for u in range(8):
                    line[u] = coefficients[8 * u + v, i, j] * steps[8 * u + v]
                _libjpeg_pass(line, 11)
                for u in range(8):
                    block[u, v] = line[u]
            for y in range(8):
                row = block[y]
                _libjpeg_pass(row, 18)
                for x in range(8):
                    out[8 * i + y, 8 * j + x] = min(max(row[x] + 128, 0), 255)


@kernel
def _intel_row(x, factors, offset):  # type: ignore[no-untyped-def]
    """One row of coefficients, in place: sums of products, of which 11 bits are cut off."""
    c1, c2, c3, c4, c5, c6, c7 = factors
    a = x[0] * c4 + offset
    a0 = a + x[2] * c2 + x[4] * c4 + x[6] * c6
    a1 = a + x[2] * c6 - x[4] * c4 - x[6] * c2
    a2 = a - x[2] * c6 - x[4] * c4 + x[6] * c2
    a3 = a - x[2] * c2 + x[4] * c4 - x[6] * c6
    b0 = x[1] * c1 + x[3] * c3 + x[5] * c5 + x[7] * c7
    b1 = x[1] * c3 - x[3] * c7 - x[5] * c1 - x[7] * c5
    b2 = x[1] * c5 - x[3] * c1 + x[5] * c7 + x[7] * c3
    b3 = x[1] * c7 - x[3] * c5 + x[5] * c3 - x[7] * c1
    x[0], x[7] = (a0 + b0) >> 11, (a0 - b0) >> 11
    x[1], x[6] = (a1 + b1) >> 11, (a1 - b1) >> 11
    x[2], x[5] = (a2 + b2) >> 11, (a2 - b2) >> 11
    x[3], x[4] = (a3 + b3) >> 11, (a3 - b3) >> 11


@kernel
def _intel_column(x):  # type: ignore[no-untyped-def]
    """One column, in place: of products the high 16 bits, of the results 6 bits are cut off."""
    p17, m17 = x[1] + (x[7] * _TAN1 >> 16), (x[1] * _TAN1 >> 16) - x[7]
    p35, m35 = x[3] + (x[5] * _TAN3 >> 16), (x[3] * _TAN3 >> 16) - x[5]
    b0, b3 = p17 + p35, m17 - m35
    t1, t2 = p17 - p35, m17 + m35
    b1, b2 = (t1 + t2) * _COS >> 16, (t1 - t2) * _COS >> 16
    p26, m26 = x[2] + (x[6] * _TAN2 >> 16), (x[2] * _TAN2 >> 16) - x[6]
    p04, m04 = x[0] + x[4], x[0] - x[4]
    a0, a1, a2, a3 = p04 + p26, m04 + m26, m04 - m26, p04 - p26
    x[0], x[7] = (a0 + b0) >> 6, (a0 - b0) >> 6
    x[1], x[6] = (a1 + b1) >> 6, (a1 - b1) >> 6
    x[2], x[5] = (a2 + b2) >> 6, (a2 - b2) >> 6
    x[3], x[4] = (a3 + b3) >> 6, (a3 - b3) >> 6


@kernel
def _decode_intel(coefficients, steps, out):  # type: ignore[no-untyped-def]
    _, height, width = coefficients.shape
    block = np.empty((8, 8), np.int64)
    line = np.empty(8, np.int64)
    for i in range(height):
        for j in range(width):
            for u in range(8):
                row = block[u]
                for v in range(8):
                    row[v] = coefficients[8 * u + v, i, j] * steps[8 * u + v]
                _intel_row(row, _ROWS[_ROW_KIND[u]], _ROW_OFFSET[u])
            for x in range(8):
                for y in range(8):
                    line[y] = block[y, x]
                _intel_column(line)
                for y in range(8):
                    out[8 * i + y, 8 * j + x] = min(max(line[y] + 128, 0), 255)
