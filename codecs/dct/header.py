"""What the bitstream of a picture that was a JPEG begins with."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.dct.history import History
from haarchive.codecs.dct.inverse import INVERSES
from haarchive.codecs.dct.sampling import NO_SEAMS, SAMPLINGS, Seams
from haarchive.codecs.dct.steps import ijg_tables
from haarchive.codecs.errors import BitstreamError

__all__ = ["MOST_PIXELS", "read_header", "write_header"]

MOST_PIXELS = 1 << 24
"""Of a picture: coefficients and what is known of them take some forty bytes a pixel while they are coded."""

_EARLIEST, _EARLIER, _VERSION = 1, 2, 3
"""Of the first the inverse transform is libjpeg's, and the frame is in the picture's planes; the others say so. Before
the third, predictors of coefficients were `location.earlier_predictors`."""
_CONVERTED, _SAMPLING_SHIFT, _CONSTANT = 1, 1, 8
_FRAME_CONVERTED, _TILED = 128, 64
_FIXED = struct.Struct("<BBbbHHHH")
_SEAMS = struct.Struct("<HHHH")
_OTHER_TABLE = 0
_MOST_BEYOND = 16
"""Samples that units may reach beyond the picture: less than a whole one."""


def write_header(history: History) -> bytes:
    """Lay out a history.

    Version * 16 + flags (1: converted; 2 and 4: number of the sampling; 8: one more plane, constant), planes, origin's
    row and column (i8), height and width (u16, less 1), units down and across (u16); since version 2 the number of the
    inverse transform (128 is added where the frame is Y, Cb, Cr; 64 where there are seams, whose first and period, of
    rows and columns, follow as u16); then for each component the number of its table, 1 to 200, or 0 and its 64 steps;
    then the constant plane's value.
    """
    height, width, planes = history.shape
    flags = _CONVERTED * history.converted + (SAMPLINGS.index(history.sampling) << _SAMPLING_SHIFT)
    tiled = any(seams.first for seams in history.seams)
    more = INVERSES.index(history.inverse) + _FRAME_CONVERTED * history.frame_converted + _TILED * tiled
    first = _VERSION << 4 | flags | (_CONSTANT if history.constant is not None else 0)
    out = bytearray(_FIXED.pack(first, planes, *history.origin, height - 1, width - 1, *history.units))
    out.append(more)
    if tiled:
        out += _SEAMS.pack(*history.seams[0], *history.seams[1])
    for steps in history.steps:
        known = np.flatnonzero((ijg_tables() == steps).all(axis=1))
        out += bytes([known[0] + 1]) if known.size else bytes([_OTHER_TABLE, *steps])
    if history.constant is not None:
        out.append(history.constant)
    return bytes(out)


def read_header(data: bytes) -> tuple[History, bool, int]:
    """Read what `write_header` made.

    Returns
    -------
    history : History
    earlier : bool
        Whether the coefficients were coded by earlier predictors.
    begin : int
        Where the stream begins.

    Raises
    ------
    BitstreamError
        If it is damaged, or of another version.
    """
    if len(data) < _FIXED.size:
        raise BitstreamError("the header of a dct bitstream is cut short")
    first, planes, row, column, height, width, down, across = _FIXED.unpack_from(data)
    version = first >> 4
    if not _EARLIEST <= version <= _VERSION:
        raise BitstreamError(f"dct bitstream version {version} is not one of 1 to {_VERSION}: update haarchive")
    converted, sampling = bool(first & _CONVERTED), (first >> _SAMPLING_SHIFT) & 3
    if (
        planes not in (1, 3)
        or sampling >= len(SAMPLINGS)
        or (converted and planes == 1)
        or (sampling and not converted)
    ):
        raise BitstreamError("the header of a dct bitstream is damaged")
    at, more, tables = _FIXED.size, 0, []
    if version >= _EARLIER:
        more, at = _take_byte(data, at)
    inverse, frame_converted = more & ~(_FRAME_CONVERTED | _TILED), bool(more & _FRAME_CONVERTED)
    seams = NO_SEAMS, NO_SEAMS
    if more & _TILED:
        if version < _VERSION:
            raise BitstreamError("the header of a dct bitstream is damaged")
        seams, at = _read_seams(data, at)
    if inverse >= len(INVERSES):
        raise BitstreamError(f"inverse transform {inverse} of a dct bitstream is not known: update haarchive")
    for _ in range(planes):
        table, at = _read_table(data, at)
        tables.append(table)
    shape = (height + 1, width + 1, planes)
    constant = None
    if first & _CONSTANT:
        constant, at = _take_byte(data, at)
    origin, units = (row, column), (down, across)
    history = History(
        shape,
        converted,
        SAMPLINGS[sampling],
        origin,
        units,
        np.stack(tables),
        constant,
        INVERSES[inverse],
        frame_converted,
        seams,
    )
    whole, region = history.covered, history.region
    empty = region.top >= region.bottom or region.left >= region.right or min(down, across) < 1
    beyond = max(-whole.top, -whole.left, whole.bottom - shape[0], whole.right - shape[1])
    needless = frame_converted and (not converted or region.is_all_of(shape))
    if (
        empty
        or needless
        or not _seams_are_possible(history)
        or beyond >= _MOST_BEYOND
        or shape[0] * shape[1] > MOST_PIXELS
    ):
        raise BitstreamError("the header of a dct bitstream is damaged")
    return history, version < _VERSION, at


def _read_seams(data: bytes, at: int) -> tuple[tuple[Seams, Seams], int]:
    if len(data) < at + _SEAMS.size:
        raise BitstreamError("the header of a dct bitstream is cut short")
    first_row, rows, first_column, columns = _SEAMS.unpack_from(data, at)
    return (Seams(first_row, rows), Seams(first_column, columns)), at + _SEAMS.size


def _seams_are_possible(history: History) -> bool:
    """Whether all seams are in the picture, where units begin, in a direction in which chroma was enlarged."""
    return all(
        seams == NO_SEAMS
        or (
            factor > 1
            and seams.first < side
            and (seams.first - begin) % (8 * factor) == seams.period % (8 * factor) == 0
        )
        for seams, begin, side, factor in zip(
            history.seams, history.origin, history.shape[:2], history.sampling, strict=True
        )
    )


def _take_byte(data: bytes, at: int) -> tuple[int, int]:
    if at >= len(data):
        raise BitstreamError("the header of a dct bitstream is cut short")
    return data[at], at + 1


def _read_table(data: bytes, at: int) -> tuple[NDArray[np.int64], int]:
    number, at = _take_byte(data, at)
    if number > len(ijg_tables()):
        raise BitstreamError("the header of a dct bitstream is damaged")
    if number != _OTHER_TABLE:
        return ijg_tables()[number - 1], at
    steps = np.frombuffer(data[at : at + 64], np.uint8).astype(np.int64)
    if steps.size != 64 or not steps.all():
        raise BitstreamError("the header of a dct bitstream is damaged")
    return steps, at + 64
