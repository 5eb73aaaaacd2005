"""Chunks of an archived source: fetched by the bands that are needed, checked, decoded, kept for a while."""

from __future__ import annotations

import base64
import math
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from threading import RLock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs import CODECS_WITH_TABLES
from haarchive.codecs.base import Bitstream, Codec, Samples
from haarchive.codecs.errors import CodecError, IntegrityError, ModelError, ObjectNotFoundError
from haarchive.pipeline.archive.geometry import (
    chunk_bytes,
    chunks_in,
    halved,
    overlap,
    reduced_bounds,
    reduced_shape,
    row_bytes,
)
from haarchive.pipeline.archive.index import ChunkIndex, ChunkRow
from haarchive.pipeline.archive.keys import manifest_key, shard_key
from haarchive.pipeline.archive.manifest import Manifest
from haarchive.pipeline.archive.models import CodecCache
from haarchive.pipeline.archive.shard import crc32c, samples_digest
from haarchive.pipeline.layout import chunk_bounds, chunks_of_tiles, tiles_of
from haarchive.pipeline.storage import ObjectStore

__all__ = ["ChunkReader"]

_BATCH_BYTES = 32 << 20
"""Raw bytes of the chunks that are fetched and decoded together."""


@dataclass(frozen=True)
class _Want:
    """A chunk at a resolution."""

    plane: int
    chunk: int
    reduce: int


