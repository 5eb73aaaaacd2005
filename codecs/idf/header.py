"""What the bitstream of a picture begins with: three to ten bytes, because small patches are coded each for itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from haarchive.codecs.errors import BitstreamError
from haarchive.codecs.haar.ycbcr import CONVERSIONS
from haarchive.codecs.idf.escape import from_varint, to_varint

__all__ = ["COLOURS", "DTYPES", "MAX_PLANES", "MAX_SIDE", "IdfHeader"]

DTYPES = (np.dtype(np.uint8), np.dtype(np.uint16))
"""By their number in the header."""

MAX_SIDE = 1 << 16
"""The most rows, and the most columns."""

MAX_PLANES = (1 << 16) - 1

COLOURS = 3
"""The planes that a conversion is of: the first ones."""

_PLAIN, _CONVERTED, _SHORT = 1, 2, 3
"""Versions: the second has one byte more, which names the conversion; the third is for what most pictures are."""

_RAW, _ADAPTIVE, _WIDE, _TOGETHER = 1, 2, 4, 8
_FIRST, _SECOND = 1, 4
"""Flags of the third version, which has no use for two of the others: the number of the conversion in binary digits."""
_NUMBER, _OUTLIERS = 15, 16
_MAX_NUMBER = 1 << 32


@dataclass(frozen=True)
class IdfHeader:
    """What a decoder must know of a whole picture.

    Parameters
    ----------
    dtype : numpy.dtype
    shape : tuple of int
        Height, width and planes.
    bits : int
        Of a sample, after division.
    divisor : int
        By which all samples were divided.
    raw : bool
        The paper's escape bit (section 3.3): the samples follow as they are.
    adaptive : bool
        Whether the last couplings adapt to the picture (`haarchive.codecs.idf.adaptive`).
    together : bool
        Whether one stream holds all levels.
    conversion : str, optional
        One of `haarchive.codecs.haar.ycbcr.CONVERSIONS`, where the first three planes are coded as Y, Cb, Cr.
    outliers : bool
        Whether pixels that the conversion does not give are behind everything else.
    """

    dtype: np.dtype
    shape: tuple[int, int, int]
    bits: int = 8
    divisor: int = 1
    raw: bool = False
    adaptive: bool = False
    together: bool = False
    conversion: str | None = None
    outliers: bool = False

    @property
    def shift(self) -> int:
        """Amplitude shift: what networks know are 8-bit pictures."""
        return max(0, self.bits - 8)

    def to_bytes(self) -> bytes:
        """Version and flags, bits, the conversion, then divisor, height, width and planes of variable length.

        Pictures of three planes of 8 bits that are not divided and list no pixels need version, flags and size.
        """
        flags = _ADAPTIVE * self.adaptive + _TOGETHER * self.together
        height, width, planes = self.shape
        number = 0 if self.conversion is None else 1 + list(CONVERSIONS).index(self.conversion)
        common = self.dtype == np.uint8 and (self.bits, self.divisor, planes) == (8, 1, COLOURS)
        if common and not self.raw and not self.outliers:
            flags |= _FIRST * (number & 1) | _SECOND * (number >> 1)
            return bytes([_SHORT << 4 | flags]) + to_varint(height) + to_varint(width)
        flags |= _RAW * self.raw | _WIDE * DTYPES.index(self.dtype)
        head = bytes([_PLAIN << 4 | flags, self.bits])
        if number:
            head = bytes([_CONVERTED << 4 | flags, self.bits, number | _OUTLIERS * self.outliers])
        return head + b"".join(to_varint(n) for n in (self.divisor, height, width, planes))

    @classmethod
    def from_bytes(cls, data: bytes | memoryview) -> tuple[IdfHeader, memoryview]:
        """Read what `to_bytes` made; returns the header and what follows it.

        Raises
        ------
        BitstreamError
            If it is damaged, or of another version.
        """
        rest = memoryview(data)
        if len(rest) < 3:
            raise BitstreamError("an idf bitstream begins with a header: this one is too short")
        version, flags, bits = rest[0] >> 4, rest[0] & 15, rest[1]
        if version == _SHORT:
            return cls._from_short(flags, rest[1:])
        if version not in (_PLAIN, _CONVERTED):
            raise BitstreamError(f"idf bitstream version {version} is not {_PLAIN} to {_SHORT}: update haarchive")
        colours, rest = (rest[2], rest[3:]) if version == _CONVERTED else (0, rest[2:])
        numbers = []
        for _ in range(4):
            number, rest = from_varint(rest, _MAX_NUMBER)
            numbers.append(number)
        divisor, height, width, planes = numbers
        dtype = DTYPES[bool(flags & _WIDE)]
        raw, adaptive, together = (bool(flags & flag) for flag in (_RAW, _ADAPTIVE, _TOGETHER))
        names = dict(enumerate(CONVERSIONS, 1))
        conversion = names.get(colours & _NUMBER)
        header = cls(
            dtype, (height, width, planes), bits, divisor, raw, adaptive, together, conversion,
            bool(colours & _OUTLIERS),
        )  # fmt: skip
        sane = max(height, width) <= MAX_SIDE and planes <= MAX_PLANES and 8 <= bits <= max(8, 8 * dtype.itemsize)
        if version == _CONVERTED:
            sane = sane and conversion is not None and colours <= _NUMBER + _OUTLIERS
            sane = sane and dtype == np.uint8 and divisor == 1 and planes >= COLOURS and not raw
        if not sane or (raw and together) or not 1 <= divisor <= np.iinfo(dtype).max:
            raise BitstreamError("the header of an idf bitstream is damaged")
        return header, rest

    @classmethod
    def _from_short(cls, flags: int, rest: memoryview) -> tuple[IdfHeader, memoryview]:
        height, rest = from_varint(rest, _MAX_NUMBER)
        width, rest = from_varint(rest, _MAX_NUMBER)
        number = bool(flags & _FIRST) + 2 * bool(flags & _SECOND)
        if max(height, width) > MAX_SIDE or number > len(CONVERSIONS):
            raise BitstreamError("the header of an idf bitstream is damaged")
        conversion = (None, *CONVERSIONS)[number]
        adaptive, together = bool(flags & _ADAPTIVE), bool(flags & _TOGETHER)
        header = cls(DTYPES[0], (height, width, COLOURS), adaptive=adaptive, together=together, conversion=conversion)
        return header, rest
