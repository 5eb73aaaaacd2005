"""Coding of bands, of what they leave out, and of the coarsest samples."""

from __future__ import annotations

import numpy as np
import pytest
from dwt_models import CUT, STEPS, made_component
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from haarchive.codecs.dwt.axis import LEVELS, Axis
from haarchive.codecs.dwt.coefficients import code_band, fresh_mixer
from haarchive.codecs.dwt.component import Component, code_component
from haarchive.codecs.dwt.pyramid import Pyramid
from haarchive.codecs.dwt.remainder import LARGEST_SAMPLE, code_coarsest, code_remainder, remainder_mixer
from haarchive.codecs.dwt.steps import LARGEST_COEFFICIENT
from haarchive.codecs.dwt.surroundings import look_around, spread
from haarchive.codecs.rans.stream import OperationList, WordReader

AXES = Axis(3, 40, 64), Axis(6, 60, 64)


def surroundings(band: int, seed: int):  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(seed)
    low = rng.integers(-100, 100, (AXES[0].low.size, AXES[1].low.size)).astype(np.int32)
    return look_around(band, AXES, 5000, low, None, [], [])


def shape_of(band: int) -> tuple[int, int]:
    rows, columns = AXES
    return (
        rows.high[1] - rows.high[0] if band >= 2 else rows.low.size,
        columns.high[1] - columns.high[0] if band % 2 else columns.low.size,
    )


@settings(max_examples=30)
@given(st.integers(1, 3), st.integers(1, LEVELS), st.sampled_from([0, 0.2, 1, 30, 5000]), st.integers(0, 99))
def test_bands_of_any_size_of_coefficients_come_back(band: int, level: int, scale: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    numbers = np.clip(np.rint(rng.laplace(0, scale, shape_of(band))), -LARGEST_COEFFICIENT, LARGEST_COEFFICIENT)
    numbers = numbers.astype(np.int32)
    stream = OperationList()
    code_band(numbers.copy(), level, surroundings(band, seed), fresh_mixer(), stream)
    reader, back = WordReader(stream.to_bytes()), np.zeros_like(numbers)
    code_band(back, level, surroundings(band, seed), fresh_mixer(), reader)
    reader.finish()
    np.testing.assert_array_equal(back, numbers)


def test_a_band_of_nothing_takes_a_bit() -> None:
    stream = OperationList()
    code_band(np.zeros(shape_of(1), np.int32), 1, surroundings(1, 0), fresh_mixer(), stream)
    assert stream.n == 1
    code_band(np.zeros((0, 5), np.int32), 1, surroundings(1, 0), fresh_mixer(), stream)
    assert stream.n == 1


@settings(max_examples=30)
@given(st.sampled_from([0, 0.1, 2, 900]), st.integers(0, 99))
def test_remainders_come_back(scale: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = AXES[0].size, AXES[1].size
    left = np.clip(np.rint(rng.laplace(0, scale, shape)), -2 * LARGEST_SAMPLE, 2 * LARGEST_SAMPLE).astype(np.int32)
    fine = rng.integers(-4000, 4000, shape).astype(np.int32)
    stream = OperationList()
    code_remainder(left.copy(), fine, 1, AXES, remainder_mixer(), stream)
    reader, back = WordReader(stream.to_bytes()), np.zeros_like(left)
    code_remainder(back, fine, 1, AXES, remainder_mixer(), reader)
    reader.finish()
    np.testing.assert_array_equal(back, left)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 1), (12, 13)])
def test_the_coarsest_samples_come_back(shape: tuple[int, int]) -> None:
    samples = np.random.default_rng(0).integers(-LARGEST_SAMPLE, LARGEST_SAMPLE + 1, shape).astype(np.int32)
    stream = OperationList()
    code_coarsest(samples.copy(), stream)
    reader, back = WordReader(stream.to_bytes()), np.zeros_like(samples)
    code_coarsest(back, reader)
    reader.finish()
    np.testing.assert_array_equal(back, samples)


def test_spread_is_the_weighted_sum_of_magnitudes() -> None:
    band = np.random.default_rng(0).integers(-9, 10, (6, 7)).astype(np.int32)
    weights = np.outer([1, 2, 1], [1, 2, 1])
    padded = np.pad(np.abs(band), 1)
    expected = [[(padded[i : i + 3, j : j + 3] * weights).sum() for j in range(7)] for i in range(6)]
    np.testing.assert_array_equal(spread(band), expected)


def same(one: Pyramid, other: Pyramid) -> bool:
    def flat(pyramid: Pyramid) -> list[NDArray[np.int32]]:
        return [*pyramid.samples, *(band for bands in pyramid.numbers for band in bands)]

    return all(np.array_equal(a, b) for a, b in zip(flat(one), flat(other), strict=True))


@pytest.mark.parametrize("axes", [CUT, (Axis(63, 66, 64), Axis(0, 200, 64)), (Axis(5, 6, 0), Axis(9, 10, 0))])
def test_components_of_any_shape_come_back_given_those_before(axes: tuple[Axis, Axis]) -> None:
    luma = made_component(axes, 1)
    halves = axes[0], axes[1].halved()
    made = [(luma, axes), (made_component(halves, 2), halves), (made_component(halves, 3), halves)]
    stream = OperationList()
    coded: list[Component] = []
    for pyramid, here in made:
        coded.append(code_component(pyramid, here, STEPS, coded, stream))
    reader = WordReader(stream.to_bytes())
    decoded: list[Component] = []
    for pyramid, here in made:
        decoded.append(code_component(None, here, STEPS, decoded, reader))
        assert same(decoded[-1].pyramid, pyramid)
    reader.finish()


def test_what_is_known_of_other_components_makes_a_component_shorter() -> None:
    luma = made_component(CUT, 1)
    stream = OperationList()
    first = code_component(luma, CUT, STEPS, [], stream)
    alone = len(stream.to_bytes())
    stream = OperationList()
    code_component(luma, CUT, STEPS, [first, first], stream)
    assert len(stream.to_bytes()) < 0.75 * alone