class ChunkReader:
    """Reads chunks and regions of the planes of one archived source. Threads may share it.

    Parameters
    ----------
    store : ObjectStore
        The archive.
    manifest : Manifest
    codecs : CodecCache
    cache_bytes : int
        Decoded chunks are kept up to this many bytes; more only where one row of chunks of a plane is larger,
        so that reading a plane row by row decodes each chunk once.
    """

    def __init__(self, store: ObjectStore, manifest: Manifest, codecs: CodecCache, cache_bytes: int) -> None:
        self._store = store
        self._manifest = manifest
        self._planes = manifest.layout.planes
        self._index = ChunkIndex(manifest)
        self._codecs = codecs
        self._capacity = max([cache_bytes, *(row_bytes(p) for p in self._planes if p.kind == "image")])
        self._cache: OrderedDict[_Want, Samples] = OrderedDict()
        self._cached = 0
        self._lengths: dict[int, NDArray[np.int64]] = {}
        self._lock = RLock()

    def read_region(self, plane: int, region: tuple[slice, ...], *, reduce: int = 0, ahead: int = 0) -> NDArray[Any]:
        """Read a region of a plane.

        Parameters
        ----------
        plane : int
        region : tuple of slice
            One slice an axis, within the plane's (reduced) shape. Of a 'tiles' plane the result is the bytes of the
            tiles in it, (n,) uint8.
        reduce : int
            How many times to halve the height and width of an image. Chunks must begin at multiples of
            ``2**reduce``.
        ahead : int
            Bytes of samples behind the region to decode along where it is not in memory yet: for sequential
            reads, which then make fewer requests and larger batches.

        Raises
        ------
        IntegrityError
            If stored bytes are missing or damaged, or samples are not those that were archived.
        ModelNotFoundError, ModelError
            If a model is missing or does not run here.
        """
        described = self._planes[plane]
        if described.kind == "tiles":
            tiles = [self._read_tile(plane, tile, ahead) for tile in tiles_of(described, region).tolist()]
            return tiles[0] if len(tiles) == 1 else np.concatenate([np.zeros(0, np.uint8), *tiles])
        out = np.empty([s.stop - s.start for s in region], described.dtype)
        chunks = list(chunks_in(described, region, reduce))
        step = max(1, _BATCH_BYTES // chunk_bytes(described))
        for batch in (chunks[i : i + step] for i in range(0, len(chunks), step)):
            for chunk, samples in zip(batch, self._with_next(plane, batch, reduce, ahead), strict=True):
                inside, part = overlap(region, reduced_bounds(described, chunk, reduce))
                out[inside] = samples[part]
        return out

    def read_tiles(self, plane: int, tiles: Sequence[int]) -> list[bytes]:
        """Read the bytes of tiles of a 'tiles' plane, those of all their chunks together.

        Raises
        ------
        IntegrityError, ModelNotFoundError, ModelError
            See `read_region`.
        """
        chunks = chunks_of_tiles(self._planes[plane], np.array(tiles, np.int64)).tolist()
        read = self.read_chunks(plane, chunks)
        return [self._cut(plane, *each).tobytes() for each in zip(tiles, chunks, read, strict=True)]

    def _read_tile(self, plane: int, tile: int, ahead: int) -> Samples:
        chunk = int(chunks_of_tiles(self._planes[plane], np.array([tile]))[0])
        return self._cut(plane, tile, chunk, self._with_next(plane, [chunk], 0, ahead)[0])

    def _cut(self, plane: int, tile: int, chunk: int, samples: Samples) -> Samples:
        """The bytes of a tile, which lie in its chunk behind those of the tiles before it."""
        described = self._planes[plane]
        members = tiles_of(described, chunk_bounds(described, chunk))
        lengths = self._tile_lengths(plane)[members]
        begin = int(lengths[members < tile].sum())
        return samples[begin : begin + int(lengths[members == tile].sum())]

    def _tile_lengths(self, plane: int) -> NDArray[np.int64]:
        """Bytes of each tile of a 'tiles' plane; 0 where it has no piece."""
        if plane not in self._lengths:
            pieces = self._manifest.layout.pieces
            mine = pieces.plane == plane
            lengths = np.zeros(math.prod(self._planes[plane].shape), np.int64)
            lengths[pieces.segment[mine]] = pieces.length[mine]
            self._lengths[plane] = lengths  # not before it is complete: threads share this
        return self._lengths[plane]

    def read_chunks(self, plane: int, chunks: Sequence[int], reduce: int = 0) -> list[Samples]:
        """Read chunks of a plane, at full resolution or (of images) halved `reduce` times.

        Returns
        -------
        list of ndarray
            Read-only.

        Raises
        ------
        IntegrityError, ModelNotFoundError, ModelError
            See `read_region`.
        """
        with self._lock:
            wants = [_Want(plane, chunk, reduce) for chunk in chunks]
            made = self._make([want for want in dict.fromkeys(wants) if want not in self._cache])
            out = []
            for want in wants:
                if want in self._cache:
                    self._cache.move_to_end(want)
                out.append(made[want] if want in made else self._cache[want])
            for want, samples in made.items():
                self._keep(want, samples)
            return out

    def _with_next(self, plane: int, chunks: Sequence[int], reduce: int, ahead: int) -> list[Samples]:
        """Read chunks; where one has to be decoded, also the next ones up to `ahead` bytes."""
        last = chunks[-1] + 1
        if ahead and any(_Want(plane, chunk, reduce) not in self._cache for chunk in chunks):
            last = self._index.run(plane, chunks[-1], min(ahead, self._capacity // 4))
        return self.read_chunks(plane, [*chunks, *range(chunks[-1] + 1, last)], reduce)[: len(chunks)]

    def _make(self, wants: Sequence[_Want]) -> dict[_Want, Samples]:
        """Fetch and decode chunks, those of one codec and resolution together."""
        rows = {want: self._index[want.plane, want.chunk] for want in wants}
        # A codec with fewer resolutions (a specialist's, or stored) decodes as far as it can; we halve the rest.
        resolutions = {want: self._resolutions(want, row) for want, row in rows.items()}
        steps = {want: min(want.reduce, resolutions[want] - 1) for want in wants}
        codecs = {want: self._codec(row.codec, want.plane) for want, row in rows.items()}
        needed = {w: min(len(row.lengths), codecs[w].bands_needed(resolutions[w], steps[w])) for w, row in rows.items()}
        streams = self._fetch({want: (row, needed[want]) for want, row in rows.items()})
        groups: dict[tuple[int, int], list[_Want]] = defaultdict(list)
        for want in wants:
            groups[id(codecs[want]), steps[want]].append(want)
        made = {}
        for (_, step), group in groups.items():
            decoded = self._decode(codecs[group[0]], group, [streams[want] for want in group], step)
            for want, samples in zip(group, decoded, strict=True):
                made[want] = self._checked(want, rows[want], step, samples)
        return made

    def _fetch(self, needed: dict[_Want, tuple[ChunkRow, int]]) -> dict[_Want, Bitstream]:
        """Read the leading bands that are needed of each chunk, those of one shard in few requests."""
        by_shard: dict[int, list[_Want]] = defaultdict(list)
        for want, (row, _) in needed.items():
            by_shard[row.shard].append(want)
        streams = {}
        for shard, wants in by_shard.items():
            bands = [(want, needed[want][0], band) for want in wants for band in range(needed[want][1])]
            starts = [row.offsets[band] for _, row, band in bands]
            lengths = [row.lengths[band] for _, row, band in bands]
            key = shard_key(self._manifest.shards[shard].sha256) if shard >= 0 else manifest_key(self._manifest.name)
            try:
                blocks = self._blocks(shard, key, starts, lengths)
            except ObjectNotFoundError as error:
                raise IntegrityError(
                    f"{self._place(wants[0])}: the shard {self._store.object_url(key)} is missing"
                ) from error
            for (want, row, band), block in zip(bands, blocks, strict=True):
                if len(block) != row.lengths[band] or crc32c(block) != row.crcs[band]:
                    raise IntegrityError(
                        f"{self._place(want)}: band {band} in {self._store.object_url(key)} is damaged "
                        "(its CRC-32C does not match)"
                    )
            found = iter(blocks)
            for want in wants:
                streams[want] = Bitstream(tuple(next(found) for _ in range(needed[want][1])))
        return streams

    def _blocks(self, shard: int, key: str, starts: Sequence[int], lengths: Sequence[int]) -> list[bytes]:
        if shard >= 0:
            return self._store.get_ranges(key, starts, lengths)
        payload = self._manifest.payload  # of a small source: it came with the manifest
        return [payload[start : start + length] for start, length in zip(starts, lengths, strict=True)]

    def _decode(self, codec: Codec, wants: Sequence[_Want], streams: Sequence[Bitstream], reduce: int) -> list[Samples]:
        try:
            return codec.decode(streams, reduce=reduce)
        except ModelError:
            raise
        except CodecError as error:
            if len(wants) == 1:
                raise IntegrityError(f"{self._place(wants[0])} does not decode: {error}") from error
        # One of the batch is bad: decoding them one by one tells which.
        pairs = zip(wants, streams, strict=True)
        return [self._decode(codec, [want], [stream], reduce)[0] for want, stream in pairs]

    def _checked(self, want: _Want, row: ChunkRow, step: int, samples: Samples) -> Samples:
        """Check decoded samples against the manifest, and halve them as often as the codec could not."""
        plane = self._planes[want.plane]
        if plane.kind == "tiles":
            good = samples.dtype == np.uint8 and samples.ndim == 1
        else:
            shape = tuple(s.stop - s.start for s in chunk_bounds(plane, want.chunk))
            good = samples.dtype == np.dtype(plane.dtype) and samples.shape == reduced_shape(shape, step)
        if not good or (step == 0 and samples_digest(samples) != row.digest):
            raise IntegrityError(f"{self._place(want)} does not decode to the samples that were archived")
        for _ in range(want.reduce - step):
            samples = halved(samples)
        samples.setflags(write=False)
        return samples

    def _resolutions(self, want: _Want, row: ChunkRow) -> int:
        """How many resolutions a bitstream can be decoded at: one a band, and one for each that was dropped."""
        bands = len(row.lengths)
        plane = self._planes[want.plane]
        # Of a single band nobody knows how many there were before.
        dropped = int(plane.attrs.get("dropped_bands", 0)) if row.codec == plane.codec and bands > 1 else 0
        return max(1, bands + dropped)

    def _codec(self, name: str, plane: int) -> Codec:
        tables = base64.b64decode(self._planes[plane].attrs.get("jpeg_tables", ""))
        model = self._manifest.models.get(name)
        return self._codecs.get(name, model, tables if name in CODECS_WITH_TABLES else b"")

    def _keep(self, want: _Want, samples: Samples) -> None:
        self._cache[want] = samples
        self._cached += samples.nbytes
        while self._cached > self._capacity:
            _, dropped = self._cache.popitem(last=False)
            self._cached -= dropped.nbytes

    def _place(self, want: _Want) -> str:
        return f"{self._manifest.name}: chunk {want.chunk} of plane {want.plane}"
