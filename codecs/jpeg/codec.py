"""Codec `jpeg`: JPEG files as they are, their quantised coefficients coded better than by Huffman codes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from haarchive.codecs.base import Bitstream, Codec, Samples
from haarchive.codecs.dct.coefficients import code_coefficients
from haarchive.codecs.dct.reduced import reduced
from haarchive.codecs.errors import BitstreamError, CodecError, UnsupportedSamplesError
from haarchive.codecs.jpeg.parts import (
    MOST_BLOCKS,
    Components,
    Part,
    interval_of,
    read_intervals,
    read_parts,
    write_parts,
)
from haarchive.codecs.jpeg.scan import MOST_BLOCKS_A_BYTE
from haarchive.codecs.jpeg.stack import columns_of, join, joined_shapes, sets_of, split, stacks
from haarchive.codecs.jpeg.syntax import EOI, SOI, Frame, read_frame
from haarchive.codecs.jpeg.text import Text
from haarchive.codecs.rans.stream import OperationList, WordReader

__all__ = ["JpegCodec"]

_EARLIER, _VERSION = 1, 2
"""Of the first, predictors of coefficients were `dct.location.earlier_predictors`."""
_MOST_BYTES_A_BLOCK = 1024
"""Of scans: twice 64 codes and values of 16 bits each are 512, and there are restart markers."""


class JpegCodec(Codec):
    """The bytes of JPEG files, sequential ones with Huffman codes, one or several a chunk.

    Parameters
    ----------
    tables : bytes
        An abbreviated JPEG of tables, from SOI to EOI, as TIFF keeps it in its JPEGTables tag: chunks are then
        abbreviated JPEGs without tables. Or a JPEG file from its SOI to where the data of its scan begins: chunks are
        then runs of whole restart intervals of it.

    Raises
    ------
    UnsupportedSamplesError
        If `tables` is neither, or of a file without restart markers.
    """

    name: ClassVar[str] = "jpeg"

    def __init__(self, tables: bytes = b"") -> None:
        if tables and not (tables.startswith(SOI) and len(tables) >= len(SOI + EOI)):
            raise UnsupportedSamplesError("the JPEG tables are not a JPEG stream that begins with SOI")
        whole = not tables or tables.endswith(EOI)
        self._tables = tables[len(SOI) : -len(EOI)] if whole else b""
        self._interval = None if whole else interval_of(read_frame(tables)[0])

    def encode(self, chunks: Sequence[Samples]) -> list[Bitstream]:
        """Encode JPEG files, each chunk as (n,) uint8, to one band each.

        Raises
        ------
        UnsupportedSamplesError
            If a chunk is not made of JPEG files, or has one of another kind (progressive, arithmetic coding, 12 bits,
            several scans), a damaged one, or one whose scan is not what its coefficients give again.
        """
        return [Bitstream((self._encode(chunk),)) for chunk in chunks]

    def decode(self, bitstreams: Sequence[Bitstream], *, reduce: int = 0) -> list[Samples]:
        """Restore the JPEG files, each chunk as (n,) uint8."""
        if reduce:
            raise CodecError("jpeg has one resolution; only reduce=0 can be decoded")
        return [np.frombuffer(self._decode(bitstream), np.uint8) for bitstream in bitstreams]

    def bands_needed(self, n_bands: int, reduce: int) -> int:
        """Every band, as there is one."""
        return n_bands

    def _encode(self, chunk: Samples) -> bytes:
        if chunk.dtype != np.uint8 or chunk.ndim != 1 or not chunk.size:
            raise UnsupportedSamplesError(f"jpeg takes bytes, (n,) uint8, not {chunk.shape} {chunk.dtype}")
        data = chunk.tobytes()
        if self._interval is None:
            parts, components, room = read_parts(data, self._tables)
        else:
            parts, components, room = read_intervals(data, self._interval)
        stream, columns = OperationList(), []
        for together in stacks([part.frame for part in parts]):
            columns.append(columns_of(components[together]))
            _code(parts[together.start].frame, join(components[together], columns[-1]), stream)
        heads, tails = [part.head for part in parts], [part.tail for part in parts]
        text = Text(room, heads, tails, [part.pad for part in parts], columns)
        return bytes([_VERSION]) + text.pack() + stream.to_bytes()

    def _decode(self, bitstream: Bitstream) -> bytes:
        if len(bitstream.bands) != 1 or not bitstream.bands[0]:
            raise BitstreamError(f"a jpeg bitstream has 1 band, this one has {len(bitstream.bands)}, or is empty")
        band = bitstream.bands[0]
        if band[0] not in (_EARLIER, _VERSION):
            raise BitstreamError(f"jpeg bitstream version {band[0]} is not 1 or {_VERSION}: update haarchive")
        text, rest = Text.unpack(band[1:])
        parts = self._parts(text)
        reader = WordReader(rest)
        components: list[Components] = []
        runs = list(stacks([part.frame for part in parts]))
        if len(runs) != len(text.columns):
            raise BitstreamError("the text of a jpeg bitstream is damaged")
        for together, columns in zip(runs, text.columns, strict=True):
            count = together.stop - together.start
            if not columns or count % columns:
                raise BitstreamError("the text of a jpeg bitstream is damaged")
            frame = parts[together.start].frame
            joined = [np.zeros(shape, np.int32) for shape in joined_shapes(frame, count, columns)]
            _code(frame, joined, reader, earlier=band[0] == _EARLIER)
            components += split(joined, count, columns)
        reader.finish()
        return write_parts(parts, components, text.room)

    def _parts(self, text: Text) -> list[Part]:
        """What `text` says of the parts."""
        parts, blocks = [], 0
        for head, tail, pad in zip(text.heads, text.tails, text.pads, strict=True):
            if self._interval is not None:
                frame, end = self._interval, 0
            else:
                try:
                    frame, end = read_frame(head, 0, self._tables)
                except UnsupportedSamplesError as error:
                    raise BitstreamError(f"the text of a jpeg bitstream is damaged: {error}") from error
            blocks += frame.blocks
            if end != len(head) or blocks > min(MOST_BLOCKS, MOST_BLOCKS_A_BYTE * text.room):
                raise BitstreamError("the text of a jpeg bitstream is damaged")
            parts.append(Part(frame, head, tail, pad))
        if text.room > _MOST_BYTES_A_BLOCK * blocks:
            raise BitstreamError("the text of a jpeg bitstream is damaged")
        return parts


def _code(frame: Frame, components: Components, stream: OperationList | WordReader, *, earlier: bool = False) -> None:
    """Code components together whose blocks lie on one grid; those of fewer blocks given the first component."""
    first, *_ = sets = sets_of(frame)
    for together in sets:
        known = [] if earlier or together is first else _reduced_first(frame, components, together[0])
        code_coefficients(
            [components[n] for n in together], frame.steps[together], stream, known=known, earlier=earlier
        )


def _reduced_first(frame: Frame, components: Components, to: int) -> Components:
    """The first component in the size of another one, where its blocks are a multiple of that one's."""
    _, height, width = components[to].shape
    _, rows, columns = components[0].shape
    if rows % height or columns % width:
        return []
    return [reduced(components[0], frame.steps[0], (height, width))]
