"""Pixels of planes whose tiles are kept as they were compressed (JPEG, JPEG 2000, ...)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any, BinaryIO

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

from haarchive.codecs.errors import HaarchiveError, RegionError
from haarchive.pipeline.layout import Plane

__all__ = ["DicomTiles", "TiffTiles", "Tiles"]


@dataclass(frozen=True)
class _Tile:
    """Pixels ``(h, w, C)``, and the row, column and channel where they begin."""

    pixels: NDArray[Any]
    top: int
    left: int
    channel: int = 0


class Tiles(ABC):
    """Decodes regions of a 'tiles' plane, tile by tile.

    Parameters
    ----------
    plane : Plane
        Its attrs name the grid of tiles.
    """

    dtype: np.dtype[Any]
    channels: int
    planar = False
    """Whether each tile has one channel, all tiles of one before those of the next."""

    def __init__(self, plane: Plane) -> None:
        self._lock = Lock()
        segment = plane.attrs["segment"]
        self._side = int(segment["height"]), int(segment["width"])
        self._grid = int(segment["rows"]), int(segment["cols"])

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

        Raises
        ------
        RegionError
            If a tile does not decode.
        """
        out = np.zeros((rows.stop - rows.start, columns.stop - columns.start, self.channels), self.dtype)
        with self._lock:
            numbers = self._fetch(self._tiles_in(rows, columns))
            for number in numbers:
                try:
                    tile = self._decode(number)
                except HaarchiveError:
                    raise
                except Exception as error:  # whatever an image library raises on a tile that was broken in the source
                    raise RegionError(f"tile {number} does not decode to pixels: {error}") from error
                if tile is not None:
                    _place(out, rows, columns, tile)
        return out

    @abstractmethod
    def _fetch(self, numbers: list[int]) -> list[int]:
        """Have tiles read that are about to be decoded; those that there are."""

    @abstractmethod
    def _decode(self, number: int) -> _Tile | None:
        """Decode a tile; None where it is empty."""

    def _tiles_in(self, rows: slice, columns: slice) -> list[int]:
        high, wide = self._side
        ny, nx = self._grid
        return [
            (channel * ny + row) * nx + column
            for channel in range(self.channels if self.planar else 1)
            for row in range(rows.start // high, -(-rows.stop // high))
            for column in range(columns.start // wide, -(-columns.stop // wide))
        ]


class TiffTiles(Tiles):
    """Tiles of one page of an archived TIFF file.

    Parameters
    ----------
    file : binary file
        The original file, of which only the page's tags and the tiles needed are read.
    plane : Plane
        Its attrs name the page, too.
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
        try:
            super().__init__(plane)
            tiff = tifffile.TiffFile(file)
            tiff.filehandle.seek(int(plane.attrs["page"]["ifd"]))
            self._page = tifffile.TiffPage(tiff, index=int(plane.attrs["page"]["index"]))
            self.dtype = np.dtype(self._page.dtype)
        except HaarchiveError:
            raise
        except Exception as error:  # whatever tifffile raises on tags that were broken in the source
            raise RegionError(f"page {plane.attrs.get('page')}: its pixels cannot be read: {error}") from error
        self.channels = int(self._page.samplesperpixel)
        self.planar = int(self._page.planarconfig) == 2 and self.channels > 1

    def _fetch(self, numbers: list[int]) -> list[int]:
        offsets, lengths = self._page.dataoffsets, self._page.databytecounts
        there = [n for n in numbers if n < len(lengths) and lengths[n] and offsets[n]]
        self._prefetch([offsets[n] for n in there])
        return there

    def _decode(self, number: int) -> _Tile | None:
        page = self._page
        self._file.seek(page.dataoffsets[number])
        data = self._file.read(page.databytecounts[number])
        pixels, (channel, _, top, left, _), shape = page.decode(
            data, number, jpegtables=page.jpegtables, jpegheader=page.jpegheader
        )
        return None if pixels is None else _Tile(pixels[0, : shape[1], : shape[2]], top, left, channel)


class DicomTiles(Tiles):
    """Frames of an archived DICOM file.

    Parameters
    ----------
    plane : Plane
        Its attrs say how frames are decoded, too.
    read_frames : callable
        Gives the bytes of frames by their numbers.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, plane: Plane, read_frames: Callable[[Sequence[int]], list[bytes]]) -> None:
        super().__init__(plane)
        self._read_frames = read_frames
        self._frames: dict[int, bytes] = {}
        how = plane.attrs["frames"]
        self.channels = int(how["channels"])
        self._decoder, self._rgb = str(how["decoder"]), bool(how["rgb"])

    def _fetch(self, numbers: list[int]) -> list[int]:
        self._frames = dict(zip(numbers, self._read_frames(numbers), strict=True))
        return numbers

    def _decode(self, number: int) -> _Tile:
        data = self._frames.pop(number)
        if self._decoder == "jpeg2k":
            pixels = imagecodecs.jpeg2k_decode(data)
        elif self._rgb:  # which a JPEG library cannot always know
            pixels = imagecodecs.jpeg8_decode(data, colorspace="rgb", outcolorspace="rgb")
        else:  # some files say YBR_FULL of what is RGB, as the JPEG itself tells
            pixels = imagecodecs.jpeg8_decode(data)
        row, column = divmod(number, self._grid[1])
        return _Tile(pixels.reshape(*self._side, self.channels), row * self._side[0], column * self._side[1])


def _place(out: NDArray[Any], rows: slice, columns: slice, tile: _Tile) -> None:
    """Copy what of a tile lies in the region."""
    pixels, top, left = tile.pixels, tile.top, tile.left
    y, x = max(rows.start, top), max(columns.start, left)
    bottom, right = min(rows.stop, top + pixels.shape[0]), min(columns.stop, left + pixels.shape[1])
    part = pixels[y - top : bottom - top, x - left : right - left]
    where = slice(tile.channel, tile.channel + part.shape[2])
    out[y - rows.start : bottom - rows.start, x - columns.start : right - columns.start, where] = part
