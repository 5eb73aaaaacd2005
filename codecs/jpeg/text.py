"""What of JPEG files is not in their scans, made small."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

import numpy as np

from haarchive.codecs.dct.steps import ijg_tables
from haarchive.codecs.dct.transform import ZIGZAG
from haarchive.codecs.errors import BitstreamError, UnsupportedSamplesError

__all__ = ["Text"]

_MOST = 1 << 26
_WINDOW = -15
"""Deflate without a container, with the largest window."""
_LEVEL = 9
_APPLICATION = b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\0"
_HUFFMAN = bytes.fromhex(
    "ffc4001f0000010501010101010100000000000000000102030405060708090a0bffc400b5100002010303020403050504040000017d0102"
    "0300041105122131410613516107227114328191a1082342b1c11552d1f02433627282090a161718191a25262728292a3435363738393a43"
    "4445464748494a535455565758595a636465666768696a737475767778797a838485868788898a92939495969798999aa2a3a4a5a6a7a8a9"
    "aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae1e2e3e4e5e6e7e8e9eaf1f2f3f4f5f6f7f8f9faffc4001f01000301"
    "01010101010101010000000000000102030405060708090a0bffc400b5110002010204040304070504040001027700010203110405213106"
    "1241510761711322328108144291a1b1c109233352f0156272d10a162434e125f11718191a262728292a35363738393a434445464748494a"
    "535455565758595a636465666768696a737475767778797a82838485868788898a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6"
    "b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae2e3e4e5e6e7e8e9eaf2f3f4f5f6f7f8f9fa"
)
"""ITU-T T.81, tables K.3 to K.6, as segments."""
_FRAMES = b"".join(
    b"\xff\xd8\xff\xc0\0\x11\x08%b%b\3%b\xff\xda\0\x0c\3%b\0\x3f\0"
    % (side.to_bytes(2), side.to_bytes(2), components, selectors)
    for components, selectors in (
        (b"\0\x11\0\1\x11\1\2\x11\1", b"\0\0\1\x11\2\x11"),
        (b"\1\x11\0\2\x11\1\3\x11\1", b"\1\0\2\x11\3\x11"),
        (b"\1\x22\0\2\x11\1\3\x11\1", b"\1\0\2\x11\3\x11"),
    )
    for side in (1024, 512, 240, 256)
)
"""SOI, SOF0 and SOS of tiles of usual sizes, in RGB, Y Cb Cr, and that with chroma of half the size."""


@dataclass(frozen=True)
class Text:
    """All that parts are but coefficients.

    Parameters
    ----------
    room : int
        Bytes of all scans.
    heads, tails : sequence of bytes
        Of each part.
    pads : sequence of int
        Of each part: 0 or 1.
    columns : sequence of int
        Of each stack: how many parts are side by side.
    """

    room: int
    heads: Sequence[bytes]
    tails: Sequence[bytes]
    pads: Sequence[int]
    columns: Sequence[int]

    def pack(self) -> bytes:
        """Compress it by deflate (RFC 1951), with `_known` as what came before.

        What is compressed are numbers, each a little-endian u32: `room`; how many parts and stacks there are; for each
        part twice the bytes of its head, plus its pad, and the bytes of its tail; the columns of each stack. Then heads
        and tails in turn.

        Raises
        ------
        UnsupportedSamplesError
            If that is more than 64 MiB.
        """
        numbers = [self.room, len(self.heads), len(self.columns)]
        for head, pad, tail in zip(self.heads, self.pads, self.tails, strict=True):
            numbers += [2 * len(head) + pad, len(tail)]
        pairs = zip(self.heads, self.tails, strict=True)
        content = np.array([*numbers, *self.columns], "<u4").tobytes() + b"".join(chain.from_iterable(pairs))
        if len(content) > _MOST:
            raise UnsupportedSamplesError("JPEG files with more other bytes than jpeg takes")
        compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW, _LEVEL, zlib.Z_DEFAULT_STRATEGY, _known())
        return compressor.compress(content) + compressor.flush()

    @classmethod
    def unpack(cls, data: bytes) -> tuple[Text, bytes]:
        """Undo `pack`; the second are the bytes behind it.

        Raises
        ------
        BitstreamError
        """
        decompressor = zlib.decompressobj(_WINDOW, _known())
        try:
            content = decompressor.decompress(data, _MOST)
            room, parts, stacks = np.frombuffer(content, "<u4", 3).tolist()
            lengths = np.frombuffer(content, "<u4", 2 * parts, 12).astype(np.int64)
            columns = np.frombuffer(content, "<u4", stacks, 12 + 8 * parts).tolist()
        except (zlib.error, ValueError) as error:
            raise BitstreamError(f"the text of a jpeg bitstream is damaged: {error}") from error
        if parts > room:
            raise BitstreamError("the text of a jpeg bitstream has more parts than bytes of scans")
        pads = lengths[::2] & 1
        lengths[::2] >>= 1
        ends = 12 + 8 * parts + 4 * stacks + np.cumsum(lengths)
        if not decompressor.eof or not parts or ends[-1] != len(content):
            raise BitstreamError("the text of a jpeg bitstream does not end where it should")
        pieces = [content[end - length : end] for end, length in zip(ends.tolist(), lengths.tolist(), strict=True)]
        return cls(room, pieces[::2], pieces[1::2], pads.tolist(), columns), decompressor.unused_data


@lru_cache(maxsize=1)
def _known() -> bytes:
    """What headers of JPEG files are mostly made of.

    The Independent JPEG Group's quantisation tables of all qualities, as segments of a luminance and a chrominance
    table each; the Huffman tables of ITU-T T.81, annex K; and the other segments of an ordinary file.
    """
    tables = ijg_tables()[:, ZIGZAG].astype("u1")
    parts = []
    for luminance, chrominance in zip(tables[:100], tables[100:], strict=True):
        parts += [b"\xff\xdb\0\x43\0", luminance.tobytes(), b"\xff\xdb\0\x43\1", chrominance.tobytes()]
    return b"".join([*parts, _APPLICATION, _HUFFMAN, _FRAMES])
