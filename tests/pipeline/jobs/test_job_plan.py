"""Shard plans."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from haarchive.pipeline.jobs.plan import chunk_raw_bytes, plan_shards
from haarchive.pipeline.layout import Member, Pieces, Plane, SourceLayout, chunk_bounds


def layout_of(planes: list[Plane], lengths: dict[int, list[int]] | None = None) -> SourceLayout:
    rows = [(plane, segment, n) for plane, ns in (lengths or {}).items() for segment, n in enumerate(ns)]
    length = np.array([n for *_, n in rows], np.int64)
    pieces = Pieces(
        np.cumsum(length) - length,
        length,
        np.array([plane for plane, *_ in rows], np.int32),
        np.array([segment for _, segment, _ in rows], np.int64),
    )
    return SourceLayout("a/b", "tiff", (Member("", int(length.sum()), "00"),), tuple(planes), pieces)


def image(height: int, width: int, side: int, channels: int = 3, dtype: str = "uint8") -> Plane:
    return Plane("image", (height, width, channels), dtype, (side, side, channels), "haar")


sides = st.integers(1, 40)
images = st.builds(
    image,
    st.integers(0, 90),
    st.integers(0, 90),
    sides,
    st.integers(1, 4),
    st.sampled_from(["uint8", "uint16"]),
)


@given(st.lists(images, min_size=1, max_size=4), st.integers(1, 20000))
def test_every_chunk_is_in_exactly_one_shard(planes: list[Plane], shard_bytes: int) -> None:
    tasks = plan_shards(layout_of(planes), shard_bytes)
    planned = [(run.plane, chunk) for task in tasks for run in task.runs for chunk in run.chunks()]
    assert planned == [(p, chunk) for p, plane in enumerate(planes) for chunk in range(plane.n_chunks)]
    assert [task.index for task in tasks] == list(range(len(tasks)))


@given(st.lists(images, min_size=1, max_size=4), st.integers(1, 20000))
def test_a_shard_is_larger_than_asked_only_where_one_chunk_is(planes: list[Plane], shard_bytes: int) -> None:
    for task in plan_shards(layout_of(planes), shard_bytes):
        assert task.raw_bytes <= shard_bytes or task.n_chunks == 1


@given(images)
def test_sizes_of_chunks_are_those_of_their_samples(plane: Plane) -> None:
    samples = np.zeros(plane.shape, plane.dtype)
    sizes = [samples[chunk_bounds(plane, chunk)].nbytes for chunk in range(plane.n_chunks)]
    assert chunk_raw_bytes(layout_of([plane]), 0).tolist() == sizes


def test_opaque_tiles_have_the_sizes_of_their_pieces() -> None:
    planes = [
        Plane("bytes", (0,), "uint8", (1 << 20,), "stored"),
        Plane("tiles", (4,), "uint8", (1,), "jpeg-xl"),
    ]
    layout = layout_of(planes, {1: [300, 10, 20, 500]})
    assert [task.n_chunks for task in plan_shards(layout, 330)] == [3, 1]


@given(
    grid=st.lists(st.tuples(st.integers(1, 7), st.integers(1, 4)), min_size=1, max_size=2), seed=st.integers(0, 99),
    shard_bytes=st.integers(1, 9000),
)  # fmt: skip
def test_chunks_of_several_tiles_have_the_sizes_of_all_their_pieces(
    grid: list[tuple[int, int]], seed: int, shard_bytes: int
) -> None:
    shape, chunk = zip(*grid, strict=True)
    plane = Plane("tiles", shape, "uint8", chunk, "jpeg-xl")
    lengths = np.random.default_rng(seed).integers(0, 500, shape)  # tiles of no bytes among them
    layout = layout_of([Plane("bytes", (0,), "uint8", (1 << 20,), "stored"), plane], {1: lengths.ravel().tolist()})
    expected = [int(lengths[chunk_bounds(plane, n)].sum()) for n in range(plane.n_chunks)]
    assert chunk_raw_bytes(layout, 1).tolist() == expected
    tasks = plan_shards(layout, shard_bytes)
    assert sum(task.n_chunks for task in tasks) == plane.n_chunks
    assert sum(task.raw_bytes for task in tasks) == lengths.sum()
    assert all(task.raw_bytes <= shard_bytes or task.n_chunks == 1 for task in tasks)


def test_tiles_without_pieces_take_no_bytes() -> None:
    plane = Plane("tiles", (3, 5), "uint8", (2, 2), "jpeg-xl")
    layout = layout_of([Plane("bytes", (0,), "uint8", (1 << 20,), "stored"), plane], {1: [10, 20, 30]})
    assert chunk_raw_bytes(layout, 1).tolist() == [30, 30, 0, 0, 0, 0]


def test_a_plane_whose_tiles_are_all_in_the_skeleton_has_no_chunks() -> None:
    planes = [Plane("bytes", (9,), "uint8", (1 << 20,), "stored"), Plane("tiles", (0,), "uint8", (4,), "stored")]
    assert chunk_raw_bytes(layout_of(planes), 1).tolist() == []
    assert [task.n_chunks for task in plan_shards(layout_of(planes), 100)] == [1]


def test_a_source_without_chunks_has_no_shards() -> None:
    assert plan_shards(layout_of([Plane("bytes", (0,), "uint8", (1 << 20,), "stored")]), 1 << 20) == ()


def test_batches_make_up_a_run() -> None:
    (task,) = plan_shards(layout_of([image(50, 50, 10)]), 1 << 20)
    assert [chunk for batch in task.runs[0].batches(7) for chunk in batch] == list(range(25))
