"""Pictures that were made from integer YCbCr."""

from __future__ import annotations

from fractions import Fraction

import imagecodecs
import numpy as np
import pytest
from haar_models import converted, picture
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from haarchive.codecs.haar.ycbcr import CONVERSIONS, find, from_rgb, likely, to_rgb

COARSE = [Fraction(45, 32), Fraction(11, 32), Fraction(23, 32), Fraction(113, 64)]


def every_triple() -> NDArray[np.int32]:
    """All 2^24 integers Y, Cb, Cr, ``(3, 4096, 4096)``."""
    y, cb, cr = np.meshgrid(np.arange(256), np.arange(-128, 128), np.arange(-128, 128), indexing="ij")
    return np.stack([y, cb, cr]).reshape(3, 4096, 4096).astype(np.int32)


def nearest(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.floor(x + 0.5).clip(0, 255)


def real_numbers(name: str, ycc: NDArray[np.int32]) -> NDArray[np.float64]:
    """Luma, and the conversion to RGB, as the standards have them."""
    y, cb, cr = ycc.astype(np.float64)
    red, green_by_blue, green_by_red, blue = (
        (1.402, 0.114 * 1.772 / 0.587, 0.299 * 1.402 / 0.587, 1.772) if name == "ycbcr" else map(float, COARSE)
    )
    return np.stack([y + red * cr, y - green_by_blue * cb - green_by_red * cr, y + blue * cb])


@pytest.mark.parametrize("name", CONVERSIONS)
def test_every_triple_is_converted_as_real_numbers_are_and_found_again(name: str) -> None:
    ycc = every_triple()
    rgb = to_rgb(name, ycc)
    real = real_numbers(name, ycc)
    # JFIF's factors have 16 bits: sums next to a half may be rounded to the other side. The others are exact.
    clear = np.abs(real - np.floor(real) - 0.5) >= (0.005 if name == "ycbcr" else 0)
    assert clear.mean() > 0.98
    assert np.array_equal(rgb[clear], nearest(real)[clear])
    assert np.abs(rgb - real.clip(0, 255)).max() < 0.505
    back, missed = from_rgb(name, rgb)
    assert not missed.any()
    assert np.array_equal(to_rgb(name, back), rgb)
    whole = ((rgb > 0) & (rgb < 255)).all(axis=0)
    assert np.array_equal(back[:, whole], ycc[:, whole])


def test_jfif_is_converted_as_libjpeg_does() -> None:
    """Each block of a JPEG of one colour is flat: what its decoder makes of Y, Cb, Cr is seen as it is."""
    grey = np.random.default_rng(0).integers(0, 256, (3, 24, 24), np.uint8)
    ycc = grey.repeat(8, 1).repeat(8, 2)
    jpeg = imagecodecs.jpeg8_encode(
        np.ascontiguousarray(np.moveaxis(ycc, 0, 2)), level=100, colorspace="YCBCR", outcolorspace="YCBCR",
        subsampling="444",
    )  # fmt: skip
    stored = imagecodecs.jpeg8_decode(jpeg, colorspace="YCBCR", outcolorspace="YCBCR")
    shown = imagecodecs.jpeg8_decode(jpeg)
    centred = np.moveaxis(stored, 2, 0).astype(np.int32) - np.array([0, 128, 128], np.int32)[:, None, None]
    assert np.ptp(centred[1]) > 200
    assert np.array_equal(to_rgb("ycbcr", np.ascontiguousarray(centred)), np.moveaxis(shown, 2, 0))


def test_a_pixel_is_converted_as_documented() -> None:
    ycc = np.array([120, -31, 45], np.int32).reshape(3, 1, 1)
    assert to_rgb("ycbcr", ycc).ravel().tolist() == [183, 99, 65]
    assert to_rgb("ycbcr-coarse", ycc).ravel().tolist() == [183, 98, 65]


@pytest.mark.parametrize("name", CONVERSIONS)
def test_decoded_numbers_of_any_size_give_colours(name: str) -> None:
    extremes = np.array(np.meshgrid(*[[-(1 << 31), -(1 << 20), 0, (1 << 31) - 1]] * 3), np.int32).reshape(3, 8, 8)
    rgb = to_rgb(name, extremes)
    assert rgb.min() == 0
    assert rgb.max() == 255
    with np.errstate(over="raise"):
        assert np.array_equal(rgb, nearest(real_numbers(name, extremes)))


@settings(deadline=None, max_examples=50)
@given(
    name=st.sampled_from(list(CONVERSIONS)),
    rgb=arrays.arrays(np.int32, st.tuples(st.just(3), st.integers(0, 9), st.integers(0, 9)),
                      elements=st.integers(0, 255) | st.sampled_from([0, 255])),
)  # fmt: skip
def test_of_any_colours_those_are_missed_that_do_not_come_back(name: str, rgb: NDArray[np.int32]) -> None:
    ycc, missed = from_rgb(name, rgb)
    assert np.array_equal((to_rgb(name, ycc) != rgb).any(axis=0), missed)
    assert ycc[0].min(initial=0) >= 0
    assert ycc[0].max(initial=0) <= 255
    assert np.abs(ycc[1:]).max(initial=0) <= 128


@pytest.mark.parametrize("name", CONVERSIONS)
def test_of_random_colours_three_in_four_are_missed(name: str) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (3, 300, 300), np.int32)
    ycc, missed = from_rgb(name, rgb)
    assert 0.72 < missed.mean() < 0.78
    # What was missed is not far off, so that it is no noise to its neighbours.
    inside = ((rgb > 0) & (rgb < 255)).all(axis=0)
    assert np.abs(to_rgb(name, ycc) - rgb)[:, inside].max() <= 2


