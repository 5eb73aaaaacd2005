"""JPEG files of given coefficients, an independent way from coefficients to bytes.

Written after ITU-T T.81, annexes B, C and F. Huffman codes are all of one length, as size does not matter.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jpeg_models import DHT, DQT, DRI, EOI, SOF0, SOI, SOS, segment
from numpy.typing import NDArray

Components = Sequence[NDArray[np.int32]]

ZIGZAG = (
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
)  # fmt: skip
"""T.81, figure 5."""

_DC_SYMBOLS = tuple(range(16))
_ZEROS, _END = 0xF0, 0x00
_AC_SYMBOLS = (_END, _ZEROS, *(run << 4 | size for run in range(16) for size in range(1, 16)))
_DC_BITS, _AC_BITS = 5, 8


def shapes_of(factors: Sequence[tuple[int, int]], units: tuple[int, int]) -> list[tuple[int, int, int]]:
    """Of each component ``(64, h, w)``, from its blocks in a unit, down and across; one that is alone has one."""
    if len(factors) == 1:
        return [(64, *units)]
    return [(64, units[0] * down, units[1] * across) for down, across in factors]


def header_of(
    factors: Sequence[tuple[int, int]], size: tuple[int, int], restart: int = 0, step: int | Sequence[int] = 1
) -> bytes:
    """All of a file before its scan; `size` is height and width in pixels."""
    count = len(factors)
    out = bytearray(SOI)
    steps = [step] * 64 if isinstance(step, int) else step
    out += segment(DQT, bytes([0, *(steps[k] for k in ZIGZAG)]))
    frame = bytearray([8, *size[0].to_bytes(2), *size[1].to_bytes(2), count])
    for n, (down, across) in enumerate(factors):
        frame += bytes([n + 1, across << 4 | down, 0])
    out += segment(SOF0, bytes(frame))
    for kind, bits, symbols in ((0x00, _DC_BITS, _DC_SYMBOLS), (0x10, _AC_BITS, _AC_SYMBOLS)):
        lengths = [len(symbols) if length == bits else 0 for length in range(1, 17)]
        out += segment(DHT, bytes([kind, *lengths, *symbols]))
    if restart:
        out += segment(DRI, restart.to_bytes(2))
    return bytes(out) + segment(SOS, bytes([count, *(b for n in range(count) for b in (n + 1, 0)), 0, 63, 0]))


def file_of(
    components: Components,
    factors: Sequence[tuple[int, int]],
    units: tuple[int, int],
    restart: int = 0,
    pads: Sequence[int] = (1,),
    step: int | Sequence[int] = 1,
    wasteful: bool = False,
) -> bytes:
    """A JPEG file of complete units.

    Parameters
    ----------
    components : sequence of ndarray, shape (64, h, w), int32
        Quantised, by frequency ``8 * vertical + horizontal``; of `shapes_of`.
    factors : sequence of tuple of int
        Of each component: blocks in a unit, down and across.
    units : tuple of int
        Down and across.
    restart : int
        Units between restart markers.
    pads : sequence of int
        The bits to fill last bytes with, in turn.
    step : int or sequence of int
        Of quantisation, by frequency.
    wasteful : bool
        Whether runs of zeros are coded also where the end of the block says it all.
    """
    tall, wide = (1, 1) if len(factors) == 1 else (max(f[n] for f in factors) for n in (0, 1))
    head = header_of(factors, (8 * tall * units[0], 8 * wide * units[1]), restart, step)
    pieces = intervals(components, factors, units, restart, wasteful)
    out = bytearray(head)
    for n, bits in enumerate(pieces):
        if n:
            out += bytes([0xFF, 0xD0 + (n - 1) % 8])
        out += packed(bits, pads[n % len(pads)])
    return bytes(out + EOI)


def packed(bits: str, pad: int = 1) -> bytes:
    """Bits as bytes of a scan."""
    bits += str(pad) * (-len(bits) % 8)
    return int("1" + bits, 2).to_bytes(len(bits) // 8 + 1)[1:].replace(b"\xff", b"\xff\x00")


def intervals(
    components: Components,
    factors: Sequence[tuple[int, int]],
    units: tuple[int, int],
    restart: int = 0,
    wasteful: bool = False,
) -> list[str]:
    """The bits of each restart interval."""
    pieces: list[list[str]] = []
    last: list[int] = []
    for unit in range(units[0] * units[1]):
        if not pieces or (restart and unit % restart == 0):
            pieces.append([])
            last = [0] * len(components)
        i, j = divmod(unit, units[1])
        for n, component in enumerate(components):
            down, across = factors[n] if len(factors) > 1 else (1, 1)
            for y in range(down):
                for x in range(across):
                    block = component[:, down * i + y, across * j + x].tolist()
                    pieces[-1].append(_block([block[k] for k in ZIGZAG], last[n], wasteful))
                    last[n] = block[0]
    return ["".join(piece) for piece in pieces]


def _block(values: list[int], before: int, wasteful: bool) -> str:
    difference = values[0] - before
    bits = f"{abs(difference).bit_length():0{_DC_BITS}b}" + _magnitude(difference)
    run = 0
    for value in values[1:]:
        if value == 0:
            run += 1
            continue
        bits += _symbol(_ZEROS) * (run // 16) + _symbol(run % 16 << 4 | abs(value).bit_length()) + _magnitude(value)
        run = 0
    if wasteful:
        bits += _symbol(_ZEROS) * (run // 16)
        run %= 16
    return bits + (_symbol(_END) if run else "")


def _symbol(symbol: int) -> str:
    return f"{_AC_SYMBOLS.index(symbol):0{_AC_BITS}b}"


def _magnitude(value: int) -> str:
    size = abs(value).bit_length()
    return f"{value if value > 0 else value + (1 << size) - 1:0{size}b}" if size else ""
