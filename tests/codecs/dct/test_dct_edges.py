"""Blocks of which only some rows or columns are seen."""

from __future__ import annotations

import numpy as np
import pytest
from dct_models import jpeg_scene, planes_of
from numpy.typing import NDArray

from haarchive.codecs.dct.codec import DctCodec
from haarchive.codecs.dct.inverse import decode_blocks
from haarchive.codecs.dct.partial import solve_columns, solve_rows
from haarchive.codecs.dct.recover import recover


@pytest.fixture(scope="module")
def luma() -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Coefficients ``(64, 20, 20)`` of a picture, and their steps."""
    recovered = recover(planes_of(jpeg_scene("grey", (160, 160), quality=30)))
    assert recovered is not None
    return recovered.components[0], recovered.history.steps[0]


@pytest.mark.parametrize(("seen", "least"), [(7, 0.97), (6, 0.97), (5, 0.9), (4, 0.5)])
@pytest.mark.parametrize("above", [True, False])
def test_coefficients_that_give_the_rows_that_are_seen_are_found(
    luma: tuple[NDArray[np.int32], NDArray[np.int64]], seen: int, least: float, above: bool
) -> None:
    blocks, steps = luma
    first = 8 - seen if above else 0
    right = []
    for row in range(0, 20, 4):
        samples = decode_blocks(blocks[:, row : row + 1], steps)[first : first + seen]
        found = solve_rows(samples.astype(np.float32) - 128, first, steps)
        again = decode_blocks(found[:, None], steps)[first : first + seen]
        right.append((again == samples).reshape(seen, -1, 8).all(axis=(0, 2)))
    assert np.mean(right) >= least


def test_columns_are_solved_as_rows_are(luma: tuple[NDArray[np.int32], NDArray[np.int64]]) -> None:
    blocks, steps = luma
    samples = decode_blocks(blocks[:, :, 3:4], steps)
    found = solve_columns(samples[:, 1:].astype(np.float32) - 128, 1, steps)
    assert np.array_equal(found, blocks[:, :, 3])


@pytest.mark.parametrize(("down", "across"), [(1, 2), (3, 3), (2, 6), (0, 5)])
def test_a_crop_is_covered_up_to_edges_of_which_little_is_seen(down: int, across: int) -> None:
    whole = jpeg_scene("4:4:4", (160, 168), quality=60)
    picture = np.ascontiguousarray(whole[down : down + 131, across : across + 133])
    recovered = recover(planes_of(picture))
    assert recovered is not None
    region = recovered.history.region
    for begin, end, side, offset in ((region.top, region.bottom, 131, down), (region.left, region.right, 133, across)):
        leading, trailing = -offset % 8, (side + offset) % 8
        assert begin <= (3 if leading else 0)
        assert side - end <= (3 if trailing else 0)
    (again,) = DctCodec().decode(DctCodec().encode([picture]))
    assert np.array_equal(again, picture)