@pytest.mark.parametrize("name", CONVERSIONS)
def test_a_clipped_colour_is_taken_back_to_what_is_nearest_to_real_numbers(name: str) -> None:
    white = np.full((3, 1, 1), 255, np.int32)
    assert from_rgb(name, white)[0].ravel().tolist() == [255, 0, 0]
    assert from_rgb(name, 0 * white)[0].ravel().tolist() == [0, 0, 0]
    nearly = to_rgb(name, np.array([254, -2, 3], np.int32).reshape(3, 1, 1))
    assert nearly.max() == 255
    ycc, missed = from_rgb(name, nearly)
    assert not missed.any()
    assert np.abs(ycc.ravel() - [254, -2, 3]).max() <= 1


def planes(image: NDArray[np.uint8]) -> NDArray[np.int32]:
    return np.ascontiguousarray(np.moveaxis(image, 2, 0)).astype(np.int32)


@pytest.mark.parametrize("name", CONVERSIONS)
def test_a_picture_tells_which_conversion_made_it(name: str) -> None:
    rgb = planes(converted(150, 170, name=name))
    assert likely(rgb) == name
    found = find(rgb)
    assert found is not None
    assert found.name == name
    assert not found.missed.any()
    assert np.array_equal(to_rgb(name, found.ycc), rgb)


def test_other_pictures_were_not_converted() -> None:
    rgb = planes(picture(150, 170))
    assert likely(rgb) is None
    assert find(rgb) is None
    assert find(np.random.default_rng(0).integers(0, 256, (3, 50, 50), np.int32)) is None


@pytest.mark.parametrize(("foreign", "found"), [(80, True), (120, False)])
def test_some_foreign_pixels_do_not_hide_what_the_others_are(foreign: int, found: bool) -> None:
    rgb = planes(converted(150, 170))
    pixels = rgb.reshape(3, -1)
    missed = np.flatnonzero(from_rgb("ycbcr", pixels[:, None] ^ 1)[1])
    pixels[:, missed[:: missed.size // foreign][:foreign]] ^= 1
    assert likely(rgb) == "ycbcr"
    result = find(rgb)
    assert (result is not None) == found
    assert result is None or np.count_nonzero(result.missed) == foreign


def test_too_few_pixels_or_none_but_clipped_ones_tell_nothing() -> None:
    assert likely(planes(converted(7, 9))) is None
    assert likely(np.full((3, 100, 100), 255, np.int32)) is None
    assert likely(np.zeros((3, 0, 100), np.int32)) is None


def test_greys_are_left_to_the_reversible_transforms() -> None:
    grey = picture(150, 170, 1)[..., 0].astype(np.int32)
    rgb = np.stack([grey] * 3)
    assert likely(rgb) is not None
    assert find(rgb) is None
