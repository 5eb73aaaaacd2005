"""Blocks of which only some rows or columns are seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from dct_models import SAMPLING, jpeg_scene, planes_of
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
        assert begin <= (4 if leading else 0)
        assert side - end <= (4 if trailing else 0)
    (again,) = DctCodec().decode(DctCodec().encode([picture]))
    assert np.array_equal(again, picture)


@pytest.mark.parametrize("kind", ["4:2:2", "4:2:0"])
def test_units_with_chroma_of_half_size_that_edges_cut_are_recovered_and_save_bytes(kind: str) -> None:
    picture = np.ascontiguousarray(jpeg_scene(kind, (208, 224), quality=50)[5:198, 6:212])
    planes = planes_of(picture)
    recovered = recover(planes)
    assert recovered is not None
    history, (rows, columns) = recovered.history, SAMPLING[kind]
    assert history.origin == (5 - 16 + 6 if rows == 2 else 3 - 8, 10 - 16)
    wrong = recovered.decoded[:, *history.seen] != planes[:, *history.region.slices]
    assert wrong.mean() < 0.05
    complete = replace(
        history,
        origin=tuple(first % (8 * n) for first, n in zip(history.origin, (rows, columns), strict=True)),
        units=tuple(
            (side - first % (8 * n)) // (8 * n)
            for side, first, n in zip(picture.shape[:2], history.origin, (rows, columns), strict=True)
        ),
    )
    inside = picture[complete.region.slices]
    (bitstream,), (middle,) = DctCodec().encode([picture]), DctCodec().encode([np.ascontiguousarray(inside)])
    # Less than a byte for each pixel outside of complete units; without the edges it would be more than one.
    assert bitstream.nbytes - middle.nbytes < 0.8 * (picture[..., 0].size - inside[..., 0].size)


def test_edges_that_show_noise_are_left_to_the_frame() -> None:
    picture = jpeg_scene("4:4:4", (160, 160), quality=60)[4:, 4:].copy()
    picture[:4] = np.random.default_rng(0).integers(0, 256, picture[:4].shape)
    recovered = recover(planes_of(picture))
    assert recovered is not None
    assert recovered.history.origin == (4, -4)
    (again,) = DctCodec().decode(DctCodec().encode([picture]))
    assert np.array_equal(again, picture)
