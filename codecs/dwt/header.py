"""What the bitstream of a picture that was JPEG 2000 begins with."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from haarchive.codecs.dct.header import MOST_PIXELS
from haarchive.codecs.dwt.axis import LEVELS, Axis
from haarchive.codecs.dwt.steps import LARGEST_STEP, STEP_BITS, Steps
from haarchive.codecs.errors import BitstreamError

__all__ = ["MOST_PIXELS", "Header", "read_header", "write_header"]

_VERSION = 1
_CONSTANT, _OUTLIERS = 1, 2
_FIXED = struct.Struct("<BHHHHHH")
_STEPS = struct.Struct(f"<{2 * LEVELS}I")
_WHOLE = 2 << LEVELS
"""What periods are multiples of, so that tiles of chroma begin with a low coefficient of every level."""


@dataclass(frozen=True)
class Header:
    """How coefficients become samples.

    Parameters
    ----------
    rows, columns : Axis
        Of luma.
    steps : Steps
        Of all components.
    constant : int, optional
        What all samples of a fourth plane are; None where there is none.
    has_outliers : bool
        Whether pixels follow that no luma and chroma give.
    """

    rows: Axis
    columns: Axis
    steps: Steps
    constant: int | None
    has_outliers: bool

    @property
    def component_axes(self) -> tuple[tuple[Axis, Axis], ...]:
        """Rows and columns of luma, Cb and Cr."""
        chroma = self.rows, self.columns.halved()
        return (self.rows, self.columns), chroma, chroma


def write_header(header: Header) -> bytes:
    """Lay out a header.

    Version * 16 + flags (1: a constant plane; 2: outliers), height and width (u16, less 1), coordinate of the first row
    and period of rows, then of columns (u16); the steps of bands that are high in one direction, from fine to coarse,
    then of those high in both (u32, in 2**-10); then the constant plane's value.
    """
    flags = _CONSTANT * (header.constant is not None) + _OUTLIERS * header.has_outliers
    rows, columns = header.rows, header.columns
    fixed = _FIXED.pack(
        _VERSION << 4 | flags, rows.size - 1, columns.size - 1, rows.begin, rows.period, columns.begin, columns.period
    )
    constant = b"" if header.constant is None else bytes([header.constant])
    return fixed + _STEPS.pack(*header.steps.mixed, *header.steps.high) + constant


def read_header(data: bytes) -> tuple[Header, int]:
    """Read what `write_header` made.

    Returns
    -------
    header : Header
    begin : int
        Where the stream begins.

    Raises
    ------
    BitstreamError
        If it is damaged, or of another version.
    """
    at = _FIXED.size + _STEPS.size
    if len(data) < at:
        raise BitstreamError("the header of a dwt bitstream is cut short")
    first, height, width, row, row_period, column, column_period = _FIXED.unpack_from(data)
    if first >> 4 != _VERSION:
        raise BitstreamError(f"dwt bitstream version {first >> 4} is not {_VERSION}: update haarchive")
    steps = _STEPS.unpack_from(data, _FIXED.size)
    constant = None
    if first & _CONSTANT:
        if len(data) <= at:
            raise BitstreamError("the header of a dwt bitstream is cut short")
        constant, at = data[at], at + 1
    sides = (row, row_period), (column, column_period)
    possible = all(period % _WHOLE == 0 and begin < (period or _WHOLE) for begin, period in sides)
    if (
        not possible
        or first & 15 > _CONSTANT | _OUTLIERS
        or not all(1 << STEP_BITS <= step < LARGEST_STEP for step in steps)
        or (height + 1) * (width + 1) > MOST_PIXELS
    ):
        raise BitstreamError("the header of a dwt bitstream is damaged")
    rows = Axis(row, row + height + 1, row_period)
    columns = Axis(column, column + width + 1, column_period)
    header = Header(rows, columns, Steps(steps[:LEVELS], steps[LEVELS:]), constant, bool(first & _OUTLIERS))
    return header, at
