"""Reversible colour transforms."""

from __future__ import annotations

import numpy as np
import pytest

from haarchive.codecs.haar.colour import TRANSFORMS, forward, inverse, roughness


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("bits", [8, 16])
def test_full_range_noise_comes_back(name: str, bits: int) -> None:
    x = np.random.default_rng(0).integers(0, 1 << bits, (3, 60, 61), np.int32)
    before = x.copy()
    y = forward(name, x)
    assert np.array_equal(inverse(name, y), x)
    assert np.array_equal(x, before)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_every_corner_of_the_cube_comes_back_and_needs_one_bit_more(name: str) -> None:
    top = (1 << 16) - 1
    x = np.array(np.meshgrid([0, 1, top - 1, top], [0, 1, top - 1, top], [0, 1, top - 1, top])).astype(np.int32)
    y = forward(name, x)
    assert np.array_equal(inverse(name, y), x)
    assert np.abs(y).max() <= top


@pytest.mark.parametrize("name", TRANSFORMS[1:])
def test_grey_has_no_colour(name: str) -> None:
    x = np.broadcast_to(np.arange(256, dtype=np.int32), (3, 256))
    y = forward(name, x)
    assert np.array_equal(y[0], x[0])
    assert not y[1:].any()


def test_transforms_keep_their_numbers() -> None:
    assert TRANSFORMS == ("none", "ycocg-r", "rgb", "grb", "brg")


def test_a_pixel_is_transformed_as_documented() -> None:
    x = np.array([200, 100, 51], np.int32).reshape(3, 1)
    assert forward("ycocg-r", x).ravel().tolist() == [112, -25, 149]
    assert forward("rgb", x).ravel().tolist() == [200, -100, -99]
    assert forward("grb", x).ravel().tolist() == [100, 100, -99]
    assert forward("brg", x).ravel().tolist() == [51, 149, -25]


def test_roughness_is_the_mean_logarithm_of_what_a_plane_through_three_neighbours_leaves() -> None:
    y = np.random.default_rng(1).integers(-300, 300, (3, 9, 7), np.int32)
    expected = 0.0
    for plane in y.astype(int).tolist():
        left = [
            abs(plane[i][j] - plane[i][j - 1] - plane[i - 1][j] + plane[i - 1][j - 1])
            for i in range(1, 9)
            for j in range(1, 7)
        ]
        expected += np.log2(sum(left) / len(left) + 0.5)
    assert roughness(y) == pytest.approx(expected)


@pytest.mark.parametrize("shape", [(3, 0, 5), (3, 1, 5), (3, 5, 1), (3, 1, 1)])
def test_what_has_no_neighbours_is_not_rough(shape: tuple[int, int, int]) -> None:
    assert roughness(np.ones(shape, np.int32)) == 0


def test_slopes_are_as_smooth_as_flats_and_noise_is_rough() -> None:
    y, x = np.mgrid[:20, :30]
    slope = np.broadcast_to(3 * x - 2 * y, (3, 20, 30)).astype(np.int32)
    noise = np.random.default_rng(2).integers(-9, 9, (3, 20, 30), np.int32)
    assert roughness(slope) == roughness(np.zeros((3, 20, 30), np.int32)) == -3
    assert roughness(slope + noise) > 6


@pytest.mark.parametrize("name", ["rgb", "grb", "brg"])
def test_the_transform_that_a_picture_was_made_with_leaves_the_least(name: str) -> None:
    y = np.random.default_rng(3).integers(-20, 20, (3, 40, 40), np.int32)
    y[0] = 100
    x = inverse(name, y)
    scores = {other: roughness(forward(other, x)) for other in TRANSFORMS[1:]}
    assert min(scores, key=lambda other: scores[other]) == name
