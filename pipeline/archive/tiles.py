"""Pixels of planes whose tiles are kept as they were compressed (JPEG, JPEG 2000, ...)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any, BinaryIO

import numpy as np
import tifffile
from numpy.typing import NDArray

from haarchive.codecs.errors import HaarchiveError, RegionError
from haarchive.pipeline.layout import Plane

__all__ = ["TiffTiles"]


class TiffTiles:
    """Decodes regions of one page of an archived TIFF file, tile by tile.

    Parameters
    ----------
    file : binary file
        The original file, of which only the page's tags and the tiles needed are read.
    plane : Plane
        A 'tiles' plane; its attrs name the page and the grid of tiles.
    prefetch : callable
        Told the byte offsets of the tiles that are about to be read, so that they can be fetched together.

    Raises
    ------
    RegionError
        If the page's pixels cannot be read here.
    """

    def __init__(self, file: BinaryIO, plane: Plane, prefetch: Callable[[Sequence[int]], None]) -> None:
        self._file = file
        self._prefetch = prefetch
        self._lock = Lock()
        try:
            tiff = tifffile.TiffFile(file)
            tiff.filehandle.seek(int(plane.attrs["page"]["ifd"]))
            self._page = tifffile.TiffPage(tiff, index=int(plane.attrs["page"]["index"]))
            segment = plane.attrs["segment"]
            self._side = int(segment["height"]), int(segment["width"])
            self._grid = int(segment["rows"]), int(segment["cols"])
            self.dtype = np.dtype(self._page.dtype)
        except HaarchiveError:
            raise
        except Exception as error:  # whatever tifffile raises on tags that were broken in the source
            raise RegionError(f"page {plane.attrs.get('page')}: its pixels cannot be read: {error}") from error
        self.channels = int(self._page.samplesperpixel)
        self._planar = int(self._page.planarconfig) == 2 and self.channels > 1

    def read(self, rows: slice, columns: slice) -> NDArray[Any]:
        """Decode a region.

        Parameters
        ----------
        rows, columns : slice
            Within the picture.

        Returns
        -------
        ndarray, shape (h, w, C)
            Tiles that the file leaves out are zero.
        """
        out = np.zeros((rows.stop - rows.start, columns.stop - columns.start, self.channels), self.dtype)
        with self._lock:
            numbers = self._tiles_in(rows, columns)
            offsets, lengths = self._page.dataoffsets, self._page.databytecounts
            numbers = [n for n in numbers if n < len(lengths) and lengths[n] and offsets[n]]
            self._prefetch([offsets[n] for n in numbers])
            for number in numbers:
                self._file.seek(offsets[number])
                self._place(out, rows, columns, number, self._file.read(lengths[number]))
        return out

    def _tiles_in(self, rows: slice, columns: slice) -> list[int]:
        high, wide = self._side
        ny, nx = self._grid
        return [
            (channel * ny + row) * nx + column
            for channel in range(self.channels if self._planar else 1)
            for row in range(rows.start // high, -(-rows.stop // high))
            for column in range(columns.start // wide, -(-columns.stop // wide))
        ]

    def _place(self, out: NDArray[Any], rows: slice, columns: slice, number: int, data: bytes) -> None:
        """Decode one tile and copy what of it lies in the region."""
        page = self._page
        try:
            pixels, (channel, _, top, left, _), shape = page.decode(
                data, number, jpegtables=page.jpegtables, jpegheader=page.jpegheader
            )
        except Exception as error:  # whatever an image library raises on a tile that was broken in the source
            raise RegionError(f"tile {number} does not decode to pixels: {error}") from error
        if pixels is None:
            return
        y, x = max(rows.start, top), max(columns.start, left)
        bottom, right = min(rows.stop, top + shape[1]), min(columns.stop, left + shape[2])
        part = pixels[0, y - top : bottom - top, x - left : right - left]
        where = slice(channel, channel + part.shape[2])
        out[y - rows.start : bottom - rows.start, x - columns.start : right - columns.start, where] = part
