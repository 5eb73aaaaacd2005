"""Layers in training compute what is exported."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from made_networks import hidden_layers, random_network

from haarchive.codecs.errors import ModelError
from haarchive.codecs.intnet import FLOAT32_EXACT, prove_exact, run_reference
from haarchive.codecs.intnet.training import TrainableConv, TrainableNetwork, round_through

LAYERS = list(hidden_layers(3, 8, 6))


def trainable(seed: int = 0) -> TrainableNetwork:
    torch.manual_seed(seed)
    network = TrainableNetwork(LAYERS, -511, 511)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += torch.randn_like(parameter) * 0.1
    return network


def random_input(seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(-600, 600, (2, 3, 12, 14)).astype(np.float32))


def test_the_forward_pass_is_the_exported_network() -> None:
    network = trainable()
    x = random_input()
    y = network(x)
    assert np.array_equal(y.detach().numpy(), run_reference(network.export(), x.numpy().astype(np.int32)))
    assert y.unique().numel() > 50


def test_the_forward_pass_is_the_exported_network_after_training_steps() -> None:
    network = trainable(1)
    before = network.export()
    for step in range(5):
        network.zero_grad()
        (network(random_input(step)) - 100).square().mean().backward()
        with torch.no_grad():
            for parameter in network.parameters():
                assert parameter.grad is not None
                parameter -= 0.05 * parameter.grad.sign()
        network.project()
    after = network.export()
    assert any((a != b).any() for a, b in zip(before.weights, after.weights, strict=True))
    x = random_input(9)
    assert np.array_equal(network(x).detach().numpy(), run_reference(after, x.numpy().astype(np.int32)))


def test_rounding_goes_to_the_nearest_halves_up_and_passes_the_gradient() -> None:
    x = torch.tensor([-1.5, -0.5, -0.49, 0.5, 1.49, 2.5], requires_grad=True)
    y = round_through(x)
    assert y.tolist() == [-1, 0, 0, 1, 1, 3]
    (y * torch.arange(6.0)).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == list(range(6))


def test_projection_brings_weights_back_inside_the_accumulator_bound() -> None:
    network = trainable()
    with torch.no_grad():
        for layer in network.layers:
            assert isinstance(layer, TrainableConv)
            layer.weight *= 1000
    with pytest.raises(ModelError, match="past the 2"):
        network.export()
    network.project()
    bounds = prove_exact(network.export())
    assert max(bounds) < FLOAT32_EXACT
    assert max(bounds) > FLOAT32_EXACT // 4  # no more than needed


def test_projection_leaves_small_weights_alone() -> None:
    network = trainable()
    before = [p.detach().clone() for p in network.parameters()]
    network.project()
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))


def test_fine_tuning_starts_from_the_integers_it_is_given() -> None:
    start = random_network(tuple(LAYERS), seed=5)
    network = trainable(2)
    network.load_integers(start)
    exported = network.export()
    for a, b in zip((*start.weights, *start.biases), (*exported.weights, *exported.biases), strict=True):
        assert np.array_equal(a, b)


def test_fine_tuning_refuses_other_layers() -> None:
    with pytest.raises(ModelError, match="other layers"):
        trainable().load_integers(random_network(hidden_layers(3, 9, 6)))
