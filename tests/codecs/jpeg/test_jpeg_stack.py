"""Parts of a chunk, put together as tiles lie in a picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jpeg_models import KINDS, as_chunk, check, jpeg_of, made, scene
from numpy.typing import NDArray

from haarchive.codecs.jpeg.parts import Components, interval_of, read_parts
from haarchive.codecs.jpeg.stack import columns_of, join, joined_shapes, sets_of, split, stacks
from haarchive.codecs.jpeg.syntax import Component, Frame, read_frame


def frame_of(units: tuple[int, int], factors: list[tuple[int, int]], step: int = 1) -> Frame:
    """A frame without tables."""
    return Frame(tuple(Component(*f) for f in factors), units, np.full((len(factors), 64), step), (), (), 0)


def drawn(frame: Frame, seed: int) -> Components:
    rng = np.random.default_rng(seed)
    return [rng.integers(-9, 10, (64, *frame.grid(n))).astype(np.int32) for n in range(len(frame.components))]


def tiles_of(picture: NDArray[np.uint8], side: int, **options: Any) -> list[bytes]:
    """A picture cut into files, in reading order."""
    height, width = picture.shape[:2]
    corners = [(y, x) for y in range(0, height, side) for x in range(0, width, side)]
    return [jpeg_of(picture[y : y + side, x : x + side], **options) for y, x in corners]


@given(
    units=st.tuples(st.integers(1, 3), st.integers(1, 3)), rows=st.integers(1, 4), columns=st.integers(1, 4),
    factors=st.lists(st.tuples(st.integers(1, 2), st.integers(1, 2)), min_size=1, max_size=3),
)  # fmt: skip
def test_what_is_joined_is_split_again(
    units: tuple[int, int], rows: int, columns: int, factors: list[tuple[int, int]]
) -> None:
    frame, count = frame_of(units, factors), rows * columns
    parts = [drawn(frame, seed) for seed in range(count)]
    joined = join(parts, columns)
    assert [component.shape for component in joined] == joined_shapes(frame, count, columns)
    for part, back in zip(parts, split(joined, count, columns), strict=True):
        assert len(back) == len(part)
        assert all(np.array_equal(one, other) for one, other in zip(part, back, strict=True))


def test_parts_are_joined_in_reading_order() -> None:
    frame = frame_of((1, 2), [(1, 1)])
    parts = [[np.full((64, 1, 2), n, np.int32)] for n in range(6)]
    (joined,) = join(parts, 3)
    assert joined[0].tolist() == [[0, 0, 1, 1, 2, 2], [3, 3, 4, 4, 5, 5]]
    assert joined_shapes(frame, 6, 3) == [(64, 2, 6)]


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (2, 2), (4, 1), (1, 4), (3, 4), (4, 3), (2, 5)])
@pytest.mark.parametrize("subsampling", [0, 2])
def test_tiles_of_a_picture_are_found_side_by_side_as_they_were(rows: int, columns: int, subsampling: int) -> None:
    tiles = tiles_of(scene(64 * rows, 64 * columns), 64, subsampling=subsampling, quality=90)
    _, components, _ = read_parts(b"".join(tiles))
    assert columns_of(components) == columns


def test_strips_are_found_one_below_the_other() -> None:
    picture = scene(128, 96)
    _, components, _ = read_parts(b"".join(jpeg_of(picture[y : y + 8], subsampling=1) for y in range(0, 128, 8)))
    assert columns_of(components) == 1


def test_flat_tiles_have_columns_too() -> None:
    _, components, _ = read_parts(b"".join([jpeg_of(np.full((16, 16, 3), 99, np.uint8))] * 6))
    assert 6 % columns_of(components) == 0


def test_parts_of_one_kind_are_one_stack_and_a_change_begins_another() -> None:
    one, other, coarse = frame_of((2, 2), [(1, 1)]), frame_of((2, 3), [(1, 1)]), frame_of((2, 2), [(1, 1)], 2)
    alike = frame_of((2, 2), [(1, 1)])
    assert list(stacks([one])) == [slice(0, 1)]
    assert list(stacks([one, alike, one])) == [slice(0, 3)]
    assert list(stacks([one, other, other, one])) == [slice(0, 1), slice(1, 3), slice(3, 4)]
    assert list(stacks([one, coarse])) == [slice(0, 1), slice(1, 2)]
    assert list(stacks([one, frame_of((2, 2), [(1, 2)])])) == [slice(0, 1), slice(1, 2)]
    assert list(stacks([one, frame_of((2, 2), [(1, 1)] * 2)])) == [slice(0, 1), slice(1, 2)]


@given(st.lists(st.integers(1, 700), min_size=1, max_size=30))
def test_stacks_are_all_parts_in_order(sides: list[int]) -> None:
    frames = [frame_of((512, side), [(1, 1)]) for side in sides]
    runs = list(stacks(frames))
    assert [n for run in runs for n in range(run.start, run.stop)] == list(range(len(frames)))
    for run in runs:
        of_run = frames[run]
        assert len({frame.units for frame in of_run}) == 1


def test_components_on_one_grid_are_coded_together() -> None:
    assert sets_of(frame_of((2, 2), [(1, 1)])) == [[0]]
    assert sets_of(frame_of((2, 2), [(2, 2), (1, 1), (1, 1)])) == [[0], [1, 2]]
    assert sets_of(frame_of((2, 2), [(1, 1)] * 3)) == [[0, 1, 2]]
    assert sets_of(frame_of((2, 2), [(2, 2), (1, 1), (1, 1), (2, 2)])) == [[0, 3], [1, 2]]


def test_files_with_other_huffman_tables_are_coded_together() -> None:
    picture = scene(128, 64)
    tiles = [jpeg_of(picture[:64]), jpeg_of(picture[64:], optimize=True)]
    frames = [read_frame(tile)[0] for tile in tiles]
    assert list(stacks(frames)) == [slice(0, 2)]
    check(b"".join(tiles))


@pytest.mark.parametrize("kind", KINDS)
def test_an_interval_is_a_file_of_one_row_of_units(kind: str) -> None:
    frame, _ = read_frame(made(kind, 40, 40, restart_marker_blocks=2))
    interval = interval_of(frame)
    assert interval.units == (1, 2)
    assert interval.restart == 0
    assert interval.components == frame.components


def test_many_small_files_come_back() -> None:
    picture = scene(64, 128)
    tiles = tiles_of(picture, 8, quality=60)
    assert len(tiles) == 128
    chunk = b"".join(tiles)
    assert check(chunk).nbytes < 0.1 * as_chunk(chunk).nbytes
