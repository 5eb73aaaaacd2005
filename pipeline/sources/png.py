"""PNG files: their pixels, and what it takes to make their IDAT chunks again.

All IDAT chunks of a file are one piece: the stream of filtered rows, compressed by zlib and cut at the sizes
that the writer's buffer had. The plane's packer keeps the deflate recipe, the filter that was chosen for each
row, and the cuts. PNG specification, third edition, sections 9 (filtering), 10 (compression) and 11.2.3
(IDAT).
"""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from haarchive.codecs.distributions.jit import kernel
from haarchive.codecs.errors import SourceFormatError
from haarchive.pipeline.layout import Plane
from haarchive.pipeline.sources.deflate import deflate, find_recipes, inflate
from haarchive.pipeline.sources.files import SourceBytes
from haarchive.pipeline.sources.grid import image_chunk
from haarchive.pipeline.sources.packers import Packer, Region
from haarchive.pipeline.sources.scan import PlaneScan, Scan
from haarchive.pipeline.sources.verbatim import scan_verbatim

__all__ = ["PngPacker", "scan_png"]

_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}
_MAX_PIXELS_BYTES = 1 << 30
_DRAWN = 1 / 12
"""Files packed more densely than this are drawn, not seen: deflate is better on them than a flow."""


class PngPacker(Packer):
    """All pixels of a PNG file as one segment: the bytes from its first IDAT chunk to the end of its last."""

    @property
    def row_bytes(self) -> int:
        """Bytes of a row before compression, its filter byte included."""
        return 1 + self.plane.shape[1] * self.plane.shape[2] * np.dtype(self.plane.dtype).itemsize

    def bounds(self, segment: int) -> Region:
        """The whole plane."""
        return tuple(slice(0, n) for n in self.plane.shape)

    def segments(self, region: Region) -> range:
        """The one segment."""
        return range(1)

    def pack(self, samples: NDArray[Any], segment: int) -> bytes:
        """Filter the rows, compress them, and cut the stream into IDAT chunks."""
        p = self.plane.packer
        filters = np.frombuffer(zlib.decompress(base64.b64decode(p["filters"])), np.uint8)
        stream = deflate(self.filtered(samples, filters), p["recipe"])
        cuts = (size for size, count in p["idat"] for _ in range(count))
        return b"".join(_idat_chunks(stream, cuts))

    def unpack(self, data: bytes, segment: int) -> NDArray[Any]:
        """Join the IDAT chunks, decompress them, and undo the filters."""
        stream, _ = _join_idat(data)
        return self.unfiltered(inflate(stream, self.row_bytes * self.plane.shape[0]))[0]

    def filtered(self, samples: NDArray[Any], filters: NDArray[np.uint8]) -> bytes:
        """Each row's filter byte and filtered bytes, from (H, W, C) samples and (H,) filters."""
        height, _, channels = self.plane.shape
        depth = np.dtype(self.plane.dtype).itemsize
        rows = samples.astype(f">u{depth}", order="C").view(np.uint8).reshape(height, -1)
        out = np.empty((height, 1 + rows.shape[1]), np.uint8)
        out[:, 0] = filters
        _filter(rows, filters, channels * depth, out[:, 1:])
        return out.tobytes()

    def unfiltered(self, raw: bytes) -> tuple[NDArray[Any], NDArray[np.uint8]]:
        """Undo `filtered`: the samples and the filters."""
        height = self.plane.shape[0]
        if len(raw) != height * self.row_bytes:
            raise SourceFormatError(f"it holds {len(raw)} bytes of rows, not {height * self.row_bytes}")
        rows = np.frombuffer(raw, np.uint8).reshape(height, -1)
        filters = rows[:, 0].copy()
        if int(filters.max()) > 4:
            raise SourceFormatError(f"it has a row of filter type {filters.max()}")
        depth = np.dtype(self.plane.dtype).itemsize
        pixels = np.empty((height, rows.shape[1] - 1), np.uint8)
        _unfilter(rows[:, 1:], filters, self.plane.shape[2] * depth, pixels)
        samples = pixels.view(f">u{depth}").reshape(self.plane.shape)
        return samples.astype(self.plane.dtype), filters


@dataclass(frozen=True)
class _Structure:
    """Where things lie: `start` and `stop` of the run of IDAT chunks, and what the header says."""

    header: bytes
    start: int
    stop: int
    facts: Mapping[str, Any]


