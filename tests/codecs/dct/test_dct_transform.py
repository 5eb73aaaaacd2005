"""The inverse transform, held against libjpeg-turbo (by Pillow) and against real numbers (by scipy)."""

from __future__ import annotations

import jpeg_writer
import numpy as np
import pytest
from dct_models import made_components, made_history, planes_of, scene, through_jpeg
from numpy.typing import NDArray
from scipy.fft import dctn, idctn

from haarchive.codecs.dct.transform import ZIGZAG, basis, blocks_of, coefficients_of, decode_blocks


def in_real_numbers(coefficients: NDArray[np.int32], steps: NDArray[np.int64]) -> NDArray[np.float64]:
    units = np.moveaxis(coefficients * steps[:, None, None], 0, 2).astype(np.float64)
    height, width = units.shape[:2]
    blocks = idctn(units.reshape(height, width, 8, 8), axes=(2, 3), norm="ortho")
    return (blocks.swapaxes(1, 2).reshape(8 * height, 8 * width) + 128).clip(0, 255)


def test_zigzag_is_the_order_of_the_standard() -> None:
    assert tuple(ZIGZAG) == jpeg_writer.ZIGZAG


@pytest.mark.parametrize("quality", [10, 50, 75, 90, 100])
def test_grey_blocks_decode_as_libjpeg_turbo_decodes_them(quality: int) -> None:
    history = made_history((160, 200, 1), quality)
    (coefficients,) = made_components(history, quality)
    assert np.ptp(coefficients[0]) > 0
    (expected,) = jpeg_writer.decoded(jpeg_writer.jpeg_of([coefficients], history.steps))
    assert np.array_equal(decode_blocks(coefficients, history.steps[0]), expected)


@pytest.mark.parametrize("frequency", range(64))
def test_each_frequency_alone_decodes_as_libjpeg_turbo_decodes_it(frequency: int) -> None:
    coefficients = np.zeros((64, 1, 40), np.int32)
    coefficients[frequency, 0] = np.arange(-20, 20)
    steps = np.full((1, 64), 23, np.int64)
    (expected,) = jpeg_writer.decoded(jpeg_writer.jpeg_of([coefficients], steps))
    assert np.array_equal(decode_blocks(coefficients, steps[0]), expected)


@pytest.mark.parametrize("quality", [30, 75, 90])
def test_coefficients_of_a_picture_saved_by_pillow_decode_to_all_its_samples(quality: int) -> None:
    picture, steps = through_jpeg(scene(96, 120, 1), quality=quality)
    (plane,) = planes_of(picture)
    blocks = dctn(blocks_of(plane - 128.0), axes=(2, 3), norm="ortho").reshape(12, 15, 64)
    coefficients = np.moveaxis(np.rint(blocks / steps[0]), 2, 0).astype(np.int32)
    wrong = decode_blocks(coefficients, steps[0]) != plane
    # Where a step is below 4, rounded samples may hide which multiple it was.
    assert wrong.any(axis=None) <= (quality >= 90)
    assert wrong.mean() < 0.01


def test_the_integer_transform_is_within_one_of_real_numbers() -> None:
    history = made_history((240, 240, 1), 60)
    (coefficients,) = made_components(history)
    off = decode_blocks(coefficients, history.steps[0]) - in_real_numbers(coefficients, history.steps[0])
    assert np.abs(off).max() < 1
    assert np.abs(off).mean() < 0.3


def test_samples_beyond_their_range_are_clipped() -> None:
    coefficients = np.zeros((64, 1, 4), np.int32)
    coefficients[0, 0] = [-32768, 32768, -9, 9]
    samples = decode_blocks(coefficients, np.full(64, 255, np.int64))
    assert [np.unique(block).tolist() for block in np.split(samples, 4, axis=1)] == [[0], [255], [0], [255]]


def test_the_forward_transform_is_that_of_scipy() -> None:
    blocks = np.random.default_rng(0).integers(-128, 128, (5, 7, 8, 8)).astype(np.float32)
    expected = dctn(blocks.astype(np.float64), axes=(2, 3), norm="ortho")
    assert np.abs(coefficients_of(blocks) - expected).max() < 1e-3
    assert np.allclose(basis() @ basis().T, np.eye(8), atol=1e-6)
