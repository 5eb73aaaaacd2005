"""Codec `dwt`: exact coding of pictures that were decoded from JPEG 2000, as slide scanners write it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from haarchive.codecs.base import Bitstream, Codec, Samples
from haarchive.codecs.dwt.component import Component, code_component
from haarchive.codecs.dwt.header import MOST_PIXELS, read_header, write_header
from haarchive.codecs.dwt.pairs import Halved, to_planes
from haarchive.codecs.dwt.recover import CENTRE, recover
from haarchive.codecs.errors import BitstreamError, CodecError, UnsupportedSamplesError
from haarchive.codecs.haar.image_header import MAX_SIDE
from haarchive.codecs.haar.outliers import read_outliers, write_outliers
from haarchive.codecs.rans.stream import OperationList, WordReader

__all__ = ["DwtCodec"]


class DwtCodec(Codec):
    """Pictures ``(H, W, C)`` of uint8, RGB, whose samples are decoded JPEG 2000; a fourth plane may be constant.

    All others are refused, most of them after a millisecond.
    """

    name: ClassVar[str] = "dwt"

    def encode(self, chunks: Sequence[Samples]) -> list[Bitstream]:
        """Encode pictures; see `Codec.encode`.

        Raises
        ------
        UnsupportedSamplesError
            If a picture is not decoded JPEG 2000, as far as can be seen.
        """
        return [Bitstream((_encode(chunk),)) for chunk in chunks]

    def decode(self, bitstreams: Sequence[Bitstream], *, reduce: int = 0) -> list[Samples]:
        """Decode pictures; see `Codec.decode`. There is one resolution, so `reduce` must be 0."""
        if reduce:
            raise CodecError("dwt has one resolution; only reduce=0 can be decoded")
        return [_decode(bitstream) for bitstream in bitstreams]

    def bands_needed(self, n_bands: int, reduce: int) -> int:
        """Every band, as there is one."""
        return n_bands


def _encode(chunk: Samples) -> bytes:
    if chunk.dtype != np.uint8 or chunk.ndim != 3 or chunk.shape[2] not in (3, 4) or max(chunk.shape) > MAX_SIDE:
        raise UnsupportedSamplesError(f"dwt takes (H, W, 3 or 4) uint8, not {chunk.shape} {chunk.dtype}")
    if chunk.shape[0] * chunk.shape[1] > MOST_PIXELS:
        raise UnsupportedSamplesError(f"dwt takes up to {MOST_PIXELS} pixels, not {chunk.shape[0]} x {chunk.shape[1]}")
    constant = None
    if chunk.shape[2] == 4 and chunk.size:
        constant = int(chunk[0, 0, 3])
        if (chunk[..., 3] != constant).any():
            raise UnsupportedSamplesError("dwt takes a fourth plane only where it is constant")
    rgb = np.ascontiguousarray(np.moveaxis(chunk[..., :3], 2, 0)).astype(np.int32)
    recovered = recover(rgb, constant)
    if recovered is None:
        raise UnsupportedSamplesError("the picture is not decoded JPEG 2000")
    header, stream = recovered.header, OperationList()
    coded: list[Component] = []
    for pyramid, axes in zip(recovered.pyramids, header.component_axes, strict=True):
        coded.append(code_component(pyramid, axes, header.steps, coded, stream))
    if header.has_outliers:
        write_outliers(recovered.outliers, rgb, stream)
    return write_header(header) + stream.to_bytes()


def _decode(bitstream: Bitstream) -> Samples:
    if len(bitstream.bands) != 1:
        raise BitstreamError(f"a dwt bitstream has 1 band, this one has {len(bitstream.bands)}")
    header, begin = read_header(bitstream.bands[0])
    reader = WordReader(bitstream.bands[0][begin:])
    coded: list[Component] = []
    for axes in header.component_axes:
        coded.append(code_component(None, axes, header.steps, coded, reader))
    luma, cb, cr = (component.pyramid.samples[0] for component in coded)
    planes = to_planes(Halved(luma + CENTRE, cb, cr), header.columns.begin & 1)
    picture = np.ascontiguousarray(np.moveaxis(planes, 0, 2).astype(np.uint8))
    if header.has_outliers:
        read_outliers(reader, picture)
    reader.finish()
    if header.constant is not None:
        alpha = np.full((*picture.shape[:2], 1), header.constant, np.uint8)
        picture = np.ascontiguousarray(np.concatenate([picture, alpha], axis=2))
    return picture
