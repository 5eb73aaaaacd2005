"""Reversible colour transforms."""

from __future__ import annotations

import numpy as np
import pytest

from haarchive.codecs.haar.colour import TRANSFORMS, forward, inverse


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
