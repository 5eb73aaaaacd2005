"""Flows on a device against plain integer arithmetic."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from idf_models import KINDS, architecture, made_flow, placed
from numpy.typing import NDArray

from haarchive.codecs.haar.lifting import split
from haarchive.codecs.idf.flow import Flow
from haarchive.codecs.idf.placed import Factored, PlacedFlow
from haarchive.codecs.idf.steps import Coupling, FactorOut, Haar, Permute, Squeeze, n_coefficients
from haarchive.codecs.intnet import IntegerNetwork, run_reference

MADE = {(kind, planes): made_flow(f"p{planes}", architecture(kind, planes)) for kind in KINDS for planes in (1, 3)}
PLACED = {key: placed(*made) for key, made in MADE.items()}

Latents = list[NDArray[np.int64]]


@pytest.fixture
def threads() -> Iterator[None]:
    """Puts the number of torch threads back after the test."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def samples(planes: int, n: int = 2, height: int = 13, width: int = 18, bits: int = 8) -> NDArray[np.int32]:
    half = 1 << (bits - 1)
    return np.random.default_rng(planes).integers(-half, half, (n, planes, height, width), np.int32)


def analysed(flow: PlacedFlow, x: NDArray[np.int32], shift: int = 0) -> tuple[list[Factored], list[NDArray[np.int32]]]:
    """What each factor-out hands over, and all latents, the last ones last."""
    *parts, last = flow.analyse(torch.from_numpy(x), shift)
    assert isinstance(last, torch.Tensor)
    handed, latents = [], []
    for part in parts:
        assert isinstance(part, tuple)
        handed.append(part[0])
        latents.append(part[1].numpy())
    return handed, [*latents, last.numpy()]


def synthesised(
    flow: PlacedFlow, latents: list[NDArray[np.int32]], height: int, width: int, shift: int = 0, reduce: int = 0
) -> NDArray[np.int32]:
    left = [torch.from_numpy(z.copy()) for z in latents]
    last = left.pop()
    x: NDArray[np.int32] = flow.synthesise(last, height, width, shift, lambda _: left.pop(), reduce).numpy()
    return x


def reference(
    flow: Flow, networks: dict[str, IntegerNetwork], x: NDArray[np.integer], shift: int
) -> tuple[Latents, Latents]:
    """The flow in NumPy and int64: what networks of priors give, and all latents."""
    y = x.astype(np.int64)
    parameters, latents = [], []
    for step in flow.steps:
        match step:
            case Squeeze(rows, columns):
                pads = ((0, 0), (0, 0), (0, -y.shape[2] % rows), (0, -y.shape[3] % columns))
                y = np.pad(y, pads, mode="edge")
                y = np.concatenate([y[:, :, i::rows, j::columns] for i in range(rows) for j in range(columns)], 1)
            case Haar():
                a, b, c, d = np.split(y, 4, 1)
                squares = np.stack([np.stack([a, b], -1), np.stack([c, d], -1)], -2)
                low, high = split(squares, -1)
                coarse, vertical = split(low, -2)
                y = np.concatenate([coarse[..., 0, 0], vertical[..., 0, 0], high[..., 0, 0], high[..., 1, 0]], 1)
            case Permute(order):
                y = y[:, order]
            case Coupling(network, kept, changed):
                out = run_reference(networks[network], y[:, :kept] >> shift).astype(np.int64)
                moved = []
                for i in range(changed):
                    total = (out[:, i] << shift) * 8 + 64
                    for j in range(i if step.triangular else 0):
                        total += out[:, changed + n_coefficients(i, True) + j] * y[:, kept + j]
                    moved.append(y[:, kept + i] + (total >> 7))
                y = np.concatenate([y[:, :kept], np.stack(moved, 1)], 1)
            case FactorOut(network, kept, _):
                parameters.append(run_reference(networks[network], y[:, :kept] >> shift).astype(np.int64))
                latents.append(y[:, kept:])
                y = y[:, :kept]
    return parameters, [*latents, y]


@pytest.mark.parametrize("key", MADE, ids=str)
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_latents_and_parameters_are_those_of_the_reference(key: tuple[str, int], bits: int) -> None:
    x = samples(key[1], bits=bits)
    handed, latents = analysed(PLACED[key], x, bits - 8)
    parameters, expected = reference(*MADE[key], x, bits - 8)
    assert len(latents) == len(expected)
    for z, wanted in zip(latents, expected, strict=True):
        assert z.dtype == np.int32
        assert np.array_equal(z, wanted)
    for part, wanted in zip(handed, parameters, strict=True):
        assert np.array_equal(part.parameters.numpy(), wanted)


