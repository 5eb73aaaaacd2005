"""Layers that see the means of their input, and DenseNet blocks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from haarchive.codecs.errors import ModelError
from haarchive.codecs.intnet import FLOAT32_EXACT, ConvSpec, IntegerNetwork, prove_exact, run_reference
from haarchive.codecs.intnet.modelfile import ModelFile
from haarchive.codecs.intnet.spec import layer_widths
from haarchive.codecs.intnet.torch_backend import TorchNetwork, channel_means
from haarchive.codecs.intnet.training import TrainableConv, TrainableNetwork

LIMIT = 300
"""Bound of the input."""


def contextual(channels: int) -> list[ConvSpec]:
    """Layers of each sort that see means, and one that does not."""
    return [
        ConvSpec(2, channels, (3, 3), 6, 0, 255, context=True),
        ConvSpec(channels, channels, (1, 3), 6, -255, 255, residual=True, context=True),
        ConvSpec(channels, channels, (3, 3), 6, 0, 255, residual=True),
        ConvSpec(channels, 3, (1, 1), 5, -(1 << 15), (1 << 15) - 1, context=True),
    ]


def dense(channels: int) -> list[ConvSpec]:
    """Two blocks, of two layers and of one that is the last."""
    return [
        ConvSpec(2, channels, (1, 1), 6, 0, 255),
        ConvSpec(channels, channels, (3, 3), 6, 0, 255, dense=2),
        ConvSpec(channels + 2, 3, (3, 3), 6, -100, 200, context=True, dense=1),
        ConvSpec(channels + 5, channels + 5, (1, 1), 6, 0, 255, residual=True),
        ConvSpec(channels + 5, 2, (1, 1), 5, -900, 900, dense=4),
    ]


KINDS = {"context": contextual, "dense": dense}


def network(kind: str, channels: int = 4, seed: int = 0) -> IntegerNetwork:
    """Random weights with which most outputs stay between their clamps and some do not."""
    rng = np.random.default_rng(seed)
    layers = tuple(KINDS[kind](channels))
    weights, biases, contexts = [], [], []
    for spec in layers:
        largest = 2 + int(60 / (spec.in_channels * np.prod(spec.kernel)) ** 0.5)
        weights.append(
            rng.integers(-largest, largest + 1, (spec.out_channels, spec.in_channels, *spec.kernel), np.int32)
        )
        biases.append(rng.integers(-2000, 4000, spec.out_channels, np.int32))
        of_means = rng.integers(-largest, largest + 1, (spec.out_channels, spec.in_channels), np.int32)
        contexts.append(of_means if spec.context else None)
    return IntegerNetwork(layers, tuple(weights), tuple(biases), -LIMIT, LIMIT, tuple(contexts))


def random_input(n: int, height: int = 9, width: int = 11, seed: int = 0) -> NDArray[np.int32]:
    """Values inside of the input range and outside of it, whose means differ."""
    rng = np.random.default_rng(seed)
    return rng.integers(-400, 400, (n, 2, height, width), np.int32) + rng.integers(-90, 90, (n, 2, 1, 1), np.int32)


def by_hand(of: IntegerNetwork, x: NDArray[np.integer]) -> NDArray[np.int32]:
    """One example through a network in Python's integers, straight from the definition."""
    _, height, width = x.shape
    places = list(itertools.product(range(height), range(width)))
    y = [{(i, j): min(max(int(plane[i, j]), of.input_low), of.input_high) for i, j in places} for plane in x]
    entered = []
    for spec, weight, bias, context in zip(of.layers, of.weights, of.biases, of.contexts, strict=True):
        entered.append(y)
        means = [sum(plane.values()) // len(places) for plane in y]
        result: list[dict[tuple[int, int], int]] = []
        for o in range(spec.out_channels):
            plane = {}
            for i, j in places:
                total = int(bias[o])
                for c, u, v in np.ndindex(spec.in_channels, *spec.kernel):
                    source = i + u - spec.kernel[0] // 2, j + v - spec.kernel[1] // 2
                    total += int(weight[o, c, u, v]) * y[c].get(source, 0)
                if spec.residual:
                    total += y[o][i, j] * 2**spec.shift
                if context is not None:
                    total += sum(int(context[o, c]) * mean for c, mean in enumerate(means))
                plane[i, j] = min(max((total + 2 ** (spec.shift - 1)) // 2**spec.shift, spec.low), spec.high)
            result.append(plane)
        y = entered[len(entered) - spec.dense] + result if spec.dense else result
    return np.array([[plane[place] for place in places] for plane in y], np.int32).reshape(-1, height, width)


@pytest.fixture
def threads() -> Iterator[None]:
    """Puts the number of torch threads back after the test."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("kind", KINDS)
def test_the_reference_of_options_is_their_definition(kind: str) -> None:
    of, x = network(kind), random_input(2, 5, 6)
    expected = np.stack([by_hand(of, example) for example in x])
    assert np.array_equal(run_reference(of, x), expected)
    assert np.unique(expected).size > 20


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=20)
@given(
    seed=st.integers(0, 1 << 20),
    channels=st.integers(1, 7),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 15), st.integers(1, 15)),
)
def test_torch_gives_the_integers_of_the_reference_with_options(
    kind: str, seed: int, channels: int, shape: tuple[int, int, int]
) -> None:
    of, x = network(kind, channels, seed), random_input(*shape, seed)
    assert np.array_equal(TorchNetwork(of).integers(x), run_reference(of, x))


@pytest.mark.parametrize("kind", KINDS)
def test_an_example_with_options_gives_the_same_alone_and_among_64(kind: str) -> None:
    x = random_input(64)
    placed = TorchNetwork(network(kind))
    together = placed.integers(x)
    assert np.array_equal(together, np.concatenate([placed.integers(x[n : n + 1]) for n in range(64)]))
    assert np.array_equal(together, run_reference(network(kind), x))


@pytest.mark.parametrize("kind", KINDS)
def test_the_number_of_threads_does_not_matter_with_options(threads: None, kind: str) -> None:
    x = random_input(2, 70, 64)
    results = []
    for count in (1, 2):
        torch.set_num_threads(count)
        results.append(TorchNetwork(network(kind)).integers(x))
    assert np.array_equal(*results)
    assert np.array_equal(results[0], run_reference(network(kind), x))


def test_every_place_sees_the_means() -> None:
    spec = ConvSpec(1, 1, (1, 1), 1, -999, 999, context=True)
    of = IntegerNetwork(
        (spec,), (np.zeros((1, 1, 1, 1), np.int32),), (np.zeros(1, np.int32),), -9, 9, (np.array([[2]]),)
    )
    x = np.array([[5, -2], [-3, -1]]).reshape(1, 1, 2, 2)  # of mean -1/4, which is rounded down
    assert run_reference(of, x).ravel().tolist() == [-1] * 4
    assert TorchNetwork(of).integers(x).ravel().tolist() == [-1] * 4


def test_means_of_large_planes_are_exact() -> None:
    # Their sums need more than the 24 bits of a float32.
    x = np.full((1, 2, 1200, 1100), 1023)
    x[0, 0, 7, 9] -= 1
    x[0, 1, :, :] *= -1
    x[0, 1, 5, 5] += 1
    means = channel_means(torch.from_numpy(x).float()).ravel().tolist()
    assert means == [1022, -1023]


def test_a_block_puts_what_entered_it_in_front() -> None:
    of, x = network("dense"), random_input(1)
    assert layer_widths(of.layers) == of.widths == [2, 4, 6, 9, 9, 6]
    block = IntegerNetwork(of.layers[:2], of.weights[:2], of.biases[:2], -LIMIT, LIMIT)
    assert np.array_equal(run_reference(block, x)[:, :2], x.clip(-LIMIT, LIMIT))
    # The last layer's block begins with the second layer, which the first one's output entered.
    first = IntegerNetwork(of.layers[:1], of.weights[:1], of.biases[:1], -LIMIT, LIMIT)
    assert np.array_equal(run_reference(of, x)[:, :4], run_reference(first, x))


def one_layer(**options: object) -> ConvSpec:
    return replace(ConvSpec(3, 2, (3, 3), 1, -(1 << 24), 1 << 24), **options)  # type: ignore[arg-type]


def test_the_bound_of_a_context_is_reached() -> None:
    rng = np.random.default_rng(2)
    spec = one_layer(context=True)
    weight = rng.integers(-900, 900, (2, 3, 3, 3)).astype(np.int32)
    bias = np.array([5000, 7], np.int32)
    # Inputs of one sign a channel drive its mean and its sum together, where weights of a channel have that sign.
    signs = np.sign(rng.integers(0, 2, (2, 3)) - 0.5).astype(np.int32)
    weight = np.abs(weight) * signs[:, :, None, None]
    context = np.abs(rng.integers(-9000, 9000, (2, 3))).astype(np.int32) * signs
    of = IntegerNetwork((spec,), (weight,), (bias,), -300, 300, (context,))
    x = np.tile((300 * signs)[:, :, None, None], (1, 1, 3, 3))
    totals = weight.astype(np.int64).sum(axis=(2, 3)) + context
    sums = [int((totals[o] * 300 * signs[o]).sum()) + int(bias[o]) for o in range(2)]
    assert prove_exact(of) == [max(sums) + 1]
    for out in (run_reference(of, x), TorchNetwork(of).integers(x)):
        assert [int(out[o, o, 1, 1]) for o in range(2)] == [(s + 1) >> 1 for s in sums]


def test_a_context_past_the_bound_is_refused() -> None:
    spec = ConvSpec(1, 1, (1, 1), 1, -9, 9, context=True)
    weight, bias = np.ones((1, 1, 1, 1), np.int32), np.zeros(1, np.int32)
    top = (FLOAT32_EXACT - 2) // 2 - 1  # of the context's weight: times two, and two for the weight, and a half
    IntegerNetwork((spec,), (weight,), (bias,), -2, 2, (np.array([[top]], np.int32),))
    with pytest.raises(ModelError, match="may reach"):
        IntegerNetwork((spec,), (weight,), (bias,), -2, 2, (np.array([[-top - 1]], np.int32),))


def test_channels_of_a_block_count_by_what_each_may_hold() -> None:
    layers = (
        ConvSpec(1, 2, (1, 1), 1, 0, 10, dense=1),
        ConvSpec(3, 1, (1, 1), 1, -5, 5),
    )
    weights = (np.ones((2, 1, 1, 1), np.int32), np.array([7, 100, 1000], np.int32).reshape(1, 3, 1, 1))
    of = IntegerNetwork(layers, weights, (np.zeros(2, np.int32), np.zeros(1, np.int32)), -4000, 3000)
    assert prove_exact(of) == [4000 + 1, 7 * 4000 + 100 * 10 + 1000 * 10 + 1]


@pytest.mark.parametrize("count", [-1, 3])
def test_a_block_that_begins_before_the_network_is_refused(count: int) -> None:
    with pytest.raises(ModelError, match="block"):
        layer_widths([ConvSpec(2, 2, (1, 1), 4, 0, 9), ConvSpec(2, 2, (1, 1), 4, 0, 9, dense=count)])


def test_layers_after_a_block_must_take_all_of_it() -> None:
    of = network("dense")
    narrow = (*of.layers[:2], replace(of.layers[2], in_channels=4), *of.layers[3:])
    weights = (*of.weights[:2], of.weights[2][:, :4], *of.weights[3:])
    contexts = (None, None, np.zeros((3, 4), np.int32), None, None)
    with pytest.raises(ModelError, match="layer 2 does not take what layer 1 gives"):
        IntegerNetwork(narrow, weights, of.biases, -LIMIT, LIMIT, contexts)


@pytest.mark.parametrize("wrong", ["missing", "narrow", "too many"])
def test_contexts_that_do_not_fit_are_refused(wrong: str) -> None:
    of = network("context")
    contexts = list(of.contexts)
    if wrong == "too many":
        contexts[2] = contexts[1]
    else:
        first = contexts[1]
        assert first is not None
        contexts[1] = None if wrong == "missing" else first[:, :-1]
    with pytest.raises(ModelError, match="context"):
        IntegerNetwork(of.layers, of.weights, of.biases, -LIMIT, LIMIT, tuple(contexts))


@pytest.mark.parametrize("kind", KINDS)
def test_a_description_tells_of_options_only_where_they_are_used(kind: str) -> None:
    of = network(kind)
    described = of.describe()
    for spec, layer in zip(of.layers, described["layers"], strict=True):
        assert ("context" in layer) == spec.context
        assert ("dense" in layer) == bool(spec.dense)
    again = IntegerNetwork.from_description(described, list(of.weights), list(of.biases), of.contexts)
    assert again.layers == of.layers


STRUCTURE = {"flows": {"p1": {"steps": [{"step": "squeeze", "rows": 2}], "numbers": [1, -2, 0.5, None, True]}}}


def test_a_model_file_keeps_options_and_structure() -> None:
    networks = {kind: network(kind) for kind in KINDS}
    data = ModelFile("idf", networks, {"card": 1}, structure=STRUCTURE).to_bytes()
    model = ModelFile.from_bytes(data)
    assert model.structure == STRUCTURE
    assert model.to_bytes() == data
    x = random_input(2)
    placed = model.place("cpu")
    for kind, of in networks.items():
        assert model.networks[kind].layers == of.layers
        assert np.array_equal(placed[kind].integers(x), run_reference(of, x))


def test_a_model_without_structure_says_nothing_of_one() -> None:
    data = ModelFile("idf", {"a": network("context")}).to_bytes()
    assert b"structure" not in data
    assert ModelFile.from_bytes(data).structure == {}


def test_another_structure_makes_another_model() -> None:
    networks = {"a": network("context")}
    digests = {
        ModelFile.from_bytes(ModelFile("idf", networks, structure=structure).to_bytes()).digest
        for structure in ({}, STRUCTURE, {"flows": {}})
    }
    assert len(digests) == 3


def test_a_damaged_context_or_structure_is_noticed() -> None:
    of = network("context")
    data = ModelFile("idf", {"a": of}, structure=STRUCTURE).to_bytes()
    context = of.contexts[1]
    assert context is not None
    for part in (context.astype("<i2").tobytes(), b"squeeze"):
        damaged = bytearray(data)
        damaged[data.index(part)] ^= 1
        with pytest.raises(ModelError, match="damaged"):
            ModelFile.from_bytes(bytes(damaged))


def test_a_context_of_more_than_16_bits_is_refused() -> None:
    of = network("context")
    context = of.contexts[3]
    assert context is not None
    context[0, 0] = -(1 << 15)
    with pytest.raises(ModelError, match="network a, layer 3: a weight of its context"):
        ModelFile("idf", {"a": of}).to_bytes()


def trainable(kind: str, seed: int = 0) -> TrainableNetwork:
    torch.manual_seed(seed)
    made = TrainableNetwork(KINDS[kind](4), -LIMIT, LIMIT)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += torch.randn_like(parameter) * 0.1
    return made


@pytest.mark.parametrize("kind", KINDS)
def test_training_with_options_computes_the_exported_network(kind: str) -> None:
    of, x = trainable(kind), random_input(3, 12, 14)
    for step in range(4):
        of.zero_grad()
        (of(torch.from_numpy(random_input(2, seed=step)).float()) - 100).square().mean().backward()
        with torch.no_grad():
            for name, parameter in of.named_parameters():
                assert parameter.grad is not None, name
                parameter -= 0.02 * parameter.grad.sign()
        of.project()
    y = of(torch.from_numpy(x).float()).detach().numpy()
    assert np.array_equal(y, run_reference(of.export(), x))
    assert np.unique(y).size > 50


@pytest.mark.parametrize("kind", KINDS)
def test_projection_brings_weights_of_options_back_inside_the_bound(kind: str) -> None:
    of = trainable(kind)
    with torch.no_grad():
        for layer in of.layers:
            assert isinstance(layer, TrainableConv)
            layer.weight *= 3000
            if layer.context is not None:
                layer.context *= 3000
    with pytest.raises(ModelError, match="past the 2"):
        of.export()
    of.project()
    bounds = prove_exact(of.export())
    assert max(bounds) < FLOAT32_EXACT
    assert max(bounds) > FLOAT32_EXACT // 4  # no more than needed


@pytest.mark.parametrize("kind", KINDS)
def test_fine_tuning_starts_from_the_options_it_is_given(kind: str) -> None:
    start, of = network(kind, seed=5), trainable(kind, 2)
    of.load_integers(start)
    exported = of.export()
    for a, b in zip((*start.weights, *start.contexts), (*exported.weights, *exported.contexts), strict=True):
        assert (a is None and b is None) or np.array_equal(a, b)  # type: ignore[arg-type]
