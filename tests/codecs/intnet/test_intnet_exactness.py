"""Networks on torch against plain integer arithmetic."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_networks import hidden_layers, random_network
from numpy.typing import NDArray

from haarchive.codecs.intnet import FLOAT32_EXACT, ConvSpec, IntegerNetwork, prove_exact, run_reference
from haarchive.codecs.intnet.torch_backend import TorchNetwork

NETWORK = random_network(hidden_layers(3, 8, 6))


@pytest.fixture
def threads() -> Iterator[None]:
    """Puts the number of torch threads back after the test."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def random_input(n: int, channels: int = 3, side: int = 17, seed: int = 0) -> NDArray[np.int32]:
    """Values inside of the input range and outside of it."""
    return np.random.default_rng(seed).integers(-600, 600, (n, channels, side, side + 2), np.int32)


def by_hand(network: IntegerNetwork, x: NDArray[np.integer]) -> NDArray[np.int32]:
    """One example through a network in Python's integers, straight from the definition."""
    _, height, width = x.shape
    y = {(c, i, j): min(max(int(x[c, i, j]), network.input_low), network.input_high) for c, i, j in np.ndindex(x.shape)}
    for spec, weight, bias in zip(network.layers, network.weights, network.biases, strict=True):
        reach_y, reach_x = spec.kernel[0] // 2, spec.kernel[1] // 2
        result = {}
        for o, i, j in itertools.product(range(spec.out_channels), range(height), range(width)):
            total = int(bias[o])
            for c, u, v in np.ndindex(spec.in_channels, *spec.kernel):
                total += int(weight[o, c, u, v]) * y.get((c, i + u - reach_y, j + v - reach_x), 0)
            if spec.residual:
                total += y[o, i, j] * 2**spec.shift
            result[o, i, j] = min(max((total + 2 ** (spec.shift - 1)) // 2**spec.shift, spec.low), spec.high)
        y = result
    shape = (network.layers[-1].out_channels, height, width)
    return np.array([y[place] for place in np.ndindex(shape)], np.int32).reshape(shape)


def test_the_reference_is_the_definition() -> None:
    network = random_network(hidden_layers(2, 3, 2), seed=3)
    x = random_input(2, channels=2, side=6)
    expected = np.stack([by_hand(network, example) for example in x])
    assert np.array_equal(run_reference(network, x), expected)
    assert np.unique(expected).size > 20


def test_torch_gives_the_integers_of_the_reference() -> None:
    x = random_input(3)
    assert np.array_equal(TorchNetwork(NETWORK).integers(x), run_reference(NETWORK, x))


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 1 << 30),
    channels=st.integers(1, 9),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 20), st.integers(1, 20)),
)
def test_any_network_gives_the_integers_of_the_reference(seed: int, channels: int, shape: tuple[int, int, int]) -> None:
    network = random_network(hidden_layers(2, channels, 4), seed)
    batch, height, width = shape
    x = np.random.default_rng(seed).integers(-600, 600, (batch, 2, height, width), np.int32)
    assert np.array_equal(TorchNetwork(network).integers(x), run_reference(network, x))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.int64])
def test_the_dtype_of_the_input_does_not_matter(dtype: type) -> None:
    x = np.random.default_rng(0).integers(0, 256, (1, 3, 9, 9))
    expected = run_reference(NETWORK, x)
    assert np.array_equal(TorchNetwork(NETWORK).integers(x.astype(dtype)), expected)


@pytest.mark.parametrize("value", [-(1 << 31), -511, 511, (1 << 31) - 1])
def test_extreme_inputs_are_exact(value: int) -> None:
    x = np.full((2, 3, 11, 11), value, np.int32)
    x[1, :, ::2] = -511
    assert np.array_equal(TorchNetwork(NETWORK).integers(x), run_reference(NETWORK, x))


def test_inputs_that_drive_every_sum_to_its_bound_are_exact() -> None:
    spec = ConvSpec(4, 3, (3, 3), 1, -(1 << 23), 1 << 23)
    rng = np.random.default_rng(1)
    weight = rng.integers(-200, 200, (3, 4, 3, 3)).astype(np.int32)
    # Odd inputs of the weights' signs, so that the largest sums need all 24 bits.
    room = FLOAT32_EXACT - 1
    top = (room // int(np.abs(weight).sum(axis=(1, 2, 3)).max()) - 1) | 1
    network = IntegerNetwork((spec,), (weight,), (np.zeros(3, np.int32),), -top, top)
    assert prove_exact(network)[0] > FLOAT32_EXACT * 0.98
    x = np.stack([np.where(weight[o] >= 0, top, -top) for o in range(3)]).astype(np.int32)
    expected = run_reference(network, x)
    assert np.abs(expected).max() > FLOAT32_EXACT * 0.48  # after the shift by one
    assert np.array_equal(TorchNetwork(network).integers(x), expected)


def test_the_number_of_threads_does_not_matter(threads: None) -> None:
    x = random_input(2, side=64)
    results = []
    for count in (1, 2):
        torch.set_num_threads(count)
        results.append(TorchNetwork(NETWORK).integers(x))
    assert np.array_equal(*results)
    assert np.array_equal(results[0], run_reference(NETWORK, x))


def test_an_example_gives_the_same_alone_and_among_64() -> None:
    x = random_input(64, side=12)
    network = TorchNetwork(NETWORK)
    together = network.integers(x)
    alone = np.concatenate([network.integers(x[n : n + 1]) for n in range(64)])
    assert np.array_equal(together, alone)
    assert np.array_equal(together, run_reference(NETWORK, x))


@pytest.mark.parametrize("layout", ["contiguous", "channels last", "transposed", "strided"])
def test_the_memory_layout_of_the_input_does_not_matter(layout: str) -> None:
    x = torch.from_numpy(random_input(2, side=16))
    expected = run_reference(NETWORK, x.numpy())
    match layout:
        case "channels last":
            x = x.contiguous(memory_format=torch.channels_last)
        case "transposed":
            x = x.transpose(2, 3).contiguous().transpose(2, 3)
        case "strided":
            wide = torch.zeros(2, 6, 32, 36, dtype=torch.int32)
            wide[:, ::2, ::2, ::2] = x
            x = wide[:, ::2, ::2, ::2]
    assert np.array_equal(TorchNetwork(NETWORK).integers(x), expected)


def test_halves_are_rounded_up() -> None:
    spec = ConvSpec(1, 1, (1, 1), 1, -10, 10)
    network = IntegerNetwork((spec,), (np.ones((1, 1, 1, 1), np.int32),), (np.zeros(1, np.int32),), -9, 9)
    x = np.array([-3, -2, -1, 0, 1, 2, 3], np.int32).reshape(1, 1, 1, -1)
    expected = [-1, -1, 0, 0, 1, 1, 2]
    assert run_reference(network, x).ravel().tolist() == expected
    assert TorchNetwork(network).integers(x).ravel().tolist() == expected
