"""What the bitstream of sound begins with."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from haarchive.codecs.errors import BitstreamError
from haarchive.codecs.idf.escape import from_varint, to_varint

__all__ = ["DTYPES", "MAX_BITS", "MAX_CHANNELS", "MAX_FRAMES", "SoundHeader"]

DTYPES = (np.dtype(np.int16), np.dtype(np.int32))
"""By their number in the header."""

MAX_FRAMES = 1 << 26
MAX_CHANNELS = (1 << 16) - 1

MAX_BITS = 27
"""Samples of more bits could leave int32 in the differences of differences."""

_VERSION = 1
_RAW, _WIDE, _MAPPED, _SILENT = 1, 2, 4, 8
_EFFORT_SHIFT = 5
_MAX_EFFORT = 3
_MAX_SAMPLES = 1 << 32


@dataclass(frozen=True)
class SoundHeader:
    """What a decoder must know of a whole chunk.

    Parameters
    ----------
    dtype : numpy.dtype
    shape : tuple of int
        Frames and channels.
    bits : int
        One more than the largest magnitude has, after the value map.
    effort : int
        0: the last couplings do not adapt; 1 to 3: by which set of `haarchive.codecs.idf.sound_adapt.STAGES` they do.
    shifts : tuple of int
        Amplitude shift of each group of channels; none where there are no codes.
    raw : bool
        The paper's escape bit (section 3.3): the samples follow as they are.
    mapped : bool
        Whether there is a value map.
    silent : bool
        Whether all samples are zero after the value map: nothing else follows.
    """

    dtype: np.dtype
    shape: tuple[int, int]
    bits: int = 1
    effort: int = 0
    shifts: tuple[int, ...] = ()
    raw: bool = False
    mapped: bool = False
    silent: bool = False

    @property
    def coded(self) -> bool:
        """Whether there are latents."""
        return not self.raw and not self.silent and 0 not in self.shape

    @property
    def limit(self) -> int:
        """Bound of locations, in 1/16."""
        return 1 << (self.bits + 2 + 4)

    def to_bytes(self) -> bytes:
        """Version and flags, effort and bits, frames and channels as variable-length numbers, shifts."""
        flags = _RAW * self.raw + _WIDE * DTYPES.index(self.dtype) + _MAPPED * self.mapped + _SILENT * self.silent
        start = bytes([_VERSION << 4 | flags, self.effort << _EFFORT_SHIFT | self.bits])
        return start + to_varint(self.shape[0]) + to_varint(self.shape[1]) + bytes(self.shifts)

    @classmethod
    def from_bytes(cls, data: bytes | memoryview, groups: int) -> tuple[SoundHeader, memoryview]:
        """Read what `to_bytes` made; returns the header and what follows it.

        Parameters
        ----------
        data : bytes-like
        groups : int
            Most channels that are coded together.

        Raises
        ------
        BitstreamError
            If it is damaged, or of another version.
        """
        rest = memoryview(data)
        if len(rest) < 2:
            raise BitstreamError("an idf-audio bitstream begins with a header: this one is too short")
        version, flags = rest[0] >> 4, rest[0] & 15
        effort, bits = rest[1] >> _EFFORT_SHIFT, rest[1] & 31
        if version != _VERSION:
            raise BitstreamError(f"idf-audio bitstream version {version} is not {_VERSION}: update haarchive")
        frames, rest = from_varint(rest[2:], _MAX_SAMPLES)
        channels, rest = from_varint(rest, _MAX_SAMPLES)
        sane = frames <= MAX_FRAMES and channels <= MAX_CHANNELS and frames * channels <= _MAX_SAMPLES
        if not sane or not 1 <= bits <= MAX_BITS or effort > _MAX_EFFORT:
            raise BitstreamError("the header of an idf-audio bitstream is damaged")
        header = cls(
            DTYPES[bool(flags & _WIDE)], (frames, channels), bits, effort, (),
            bool(flags & _RAW), bool(flags & _MAPPED), bool(flags & _SILENT),
        )  # fmt: skip
        if not header.coded:
            return header, rest
        count = -(-channels // groups)
        shifts, rest = tuple(rest[:count]), rest[count:]
        if len(shifts) < count or max(shifts) > bits:
            raise BitstreamError("the header of an idf-audio bitstream is damaged")
        return replace(header, shifts=shifts), rest
