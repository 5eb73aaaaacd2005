"""The reversible transcoding of JPEG files that JPEG XL offers.

JPEG XL keeps a JPEG's quantised DCT coefficients and codes them better (context modelling and ANS in place of
Huffman codes), with a box of what else is needed to lay down the same JPEG bytes again (ISO/IEC 18181-2,
"JPEG bitstream reconstruction data"). Coding the decoded pixels of a JPEG without loss would cost several
times the JPEG itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import imagecodecs
import numpy as np

from haarchive.codecs.base import Bitstream, Codec, Samples
from haarchive.codecs.errors import BitstreamError, CodecError, UnsupportedSamplesError
from haarchive.codecs.jpeg.files import split_files

__all__ = ["JpegXLTranscoder"]

_SOI, _EOI = b"\xff\xd8", b"\xff\xd9"
_HEAD = bytes.fromhex("0000000c4a584c200d0a870a 00000014667479706a786c20000000006a786c20")
"""The signature and file type boxes that every JPEG XL container begins with: 32 bytes that need not be
stored."""
_WHOLE, _HEADLESS, _SEVERAL, _KEPT = b"\0", b"\1", b"\2", b"\3"


class JpegXLTranscoder(Codec):
    """Turns the bytes of JPEG files into those of JPEG XL files, and back.

    Parameters
    ----------
    tables : bytes
        An abbreviated JPEG of quantisation and Huffman tables, as TIFF keeps it in its JPEGTables tag. Chunks
        are then abbreviated JPEGs without tables, and the two are merged before they are transcoded.

    Raises
    ------
    UnsupportedSamplesError
        If `tables` is not a JPEG stream.
    """

    name: ClassVar[str] = "jpeg-xl"

    def __init__(self, tables: bytes = b"") -> None:
        if tables and not (tables.startswith(_SOI) and tables.endswith(_EOI) and len(tables) >= 4):
            raise UnsupportedSamplesError("the JPEG tables are not a JPEG stream from SOI to EOI")
        self._opening = _SOI + tables[2:-2]

    def encode(self, chunks: Sequence[Samples]) -> list[Bitstream]:
        """Transcode JPEG files, each chunk one or several as (n,) uint8, to one band each.

        Raises
        ------
        UnsupportedSamplesError
            If a chunk is not a JPEG file, or one of a kind that JPEG XL cannot reconstruct (arithmetic
            coding, 12 bits, CMYK, damaged).
        """
        return [Bitstream((self._encode(chunk),)) for chunk in chunks]

    def decode(self, bitstreams: Sequence[Bitstream], *, reduce: int = 0) -> list[Samples]:
        """Reconstruct the JPEG files, each as (n,) uint8."""
        if reduce:
            raise CodecError("jpeg-xl has one resolution; only reduce=0 can be decoded")
        return [np.frombuffer(self._decode(bitstream), np.uint8) for bitstream in bitstreams]

    def _encode(self, chunk: Samples) -> bytes:
        if chunk.dtype != np.uint8 or chunk.ndim != 1:
            raise UnsupportedSamplesError(f"jpeg-xl takes bytes, (n,) uint8, not {chunk.shape} {chunk.dtype}")
        data = chunk.tobytes()
        if not data.startswith(_SOI):
            raise UnsupportedSamplesError("jpeg-xl takes JPEG files, and this one does not begin with SOI")
        files = split_files(data)
        if len(files) == 1:
            return self._transcode(data)
        attempts = [self._attempt(file) for file in files]
        if not any(attempts):
            raise UnsupportedSamplesError("JPEG XL can represent none of these JPEG files")
        kept = [_KEPT + file for file in files]
        coded = [min(one or as_is, as_is, key=len) for one, as_is in zip(attempts, kept, strict=True)]
        return _SEVERAL + np.array([len(coded), *map(len, coded)], "<u4").tobytes() + b"".join(coded)

    def _attempt(self, file: bytes) -> bytes:
        """One of several; nothing where JPEG XL cannot represent it."""
        try:
            return self._transcode(file)
        except UnsupportedSamplesError:
            return b""

    def _transcode(self, data: bytes) -> bytes:
        try:
            coded = bytes(imagecodecs.jpegxl_encode_jpeg(self._opening + data[2:], numthreads=1))
        except Exception as error:  # imagecodecs has no common base of its codecs' exceptions
            raise UnsupportedSamplesError(f"JPEG XL cannot represent this JPEG: {error}") from None
        return _HEADLESS + coded[len(_HEAD) :] if coded.startswith(_HEAD) else _WHOLE + coded

    def _decode(self, bitstream: Bitstream) -> bytes:
        if len(bitstream.bands) != 1:
            raise BitstreamError(f"a jpeg-xl bitstream has 1 band, this one has {len(bitstream.bands)}")
        band = bitstream.bands[0]
        if band[:1] != _SEVERAL:
            return self._restored(band)
        sizes = np.frombuffer(band[1 : 1 + (len(band) - 1) // 4 * 4], "<u4").astype(np.int64)
        count = int(sizes[0]) if sizes.size else 0
        ends = 5 + 4 * count + np.cumsum(sizes[1 : 1 + count])
        if not 1 <= count < sizes.size or ends[-1] != len(band):
            raise BitstreamError("the sizes in a jpeg-xl bitstream are damaged")
        coded = [band[end - size : end] for end, size in zip(ends.tolist(), sizes[1:].tolist(), strict=False)]
        return b"".join(one[1:] if one[:1] == _KEPT else self._restored(one) for one in coded)

    def _restored(self, band: bytes) -> bytes:
        if band[:1] not in (_WHOLE, _HEADLESS):
            raise BitstreamError("not a bitstream of the jpeg-xl codec")
        try:
            data = bytes(
                imagecodecs.jpegxl_decode_jpeg((_HEAD if band[:1] == _HEADLESS else b"") + band[1:], numthreads=1)
            )
        except Exception as error:
            raise BitstreamError(f"damaged JPEG XL data: {error}") from None
        if not data.startswith(self._opening):
            raise BitstreamError("JPEG XL data of a tile with other JPEG tables")
        return _SOI + data[len(self._opening) :]
