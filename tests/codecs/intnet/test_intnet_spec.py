"""What may be an integer network, and the proof that float32 computes it exactly."""

from __future__ import annotations

import numpy as np
import pytest
from made_networks import hidden_layers, random_network

from haarchive.codecs.errors import ModelError
from haarchive.codecs.intnet import FLOAT32_EXACT, ConvSpec, IntegerNetwork, prove_exact, run_reference


def one_layer(weight: int, bias: int = 0, top: int = 1, residual: bool = False) -> IntegerNetwork:
    spec = ConvSpec(1, 1, (1, 1), 1, -(1 << 24), 1 << 24, residual)
    return IntegerNetwork((spec,), (np.full((1, 1, 1, 1), weight, np.int32),), (np.array([bias], np.int32),), -top, top)


def test_a_sum_that_may_reach_2_to_24_is_refused() -> None:
    # |w| * |x| + b + 1, the last for rounding
    assert prove_exact(one_layer(1 << 12, -2 + (1 << 12), top=(1 << 12) - 1)) == [FLOAT32_EXACT - 1]
    with pytest.raises(ModelError, match=r"may reach 16777216"):
        one_layer(1 << 12, -1 + (1 << 12), top=(1 << 12) - 1)


def test_a_residual_counts_in_the_bound() -> None:
    assert prove_exact(one_layer(10, top=100, residual=True)) == [(10 + 2) * 100 + 1]


@pytest.mark.parametrize("bias", [(1 << 31) - 1, -(1 << 31), 1 << 24, -(1 << 24) - 1])
def test_a_bias_past_the_bound_is_refused(bias: int) -> None:
    with pytest.raises(ModelError, match="may reach"):
        one_layer(1, bias)


@pytest.mark.parametrize("weight", [(1 << 31) - 1, -(1 << 31)])
def test_a_weight_past_the_bound_is_refused(weight: int) -> None:
    with pytest.raises(ModelError, match="may reach"):
        one_layer(weight, residual=True)


def test_the_bound_is_reached_by_an_input_with_the_signs_of_the_weights() -> None:
    rng = np.random.default_rng(2)
    spec = ConvSpec(3, 2, (3, 3), 1, -(1 << 24), 1 << 24)
    weight = rng.integers(-999, 999, (2, 3, 3, 3)).astype(np.int32)
    bias = np.array([5000, 7], np.int32)
    network = IntegerNetwork((spec,), (weight,), (bias,), -300, 300)
    x = np.where(weight >= 0, 300, -300).astype(np.int32)
    # Example o drives the sum of channel o at the middle to its bound, less the rounding half.
    sums = [int((weight[o].astype(np.int64) * x[o]).sum()) + int(bias[o]) for o in range(2)]
    assert prove_exact(network) == [max(sums) + 1]
    centre = run_reference(network, x)[:, :, 1, 1]
    assert [int(centre[o, o]) for o in range(2)] == [(s + 1) >> 1 for s in sums]


def test_the_bound_of_a_layer_follows_from_the_clamp_before_it() -> None:
    layers = (ConvSpec(1, 1, (1, 1), 1, 0, 1000), ConvSpec(1, 1, (1, 1), 1, 0, 10))
    weights = tuple(np.full((1, 1, 1, 1), w, np.int32) for w in (3, 16000))
    network = IntegerNetwork(layers, weights, (np.zeros(1, np.int32),) * 2, -5, 4)
    assert prove_exact(network) == [16, 16_000_001]
    wider = (ConvSpec(1, 1, (1, 1), 1, 0, 1049), layers[1])
    with pytest.raises(ModelError, match="layer 1"):
        IntegerNetwork(wider, weights, (np.zeros(1, np.int32),) * 2, -5, 4)


@pytest.mark.parametrize(
    "change",
    [
        {"kernel": (2, 3)},
        {"kernel": (3, 0)},
        {"in_channels": 0},
        {"shift": 0},
        {"shift": 25},
        {"low": 5, "high": 4},
        {"residual": True, "out_channels": 5},
    ],
)
def test_a_layer_that_makes_no_sense_is_refused(change: dict[str, object]) -> None:
    layer = {"in_channels": 4, "out_channels": 4, "kernel": (3, 3), "shift": 4, "low": 0, "high": 9}
    ConvSpec(**layer)  # type: ignore[arg-type]
    with pytest.raises(ModelError):
        ConvSpec(**(layer | change))  # type: ignore[arg-type]


def test_weights_that_do_not_fit_their_layer_are_refused() -> None:
    network = random_network(hidden_layers(2, 3, 4))
    with pytest.raises(ModelError, match="layer 0"):
        IntegerNetwork(network.layers, (network.weights[0][:, :1], *network.weights[1:]), network.biases, -1, 1)
    with pytest.raises(ModelError, match="layer 3"):
        IntegerNetwork(network.layers, network.weights, (*network.biases[:3], network.biases[3][:1]), -1, 1)
    with pytest.raises(ModelError, match="a layer"):
        IntegerNetwork(network.layers, network.weights[:3], network.biases, -1, 1)


def test_layers_that_do_not_follow_each_other_are_refused() -> None:
    network = random_network(hidden_layers(2, 3, 4))
    with pytest.raises(ModelError, match="layer 1 does not take"):
        IntegerNetwork(network.layers[:1] + network.layers[:1], network.weights[:1] * 2, network.biases[:1] * 2, -1, 1)


def test_a_description_and_the_arrays_give_the_network_back() -> None:
    network = random_network(hidden_layers(2, 3, 4))
    again = IntegerNetwork.from_description(network.describe(), list(network.weights), list(network.biases))
    assert again.layers == network.layers
    assert (again.input_low, again.input_high) == (network.input_low, network.input_high)
