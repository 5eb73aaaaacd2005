"""Sources taken apart chunk by chunk and put together again, as archiving and restoring do."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import numpy as np
import pytest

from haarchive.pipeline.layout import chunk_bounds, tiles_of
from haarchive.pipeline.sources import SourceRef, assemble, open_source


def _read_planes(source):
    """Every plane whole, made from its chunks; a list of byte strings, by segment, for a 'tiles' plane."""
    planes = []
    for number, plane in enumerate(source.layout.planes):
        chunks = [source.read_chunk(number, i) for i in range(plane.n_chunks)]
        if plane.kind == "tiles":
            planes.append(_tiles(source.layout, number, chunks))
            continue
        whole = np.zeros(plane.shape, plane.dtype)
        for i, chunk in enumerate(chunks):
            assert chunk.dtype == whole.dtype
            whole[chunk_bounds(plane, i)] = chunk
        planes.append(whole)
    return planes


def _tiles(layout, number, chunks):
    """Cut the chunks of a 'tiles' plane into tiles."""
    plane, pieces = layout.planes[number], layout.pieces
    mine = pieces.plane == number
    lengths = np.zeros(math.prod(plane.shape), np.int64)
    lengths[pieces.segment[mine]] = pieces.length[mine]
    tiles = [None] * lengths.size
    for chunk, data in enumerate(chunks):
        at = 0
        for tile in tiles_of(plane, chunk_bounds(plane, chunk)).tolist():
            tiles[tile] = data[at : at + lengths[tile]]
            at += lengths[tile]
        assert at == data.size
    return tiles


def _take_apart(path, guarantee="file-exact", keep_damaged=False):
    """The layout of a source and its planes, after proof that they give back the bytes of every member."""
    ref = SourceRef(str(path), Path(path).name)
    with open_source(ref, guarantee=guarantee, keep_damaged=keep_damaged) as source:
        layout = source.layout
        planes = _read_planes(source)
        source.check_unchanged()

    def read(plane, region):
        if layout.planes[plane].kind == "tiles":
            (tile,) = tiles_of(layout.planes[plane], region).tolist()
            return planes[plane][tile]
        return planes[plane][region]

    start = 0
    for member in layout.members:
        made = b"".join(assemble(layout, read, start, start + member.size))
        assert hashlib.sha256(made).hexdigest() == member.sha256
        start += member.size
    return layout, planes


@pytest.fixture
def take_apart():
    """``(path, guarantee, keep_damaged) -> (layout, planes)``; fails unless every byte comes back."""
    return _take_apart


@pytest.fixture
def tissue():
    """Something like a tissue, (300, 451, 3) uint8: smooth, with noise, channels alike."""
    rng = np.random.default_rng(7)
    coarse = rng.integers(60, 220, (20, 30, 3)).repeat(16, 0).repeat(16, 1)[:300, :451]
    return np.clip(coarse + rng.normal(0, 5, (300, 451, 1)), 0, 255).astype(np.uint8)


@pytest.fixture
def tone():
    """A stereo tone with noise, (70_001, 2) int16."""
    rng = np.random.default_rng(8)
    t = np.arange(70_001)[:, None] / 44100
    return (8000 * np.sin(2 * np.pi * 440 * t * [1, 1.01]) + rng.normal(0, 60, (70_001, 2))).astype(np.int16)
