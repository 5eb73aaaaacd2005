"""Sources whose own bytes are restored."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.errors import SourceChangedError, SourceFormatError
from haarchive.pipeline.layout import SourceLayout, tiles_of
from haarchive.pipeline.sources.base import Source
from haarchive.pipeline.sources.files import SourceBytes
from haarchive.pipeline.sources.packers import Packer, get_packer
from haarchive.pipeline.sources.ref import SourceRef

__all__ = ["FileSource"]

_CACHE_BYTES = 128 << 20


class FileSource(Source):
    """A file, or a folder of files, read by a layout.

    Once there is a layout no format matters any more: samples are what the packers read from the pieces.

    Parameters
    ----------
    ref : SourceRef
    files : SourceBytes
    layout : SourceLayout, optional
    scanner : callable
        ``(files, name) -> SourceLayout``, for when there is no layout yet.
    """

    def __init__(
        self,
        ref: SourceRef,
        files: SourceBytes,
        layout: SourceLayout | None,
        scanner: Callable[[SourceBytes, str], SourceLayout],
    ) -> None:
        super().__init__(ref, layout)
        self._files = files
        self._scanner = scanner
        self._packers: dict[int, Packer] = {}
        self._places: dict[int, dict[int, tuple[int, int]]] = {}
        self._cache: OrderedDict[tuple[int, int], NDArray[Any]] = OrderedDict()
        self._cached_bytes = 0

    def scan(self) -> SourceLayout:
        """Look at the file's structure, digest it, and prove what can be packed."""
        return self._scanner(self._files, self.ref.name)

    def read_region(self, plane: int, region: tuple[slice, ...]) -> NDArray[Any]:
        """Read any region of a plane; segments are decompressed once and kept for a while."""
        found = self.layout.planes[plane]
        if plane == 0:
            return np.frombuffer(self._read_skeleton(region[0].start, region[0].stop), np.uint8)
        if found.kind == "tiles":
            there = [n for n in tiles_of(found, region).tolist() if n in self._places_of(plane)]
            tiles = [self._read_segment(plane, segment) for segment in there]
            return tiles[0] if len(tiles) == 1 else np.concatenate([np.zeros(0, np.uint8), *tiles])
        packer = self._packer(plane)
        samples = np.full([s.stop - s.start for s in region], packer.fill, found.dtype)
        for segment in packer.segments(region):
            if segment not in self._places_of(plane):
                continue
            bounds = packer.bounds(segment)
            both = [slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(region, bounds, strict=True)]
            target = tuple(slice(s.start - r.start, s.stop - r.start) for s, r in zip(both, region, strict=True))
            origin = tuple(slice(s.start - b.start, s.stop - b.start) for s, b in zip(both, bounds, strict=True))
            samples[target] = self._read_segment(plane, segment)[origin]
        return samples

    def check_unchanged(self) -> None:
        """Compare metadata first and then every byte."""
        self._files.check_unchanged(self.layout.members)

    def close(self) -> None:
        """Close the file and forget what was read."""
        self._files.close()
        self._cache.clear()
        self._cached_bytes = 0

    def _packer(self, plane: int) -> Packer:
        if plane not in self._packers:
            self._packers[plane] = get_packer(self.layout.planes[plane])
        return self._packers[plane]

    def _places_of(self, plane: int) -> dict[int, tuple[int, int]]:
        """Segment -> (offset, length)."""
        if plane not in self._places:
            pieces = self.layout.pieces
            mine = np.flatnonzero(pieces.plane == plane)
            columns = (
                pieces.segment[mine].tolist(),
                pieces.offset[mine].tolist(),
                pieces.length[mine].tolist(),
            )
            places = {segment: (offset, length) for segment, offset, length in zip(*columns, strict=True)}
            for segment, offset, length in self.layout.planes[plane].attrs.get("aside", ()):
                places[segment] = (offset, length)
            self._places[plane] = places
        return self._places[plane]

    def _read_segment(self, plane: int, segment: int) -> NDArray[Any]:
        key = (plane, segment)
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        data = self._files.read(*self._places_of(plane)[segment])
        try:
            samples = self._packer(plane).unpack(data, segment)
        except SourceFormatError as error:
            raise SourceChangedError(f"{self.ref.path}: changed while it was read: {error}") from error
        self._cache[key] = samples
        self._cached_bytes += samples.nbytes
        while self._cached_bytes > _CACHE_BYTES and len(self._cache) > 1:
            self._cached_bytes -= self._cache.popitem(last=False)[1].nbytes
        return samples

    def _read_skeleton(self, start: int, stop: int) -> bytes:
        """Bytes ``[start, stop)`` of the skeleton, gathered from between the pieces."""
        pieces = self.layout.pieces
        skipped = np.concatenate([[0], np.cumsum(pieces.length)])
        begins = pieces.offset - skipped[:-1]  # where in the skeleton each piece was taken out
        parts: list[bytes] = []
        while start < stop:
            before = int(np.searchsorted(begins, np.int64(start), side="right"))
            end = min(stop, int(begins[before])) if before < len(begins) else stop
            parts.append(self._files.read(start + int(skipped[before]), end - start))
            start = end
        return b"".join(parts)