def scan_png(files: SourceBytes, *, prove: bool = True) -> Scan:
    """Find the pixels of a PNG file.

    Parameters
    ----------
    files : SourceBytes
    prove : bool
        Whether the pixels become a plane only where the file's IDAT chunks can be made again byte for byte.

    Raises
    ------
    SourceFormatError
        If the file is malformed.
    """
    found = _structure(files)
    width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", found.header)
    if colour not in _CHANNELS or depth not in (8, 16) or interlace:
        return scan_verbatim("a PNG with a palette, fewer than 8 bits a sample, or interlaced rows", "png")
    shape = (height, width, _CHANNELS[colour])
    n_bytes = height * width * shape[2] * depth // 8
    if n_bytes > _MAX_PIXELS_BYTES:
        return scan_verbatim("a PNG of more than 1 GiB of pixels, which are one piece and must fit in memory", "png")
    if found.stop - found.start < _DRAWN * n_bytes:
        return scan_verbatim("deflate packs this picture better than a flow would", "png")
    plane = Plane(
        kind="image",
        shape=shape,
        dtype=f"uint{depth}",
        chunk_shape=image_chunk(shape),
        codec="haar",
        packer={"name": "png"},
        attrs={"level": 0, "size": [height, width]},
    )
    data = files.read(found.start, found.stop - found.start)
    packer = _parameters(plane, data) if prove else plane.packer
    if packer is None:
        return scan_verbatim("its compressed rows cannot be made again byte for byte", "png")
    plane = Plane(plane.kind, shape, plane.dtype, plane.chunk_shape, plane.codec, packer, plane.attrs)
    if prove and PngPacker(plane).pack(PngPacker(plane).unpack(data, 0), 0) != data:
        return scan_verbatim("its IDAT chunks cannot be made again byte for byte", "png")
    where = np.array([found.start]), np.array([found.stop - found.start])
    return Scan("png", (PlaneScan(plane, np.array([0]), *where),), found.facts)


def _structure(files: SourceBytes) -> _Structure:
    position, header, start, stop = 8, b"", 0, 0
    facts: dict[str, Any] = {}
    while position + 12 <= files.size:
        size, name = struct.unpack(">I4s", files.read(position, 8))
        end = position + 12 + size
        if end > files.size:
            raise SourceFormatError(f"its {name!r} chunk at byte {position} is cut short")
        if name == b"IHDR" and size == 13 and not header:
            header = files.read(position + 8, 13)
        elif name == b"IDAT":
            if start and position != stop:
                raise SourceFormatError("its IDAT chunks do not follow each other")
            start, stop = start or position, end
        elif name == b"pHYs" and size == 9:
            per_metre, _, unit = struct.unpack(">IIB", files.read(position + 8, 9))
            mpp = 1e6 / per_metre if unit == 1 and per_metre else 0.0
            facts = {"mpp": mpp} if 0.01 <= mpp <= 100 else {}
        elif name == b"IEND":
            break
        position = end
    if not header or not stop or 0 in struct.unpack(">II", header[:8]):
        raise SourceFormatError("it has no IHDR, no IDAT, or no pixels")
    return _Structure(header, start, stop, facts)


def _parameters(plane: Plane, data: bytes) -> dict[str, Any] | None:
    """The packer's parameters, None where the stream was not made by zlib."""
    packer = PngPacker(plane)
    stream, sizes = _join_idat(data)
    raw = inflate(stream, plane.shape[0] * packer.row_bytes)
    _, filters = packer.unfiltered(raw)
    recipe = next(find_recipes(stream, raw), None)
    if recipe is None:
        return None
    runs: list[list[int]] = []
    for size in sizes:
        if runs and runs[-1][0] == size:
            runs[-1][1] += 1
        else:
            runs.append([size, 1])
    packed = base64.b64encode(zlib.compress(filters.tobytes(), 9)).decode()
    return {"name": "png", "recipe": recipe, "idat": runs, "filters": packed}


def _join_idat(data: bytes) -> tuple[bytes, list[int]]:
    parts, sizes, position = [], [], 0
    while position < len(data):
        size = int.from_bytes(data[position : position + 4], "big")
        parts.append(data[position + 8 : position + 8 + size])
        sizes.append(size)
        position += 12 + size
    return b"".join(parts), sizes


def _idat_chunks(stream: bytes, sizes: Iterator[int]) -> Iterator[bytes]:
    position = 0
    for size in sizes:
        body = b"IDAT" + stream[position : position + size]
        yield struct.pack(">I", size) + body + struct.pack(">I", zlib.crc32(body))
        position += size


@njit(inline="always")
def _predict(kind: int, left: int, up: int, corner: int) -> int:
    if kind == 1:
        return left
    if kind == 2:
        return up
    if kind == 3:
        return (left + up) >> 1
    if kind == 4:
        p = left + up - corner
        a, b, c = abs(p - left), abs(p - up), abs(p - corner)
        if a <= b and a <= c:
            return left
        return up if b <= c else corner
    return 0


@kernel
def _filter(rows: NDArray[Any], filters: NDArray[Any], pixel: int, out: NDArray[Any]) -> None:
    """``rows`` (H, n) uint8, ``filters`` (H,) uint8, bytes a pixel -> ``out`` (H, n) uint8."""
    for y in range(rows.shape[0]):
        for x in range(rows.shape[1]):
            left = np.int64(rows[y, x - pixel]) if x >= pixel else 0
            up = np.int64(rows[y - 1, x]) if y else 0
            corner = np.int64(rows[y - 1, x - pixel]) if y and x >= pixel else 0
            out[y, x] = (np.int64(rows[y, x]) - _predict(filters[y], left, up, corner)) & 0xFF


@kernel
def _unfilter(rows: NDArray[Any], filters: NDArray[Any], pixel: int, out: NDArray[Any]) -> None:
    """Undo `_filter`; the same shapes."""
    for y in range(rows.shape[0]):
        for x in range(rows.shape[1]):
            left = np.int64(out[y, x - pixel]) if x >= pixel else 0
            up = np.int64(out[y - 1, x]) if y else 0
            corner = np.int64(out[y - 1, x - pixel]) if y and x >= pixel else 0
            out[y, x] = (np.int64(rows[y, x]) + _predict(filters[y], left, up, corner)) & 0xFF
