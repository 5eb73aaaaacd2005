"""Packers of image segments: the tiles and strips of TIFF files, the chunks of zarr arrays."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.errors import SourceFormatError
from haarchive.pipeline.layout import Plane
from haarchive.pipeline.sources.deflate import deflate, inflate
from haarchive.pipeline.sources.lzw import lzw_encode
from haarchive.pipeline.sources.packers import Packer, Region

__all__ = ["CodecPacker", "DeflatePacker", "ImagePacker", "LzwPacker", "RawPacker", "make_packer"]

_AXES = {"yxc": (0, 1, 2), "cyx": (2, 0, 1), "xyc": (1, 0, 2)}


class ImagePacker(Packer):
    """Rectangular segments of an image plane on a regular grid, compressed somehow.

    With ``planar`` each segment holds one channel, and all segments of a channel come before those of the
    next. Segments at the lower and right edge end where the plane does.
    """

    def __init__(self, plane: Plane) -> None:
        super().__init__(plane)
        p = plane.packer
        self._rows, self._cols = int(p["rows"]), int(p["cols"])
        self._ny, self._nx = (int(n) for n in p["grid"])
        self._planar = bool(p["planar"])
        self._predictor = int(p.get("predictor", 1))
        self._axes = _AXES[p.get("axes", "yxc")]
        self._stored = np.dtype(plane.dtype).newbyteorder(p.get("order", "<"))

    def bounds(self, segment: int) -> Region:
        """``(rows, columns, channels)`` of the segment."""
        height, width, channels = self.plane.shape
        channel, position = divmod(segment, self._ny * self._nx)
        row, column = divmod(position, self._nx)
        return (
            slice(row * self._rows, min((row + 1) * self._rows, height)),
            slice(column * self._cols, min((column + 1) * self._cols, width)),
            slice(channel, channel + 1) if self._planar else slice(0, channels),
        )

    def segments(self, region: Region) -> Iterator[int]:
        """The segments that overlap the region, in their order."""
        rows, columns, channels = region
        for channel in range(channels.start, channels.stop) if self._planar else (0,):
            for row in range(rows.start // self._rows, -(-rows.stop // self._rows)):
                first = (channel * self._ny + row) * self._nx
                yield from range(first + columns.start // self._cols, first - (-columns.stop // self._cols))

    def pack(self, samples: NDArray[Any], segment: int) -> bytes:
        """Predict, order and compress the samples."""
        if self._predictor == 2:
            samples = np.diff(samples, axis=1, prepend=np.zeros_like(samples[:, :1]))
        return self.compress(samples.transpose(self._axes).astype(self._stored, order="C").tobytes())

    def unpack(self, data: bytes, segment: int) -> NDArray[Any]:
        """Decompress, order and undo the prediction."""
        shape = tuple(s.stop - s.start for s in self.bounds(segment))
        stored = tuple(shape[axis] for axis in self._axes)
        expected = int(np.prod(stored, dtype=np.int64)) * self._stored.itemsize
        raw = self.decompress(data, expected)
        if len(raw) != expected:
            raise SourceFormatError(f"segment {segment} holds {len(raw)} bytes of pixels, not {expected}")
        samples = np.frombuffer(raw, self._stored).reshape(stored)
        samples = samples.transpose(np.argsort(self._axes)).astype(self.plane.dtype, order="C")
        if self._predictor == 2:
            samples = np.cumsum(samples, axis=1, dtype=samples.dtype)
        return samples

    @abstractmethod
    def compress(self, raw: bytes) -> bytes:
        """Compress the bytes of a segment's samples, exactly as the source did."""

    @abstractmethod
    def decompress(self, data: bytes, expected: int) -> bytes:
        """Undo `compress`; never much more than `expected` bytes."""


class RawPacker(ImagePacker):
    """Samples that are not compressed."""

    def compress(self, raw: bytes) -> bytes:
        """The bytes themselves."""
        return raw

    def decompress(self, data: bytes, expected: int) -> bytes:
        """The bytes themselves."""
        return data


class LzwPacker(ImagePacker):
    """Samples compressed by LZW."""

    def compress(self, raw: bytes) -> bytes:
        """Compress with the source's writer's habits."""
        return lzw_encode(raw, **self.plane.packer["recipe"])

    def decompress(self, data: bytes, expected: int) -> bytes:
        """Decompress, up to the expected size."""
        return _imagecodec("lzw", data, expected)


class DeflatePacker(ImagePacker):
    """Samples compressed by zlib."""

    def compress(self, raw: bytes) -> bytes:
        """Compress with the source's writer's settings."""
        return deflate(raw, self.plane.packer["recipe"], self.plane.packer.get("container", "zlib"))

    def decompress(self, data: bytes, expected: int) -> bytes:
        """Decompress, up to one byte more than the expected size."""
        return inflate(data, expected, self.plane.packer.get("container", "zlib"))


class CodecPacker(ImagePacker):
    """Samples compressed by what we cannot make again exactly: they can be read, and not be packed."""

    def compress(self, raw: bytes) -> bytes:
        """Refuse.

        Raises
        ------
        SourceFormatError
        """
        raise SourceFormatError(f"{self.plane.packer['codec']} data cannot be made again byte for byte")

    def decompress(self, data: bytes, expected: int) -> bytes:
        """Decompress."""
        return _imagecodec(self.plane.packer["codec"], data, expected)


_PACKERS: dict[str, type[ImagePacker]] = {
    "raw": RawPacker,
    "lzw": LzwPacker,
    "deflate": DeflatePacker,
    "codec": CodecPacker,
}


def make_packer(plane: Plane) -> ImagePacker:
    """Make the packer of an image plane whose name is 'raw', 'lzw', 'deflate' or 'codec'."""
    return _PACKERS[plane.packer["name"]](plane)


def _imagecodec(name: str, data: bytes, expected: int) -> bytes:
    try:
        return bytes(getattr(imagecodecs, f"{name}_decode")(data, out=expected))
    except Exception as error:  # each of imagecodecs' codecs has its own exception
        raise SourceFormatError(f"damaged {name} data: {error}") from None
