"""What the bitstreams of pictures and of sound share besides their codes: numbers in headers, samples as they are."""

from __future__ import annotations

import numpy as np

from haarchive.codecs.base import Samples
from haarchive.codecs.errors import BitstreamError

__all__ = ["from_varint", "raw_bytes", "raw_samples", "to_varint"]


def raw_bytes(samples: Samples) -> bytes:
    """Samples as the paper's escape bit leaves them (section 3.3): little-endian, in reading order."""
    return np.ascontiguousarray(samples, samples.dtype.newbyteorder("<")).tobytes()


def raw_samples(data: memoryview, shape: tuple[int, ...], dtype: np.dtype) -> Samples:
    """Read what `raw_bytes` gave.

    Raises
    ------
    BitstreamError
        If these are not the bytes of so many samples.
    """
    if len(data) != np.prod(shape, dtype=np.int64) * dtype.itemsize:
        raise BitstreamError(f"{len(data)} bytes are not the {shape} raw samples that the header tells of")
    return np.frombuffer(data, dtype.newbyteorder("<")).reshape(shape).astype(dtype)


def to_varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; the top bit says that more follow (LEB128)."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def from_varint(data: memoryview, most: int) -> tuple[int, memoryview]:
    """Read what `to_varint` made, at most `most`; returns the number and what follows it.

    Raises
    ------
    BitstreamError
        If it does not end within five bytes.
    """
    number = 0
    for n, byte in enumerate(data[:5]):
        number |= (byte & 127) << (7 * n)
        if byte < 128:
            return min(number, most), data[n + 1 :]
    raise BitstreamError("the header of an idf bitstream is damaged: a number does not end")
