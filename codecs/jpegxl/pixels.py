"""Pictures as lossless JPEG XL, its slowest effort: for chunks that it makes smaller than a flow does.

A bitstream is one band: a JPEG XL codestream (ISO/IEC 18181-1), or a container of one where its samples need level 10.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import imagecodecs
import numpy as np

from haarchive.codecs.base import Bitstream, Codec, Samples
from haarchive.codecs.errors import BitstreamError, CodecError, UnsupportedSamplesError

__all__ = ["JpegXLPixels"]

_CHANNELS = (1, 3, 4)
_DTYPES = (np.uint8, np.uint16)


@dataclass(frozen=True)
class JpegXLPixels(Codec):
    """Pictures ``(H, W, C)`` of uint8 or uint16 with 1, 3 or 4 channels.

    Parameters
    ----------
    effort : int
        JPEG XL's, 1 to 10.
    """

    name: ClassVar[str] = "jpeg-xl-pixels"
    effort: int = 9

    def encode(self, chunks: Sequence[Samples]) -> list[Bitstream]:
        """Encode pictures; see `Codec.encode`."""
        return [Bitstream((self._encode(chunk),)) for chunk in chunks]

    def decode(self, bitstreams: Sequence[Bitstream], *, reduce: int = 0) -> list[Samples]:
        """Decode pictures; see `Codec.decode`. There is one resolution, so `reduce` must be 0."""
        if reduce:
            raise CodecError("jpeg-xl-pixels has one resolution; only reduce=0 can be decoded")
        return [_decode(bitstream) for bitstream in bitstreams]

    def bands_needed(self, n_bands: int, reduce: int) -> int:
        """Every band, as there is one."""
        return n_bands

    def _encode(self, chunk: Samples) -> bytes:
        if chunk.dtype not in _DTYPES or chunk.ndim != 3 or chunk.shape[2] not in _CHANNELS or not chunk.size:
            raise UnsupportedSamplesError(
                f"jpeg-xl-pixels takes (H, W, C) uint8 or uint16 of 1, 3 or 4 channels, not {chunk.shape} {chunk.dtype}"
            )
        picture = np.ascontiguousarray(chunk[..., 0] if chunk.shape[2] == 1 else chunk)
        try:
            return bytes(
                imagecodecs.jpegxl_encode(picture, lossless=True, effort=self.effort, usecontainer=False, numthreads=1)
            )
        except Exception as error:  # imagecodecs has no common base of its codecs' exceptions
            raise UnsupportedSamplesError(f"JPEG XL cannot represent this picture: {error}") from None


def _decode(bitstream: Bitstream) -> Samples:
    if len(bitstream.bands) != 1:
        raise BitstreamError(f"a jpeg-xl-pixels bitstream has 1 band, this one has {len(bitstream.bands)}")
    try:
        picture = np.asarray(imagecodecs.jpegxl_decode(bitstream.bands[0], numthreads=1))
    except Exception as error:
        raise BitstreamError(f"damaged JPEG XL data: {error}") from None
    if picture.dtype not in _DTYPES or picture.ndim not in (2, 3):
        raise BitstreamError(f"JPEG XL data of another kind: {picture.shape} {picture.dtype}")
    return picture if picture.ndim == 3 else picture[..., None]
