"""Where chunks lie in a plane, at full and at reduced resolution."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product

import numpy as np

from haarchive.codecs.base import Samples
from haarchive.pipeline.layout import Plane, chunk_bounds

__all__ = ["chunk_bytes", "chunks_in", "halved", "overlap", "reduced_bounds", "reduced_shape", "row_bytes"]

Region = tuple[slice, ...]


def reduced_shape(shape: tuple[int, ...], reduce: int) -> tuple[int, ...]:
    """Shape of an image ``(H, W, C)`` whose height and width are halved `reduce` times, rounding up."""
    if not reduce:
        return shape
    return (-(-shape[0] >> reduce), -(-shape[1] >> reduce), *shape[2:])


def reduced_bounds(plane: Plane, chunk: int, reduce: int) -> Region:
    """Where a chunk lies in its plane when both are halved `reduce` times.

    Exact where chunks begin at multiples of ``2**reduce``, which readers see to.
    """
    bounds = chunk_bounds(plane, chunk)
    starts = [s.start >> reduce if axis < 2 else s.start for axis, s in enumerate(bounds)]
    sizes = reduced_shape(tuple(s.stop - s.start for s in bounds), reduce)
    return tuple(slice(start, start + size) for start, size in zip(starts, sizes, strict=True))


def chunks_in(plane: Plane, region: Region, reduce: int = 0) -> Iterator[int]:
    """The chunks that a region of a (reduced) plane touches, in C order."""
    if any(s.start >= s.stop for s in region):
        return
    axes = []
    for axis, (wanted, step) in enumerate(zip(region, plane.chunk_shape, strict=True)):
        scale = reduce if axis < 2 else 0
        axes.append(range((wanted.start << scale) // step, ((wanted.stop - 1) << scale) // step + 1))
    for position in product(*axes):
        yield int(np.ravel_multi_index(position, plane.grid))


def overlap(wanted: Region, have: Region) -> tuple[Region, Region]:
    """The part that two regions share, as a region relative to each of them."""
    shared = [(max(w.start, h.start), min(w.stop, h.stop)) for w, h in zip(wanted, have, strict=True)]
    return (
        tuple(slice(a - w.start, b - w.start) for (a, b), w in zip(shared, wanted, strict=True)),
        tuple(slice(a - h.start, b - h.start) for (a, b), h in zip(shared, have, strict=True)),
    )


def halved(samples: Samples) -> Samples:
    """Halve an image ``(h, w, C)`` of integers: the floor of the mean of 2x2 samples, edges repeated."""
    height, width, channels = samples.shape
    even = np.pad(samples, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge").astype(np.int64)
    blocks = even.reshape(-(-height // 2), 2, -(-width // 2), 2, channels).sum(axis=(1, 3))
    return np.asarray(blocks >> 2, samples.dtype)


def chunk_bytes(plane: Plane) -> int:
    """Bytes of the samples of one whole chunk, at least 1."""
    return max(1, math.prod(plane.chunk_shape) * np.dtype(plane.dtype).itemsize)


def row_bytes(plane: Plane) -> int:
    """Bytes of the samples of one row of chunks: all chunks that a narrow band of rows touches."""
    return chunk_bytes(plane) * math.prod(plane.grid[1:])
