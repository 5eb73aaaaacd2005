"""Checking an archived source: that all of it is there, undamaged, and (deep) decodes to the original."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.errors import HaarchiveError, ObjectNotFoundError
from haarchive.pipeline.archive.chunks import ChunkReader
from haarchive.pipeline.archive.index import ChunkIndex
from haarchive.pipeline.archive.keys import shard_key
from haarchive.pipeline.archive.manifest import Manifest
from haarchive.pipeline.archive.models import CodecCache
from haarchive.pipeline.archive.shard import ShardRef, crc32c
from haarchive.pipeline.storage import ObjectStore

__all__ = ["VerifyReport", "verify_chunks", "verify_objects"]

_BATCH_CHUNKS = 32
_MOST_PROBLEMS = 1000


@dataclass(frozen=True)
class VerifyReport:
    """What a verification found.

    Parameters
    ----------
    name : str
        The source.
    deep : bool
        Whether everything was decoded and compared with the digests of the original.
    objects, nbytes : int
        Objects that were read, and their bytes.
    chunks : int
        Chunks that the source has.
    problems : tuple of str
        One line each, naming object or chunk; empty where all is well.
    """

    name: str
    deep: bool
    objects: int
    nbytes: int
    chunks: int
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def verify_objects(
    store: ObjectStore, manifest: Manifest, codecs: CodecCache, advanced: Callable[[int], None]
) -> tuple[int, int, list[str]]:
    """Read every shard and model; check sizes, SHA-256 and the CRC-32C of every band.

    Returns
    -------
    tuple
        Objects read, bytes read, problems found.
    """
    index = ChunkIndex(manifest)
    by_shard = _chunks_by_shard(manifest)
    problems: list[str] = []
    objects = nbytes = 0
    for number, shard in enumerate(manifest.shards):
        key = shard_key(shard.sha256)
        url = store.object_url(key)
        try:
            data = store.get(key)
        except ObjectNotFoundError:
            problems.append(f"{manifest.name}: the shard {url} is missing")
            continue
        objects, nbytes = objects + 1, nbytes + len(data)
        if not _is_whole(shard, data):
            problems.append(f"{manifest.name}: the shard {url} is damaged: its SHA-256 does not match")
        for plane, chunk in by_shard[number].tolist():
            row = index[plane, chunk]
            for band, (offset, length, crc) in enumerate(zip(row.offsets, row.lengths, row.crcs, strict=True)):
                block = data[offset : offset + length]
                if (len(block) != length or crc32c(block) != crc) and len(problems) < _MOST_PROBLEMS:
                    problems.append(f"{manifest.name}: chunk {chunk} of plane {plane}: band {band} in {url} is damaged")
        advanced(len(data))
    for sha256 in sorted(set(manifest.models.values())):
        try:
            nbytes += len(codecs.read_model(sha256))
            objects += 1
        except HaarchiveError as error:
            problems.append(f"{manifest.name}: {error}")
    return objects, nbytes, problems


def verify_chunks(manifest: Manifest, chunks: ChunkReader) -> Iterator[str]:
    """Decode every chunk and compare its digest; yield a line for each that fails."""
    for number, plane in enumerate(manifest.layout.planes):
        for start in range(0, plane.n_chunks, _BATCH_CHUNKS):
            batch = range(start, min(start + _BATCH_CHUNKS, plane.n_chunks))
            try:
                chunks.read_chunks(number, batch)
            except HaarchiveError:
                # One of them is bad: reading them one by one names every one that is.
                for chunk in batch:
                    try:
                        chunks.read_chunks(number, [chunk])
                    except HaarchiveError as error:
                        yield str(error)


def _is_whole(shard: ShardRef, data: bytes) -> bool:
    return len(data) == shard.nbytes and hashlib.sha256(data).hexdigest() == shard.sha256


def _chunks_by_shard(manifest: Manifest) -> list[NDArray[np.int64]]:
    """``(plane, chunk)`` rows of each shard."""
    columns = [manifest.index.column(name).to_numpy() for name in ("plane", "chunk")]
    shard = manifest.index.column("shard").to_numpy()
    rows = np.stack(columns, axis=1).astype(np.int64)
    order = np.argsort(shard, kind="stable")
    ends = np.searchsorted(shard[order], np.arange(len(manifest.shards) + 1))
    return [rows[order[a:b]] for a, b in pairwise(ends.tolist())]