@pytest.mark.parametrize("key", MADE, ids=str)
@settings(max_examples=6)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 21), st.integers(1, 21)),
    bits=st.sampled_from([8, 11, 16]),
    seed=st.integers(0, 1000),
)
def test_synthesis_undoes_analysis_of_any_shape(
    key: tuple[str, int], shape: tuple[int, int, int], bits: int, seed: int
) -> None:
    half = 1 << (bits - 1)
    n, height, width = shape
    x = np.random.default_rng(seed).integers(-half, half, (n, key[1], height, width), np.int32)
    _, latents = analysed(PLACED[key], x, bits - 8)
    assert np.array_equal(synthesised(PLACED[key], latents, height, width, bits - 8), x)


@pytest.mark.parametrize("key", MADE, ids=str)
@pytest.mark.parametrize("value", [-(1 << 15), (1 << 15) - 1])
def test_extremes_come_back(key: tuple[str, int], value: int) -> None:
    x = np.full((1, key[1], 9, 14), value, np.int32)
    x[:, :, ::3, ::2] = -value
    _, latents = analysed(PLACED[key], x, 8)
    assert np.array_equal(synthesised(PLACED[key], latents, 9, 14, 8), x)


@pytest.mark.parametrize("key", MADE, ids=str)
def test_synthesis_is_given_the_parameters_of_analysis_coarsest_first(key: tuple[str, int]) -> None:
    x = samples(key[1])
    handed, latents = analysed(PLACED[key], x)
    left = list(zip(handed, latents[:-1], strict=True))

    def take(of: Factored) -> torch.Tensor:
        expected, z = left.pop()
        assert (of.step, of.level) == (expected.step, expected.level)
        assert torch.equal(of.given, expected.given)
        assert torch.equal(of.parameters, expected.parameters)
        return torch.from_numpy(z)

    y = PLACED[key].synthesise(torch.from_numpy(latents[-1]), *x.shape[2:], 0, take)
    assert torch.equal(y, torch.from_numpy(x))
    assert not left


@pytest.mark.parametrize("key", MADE, ids=str)
def test_a_batch_gives_what_each_of_it_gives_alone(key: tuple[str, int]) -> None:
    x = samples(key[1], n=33, height=12, width=11)
    handed, together = analysed(PLACED[key], x)
    for n in (0, 7, 32):
        one, alone = analysed(PLACED[key], x[n : n + 1])
        assert all(np.array_equal(a[n], b[0]) for a, b in zip(together, alone, strict=True))
        assert all(torch.equal(a.parameters[n], b.parameters[0]) for a, b in zip(handed, one, strict=True))


@pytest.mark.parametrize("key", MADE, ids=str)
def test_the_number_of_threads_changes_no_latent(threads: None, key: tuple[str, int]) -> None:
    x = samples(key[1], height=64, width=64)
    results = []
    for count in (1, 2):
        torch.set_num_threads(count)
        results.append(analysed(PLACED[key], x)[1])
    assert all(np.array_equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("planes", [1, 3])
@pytest.mark.parametrize("reduce", [1, 2, 3])
def test_a_pyramid_stops_at_the_low_band_of_any_level(planes: int, reduce: int) -> None:
    flow, x = PLACED["pyramid", planes], samples(planes, height=37, width=21)
    low = x.astype(np.int64)
    for _ in range(reduce):
        # Odd sides repeat their last sample, whose pair then has no detail.
        low = np.pad(low, ((0, 0), (0, 0), (0, low.shape[2] % 2), (0, low.shape[3] % 2)), mode="edge")
        low = split(split(low, 3)[0], 2)[0]
    _, latents = analysed(flow, x)
    assert np.array_equal(synthesised(flow, latents, 37, 21, reduce=reduce), low)


def test_shapes_are_halved_and_rounded_up_at_each_squeeze() -> None:
    assert PLACED["pyramid", 3].shapes(37, 2) == [(37, 2), (19, 1), (10, 1), (5, 1)]
    assert [z.shape for z in analysed(PLACED["paper", 3], samples(3, 1, 37, 2))[1]] == [
        (1, 6, 19, 1), (1, 12, 10, 1), (1, 48, 5, 1)
    ]  # fmt: skip
