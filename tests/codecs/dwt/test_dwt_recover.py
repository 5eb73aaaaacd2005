"""Taking pictures back to coefficients: pairs, axes, steps, levels; and what is refused."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from dwt_models import CENTRE, CUT, STEPS, made_component, made_picture, planes_of

from haarchive.codecs.dwt.axis import Axis
from haarchive.codecs.dwt.find_steps import find_steps
from haarchive.codecs.dwt.origin import find_axes
from haarchive.codecs.dwt.pairs import Halved, find_pairs, halve, to_planes
from haarchive.codecs.dwt.pyramid import build, expected, rounded
from haarchive.codecs.dwt.recover import recover
from haarchive.codecs.dwt.steps import LARGEST_COEFFICIENT, dequantised, quantised


@pytest.mark.parametrize("odd", [0, 1])
@pytest.mark.parametrize("width", [64, 65])
def test_pictures_are_halved_and_come_back(odd: int, width: int) -> None:
    rng = np.random.default_rng(odd)
    count = (width + odd + 1) // 2
    luma = rng.integers(60, 200, (40, width)).astype(np.int32)
    cb, cr = rng.integers(-30, 30, (2, 40, count)).astype(np.int32)
    planes = to_planes(Halved(luma, cb, cr), odd)
    assert find_pairs(planes) == odd
    halved, missed = halve(planes, odd)
    assert not missed.any()
    for one, other in zip((halved.luma, halved.cb, halved.cr), (luma, cb, cr), strict=True):
        np.testing.assert_array_equal(one, other)


def test_clipped_colours_follow_the_guess_and_others_are_missed() -> None:
    rng = np.random.default_rng(3)
    true = Halved(
        rng.integers(225, 256, (30, 50)).astype(np.int32), *rng.integers(-40, 40, (2, 30, 25)).astype(np.int32)
    )
    planes = to_planes(true, 0)
    assert (planes == 255).any(axis=0).mean() > 0.5
    halved, missed = halve(planes, 0, true)
    assert not missed.any()
    np.testing.assert_array_equal(halved.luma, true.luma)
    np.testing.assert_array_equal(halved.cb, true.cb)
    blind, still_missed = halve(planes, 0)
    np.testing.assert_array_equal(to_planes(blind, 0)[:, ~still_missed], planes[:, ~still_missed])
    planes[:, 4, 6] = 17, 201, 3
    _, missed = halve(planes, 0)
    assert missed[4, 6]


def test_chroma_that_is_not_in_pairs_is_seen() -> None:
    rng = np.random.default_rng(0)
    whole = Halved(
        rng.integers(60, 200, (40, 128)).astype(np.int32), *rng.integers(-30, 30, (2, 40, 64)).astype(np.int32)
    )
    single = to_planes(whole, 0)[:, :, ::2]
    assert find_pairs(np.ascontiguousarray(single)) is None
    assert find_pairs(rng.integers(0, 256, (3, 40, 64)).astype(np.int32)) is None


@pytest.mark.parametrize(("row", "column"), [(194, 93), (0, 0), (1, 255), (130, 2)])
def test_axes_are_found(row: int, column: int) -> None:
    axes = Axis(row, row + 300, 256), Axis(column, column + 320, 256)
    luma = made_component(axes, 5).samples[0]
    assert find_axes(luma, column & 1) == axes


def test_without_an_edge_the_parities_of_levels_are_found() -> None:
    axes = Axis(14, 14 + 160, 0), Axis(5, 5 + 200, 0)
    found = find_axes(made_component(axes, 5).samples[0], 1)
    assert found is not None
    assert [axis.period for axis in found] == [0, 0]
    assert [axis.begin % 8 for axis in found] == [6, 5]


def test_noise_and_small_pictures_have_no_axes() -> None:
    rng = np.random.default_rng(1)
    assert find_axes(rng.integers(-50, 50, (200, 200)).astype(np.int32), 0) is None
    assert find_axes(made_component((Axis(0, 40, 0), Axis(0, 300, 0)), 5).samples[0], 0) is None


def test_steps_are_found() -> None:
    axes = Axis(0, 512, 256), Axis(0, 512, 256)
    found = find_steps(made_component(axes, 5, 1.0).samples[0], *axes)
    numbers = np.arange(1, 6, dtype=np.int32)
    for level in (1, 2, 3):
        for band in (1, 3):
            if (level, band) != (1, 3):  # of which there are none
                np.testing.assert_array_equal(
                    dequantised(numbers, found.of(level, band)), dequantised(numbers, STEPS.of(level, band))
                )


def test_numbers_and_what_they_stand_for() -> None:
    step = round(2.5 * 1024)
    numbers = np.array([0, 1, -1, 2, 3, -3, LARGEST_COEFFICIENT], np.int32)
    np.testing.assert_array_equal(dequantised(numbers, step), [0, 3, -3, 5, 8, -8, 10240])
    np.testing.assert_array_equal(quantised(dequantised(numbers, step).astype(np.float32), step), numbers)
    assert quantised(np.array([1e9], np.float32), 1024)[0] == LARGEST_COEFFICIENT


def test_a_component_is_taken_apart_as_it_was_made() -> None:
    axes = Axis(0, 256, 256), Axis(0, 256, 256)
    made = made_component(axes, 7)
    found = build(made.samples[0], *axes, STEPS)
    for level in (1, 2, 3):
        share = [
            np.mean(one == other) for one, other in zip(found.numbers[level - 1], made.numbers[level - 1], strict=True)
        ]
        assert min(share) > 0.99
        assert np.mean(found.samples[level] == made.samples[level]) > 0.99
    fine = rounded(expected(found.samples[1], found.numbers[0], 1, STEPS, *axes), 1)
    assert np.mean(fine != made.samples[0]) < 1e-3


def test_a_picture_is_taken_back_to_its_coefficients() -> None:
    picture = made_picture()
    found = recover(planes_of(picture))
    assert found is not None
    assert (found.header.rows, found.header.columns) == CUT
    assert not found.outliers.any()
    luma = found.pyramids[0]
    assert np.mean(luma.samples[0] + CENTRE == made_component(CUT, 1, 0.6, 90).samples[0] + CENTRE) > 0.999


def test_what_was_never_jpeg_2000_is_refused() -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:160, :160]
    smooth = np.stack([150 + 60 * np.sin(x / 23 + c) * np.cos(y / 19 - c) for c in range(3)], axis=2)
    noisy = (smooth + rng.normal(0, 6, smooth.shape)).clip(0, 255).astype(np.uint8)
    jpeg = imagecodecs.jpeg8_decode(imagecodecs.jpeg8_encode(noisy, level=80))
    for picture in (noisy, np.asarray(jpeg), np.zeros((80, 80, 3), np.uint8), np.full((80, 80, 3), 255, np.uint8)):
        assert recover(planes_of(picture)) is None


def test_pictures_with_the_conversion_alone_are_refused() -> None:
    rng = np.random.default_rng(0)
    luma = rng.integers(40, 220, (128, 128)).astype(np.int32)
    cb, cr = rng.integers(-20, 20, (2, 128, 64)).astype(np.int32)
    assert recover(to_planes(Halved(luma, cb, cr), 0)) is None


@pytest.mark.parametrize("name", ["TCGA-18-5592", "TCGA-B0-5710", "TCGA-B0-5711"])
def test_training_pictures_of_real_slides_come_out_right_but_for_few_samples(name: str, data_dir: Path) -> None:
    (path,) = (data_dir / "histology/train/monuseg").glob(f"*{name}*.jxl")
    planes = planes_of(imagecodecs.imread(path)[:512, :512])
    found = recover(planes)
    assert found is not None
    header = found.header
    assert header.rows.period == header.columns.period == 256
    luma = found.pyramids[0]
    fine = rounded(expected(luma.samples[1], luma.numbers[0], 1, header.steps, header.rows, header.columns), 1)
    wrong = fine != luma.samples[0]
    assert wrong[8:-8, 8:-8].mean() < 0.01
    assert wrong.mean() < 0.04
