"""The TIFF family: TIFF, BigTIFF, OME-TIFF, SVS, NDPI and their relatives, through tifffile.

tifffile reads the structure: directories, tags, series. Where the bytes of tiles and strips lie, and whether
they can be made again from pixels, is settled here.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from haarchive.codecs.errors import SourceFormatError
from haarchive.pipeline.layout import Plane
from haarchive.pipeline.sources.files import SourceBytes
from haarchive.pipeline.sources.grid import image_chunk
from haarchive.pipeline.sources.proving import MAX_ASIDE, prove_segments
from haarchive.pipeline.sources.scan import PlaneScan, Scan
from haarchive.pipeline.sources.tiff_meta import page_roles, slide_facts
from haarchive.pipeline.sources.tiles import MAX_SEGMENT, opaque_tiles, tiles_per_chunk

__all__ = ["scan_tiff", "tiff_pages"]

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # damaged files are reported by us

_RAW, _LZW, _JPEG, _DEFLATE = 1, 5, 7, (8, 32946)
_PACKBITS, _ZSTD = 32773, (50000, 34926)
_PACKERS = {_RAW: "raw", _LZW: "lzw", **dict.fromkeys(_DEFLATE, "deflate")}
_CODECS = {
    _LZW: "lzw",
    **dict.fromkeys(_DEFLATE, "zlib"),
    **dict.fromkeys(_ZSTD, "zstd"),
    _PACKBITS: "packbits",
}
_FLOW_DTYPES = ("uint8", "uint16")
_STORED_DTYPES = ("int8", "int16", "uint32", "int32", "float16", "float32", "float64")
_YCBCR = 6
_MAX_PIXEL_SEGMENT = 256 << 20
_SPARSEST = 16
_DRAWN = 1 / 12
"""Pixels packed more densely than this are drawn, not seen: other codecs are better on them than a flow."""


@dataclass(frozen=True)
class _Grid:
    """How a page is cut into strips or tiles of `rows` x `cols` pixels; `padded` tells tiles from strips."""

    height: int
    width: int
    channels: int
    rows: int
    cols: int
    padded: bool
    planar: bool

    @property
    def ny(self) -> int:
        return math.ceil(self.height / self.rows)

    @property
    def nx(self) -> int:
        return math.ceil(self.width / self.cols)

    @property
    def count(self) -> int:
        return self.ny * self.nx * (self.channels if self.planar else 1)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the plane, padding included."""
        if self.padded:
            return self.ny * self.rows, self.nx * self.cols, self.channels
        return self.height, self.width, self.channels


def scan_tiff(files: SourceBytes, *, prove: bool = True) -> Scan:
    """Find the planes of a TIFF file.

    Parameters
    ----------
    files : SourceBytes
    prove : bool
        Whether compressed pixels become an image plane only where they can be made again byte for byte;
        otherwise wherever they can be decompressed exactly (then the layout serves reading only).

    Raises
    ------
    Exception
        Whatever tifffile raises on a malformed file.
    """
    with tifffile.TiffFile(files.file(), _useframes=False, _multifile=False) as tif:
        pages = list(tiff_pages(tif))
        if not pages:
            raise SourceFormatError("it has no pages")
        roles = page_roles(tif)
        facts = slide_facts(tif)
    planes: list[PlaneScan] = []
    notes: list[str] = []
    for index, page, _ in pages:
        role = roles.get(page.offset, {"associated": f"ifd-{index}"})
        try:
            found = _scan_page(files, page, {**role, "page": {"index": index, "ifd": int(page.offset)}}, prove)
        except (SourceFormatError, ValueError, TypeError, KeyError, OverflowError, AttributeError) as error:
            notes.append(f"page {index} is malformed and kept verbatim: {error}")
            continue
        if found is not None:
            planes.append(found)
    return Scan("tiff", planes, {**facts, **({"note": "; ".join(notes[:8])} if notes else {})})


