"""Which chunks go to which shard: fixed by the source's layout alone, so every machine plans the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from haarchive.pipeline.layout import Plane, SourceLayout, chunks_of_tiles

__all__ = ["ChunkRun", "ShardTask", "chunk_raw_bytes", "plan_shards"]


@dataclass(frozen=True)
class ChunkRun:
    """Chunks `start` to `stop` (exclusive) of one plane."""

    plane: int
    start: int
    stop: int

    def chunks(self) -> range:
        """The numbers of the run's chunks."""
        return range(self.start, self.stop)

    def batches(self, size: int) -> Iterator[range]:
        """Ranges of at most `size` chunk numbers that make up the run."""
        for start in range(self.start, self.stop, size):
            yield range(start, min(start + size, self.stop))


@dataclass(frozen=True)
class ShardTask:
    """The chunks of one shard.

    Parameters
    ----------
    source : str
        The source's name in the archive.
    index : int
        The shard's number within the source.
    runs : tuple of ChunkRun
    raw_bytes : int
        Bytes of the samples together.
    """

    source: str
    index: int
    runs: tuple[ChunkRun, ...]
    raw_bytes: int

    @property
    def n_chunks(self) -> int:
        """Chunks in the shard."""
        return sum(run.stop - run.start for run in self.runs)


def plan_shards(layout: SourceLayout, shard_bytes: int) -> tuple[ShardTask, ...]:
    """Cut a source's chunks, plane after plane, into runs of at most `shard_bytes` raw bytes.

    A chunk that is larger than `shard_bytes` has a shard of its own. A source without chunks has no shards.
    """
    sizes = [chunk_raw_bytes(layout, number) for number in range(len(layout.planes))]
    first = np.cumsum([0, *(len(plane) for plane in sizes)])
    total = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.concatenate(sizes))])
    tasks: list[ShardTask] = []
    start, n_chunks = 0, int(first[-1])
    while start < n_chunks:
        stop = max(start + 1, int(np.searchsorted(total, total[start] + shard_bytes, side="right")) - 1)
        runs = tuple(_runs(first, start, stop))
        tasks.append(ShardTask(layout.name, len(tasks), runs, int(total[stop] - total[start])))
        start = stop
    return tuple(tasks)


def chunk_raw_bytes(layout: SourceLayout, number: int) -> NDArray[np.int64]:
    """Bytes of the samples of each chunk of plane `number`.

    Returns
    -------
    ndarray of int64, shape (n_chunks,)
    """
    plane = layout.planes[number]
    if plane.kind == "tiles":
        lengths = np.zeros(plane.n_chunks, np.int64)
        mine = layout.pieces.plane == number
        np.add.at(lengths, chunks_of_tiles(plane, layout.pieces.segment[mine]), layout.pieces.length[mine])
        return lengths
    return _grid_bytes(plane)


def _grid_bytes(plane: Plane) -> NDArray[np.int64]:
    sizes = np.full((1,) * max(1, len(plane.shape)), np.dtype(plane.dtype).itemsize, np.int64)
    for axis, (extent, step, n) in enumerate(zip(plane.shape, plane.chunk_shape, plane.grid, strict=True)):
        along = np.minimum(step, extent - step * np.arange(n, dtype=np.int64))
        sizes = sizes * along.reshape([-1 if i == axis else 1 for i in range(len(plane.shape))])
    return sizes.reshape(-1)


def _runs(first: NDArray[np.int64], start: int, stop: int) -> Iterator[ChunkRun]:
    """The runs of planes that chunks `start` to `stop` of the whole source fall into."""
    for plane, (low, high) in enumerate(zip(first[:-1].tolist(), first[1:].tolist(), strict=True)):
        run = ChunkRun(plane, max(start, low) - low, min(stop, high) - low)
        if run.start < run.stop:
            yield run
