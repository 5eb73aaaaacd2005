"""Samples kept as they are: the fallback that every chunk can be stored by.

A bitstream is one band::

    u8       method: 0 raw, 1 zstd, 2 zstd of the byte planes, 3 the low bytes
    u8       kind of the dtype, as ASCII: b i u f c S V
    uvarint  bytes of an item
    u8       number of dimensions
    uvarint  each dimension
    ...      the samples, C order, little-endian, by `method`

where a uvarint is LEB128 (seven bits a byte, low bits first, the top bit set on all but the last). Method 2
puts the lowest byte of every item first, then the next byte of every item and so on: wide samples compress
better that way. Method 3 is for integers that need fewer bytes than their dtype has, such as 24-bit sound in
int32: a byte k, then the k low bytes of every item; the rest is the sign ('i') or zero ('u').
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import zstandard
from numpy.typing import NDArray

from haarchive.codecs.base import Bitstream, Codec, Samples
from haarchive.codecs.errors import BitstreamError, CodecError, UnsupportedSamplesError

__all__ = ["StoredCodec"]

_RAW, _ZSTD, _ZSTD_PLANES, _LOW_BYTES = 0, 1, 2, 3
_KINDS = "biufcSV"
_MAX_ZSTD_RATIO = 1 << 17
"""More than zstd can expand by (128 KiB from a four-byte block): what claims more is damage, not data."""


@dataclass(frozen=True)
class StoredCodec(Codec):
    """Store samples exactly, as the smallest of raw, zstd, zstd of their byte planes, and their low bytes.

    Takes any shape and any boolean, integer, floating, complex or fixed-length bytes dtype. Decoded samples
    are in native byte order and equal bit for bit, NaN payloads included. Never more than 24 bytes over the
    raw size for chunks of up to four dimensions.

    Parameters
    ----------
    level : int
        zstd's effort, 1 to 22.
    """

    name: ClassVar[str] = "stored"
    level: int = 9

    def encode(self, chunks: Sequence[Samples]) -> list[Bitstream]:
        """Encode chunks; see `Codec.encode`."""
        return [Bitstream((self._encode_one(np.asarray(chunk)),)) for chunk in chunks]

    def decode(self, bitstreams: Sequence[Bitstream], *, reduce: int = 0) -> list[Samples]:
        """Decode bitstreams; see `Codec.decode`. There is one resolution, so `reduce` must be 0."""
        if reduce != 0:
            raise CodecError(f"the stored codec has one resolution and cannot reduce by 2**{reduce}")
        return [_decode_one(bitstream) for bitstream in bitstreams]

    def bands_needed(self, n_bands: int, reduce: int) -> int:
        """Every band, as there is one."""
        return n_bands

    def _encode_one(self, chunk: Samples) -> bytes:
        if chunk.dtype.kind not in _KINDS or chunk.dtype.names is not None or chunk.dtype.subdtype is not None:
            raise UnsupportedSamplesError(f"the stored codec does not take samples of dtype {chunk.dtype}")
        samples = np.ascontiguousarray(chunk.astype(chunk.dtype.newbyteorder("<"), copy=False))
        raw = samples.tobytes()
        compressor = zstandard.ZstdCompressor(level=self.level, write_content_size=True)
        method, payload = _RAW, raw
        if raw:
            packed = compressor.compress(raw)
            if len(packed) < len(payload):
                method, payload = _ZSTD, packed
            if samples.dtype.itemsize > 1:
                planes = np.frombuffer(raw, np.uint8).reshape(-1, samples.dtype.itemsize).T
                packed = compressor.compress(planes.tobytes())
                if len(packed) < len(payload):
                    method, payload = _ZSTD_PLANES, packed
                low = _bytes_needed(samples)
                if 1 + low * samples.size < len(payload):
                    octets = np.frombuffer(raw, np.uint8).reshape(-1, samples.dtype.itemsize)
                    method, payload = _LOW_BYTES, bytes([low]) + octets[:, :low].tobytes()
        header = bytearray((method, ord(chunk.dtype.kind)))
        _put_uvarint(header, chunk.dtype.itemsize)
        header.append(chunk.ndim)
        for extent in chunk.shape:
            _put_uvarint(header, extent)
        return bytes(header) + payload


def _decode_one(bitstream: Bitstream) -> Samples:
    if len(bitstream.bands) != 1:
        raise BitstreamError(f"a stored bitstream has 1 band, this one has {len(bitstream.bands)}")
    band = bitstream.bands[0]
    if len(band) < 4:
        raise BitstreamError(f"a stored bitstream of {len(band)} bytes is too short to have a header")
    method, kind = band[0], chr(band[1])
    itemsize, position = _get_uvarint(band, 2)
    ndim, position = _get_uvarint(band, position)  # one byte: at most 32
    if method not in (_RAW, _ZSTD, _ZSTD_PLANES, _LOW_BYTES) or kind not in _KINDS or ndim > 32:
        raise BitstreamError("the header of a stored bitstream is damaged")
    shape = []
    for _ in range(ndim):
        extent, position = _get_uvarint(band, position)
        shape.append(extent)
    try:
        dtype = np.dtype(f"<{kind}{itemsize}")
    except (TypeError, ValueError) as error:
        raise BitstreamError(f"a stored bitstream has no valid dtype: {kind}{itemsize}") from error
    payload = memoryview(band)[position:]
    nbytes = math.prod(shape) * dtype.itemsize
    if method == _LOW_BYTES:
        raw: bytes | NDArray[np.uint8] = _widen(payload, dtype, math.prod(shape))
    else:
        raw = _unpack(payload, method, nbytes, dtype.itemsize)
    try:
        samples = np.frombuffer(raw, dtype).reshape(shape) if nbytes else np.empty(shape, dtype)
    except ValueError as error:
        raise BitstreamError(f"a stored bitstream has no valid shape: {shape}") from error
    return samples.astype(dtype.newbyteorder("="))


def _bytes_needed(samples: NDArray[Any]) -> int:
    """The fewest low bytes that tell every sample, its dtype's own number where it is no integer."""
    if samples.dtype.kind not in "iu":
        return samples.dtype.itemsize
    bits = max(int(samples.max()).bit_length(), (~int(samples.min())).bit_length() if samples.dtype.kind == "i" else 0)
    return max(1, -(-(bits + (samples.dtype.kind == "i")) // 8))


def _widen(payload: memoryview, dtype: np.dtype[Any], count: int) -> NDArray[np.uint8]:
    """Give the bytes of `count` samples back from their low ones."""
    low = payload[0] if len(payload) else 0
    if dtype.kind not in "iu" or not 1 <= low < dtype.itemsize or len(payload) != 1 + low * count:
        raise BitstreamError("a stored bitstream of low bytes is damaged")
    octets = np.empty((count, dtype.itemsize), np.uint8)
    octets[:, :low] = np.frombuffer(payload[1:], np.uint8).reshape(count, low)
    negative = octets[:, low - 1] >> 7 if dtype.kind == "i" else np.zeros(count, np.uint8)
    octets[:, low:] = (negative * 255)[:, None]
    return octets


def _unpack(payload: memoryview, method: int, nbytes: int, itemsize: int) -> bytes | NDArray[np.uint8]:
    """Give `nbytes` raw bytes back, from raw or compressed ones."""
    if method == _RAW:
        if len(payload) != nbytes:
            raise BitstreamError(f"a stored bitstream holds {len(payload)} bytes of samples, not {nbytes}")
        return bytes(payload)
    try:
        if zstandard.get_frame_parameters(payload).content_size != nbytes:
            raise BitstreamError("a stored bitstream's size and shape do not match")
        if nbytes > len(payload) * _MAX_ZSTD_RATIO:
            raise BitstreamError(f"a stored bitstream claims {nbytes} bytes in {len(payload)}")
        raw = zstandard.ZstdDecompressor().decompress(payload, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise BitstreamError(f"a stored bitstream is damaged: {error}") from error
    if method == _ZSTD_PLANES:
        return np.ascontiguousarray(np.frombuffer(raw, np.uint8).reshape(itemsize, -1).T)
    return raw


def _put_uvarint(out: bytearray, value: int) -> None:
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def _get_uvarint(data: bytes, position: int) -> tuple[int, int]:
    """Read a uvarint; return it and the position behind it."""
    value = 0
    for shift in range(0, 63, 7):
        if position >= len(data):
            raise BitstreamError("the header of a stored bitstream is cut short")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise BitstreamError("a number in the header of a stored bitstream is too large")
