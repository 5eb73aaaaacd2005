"""Periodic grids: exact phases, and finding them."""

from __future__ import annotations

import math
from fractions import Fraction

import imagecodecs
import numpy as np
import pytest
from haar_models import picture
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from haarchive.codecs.haar.band_fit import Effort
from haarchive.codecs.haar.image import HaarCodec
from haarchive.codecs.haar.image_header import ImageHeader
from haarchive.codecs.haar.phases import NO_GRID, Grid, find_grid
from haarchive.codecs.haar.plans import Plan

ONE = 1 << 32
EIGHTH = Grid(ONE // 4, 4)
"""Blocks of eight pixels are four samples of the finest details."""

FREQUENCIES = [ONE // 2, round(ONE / 3), ONE // 4, ONE // 8, 3 * ONE // 8, round(ONE / math.pi), round(ONE * 0.49), 1]


def of_fractions(frequency: int, length: int, level: int, count: int) -> list[int]:
    """The phase of each sample: its turns, of which half a phase is added, in units of a phase."""
    start = Fraction(ONE // (2 * count), ONE)
    per_sample = Fraction(frequency, ONE) * 2 ** (level - 1)
    return [math.floor((start + i * per_sample) % 1 * count) for i in range(length)]


@pytest.mark.parametrize("frequency", FREQUENCIES)
@pytest.mark.parametrize("count", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("level", [1, 2, 5])
def test_phases_are_those_of_exact_fractions(frequency: int, count: int, level: int) -> None:
    phases = Grid(frequency).phases(200, level, count)
    assert phases.dtype == np.int64
    assert phases.tolist() == of_fractions(frequency, 200, level, count)


@given(frequency=st.integers(0, ONE - 1), count=st.integers(1, 8), level=st.integers(1, 6))
def test_phases_of_any_frequency_are_those_of_exact_fractions(frequency: int, count: int, level: int) -> None:
    assert Grid(frequency).phases(50, level, count).tolist() == of_fractions(frequency, 50, level, count)


@pytest.mark.parametrize("period", [2, 3, 4, 8])
def test_the_phase_in_a_whole_period_is_the_remainder_however_far_out(period: int) -> None:
    phases = Grid(round(ONE / period)).phases(1 << 16, 1, period)
    assert np.array_equal(phases, np.arange(1 << 16) % period)


def test_without_a_grid_there_is_one_phase_and_one_class() -> None:
    assert not NO_GRID.phases(100, 1, 8).any()
    assert not NO_GRID.class_of(100, 1).any()


@given(frequency=st.integers(0, ONE - 1), count=st.integers(1, 8), level=st.integers(1, 5), length=st.integers(0, 90))
def test_a_level_has_every_second_phase_of_the_one_below(frequency: int, count: int, level: int, length: int) -> None:
    grid = Grid(frequency)
    below = grid.phases(2 * length, level, count)
    assert np.array_equal(grid.phases(length, level + 1, count), below[::2])


@given(frequency=st.integers(0, ONE - 1), classes=st.integers(1, 8), level=st.integers(1, 6), length=st.integers(0, 70))
def test_classes_are_phases_numbered_without_gaps(frequency: int, classes: int, level: int, length: int) -> None:
    grid = Grid(frequency, classes)
    of = grid.class_of(length, level)
    phases = grid.phases(length, level, classes)
    assert of.dtype == np.int64
    assert sorted(set(of.tolist())) == list(range(len(set(phases.tolist()))))
    order = np.argsort(of, kind="stable")
    assert (np.diff(phases[order]) >= 0).all()
    assert len(set(zip(of.tolist(), phases.tolist(), strict=True))) == len(set(of.tolist()))


def test_classes_of_coarse_levels_become_one() -> None:
    assert EIGHTH.class_of(64, 1).max() == 3
    assert EIGHTH.class_of(64, 2).tolist() == [0, 1] * 32
    assert not EIGHTH.class_of(64, 3).any()


def smooth(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Hills, and the noise of a camera."""
    y, x, c = np.ogrid[:height, :width, :3]
    hills = 60 * np.sin(x / 23 + c) + 50 * np.cos(y / 31 - x / 47) + 128
    return (hills + np.random.default_rng(seed).normal(0, 6, hills.shape)).clip(0, 255).astype(np.uint8)


def found(image: NDArray[np.integer]) -> tuple[Grid, Grid]:
    """The grids that the codec writes into the header."""
    codec = HaarCodec.load(
        plan=Plan(Effort(256, 0), networks=False, rich=False, grids=True, trial=False, occurrences=9)
    )
    return ImageHeader.from_bytes(codec.encode([image])[0].bands[0]).grids


@pytest.mark.parametrize("level", [50, 75])
def test_the_blocks_of_jpeg_are_found(level: int) -> None:
    image = smooth(192, 208)
    jpeg = imagecodecs.jpeg_decode(imagecodecs.jpeg_encode(image, level=level))
    assert found(jpeg) == (EIGHTH, EIGHTH)
    assert found(image) == (NO_GRID, NO_GRID)


def test_a_picture_of_a_few_samples_has_no_grid() -> None:
    jpeg = imagecodecs.jpeg_decode(imagecodecs.jpeg_encode(smooth(60, 60), level=75))
    assert found(jpeg) == (NO_GRID, NO_GRID)


@pytest.mark.parametrize("value", [0, 77])
def test_a_flat_picture_has_no_grid(value: int) -> None:
    assert found(np.full((160, 160, 3), value, np.uint8)) == (NO_GRID, NO_GRID)


def test_texture_that_is_drawn_has_no_grid_of_its_own() -> None:
    rows, columns = found(picture(150, 170, 1))
    assert rows.classes <= 4
    assert columns.classes <= 4


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("shape", [(48, 300), (131, 90), (256, 256)])
def test_white_noise_has_no_grid(axis: int, shape: tuple[int, int]) -> None:
    for seed in range(25):
        rng = np.random.default_rng(seed)
        magnitudes = [np.log(np.abs(rng.logistic(size=shape)) + 0.3).astype(np.float32) for _ in range(2)]
        assert find_grid(magnitudes, axis) == NO_GRID


def periodic(frequency: float, length: int, axis: int, strength: float = 0.6) -> list[NDArray[np.float32]]:
    """Magnitudes of noise that swells so many times a sample."""
    rng = np.random.default_rng(9)
    swell = strength * np.cos(2 * np.pi * frequency * np.arange(length))
    swell = swell[:, None] if axis == 0 else swell[None]
    shape = (length, 120) if axis == 0 else (120, length)
    return [(np.log(np.abs(rng.logistic(size=shape)) + 0.3) + swell).astype(np.float32) for _ in range(2)]


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize(
    ("frequency", "grid"),
    [
        (1 / 2, EIGHTH),
        (1 / 4, EIGHTH),
        (1 / 3, Grid(round(ONE / 3), 3)),
        (1 / 8, Grid(ONE // 8, 4)),
        (3 / 8, Grid(ONE // 8, 4)),
    ],
)
def test_familiar_frequencies_are_taken_for_exact_ones(axis: int, frequency: float, grid: Grid) -> None:
    magnitudes = periodic(frequency, 180, axis)
    assert find_grid(magnitudes, axis) == grid
    assert find_grid(magnitudes, 1 - axis) == NO_GRID


@pytest.mark.parametrize("frequency", [0.07, 0.2817, 0.441])
def test_any_other_frequency_is_found_as_well_as_the_length_allows(frequency: float) -> None:
    grid = find_grid(periodic(frequency, 400, 0), 0)
    assert grid.classes == 4
    assert grid.frequency / ONE == pytest.approx(frequency, abs=0.2 / 400)


@pytest.mark.parametrize("length", [0, 1, 47])
def test_short_profiles_have_no_grid(length: int) -> None:
    assert find_grid(periodic(1 / 4, length, 0), 0) == NO_GRID
    assert find_grid([periodic(1 / 4, 300, 0)[0], periodic(1 / 4, length, 0)[0]], 0) == NO_GRID


def test_magnitudes_without_any_change_have_no_grid() -> None:
    assert find_grid([np.full((200, 200), -1.2, np.float32)] * 2, 0) == NO_GRID
