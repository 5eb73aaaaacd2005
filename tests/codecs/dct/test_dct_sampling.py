"""Chroma of half the size, and the way from coefficients to colours, held against libjpeg-turbo (by Pillow)."""

from __future__ import annotations

import jpeg_writer
import numpy as np
import pytest
from dct_models import made_components, made_history
from hypothesis import given, settings
from hypothesis import strategies as st

from haarchive.codecs.dct.sampling import SAMPLINGS, downsampled, upsample

HALVED = [sampling for sampling in SAMPLINGS if sampling != (1, 1)]


@pytest.mark.parametrize("sampling", SAMPLINGS, ids=str)
@pytest.mark.parametrize("shape", [(16, 16), (96, 112), (16, 208), (160, 32)], ids=str)
def test_components_are_enlarged_as_libjpeg_turbo_does(sampling: tuple[int, int], shape: tuple[int, int]) -> None:
    history = made_history((*shape, 3), 75, sampling)
    components = made_components(history)
    expected = jpeg_writer.decoded(jpeg_writer.jpeg_of(components, history.steps, sampling), converted=False)
    ours = history.decode_components(components)
    assert np.ptp(expected[1]) > 10
    assert np.array_equal(ours, expected)


@pytest.mark.parametrize("sampling", SAMPLINGS, ids=str)
@pytest.mark.parametrize("quality", [20, 75, 95])
def test_colours_are_those_of_libjpeg_turbo(sampling: tuple[int, int], quality: int) -> None:
    history = made_history((96, 112, 3), quality, sampling)
    components = made_components(history, quality)
    expected = jpeg_writer.decoded(jpeg_writer.jpeg_of(components, history.steps, sampling))
    assert np.array_equal(history.decode(components), expected)


def test_red_green_and_blue_that_were_not_converted_are_those_of_libjpeg_turbo() -> None:
    history = made_history((96, 112, 3), 75, converted=False)
    components = made_components(history)
    expected = jpeg_writer.decoded(jpeg_writer.jpeg_of(components, history.steps, converted=False))
    assert np.array_equal(history.decode(components), expected)


@pytest.mark.parametrize("sampling", HALVED, ids=str)
def test_one_colour_stays_one_colour(sampling: tuple[int, int]) -> None:
    for value in (0, 1, 128, 254, 255):
        assert (upsample(np.full((3, 5), value, np.int32), sampling) == value).all()


@settings(max_examples=30)
@given(
    sampling=st.sampled_from(SAMPLINGS), height=st.integers(8, 40), width=st.integers(8, 40),
    smooth=st.booleans(), seed=st.integers(0, 99),
)  # fmt: skip
def test_what_was_enlarged_is_found_again_but_for_rounding(
    sampling: tuple[int, int], height: int, width: int, smooth: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    chroma = rng.integers(100, 140, (height, width)) if smooth else rng.integers(0, 256, (height, width))
    full = upsample(chroma.astype(np.int32), sampling).astype(np.float32)
    assert full.shape == (height * sampling[0], width * sampling[1])
    found = downsampled(full, sampling)
    assert found.shape == chroma.shape
    # Beyond the ends of a line the search takes nothing for granted, so that its ends are the least certain.
    assert np.abs(found - chroma).max() < (4 if sampling == (2, 2) else 3 if sampling == (1, 2) else 1e-6)
    assert np.abs(found - chroma).mean() < 0.9