def tiff_pages(tif: Any) -> Iterator[tuple[int, Any, int | None]]:
    """Every page once, SubIFDs right after their parent: its running number, itself, its parent's number."""
    seen: set[int] = set()
    number = 0
    pending: list[tuple[Any, int | None]] = [(page, None) for page in tif.pages]
    while pending:
        entry, parent = pending.pop(0)
        page = entry.aspage()
        if page.offset in seen:
            continue
        seen.add(page.offset)
        yield number, page, parent
        if page.subifds:
            pending[:0] = [(child, number) for child in page.pages]
        number += 1


def _scan_page(files: SourceBytes, page: Any, attrs: dict[str, Any], prove: bool) -> PlaneScan | None:
    grid = _grid(page)
    offset = _tag(page, 324 if 324 in page.tags else 273)
    length = _tag(page, 325 if 325 in page.tags else 279)
    count = min(len(offset), len(length))
    offset, length = offset[:count], length[:count]
    attrs["size"] = [grid.height, grid.width]
    attrs["segment"] = {"height": grid.rows, "width": grid.cols, "rows": grid.ny, "cols": grid.nx}
    compression = int(page.compression)
    if count == grid.count and _has_plain_samples(page, grid):
        if compression == _RAW:
            found = _raw_plane(files, page, grid, attrs, offset, length)
        else:
            found = _compressed_plane(files, page, grid, attrs, offset, length, prove)
        if found is not None:
            return found
    if compression != _JPEG or page.bitspersample != 8:
        return opaque_tiles("stored", attrs, offset, length, files.size)
    codec, tables = "jpeg-xl", page.jpegtables
    if page.jpegheader:
        # Hamamatsu's pages are one large JPEG each, of whose restart intervals tifffile makes tiles.
        codec, tables = "jpeg", page.jpegheader
        offset, length = np.array(page.dataoffsets, np.int64), np.array(page.databytecounts, np.int64)
    if tables:
        attrs["jpeg_tables"] = tables
    where = grid.ny * (grid.channels if grid.planar else 1), grid.nx
    chunk = tiles_per_chunk(grid.rows, grid.cols)
    return opaque_tiles(codec, attrs, offset, length, files.size, grid=where, chunk=chunk)


def _grid(page: Any) -> _Grid:
    height, width, channels = int(page.imagelength), int(page.imagewidth), int(page.samplesperpixel)
    tiled = bool(page.tilewidth)
    rows = int(page.tilelength) if tiled else int(page.rowsperstrip or height)
    cols = int(page.tilewidth) if tiled else width
    rows = rows if tiled else max(1, min(rows, height))
    if min(height, width, channels, rows, cols) < 1:
        raise SourceFormatError(f"a picture of {height} x {width} x {channels} in segments of {rows} x {cols}")
    return _Grid(height, width, channels, rows, cols, tiled, int(page.planarconfig) == 2 and channels > 1)


def _tag(page: Any, code: int) -> NDArray[np.int64]:
    value = page.tags.valueof(code)
    if value is None:
        raise SourceFormatError(f"it has no tag {code}")
    return np.atleast_1d(np.asarray(value)).astype(np.int64)


def _has_plain_samples(page: Any, grid: _Grid) -> bool:
    """Whether a decompressed segment is an array of whole samples of one dtype."""
    if page.dtype is None or page.imagedepth > 1 or int(page.fillorder) != 1:
        return False
    subsampled = int(page.photometric) == _YCBCR and grid.channels == 3 and page.tags.valueof(530) != (1, 1)
    whole = page.bitspersample == 8 * page.dtype.itemsize
    dtypes = _FLOW_DTYPES + (_STORED_DTYPES if int(page.compression) == _RAW else ())
    return bool(whole and not subsampled and page.dtype.name in dtypes)


def _plane(page: Any, grid: _Grid, attrs: dict[str, Any], packer: dict[str, Any]) -> Plane:
    predictor = 1 if int(page.compression) == _RAW else int(page.predictor)
    return Plane(
        kind="image",
        shape=grid.shape,
        dtype=page.dtype.name,
        chunk_shape=image_chunk(grid.shape),
        codec="haar" if page.dtype.name in _FLOW_DTYPES else "stored",
        packer={
            "rows": grid.rows,
            "cols": grid.cols,
            "grid": [grid.ny, grid.nx],
            "planar": grid.planar,
            "order": page.parent.byteorder,
            "predictor": predictor,
            **packer,
        },
        attrs=attrs,
    )


