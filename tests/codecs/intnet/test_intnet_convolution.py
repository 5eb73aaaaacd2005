"""Convolutions, by the library and by products of matrices, against integers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from made_networks import hidden_layers, random_network

from haarchive.codecs.intnet import FLOAT32_EXACT, run_reference
from haarchive.codecs.intnet.convolution import Convolution, DirectConvolution, ShiftedProducts, convolution
from haarchive.codecs.intnet.torch_backend import TorchNetwork

SIZES = st.integers(0, 9)
KERNELS = st.tuples(st.sampled_from([1, 3, 5]), st.sampled_from([1, 3, 9]))


def correlated(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Zero-padded cross-correlation of int64, sum by sum."""
    (n, _, height, width), (outputs, _, down, across) = x.shape, weight.shape
    padded = torch.zeros(*x.shape[:2], height + down - 1, width + across - 1, dtype=torch.int64)
    padded[:, :, down // 2 : down // 2 + height, across // 2 : across // 2 + width] = x
    total = bias[None, :, None, None].expand(n, outputs, height, width).clone()
    for i in range(down):
        for j in range(across):
            seen = padded[:, None, :, i : i + height, j : j + width]
            total += (weight[None, :, :, i, j, None, None] * seen).sum(2)
    return total


@pytest.mark.parametrize("kind", [DirectConvolution, ShiftedProducts])
@given(
    seed=st.integers(0, 1 << 30),
    shape=st.tuples(st.integers(0, 3), st.integers(1, 5), SIZES, SIZES),
    outputs=st.integers(1, 5),
    kernel=KERNELS,
)
def test_sums_are_those_of_integers(
    kind: type[DirectConvolution | ShiftedProducts],
    seed: int,
    shape: tuple[int, int, int, int],
    outputs: int,
    kernel: tuple[int, int],
) -> None:
    rng = np.random.default_rng(seed)
    terms = shape[1] * kernel[0] * kernel[1]
    top = FLOAT32_EXACT // (1024 * terms + 1)
    x = torch.from_numpy(rng.integers(-1023, 1024, shape))
    weight = torch.from_numpy(rng.integers(-top, top, (outputs, shape[1], *kernel), endpoint=True))
    bias = torch.from_numpy(rng.integers(-terms, terms, outputs, endpoint=True))
    total = kind(weight.float(), bias.float())(x.float())
    assert total.shape == (shape[0], outputs, *shape[2:])
    assert torch.equal(total.to(torch.int64), correlated(x, weight, bias))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_what_goes_in_is_left_alone_and_what_comes_out_may_be_changed(layout: torch.memory_format) -> None:
    x = torch.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5).float().contiguous(memory_format=layout)
    before = x.clone()
    sums: Convolution
    for sums in (
        DirectConvolution(torch.ones(2, 3, 3, 3), torch.ones(2)),
        ShiftedProducts(torch.ones(2, 3, 3, 3), torch.ones(2)),
    ):
        first = sums(x)
        kept = first.clone()
        first.mul_(0)
        assert torch.equal(x, before)
        assert torch.equal(sums(x), kept)


@pytest.mark.parametrize(
    ("machine", "device", "kind"),
    [
        ("x86_64", "cpu", DirectConvolution),
        ("AMD64", "cpu", DirectConvolution),
        ("arm64", "cpu", ShiftedProducts),
        ("aarch64", "cpu", ShiftedProducts),
        ("x86_64", "meta", ShiftedProducts),
    ],
)
def test_only_cpus_whose_algorithm_is_known_leave_it_to_the_library(
    monkeypatch: pytest.MonkeyPatch, machine: str, device: str, kind: type
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    assert type(convolution(torch.ones(1, 1, 3, 3), torch.ones(1), torch.device(device))) is kind


@pytest.mark.parametrize("machine", ["x86_64", "arm64"])
@pytest.mark.parametrize("n", [1, 40])
def test_networks_are_exact_either_way(monkeypatch: pytest.MonkeyPatch, machine: str, n: int) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    network = random_network(hidden_layers(3, 8, 6), seed=n)
    x = np.random.default_rng(n).integers(-600, 600, (n, 3, 17, 23), np.int32)
    assert np.array_equal(TorchNetwork(network).integers(x), run_reference(network, x))
