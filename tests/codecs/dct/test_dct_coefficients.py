"""Coefficients alone: what goes in comes out."""

from __future__ import annotations

import numpy as np
import pytest
from dct_models import made_components, made_history, streamed
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from haarchive.codecs.dct.coefficients import LARGEST_COEFFICIENT, code_coefficients, half_octaves
from haarchive.codecs.errors import BitstreamError
from haarchive.codecs.rans.stream import OperationList, WordReader


def check(components: list[NDArray[np.int32]], steps: NDArray[np.int64]) -> int:
    """Code coefficients by either predictors, hold them against what comes back; returns how many bytes they took."""
    before = [component.copy() for component in components]
    sizes = []
    for earlier in (True, False):
        operations = OperationList()
        code_coefficients(components, steps, operations, earlier=earlier)
        decoded = [np.zeros_like(component) for component in components]
        reader = streamed(operations)
        code_coefficients(decoded, steps, reader, earlier=earlier)
        reader.finish()
        for ours, theirs, untouched in zip(decoded, components, before, strict=True):
            assert np.array_equal(ours, theirs)
            assert np.array_equal(theirs, untouched)
        sizes.append(len(operations.to_bytes()))
    return sizes[-1]


@settings(max_examples=15)
@given(
    count=st.integers(1, 3), height=st.integers(1, 6), width=st.integers(1, 6),
    density=st.sampled_from([0.0, 0.02, 0.3, 1.0]), magnitude=st.sampled_from([1, 3, 40, 2047]),
    step=st.sampled_from([1, 7, 255]), seed=st.integers(0, 1 << 16),
)  # fmt: skip
def test_any_coefficients_come_back(
    count: int, height: int, width: int, density: float, magnitude: int, step: int, seed: int
) -> None:
    # Magnitudes are of dequantised coefficients, which those of samples bound; steps of all sizes are side by side.
    rng = np.random.default_rng(seed)
    shape = (count, 64, height, width)
    steps = rng.integers(1, step + 1, (count, 64))
    most = -(-magnitude // steps)[:, :, None, None]
    values = rng.integers(-most, most + 1, shape) * (rng.random(shape) < density)
    check(list(values.astype(np.int32)), steps)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("quality", [10, 75, 100])
def test_coefficients_of_pictures_come_back(count: int, quality: int) -> None:
    history = made_history((96, 120, 3), quality)
    check(made_components(history)[:count], history.steps[:count])


@pytest.mark.parametrize("step", [1, 16, 255])
def test_the_largest_coefficients_of_jpegs_come_back(step: int) -> None:
    largest = 2047
    rng = np.random.default_rng(0)
    signs = rng.choice([-largest, largest], (3, 64, 5, 4)).astype(np.int32)
    steady = np.full((3, 64, 5, 4), largest, np.int32)
    for values in (signs, steady, -steady):
        check(list(values), np.full((3, 64), step, np.int64))


def test_coefficients_at_their_bound_come_back() -> None:
    rng = np.random.default_rng(0)
    values = rng.choice([1 - LARGEST_COEFFICIENT, LARGEST_COEFFICIENT - 1], (1, 64, 5, 6)).astype(np.int32)
    check(list(values), np.ones((1, 64), np.int64))


def test_no_coefficients_cost_a_bit_for_each_frequency() -> None:
    assert check([np.zeros((64, 30, 40), np.int32)] * 3, np.ones((3, 64), np.int64)) <= 3 * 64 / 8 + 4


def test_a_component_that_follows_another_costs_less_than_alone() -> None:
    history = made_history((160, 200, 3), 85)
    (first, *_) = made_components(history)
    follower = first + np.random.default_rng(0).integers(0, 2, first.shape, np.int32) * (abs(first) > 2)
    alone = check([first], history.steps[:1]) + check([follower], history.steps[:1])
    assert check([first, follower], history.steps[[0, 0]]) < 0.8 * alone


def test_two_streams_of_the_same_coefficients_are_equal() -> None:
    history = made_history((64, 64, 3))
    streams = []
    for _ in range(2):
        operations = OperationList()
        code_coefficients(made_components(history), history.steps, operations)
        streams.append(operations.to_bytes())
    assert streams[0] == streams[1]


def read_to_the_end(components: list[NDArray[np.int32]], steps: NDArray[np.int64], data: bytes) -> None:
    reader = WordReader(data)
    code_coefficients(components, steps, reader)
    reader.finish()


def test_a_stream_of_noise_is_noticed_and_stays_within_bounds() -> None:
    history = made_history((64, 64, 3), 30)
    for seed in range(8):
        noise = np.random.default_rng(seed).bytes(60 if seed % 2 else 6000)
        components = [np.zeros((64, 8, 8), np.int32) for _ in range(3)]
        with pytest.raises(BitstreamError):
            read_to_the_end(components, history.steps, noise)
        assert max(abs(component).max() for component in components) <= LARGEST_COEFFICIENT


def test_half_octaves_are_counted_from_integers() -> None:
    sizes = [half_octaves(x, 99) for x in range(2000)]
    exact = [2 * ((x + 1).bit_length() - 1) + (2 * (x + 1) >= 3 << ((x + 1).bit_length() - 1)) for x in range(2000)]
    assert sizes == exact
    assert half_octaves(10**6, 23) == 23
