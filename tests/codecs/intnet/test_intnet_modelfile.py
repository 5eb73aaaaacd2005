"""Model files: what comes back, what is refused."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_networks import hidden_layers, random_network
from safetensors import numpy as safetensors_numpy

from haarchive.codecs.errors import InexactDeviceError, ModelError
from haarchive.codecs.intnet import run_reference
from haarchive.codecs.intnet.modelfile import FORMAT, ModelFile

CARD = {"name": "made", "data": {"nothing": "CC0"}, "numbers": [1, 2.5, None]}
MODEL = ModelFile("haar", {n: random_network(hidden_layers(2, 3, 4), seed) for seed, n in enumerate("ab")}, CARD)
DATA = MODEL.to_bytes()


def record_of(data: bytes) -> dict[str, Any]:
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    record: dict[str, Any] = json.loads(header["__metadata__"]["haarchive"])
    return record


def with_record(data: bytes, record: object) -> bytes:
    """The same tensors under another record."""
    result: bytes = safetensors_numpy.save(safetensors_numpy.load(data), {"haarchive": json.dumps(record)})
    return result


def test_a_model_comes_back_with_its_networks_and_card() -> None:
    model = ModelFile.from_bytes(DATA)
    assert model.codec == "haar"
    assert model.card == CARD
    assert model.digest == hashlib.sha256(DATA).hexdigest()
    assert set(model.networks) == {"a", "b"}
    x = np.random.default_rng(0).integers(-511, 511, (1, 2, 8, 8))
    for name, network in model.networks.items():
        assert np.array_equal(run_reference(network, x), run_reference(MODEL.networks[name], x))


def test_the_same_model_gives_the_same_bytes() -> None:
    assert MODEL.to_bytes() == DATA
    assert ModelFile.from_bytes(DATA).to_bytes() == DATA
    assert ModelFile("haar", dict(reversed(MODEL.networks.items())), CARD).to_bytes() == DATA


@settings(deadline=None, max_examples=150)
@given(place=st.integers(0, len(DATA) - 1), bit=st.integers(0, 7))
def test_a_flipped_bit_anywhere_is_noticed(place: int, bit: int) -> None:
    damaged = bytearray(DATA)
    damaged[place] ^= 1 << bit
    with pytest.raises(ModelError):
        ModelFile.from_bytes(bytes(damaged))


def test_a_flipped_bit_in_a_weight_without_effect_is_noticed() -> None:
    layers = hidden_layers(2, 3, 4)
    network = random_network(layers)
    network.weights[3][:, 0] = 0
    network.biases[2][0] = -1_000_000  # clamps the channel to its low, whatever its weights say
    data = ModelFile("haar", {"a": network}).to_bytes()
    weight = network.weights[2][0].astype("<i2").tobytes()
    damaged = bytearray(data)
    damaged[data.index(weight)] ^= 1
    with pytest.raises(ModelError, match="damaged"):
        ModelFile.from_bytes(bytes(damaged))


@pytest.mark.parametrize("length", [0, 1, 7, 8, 100, len(DATA) // 2, len(DATA) - 1])
def test_a_truncated_file_is_refused(length: int) -> None:
    with pytest.raises(ModelError):
        ModelFile.from_bytes(DATA[:length])


@pytest.mark.parametrize("data", [b"not a model", b"\xff" * 64, DATA + b"\0"])
def test_what_is_no_model_is_refused(data: bytes) -> None:
    with pytest.raises(ModelError):
        ModelFile.from_bytes(data)


@pytest.mark.parametrize("record", [[], {}, "text", {"format": FORMAT}, {"format": "1"}, {"format": None}])
def test_a_safetensors_file_of_something_else_is_refused(record: object) -> None:
    with pytest.raises(ModelError):
        ModelFile.from_bytes(with_record(DATA, record))


def test_a_newer_format_is_refused_and_says_what_to_do() -> None:
    record = record_of(DATA) | {"format": FORMAT + 1, "networks": "in some new way"}
    with pytest.raises(ModelError, match=r"newer than .*: update haarchive"):
        ModelFile.from_bytes(with_record(DATA, record))


def test_a_weight_of_more_than_16_bits_is_refused() -> None:
    network = random_network(hidden_layers(2, 3, 4))
    network.weights[3][0, 0, 0, 0] = 1 << 15
    with pytest.raises(ModelError, match="network a, layer 3"):
        ModelFile("haar", {"a": network}).to_bytes()


def test_networks_on_the_cpu_give_their_golden_outputs() -> None:
    placed = MODEL.place("cpu")
    x = np.random.default_rng(1).integers(-511, 511, (1, 2, 9, 9))
    assert np.array_equal(placed["b"].integers(x), run_reference(MODEL.networks["b"], x))


@pytest.mark.parametrize("fault", ["last bit", "bfloat16", "one place", "only of many together"])
def test_a_device_that_does_not_reproduce_the_golden_vectors_is_refused(
    monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    exact = torch.nn.functional.conv2d

    def inexact(x: torch.Tensor, weight: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        match fault:
            case "bfloat16":
                weight = weight.to(torch.bfloat16).float()
            case "one place":
                y = exact(x, weight, *args, **kwargs)
                y[:, :, 1, 1] -= 1.0
                return y
            case "only of many together":
                return exact(x, weight, *args, **kwargs) - (1.0 if x.shape[0] >= 16 else 0.0)
        y = exact(x, weight, *args, **kwargs)
        return y * (1 - 2**-22) if fault == "last bit" else y

    monkeypatch.setattr("platform.machine", lambda: "x86_64")  # elsewhere nothing is left to conv2d
    monkeypatch.setattr(torch.nn.functional, "conv2d", inexact)
    with pytest.raises(InexactDeviceError, match=r"'cpu' does not reproduce the golden vectors of network a"):
        MODEL.place("cpu")


def test_golden_inputs_hold_the_extremes() -> None:
    for golden in MODEL.golden.values():
        assert golden.input.min() == -511
        assert golden.input.max() == 511
        assert golden.input.shape == (3, 2, 12, 12)
