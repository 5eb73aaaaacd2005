"""Baseline JPEG files of given coefficients, for decoders to read: an independent way from coefficients to samples.

Written after ITU-T T.81, annexes B and F. Huffman codes are all of one length, as size does not matter.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

ZIGZAG = (
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
)  # fmt: skip
"""T.81, figure 5."""

_DC_SYMBOLS = tuple(range(12))
_ZEROS, _END = 0xF0, 0x00
_AC_SYMBOLS = (_END, _ZEROS, *(run << 4 | size for run in range(16) for size in range(1, 11)))
_DC_BITS, _AC_BITS = 4, 8


def jpeg_of(
    components: Sequence[NDArray[np.int32]],
    steps: NDArray[np.int64],
    sampling: tuple[int, int] = (1, 1),
    converted: bool = True,
) -> bytes:
    """A JPEG of complete units.

    Parameters
    ----------
    components : sequence of ndarray, shape (64, h, w), int32
        Quantised, by frequency ``8 * vertical + horizontal``.
    steps : ndarray, shape (C, 64), int64
    sampling : tuple of int
        Rows and columns of luma to one of chroma.
    converted : bool
        Whether three components are Y, Cb, Cr rather than red, green, blue.
    """
    count = len(components)
    factors = [sampling, *[(1, 1)] * (count - 1)]
    height, width = 8 * components[0].shape[1], 8 * components[0].shape[2]
    out = bytearray(b"\xff\xd8")
    # Adobe's marker says what the components are.
    out += _segment(0xEE, b"Adobe" + bytes([0, 100, 0, 0, 0, 0, int(converted and count == 3)]))
    for n in range(count):
        out += _segment(0xDB, bytes([n, *(int(steps[n, k]) for k in ZIGZAG)]))
    frame = bytearray([8, *height.to_bytes(2, "big"), *width.to_bytes(2, "big"), count])
    for n, (down, across) in enumerate(factors):
        frame += bytes([n + 1, across << 4 | down, n])
    out += _segment(0xC0, bytes(frame))
    for kind, bits, symbols in ((0x00, _DC_BITS, _DC_SYMBOLS), (0x10, _AC_BITS, _AC_SYMBOLS)):
        lengths = [len(symbols) if length == bits else 0 for length in range(1, 17)]
        out += _segment(0xC4, bytes([kind, *lengths, *symbols]))
    out += _segment(0xDA, bytes([count, *(b for n in range(count) for b in (n + 1, 0)), 0, 63, 0]))
    return bytes(out + _scan(components, factors) + b"\xff\xd9")


def decoded(data: bytes, *, converted: bool = True) -> NDArray[np.int32]:
    """Samples ``(C, H, W)`` as Pillow's libjpeg-turbo gives them; if not `converted`, Y, Cb, Cr as they are."""
    image = Image.open(io.BytesIO(data))
    if not converted:
        image.draft("YCbCr", image.size)
    samples = np.asarray(image, np.int32)
    return np.ascontiguousarray(np.moveaxis(samples, 2, 0) if samples.ndim == 3 else samples[None])


def _segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(content) + 2).to_bytes(2, "big") + content


def _scan(components: Sequence[NDArray[np.int32]], factors: Sequence[tuple[int, int]]) -> bytes:
    bits: list[str] = []
    last = [0] * len(components)
    rows, columns = components[-1].shape[1:]
    for i in range(rows):
        for j in range(columns):
            for n, (down, across) in enumerate(factors):
                for y in range(down):
                    for x in range(across):
                        block = components[n][:, down * i + y, across * j + x]
                        bits.append(_block([int(block[k]) for k in ZIGZAG], last[n]))
                        last[n] = int(block[0])
    text = "".join(bits)
    text += "1" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big").replace(b"\xff", b"\xff\x00")


def _block(values: list[int], before: int) -> str:
    difference = values[0] - before
    bits = f"{abs(difference).bit_length():04b}" + _magnitude(difference)
    run = 0
    for value in values[1:]:
        if value == 0:
            run += 1
            continue
        bits += _symbol(_ZEROS) * (run // 16) + _symbol(run % 16 << 4 | abs(value).bit_length()) + _magnitude(value)
        run = 0
    return bits + (_symbol(_END) if run else "")


def _symbol(symbol: int) -> str:
    return f"{_AC_SYMBOLS.index(symbol):08b}"


def _magnitude(value: int) -> str:
    size = abs(value).bit_length()
    return f"{value if value > 0 else value + (1 << size) - 1:0{size}b}" if size else ""
