"""One archived source: regions, spans, the original bytes, verification, restoration."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.errors import HaarchiveError, RegionError
from haarchive.pipeline.archive.associated import AssociatedImages
from haarchive.pipeline.archive.audio import FileAudio, PlaneAudio, Sound
from haarchive.pipeline.archive.chunks import ChunkReader
from haarchive.pipeline.archive.file import ArchivedFile
from haarchive.pipeline.archive.manifest import Manifest
from haarchive.pipeline.archive.models import CodecCache
from haarchive.pipeline.archive.pyramid import Level, associated_planes, find_levels, picture_size
from haarchive.pipeline.archive.restore import check_members, write_members
from haarchive.pipeline.archive.tiles import DicomTiles, TiffTiles, Tiles
from haarchive.pipeline.archive.verify import VerifyReport, verify_chunks, verify_objects
from haarchive.pipeline.layout import Plane, chunks_of_tiles
from haarchive.pipeline.sources.assemble import assemble
from haarchive.pipeline.storage import ObjectStore

__all__ = ["ArchivedSource"]

_READ_AHEAD = 32 << 20
_FILE_BUFFER = 1 << 16


def _ignore(nbytes: int) -> None:
    """Progress that nobody watches."""


class ArchivedSource:
    """A slide or recording in an archive, read in place: every method fetches only what it needs.

    Made by `open_archive`. Reading methods raise `IntegrityError` where stored bytes are missing, damaged, or
    do not decode to what was archived, `ModelNotFoundError` or `ModelError` where a model is missing or does
    not run here, and errors of the `StorageError` family; the message names the chunk or object.

    Attributes
    ----------
    manifest : Manifest
    store : ObjectStore
        The archive; ``store.stats`` counts requests and bytes.
    """

    def __init__(
        self, store: ObjectStore, manifest: Manifest, nbytes: int, codecs: CodecCache, cache_bytes: int
    ) -> None:
        self.store = store
        self.manifest = manifest
        self._nbytes = nbytes
        self._codecs = codecs
        self._chunks = ChunkReader(store, manifest, codecs, cache_bytes)
        self._tiles: dict[int, Tiles] = {}

    def __repr__(self) -> str:
        return f"ArchivedSource({self.name!r} in {self.store.url!r})"

    @property
    def name(self) -> str:
        """The source's name in the archive."""
        return self.manifest.name

    @property
    def size(self) -> int:
        """Bytes of the original."""
        return self.manifest.layout.size

    @property
    def archived_bytes(self) -> int:
        """Bytes of every object that exists for this source: shards and manifest, but not shared models."""
        return self.manifest.shard_bytes + self._nbytes

    # Images

    @cached_property
    def levels(self) -> tuple[Level, ...]:
        """Resolution levels from fine to coarse; empty for what is no image."""
        return find_levels(self.manifest.layout)

    @property
    def level_count(self) -> int:
        """How many levels there are."""
        return len(self.levels)

    @property
    def dimensions(self) -> tuple[int, int]:
        """``(width, height)`` of level 0 in pixels."""
        return self._level(0).width, self._level(0).height

    @property
    def level_dimensions(self) -> tuple[tuple[int, int], ...]:
        """``(width, height)`` of each level in pixels."""
        return tuple((level.width, level.height) for level in self.levels)

    @property
    def level_downsamples(self) -> tuple[float, ...]:
        """How many pixels of level 0 a pixel of each level stands for, along an axis."""
        return tuple(level.downsample for level in self.levels)

    def read_region(self, location: tuple[int, int], level: int, size: tuple[int, int]) -> NDArray[Any]:
        """Read a rectangle of pixels, with OpenSlide's arguments.

        Parameters
        ----------
        location : (x, y)
            The upper left corner **in pixels of level 0**, also where `level` is another.
        level : int
            Which of `levels`.
        size : (width, height)
            In pixels of `level`.

        Returns
        -------
        ndarray, shape (height, width, C)
            Samples as the source has them (RGB, grey, ...), no alpha channel added. What lies outside of the
            picture is 0.

        Raises
        ------
        RegionError
            If there is no such level, or the size is negative.
        """
        chosen = self._level(level)
        if size[0] < 0 or size[1] < 0:
            raise RegionError(f"{self.name}: a region of {size[0]} x {size[1]} pixels cannot be read")
        left, top = (math.floor(at / chosen.downsample) for at in location)
        rows = slice(max(0, top), max(0, min(top + size[1], chosen.height)))
        columns = slice(max(0, left), max(0, min(left + size[0], chosen.width)))
        if rows.start >= rows.stop or columns.start >= columns.stop:
            rows = columns = slice(0, 0)
        inside = self._read_pixels(chosen.plane, rows, columns, chosen.reduce)
        if inside.shape[:2] == (size[1], size[0]):
            return inside
        out = np.zeros((size[1], size[0], inside.shape[2]), inside.dtype)
        if inside.size:
            y, x = rows.start - top, columns.start - left
            out[y : y + inside.shape[0], x : x + inside.shape[1]] = inside
        return out

    @cached_property
    def associated_images(self) -> Mapping[str, NDArray[Any]]:
        """Images beside the pyramid (label, macro, thumbnail, ...) by name, read when they are looked up."""
        return AssociatedImages(associated_planes(self.manifest.layout), self._read_picture)

    # Sound

    @property
    def samplerate(self) -> int:
        """Frames a second."""
        return self._sound.samplerate

    @property
    def frames(self) -> int:
        """How many frames (one sample of each channel) there are."""
        return self._sound.frames

    @property
    def channels(self) -> int:
        """How many channels there are."""
        return self._sound.channels

    @property
    def bits(self) -> int:
        """Bits of a sample as the source stores it."""
        return self._sound.bits

    def read_frames(self, start: int, frames: int = -1) -> NDArray[Any]:
        """Read a span of sound.

        Parameters
        ----------
        start : int
            First frame.
        frames : int
            How many; -1, or more than there are, reads to the end.

        Returns
        -------
        ndarray, shape (frames, channels)
            int16 for sources of up to 16 bits a sample, int32 for more (24-bit samples keep their value, in
            -2^23 ... 2^23 - 1), float32 or float64 for floating-point sources. 8-bit WAV is centred at 0.

        Raises
        ------
        RegionError
            If the source holds no sound, or `start` lies outside of it.
        """
        sound = self._sound
        if not 0 <= start <= sound.frames or frames < -1:
            raise RegionError(f"{self.name} has frames 0 to {sound.frames}; cannot read {frames} from {start}")
        stop = sound.frames if frames == -1 else min(start + frames, sound.frames)
        return sound.read(start, stop)

    # Planes, bytes, checks

    def read_plane(self, plane: int, region: tuple[slice, ...]) -> NDArray[Any]:
        """Read a region of one of ``manifest.layout.planes`` as it was coded, padding included."""
        described = self._plane(plane)
        if len(region) != len(described.shape):
            raise RegionError(f"{self.name}: plane {plane} has {len(described.shape)} axes, not {len(region)}")
        bounds = [s.indices(n) for s, n in zip(region, described.shape, strict=True)]
        if any(step != 1 for _, _, step in bounds):
            raise RegionError(f"{self.name}: regions are read without steps")
        return self._chunks.read_region(plane, tuple(slice(a, max(a, b)) for a, b, _ in bounds))

    def open(self, member: str = "") -> BinaryIO:
        """Open the original as a seekable, read-only binary file; only what is read is fetched.

        Parameters
        ----------
        member : str
            Which file, where the source is a folder.

        Raises
        ------
        RegionError
            If there is no such member.
        """
        start = 0
        for one in self.manifest.layout.members:
            if one.path == member:
                raw = self._file(start, one.size, f"{self.name}/{member}".rstrip("/"))
                return io.BufferedReader(raw, _FILE_BUFFER)
            start += one.size
        raise RegionError(f"{self.name} has no member {member!r}")

    def restore(
        self,
        out: str | os.PathLike[str],
        *,
        overwrite: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> Path:
        """Write the original to `out`: a file, or a folder where the source is one.

        It is written under a temporary name beside `out`, its SHA-256 compared, then renamed. Of a source that was
        archived with loss (`manifest.guarantee` says so) it is a file with the pixels that the archive has, each chunk
        compared with its digest.

        Parameters
        ----------
        out : str or path
            Its new path (not the folder that it goes into).
        overwrite : bool
            Whether to replace a file that is there.
        progress : callable, optional
            Told the number of bytes written, block by block.

        Raises
        ------
        ObjectExistsError
            If `out` exists.
        IntegrityError
            If the archive is damaged; nothing is left at `out`.
        StorageFullError, StoragePermissionError, StorageError
            If `out` cannot be written.
        """
        path = Path(out)
        write_members(self.manifest.layout, self._read_range, path, overwrite=overwrite, advanced=progress or _ignore)
        return path

    def verify(self, *, deep: bool = False, progress: Callable[[int], None] | None = None) -> VerifyReport:
        """Check that all of the source is there and undamaged.

        Parameters
        ----------
        deep : bool
            False: read every shard and model; compare sizes, SHA-256 and the CRC-32C of every band. True:
            also decode every chunk, compare its digest, and compare the SHA-256 of every restored file
            (there is none of what was archived with loss).
        progress : callable, optional
            Told the bytes of shards read and (deep) of the original compared, step by step.

        Returns
        -------
        VerifyReport
            Problems are reported, not raised, unless the storage itself fails.
        """
        advanced = progress or _ignore
        objects, nbytes, problems = verify_objects(self.store, self.manifest, self._codecs, advanced)
        if deep and not problems:
            problems = list(verify_chunks(self.manifest, self._chunks))
            try:
                check_members(self.manifest.layout, self._read_range, advanced)
            except HaarchiveError as error:
                problems = problems or [str(error)]
        n_chunks = len(self.manifest.index)
        return VerifyReport(self.name, deep, objects + 1, nbytes + self._nbytes, n_chunks, tuple(problems))

    def _level(self, number: int) -> Level:
        if not self.levels:
            raise RegionError(f"{self.name} holds no image whose pixels can be read")
        if not 0 <= number < len(self.levels):
            raise RegionError(f"{self.name} has levels 0 to {len(self.levels) - 1}, not {number}")
        return self.levels[number]

    def _plane(self, number: int) -> Plane:
        planes = self.manifest.layout.planes
        if not 0 <= number < len(planes):
            raise RegionError(f"{self.name} has planes 0 to {len(planes) - 1}, not {number}")
        return planes[number]

    def _read_picture(self, plane: int) -> NDArray[Any]:
        height, width = picture_size(self._plane(plane))
        return self._read_pixels(plane, slice(0, height), slice(0, width), 0)

    def _read_pixels(self, plane: int, rows: slice, columns: slice, reduce: int) -> NDArray[Any]:
        described = self._plane(plane)
        if described.kind == "image":
            return self._chunks.read_region(plane, (rows, columns, slice(0, described.shape[2])), reduce=reduce)
        if plane not in self._tiles:
            self._tiles[plane] = self._open_tiles(plane)
        return self._tiles[plane].read(rows, columns)

    @cached_property
    def _sound(self) -> Sound:
        for number, plane in enumerate(self.manifest.layout.planes):
            if plane.kind == "audio":
                return PlaneAudio(plane, partial(self._chunks.read_region, number))
        if len(self.manifest.layout.members) != 1 or self.levels:
            raise RegionError(f"{self.name} holds no sound")
        return FileAudio(self.open(self.manifest.layout.members[0].path), self.name)

    def _file(self, start: int, size: int, name: str) -> ArchivedFile:
        def read_range(begin: int, end: int) -> Iterator[bytes]:
            return assemble(self.manifest.layout, self._chunks.read_region, start + begin, start + end)

        return ArchivedFile(read_range, size, name)

    def _read_range(self, start: int, stop: int) -> Iterator[bytes]:
        """Original bytes in order, read ahead."""

        def read(plane: int, region: tuple[slice, ...]) -> NDArray[Any]:
            return self._chunks.read_region(plane, region, ahead=_READ_AHEAD)

        return assemble(self.manifest.layout, read, start, stop)

    def _open_tiles(self, plane: int) -> Tiles:
        described = self._plane(plane)
        if "frames" in described.attrs:
            return DicomTiles(described, partial(self._chunks.read_tiles, plane))
        # Not buffered: what a buffer would read beyond a tile are others, whose chunks it would have decoded.
        file = self._file(0, self.manifest.layout.size, self.name)
        return TiffTiles(cast("BinaryIO", file), described, self._prefetch)

    def _prefetch(self, offsets: Sequence[int]) -> None:
        """Decode the tiles that begin at these bytes of the original, together."""
        pieces = self.manifest.layout.pieces
        at = np.searchsorted(pieces.offset, offsets)
        at = at[at < len(pieces)]
        for plane in np.unique(pieces.plane[at]).tolist():
            if self._plane(plane).kind == "tiles":
                mine = at[pieces.plane[at] == plane]
                chunks = chunks_of_tiles(self._plane(plane), pieces.segment[mine])
                self._chunks.read_chunks(plane, np.unique(chunks).tolist())
