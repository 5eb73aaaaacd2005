"""From samples to the bytes that a source holds, and back: one packer for each way of storing them.

A plane names its packer by a JSON-able mapping, ``{"name": ..., **parameters}``:

========== ===================================== ============================================================
name       segment                               parameters
========== ===================================== ============================================================
identity   chunk of bytes; one opaque tile       none
pcm        run of audio frames                   width (bytes a sample), order ('<', '>'), unsigned, frames
raw        TIFF or zarr tile, strip, run of rows the *geometry*: rows, cols, grid [ny, nx], planar; the
                                                 *layout* of samples: order, axes ('yxc', 'cyx', 'xyc'),
                                                 predictor (1, 2); fill (of segments that have no piece)
lzw        the same, by TIFF's LZW               those of raw, and recipe (see `sources.lzw`)
deflate    the same, by zlib                     those of raw, container, recipe (see `sources.deflate`)
codec      the same, by another imagecodecs one  those of raw, and codec; can unpack only
png        all IDAT chunks of a PNG file         recipe, idat, filters (see `sources.png`)
========== ===================================== ============================================================
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.errors import SchemaVersionError, SourceFormatError
from haarchive.pipeline.layout import Plane, chunk_bounds

__all__ = ["IdentityPacker", "Packer", "PcmPacker", "get_packer"]

Region = tuple[slice, ...]


class Packer(ABC):
    """Turns a plane's samples into the bytes of a segment, and back.

    Packing is exact and the same on every machine: what `pack` gives today it gives for ever.
    """

    def __init__(self, plane: Plane) -> None:
        self.plane = plane

    @property
    def fill(self) -> int:
        """The sample that segments without a piece are made of."""
        return int(self.plane.packer.get("fill", 0))

    @abstractmethod
    def bounds(self, segment: int) -> Region:
        """The region of the plane that a segment covers, one slice an axis."""

    @abstractmethod
    def segments(self, region: Region) -> Iterable[int]:
        """The segments that overlap a region of the plane."""

    @abstractmethod
    def pack(self, samples: NDArray[Any], segment: int) -> bytes:
        """Make the bytes of a segment from the samples of its `bounds`."""

    @abstractmethod
    def unpack(self, data: bytes, segment: int) -> NDArray[Any]:
        """Read the samples of a segment, in native byte order and the shape of its `bounds`.

        Raises
        ------
        SourceFormatError
            If the bytes are malformed, too few or too many.
        """


def get_packer(plane: Plane) -> Packer:
    """Make the packer that a plane names.

    Raises
    ------
    SchemaVersionError
        If this version of haarchive has no packer of that name.
    """
    name = plane.packer.get("name", "identity")
    match name:
        case "identity":
            return IdentityPacker(plane)
        case "pcm":
            return PcmPacker(plane)
        case "raw" | "lzw" | "deflate" | "codec":
            from haarchive.pipeline.sources import segments

            return segments.make_packer(plane)
        case "png":
            from haarchive.pipeline.sources.png import PngPacker

            return PngPacker(plane)
        case _:
            raise SchemaVersionError(f"no packer is named {name!r}; a newer haarchive may have it: upgrade it")


class IdentityPacker(Packer):
    """Bytes as they are: a segment is a chunk of a 'bytes' plane, or one opaque string of a 'tiles' plane."""

    def bounds(self, segment: int) -> Region:
        """The chunk's bounds; of a 'tiles' plane those of the tile."""
        if self.plane.kind == "tiles":
            return tuple(slice(int(at), int(at) + 1) for at in np.unravel_index(segment, self.plane.shape))
        return chunk_bounds(self.plane, segment)

    def segments(self, region: Region) -> range:
        """The chunks that overlap the region."""
        step = self.plane.chunk_shape[0]
        return range(region[0].start // step, -(-region[0].stop // step))

    def pack(self, samples: NDArray[Any], segment: int) -> bytes:
        """The bytes themselves."""
        return np.ascontiguousarray(samples, np.uint8).tobytes()

    def unpack(self, data: bytes, segment: int) -> NDArray[Any]:
        """The bytes themselves, as (n,) uint8."""
        return np.frombuffer(data, np.uint8)


class PcmPacker(Packer):
    """Interleaved PCM frames of 1 to 4 bytes a sample, in either byte order.

    Unsigned 8-bit samples become signed by subtracting 128. 8 and 16 bits live in int16, 24 and 32 in int32.
    """

    def __init__(self, plane: Plane) -> None:
        super().__init__(plane)
        self._width = int(plane.packer["width"])
        self._order = "little" if plane.packer["order"] == "<" else "big"
        self._unsigned = bool(plane.packer["unsigned"])
        self._frames = int(plane.packer["frames"])

    def bounds(self, segment: int) -> Region:
        """The frames of the run, and all channels."""
        frames, channels = self.plane.shape
        start = segment * self._frames
        return slice(start, min(start + self._frames, frames)), slice(0, channels)

    def segments(self, region: Region) -> range:
        """The runs that overlap the region."""
        return range(region[0].start // self._frames, -(-region[0].stop // self._frames))

    def pack(self, samples: NDArray[Any], segment: int) -> bytes:
        """Write frames; the high bytes that a sample's width leaves out only repeat its sign."""
        values = samples.astype("<i4").reshape(-1, 1).view(np.uint8)[:, : self._width]
        if self._unsigned:
            values = values ^ np.uint8(0x80)
        return np.ascontiguousarray(values if self._order == "little" else values[:, ::-1]).tobytes()

    def unpack(self, data: bytes, segment: int) -> NDArray[Any]:
        """Read frames as (frames, channels) int16 or int32."""
        channels = self.plane.shape[1]
        if len(data) % (self._width * channels):
            raise SourceFormatError(f"run {segment} of PCM data ends inside a frame")
        raw = np.frombuffer(data, np.uint8).reshape(-1, self._width)
        raw = raw if self._order == "little" else raw[:, ::-1]
        wide = np.zeros((len(raw), 4), np.uint8)
        wide[:, 4 - self._width :] = raw
        if self._unsigned:
            wide[:, 3] ^= 0x80
        values = wide.view("<i4")[:, 0] >> (8 * (4 - self._width))
        return values.astype(self.plane.dtype).reshape(-1, channels)