def _raw_plane(
    files: SourceBytes,
    page: Any,
    grid: _Grid,
    attrs: dict[str, Any],
    offset: NDArray[np.int64],
    length: NDArray[np.int64],
) -> PlaneScan | None:
    there = (length > 0) & (offset > 0)
    row_bytes = page.dtype.itemsize * (1 if grid.planar else grid.channels) * grid.width
    if not grid.padded and there.all():
        per_channel = offset.reshape(-1, grid.ny)
        in_a_row = per_channel[:, :1] + np.arange(grid.ny) * grid.rows * row_bytes
        if (per_channel == in_a_row).all():
            return _row_runs(files, page, grid, attrs, per_channel[:, :1], row_bytes)
    rows = np.full(grid.ny, grid.rows)
    if not grid.padded:
        rows[-1] = grid.height - (grid.ny - 1) * grid.rows
    expected = np.repeat(rows * (row_bytes // grid.width * grid.cols), grid.nx)
    good = there & (length == np.tile(expected, grid.channels if grid.planar else 1))
    too_many_bad = int((there & ~good).sum()) > MAX_ASIDE * int(there.sum())
    if expected.max() > _MAX_PIXEL_SEGMENT or _too_sparse(there) or too_many_bad:
        return None
    plane = _plane(page, grid, attrs, {"name": "raw"})
    return PlaneScan(plane, np.flatnonzero(good), offset[good], length[good])


def _row_runs(
    files: SourceBytes,
    page: Any,
    grid: _Grid,
    attrs: dict[str, Any],
    begin: NDArray[np.int64],
    row_bytes: int,
) -> PlaneScan | None:
    """Strips that follow each other are one stretch of rows, which is cut where the chunks are cut.

    `begin` (channels or 1, 1) says where each channel's rows begin. Rows that the file is too short for are
    left out.
    """
    rows = image_chunk(grid.shape)[0]
    start = np.arange(math.ceil(grid.height / rows)) * rows
    stop = np.minimum(start + rows, np.int64(grid.height))
    offset = (begin + start * row_bytes).ravel()
    length = np.tile((stop - start) * row_bytes, len(begin))
    inside = offset + length <= files.size
    if _too_sparse(inside):
        return None
    plane = _plane(page, grid, attrs, {"name": "raw", "rows": rows, "grid": [len(start), 1]})
    return PlaneScan(plane, np.flatnonzero(inside), offset[inside], length[inside])


def _compressed_plane(
    files: SourceBytes,
    page: Any,
    grid: _Grid,
    attrs: dict[str, Any],
    offset: NDArray[np.int64],
    length: NDArray[np.int64],
    prove: bool,
) -> PlaneScan | None:
    compression = int(page.compression)
    there = (length > 0) & (length <= MAX_SEGMENT) & (offset > 0) & (offset <= files.size - length)
    segment_bytes = grid.rows * grid.cols * page.dtype.itemsize * (1 if grid.planar else grid.channels)
    known = compression in (_PACKERS if prove else _CODECS) and int(page.predictor) in (1, 2)
    if not known or segment_bytes > _MAX_PIXEL_SEGMENT or _too_sparse(there):
        return None
    # Bytes by how densely their own segments are packed: blank tiles around a tissue count for little.
    density = (length[there].astype(float) ** 2).sum() / max(1, length[there].sum()) / segment_bytes
    if density < _DRAWN:
        return None
    where = np.flatnonzero(there), offset[there], length[there]
    if prove:
        return prove_segments(files, _plane(page, grid, attrs, {"name": _PACKERS[compression]}), *where)
    return PlaneScan(_plane(page, grid, attrs, {"name": "codec", "codec": _CODECS[compression]}), *where)


def _too_sparse(there: NDArray[np.bool_]) -> bool:
    """Whether so few segments exist that coding the empty ones would cost more than it is worth."""
    return int(there.sum()) * _SPARSEST < len(there)
