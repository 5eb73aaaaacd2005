"""Codec `dct`: exact coding of pictures that were decoded from JPEG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.base import Bitstream, Codec, Samples
from haarchive.codecs.dct.coefficients import code_coefficients
from haarchive.codecs.dct.header import MOST_PIXELS, read_header, write_header
from haarchive.codecs.dct.history import CONVERSION, History
from haarchive.codecs.dct.recover import recover
from haarchive.codecs.dct.reduced import reduced
from haarchive.codecs.dct.remainder import code_frame, code_misses
from haarchive.codecs.errors import BitstreamError, CodecError, UnsupportedSamplesError
from haarchive.codecs.haar.image_header import MAX_SIDE
from haarchive.codecs.haar.ycbcr import from_rgb
from haarchive.codecs.rans.stream import OperationList, WordReader

__all__ = ["DctCodec"]

_CENTRE = 128
_GREEN_FIRST = (1, 0, 2)
"""Green has most of what the other planes of a picture in RGB can be predicted from."""


class DctCodec(Codec):
    """Pictures ``(H, W, C)`` of uint8, grey or RGB, whose samples are a decoded JPEG; one more plane may be constant.

    All others are refused, most of them after a millisecond or two.
    """

    name: ClassVar[str] = "dct"

    def encode(self, chunks: Sequence[Samples]) -> list[Bitstream]:
        """Encode pictures; see `Codec.encode`.

        Raises
        ------
        UnsupportedSamplesError
            If a picture is not a decoded JPEG, as far as can be seen.
        """
        return [Bitstream((_encode(chunk),)) for chunk in chunks]

    def decode(self, bitstreams: Sequence[Bitstream], *, reduce: int = 0) -> list[Samples]:
        """Decode pictures; see `Codec.decode`. There is one resolution, so `reduce` must be 0."""
        if reduce:
            raise CodecError("dct has one resolution; only reduce=0 can be decoded")
        return [_decode(bitstream) for bitstream in bitstreams]

    def bands_needed(self, n_bands: int, reduce: int) -> int:
        """Every band, as there is one."""
        return n_bands


def _encode(chunk: Samples) -> bytes:
    if chunk.dtype != np.uint8 or chunk.ndim != 3 or not 1 <= chunk.shape[2] <= 4 or max(chunk.shape) > MAX_SIDE:
        raise UnsupportedSamplesError(f"dct takes (H, W, 1 to 4) uint8, not {chunk.shape} {chunk.dtype}")
    if chunk.shape[0] * chunk.shape[1] > MOST_PIXELS:
        raise UnsupportedSamplesError(f"dct takes up to {MOST_PIXELS} pixels, not {chunk.shape[0]} x {chunk.shape[1]}")
    planes = np.ascontiguousarray(np.moveaxis(chunk, 2, 0)).astype(np.int32)
    constant = None
    if len(planes) % 2 == 0 and chunk.size:
        planes, alpha = planes[:-1], planes[-1]
        constant = int(alpha[0, 0])
        if (alpha != constant).any():
            raise UnsupportedSamplesError("dct takes a second or fourth plane only where it is constant")
    recovered = recover(planes)
    if recovered is None:
        raise UnsupportedSamplesError("the picture is not a decoded JPEG")
    frame, outside = _frame_of(recovered.history, planes, recovered.components)
    history = replace(recovered.history, constant=constant, frame_converted=outside)
    stream = OperationList()
    _code_components(history, recovered.components, stream)
    samples = recovered.decoded.copy()
    samples[:, *history.seen] = planes[:, *history.region.slices]
    code_misses(samples, recovered.decoded, stream)
    _code_frame(history, frame, stream)
    return write_header(history) + stream.to_bytes()


def _decode(bitstream: Bitstream) -> Samples:
    if len(bitstream.bands) != 1:
        raise BitstreamError(f"a dct bitstream has 1 band, this one has {len(bitstream.bands)}")
    history, earlier, begin = read_header(bitstream.bands[0])
    reader = WordReader(bitstream.bands[0][begin:])
    height, width, count = history.shape
    components = [np.zeros((64, *history.grid(n)), np.int32) for n in range(count)]
    _code_components(history, components, reader, earlier)
    planes = np.zeros((count, height, width), np.int32)
    decoded = history.decode(components)
    code_misses(decoded, decoded, reader)
    inside = history.region.slices
    if history.frame_converted:
        planes[:, *inside] = history.decode_components(components)[:, *history.seen]
        _code_frame(history, planes, reader)
        planes = history.converted_to_planes(planes)
    planes[:, *inside] = decoded[:, *history.seen]
    if not history.frame_converted:
        _code_frame(history, planes, reader)
    reader.finish()
    if history.constant is not None:
        planes = np.concatenate([planes, np.full((1, height, width), history.constant, np.int32)])
    return np.ascontiguousarray(np.moveaxis(planes, 0, 2).astype(np.uint8))


def _code_components(
    history: History,
    components: Sequence[NDArray[np.int32]],
    stream: OperationList | WordReader,
    earlier: bool = False,
) -> None:
    """Code components together whose blocks lie on one grid: chroma of half the size given luma."""
    groups: tuple[tuple[int, ...], ...] = (tuple(range(len(components))),)
    if history.sampling != (1, 1):
        groups = ((0,), (1, 2))
    elif len(components) == 3 and not history.converted:
        groups = (_GREEN_FIRST,)
    for group in groups:
        known = []
        if group is not groups[0] and not earlier:
            known = [reduced(components[0], history.steps[0], history.grid(group[0]))]
        code_coefficients(
            [components[n] for n in group],
            history.steps[list(group)],
            stream,
            known=known,
            cut=history.cut(group[0]),
            earlier=earlier,
        )


def _frame_of(
    history: History, planes: NDArray[np.int32], components: Sequence[NDArray[np.int32]]
) -> tuple[NDArray[np.int32], bool]:
    """What the frame is coded as, and whether that is Y, Cb, Cr: where it all is, next to what is decoded inside."""
    if not history.converted or history.region.is_all_of(history.shape):
        return planes, False
    inside = history.region.slices
    samples, missed = from_rgb(CONVERSION, planes)
    missed[inside] = False
    if missed.any():
        return planes, False
    samples[1:] += _CENTRE
    samples[:, *inside] = history.decode_components(components)[:, *history.seen]
    return samples, True


def _code_frame(history: History, planes: NDArray[np.int32], stream: OperationList | WordReader) -> None:
    """Code samples outside of the region; of Y, Cb, Cr in this order."""
    order = _GREEN_FIRST if len(planes) == 3 and not history.frame_converted else tuple(range(len(planes)))
    ordered = planes[list(order)]
    code_frame(ordered, history.region, stream)
    if stream.decoding:
        planes[list(order)] = ordered
