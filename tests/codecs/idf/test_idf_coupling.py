"""Integer discrete couplings: what they move, and that they move it back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from idf_models import made_network, placed
from numpy.typing import NDArray

from haarchive.codecs.idf.flow import Flow, MixturePrior
from haarchive.codecs.idf.placed import Factored, PlacedFlow
from haarchive.codecs.idf.steps import Coupling
from haarchive.codecs.intnet import ConvSpec, IntegerNetwork, run_reference

LIMIT = 1 << 15


def network_of(step: Coupling, biases: list[int] | None = None, seed: int = 0) -> IntegerNetwork:
    """One layer from the kept channels; with `biases`, one that gives these whatever it sees."""
    spec = ConvSpec(step.kept, step.outputs, (1, 1), 8, -LIMIT, LIMIT - 1)
    if biases is None:
        return made_network([spec], np.random.Generator(np.random.PCG64(seed)))
    weight = np.zeros((step.outputs, step.kept, 1, 1), np.int32)
    return IntegerNetwork((spec,), (weight,), (np.array(biases, np.int32) << 8,), -1023, 1023)


def flow_of(step: Coupling, network: IntegerNetwork) -> PlacedFlow:
    channels = step.kept + step.changed
    ones = np.ones((channels, 1), np.int64)
    return placed(Flow(channels, "none", (step,), MixturePrior(ones << 16, ones, ones)), {step.network: network})


def forward(flow: PlacedFlow, x: NDArray[np.int32], shift: int = 0) -> NDArray[np.int32]:
    (y,) = flow.analyse(torch.from_numpy(x), shift)
    assert isinstance(y, torch.Tensor)
    result: NDArray[np.int32] = y.numpy()
    return result


def backward(flow: PlacedFlow, y: NDArray[np.int32], shift: int = 0) -> NDArray[np.int32]:
    def nothing(_: Factored) -> torch.Tensor:
        raise AssertionError

    result: NDArray[np.int32] = flow.synthesise(torch.from_numpy(y), *y.shape[2:], shift, nothing).numpy()
    return result


def by_hand(step: Coupling, network: IntegerNetwork, x: NDArray[np.int32], shift: int) -> NDArray[np.object_]:
    """Equation 6 and appendix B, sample by sample, in Python's integers."""
    out = run_reference(network, x[:, : step.kept] >> shift)
    y = x.astype(object)
    for n, i, row, column in np.ndindex(len(x), step.changed, *x.shape[2:]):
        total = int(out[n, i, row, column]) * 2**shift * 8  # 1/128
        for j in range(i if step.triangular else 0):
            total += int(out[n, step.changed + i * (i - 1) // 2 + j, row, column]) * int(
                x[n, step.kept + j, row, column]
            )
        y[n, step.kept + i, row, column] += (total + 64) // 128
    return y


@pytest.mark.parametrize("triangular", [False, True])
@given(
    seed=st.integers(0, 1 << 20),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6)),
    kept=st.integers(1, 4),
    changed=st.integers(1, 4),
    shift=st.sampled_from([0, 1, 4, 8]),
)
def test_a_coupling_is_its_formula_and_can_be_undone(
    triangular: bool, seed: int, shape: tuple[int, int, int], kept: int, changed: int, shift: int
) -> None:
    step = Coupling("t", kept, changed, triangular)
    network = network_of(step, seed=seed)
    flow = flow_of(step, network)
    rng = np.random.default_rng(seed)
    x = rng.integers(-900 << shift, 900 << shift, (shape[0], kept + changed, *shape[1:]), np.int32)
    y = forward(flow, x, shift)
    assert np.array_equal(y, by_hand(step, network, x, shift))
    assert np.array_equal(backward(flow, y, shift), x)


@pytest.mark.parametrize("biases", [[-LIMIT] * 6, [LIMIT - 1] * 6, [LIMIT - 1, 0, -LIMIT, LIMIT - 1, -LIMIT, 7]])
@pytest.mark.parametrize("shift", [0, 8])
def test_a_lower_triangular_coupling_at_its_extremes_can_be_undone(biases: list[int], shift: int) -> None:
    step = Coupling("t", 1, 3, True)
    flow = flow_of(step, network_of(step, biases))
    top = (1 << (11 + shift)) - 1
    x = np.random.default_rng(0).choice(np.array([-top, -1, 0, 1, top], np.int32), (2, 4, 30, 30))
    y = forward(flow, x, shift)
    assert np.abs(y.astype(np.int64)).max() > 100 * top
    assert np.array_equal(backward(flow, y, shift), x)


@pytest.mark.parametrize("triangular", [False, True])
def test_a_coupling_that_leaves_32_bits_can_be_undone(triangular: bool) -> None:
    step = Coupling("t", 1, 3, triangular)
    flow = flow_of(step, network_of(step, [LIMIT - 1] * step.outputs))
    ends = np.array([-(1 << 31), 1 - (1 << 31), -5, (1 << 30) + 3, (1 << 31) - 1], np.int64).astype(np.int32)
    x = np.random.default_rng(0).choice(ends, (1, 4, 20, 20))
    assert np.array_equal(backward(flow, forward(flow, x)), x)


def test_translations_are_rounded_to_the_nearest_integer_halves_up() -> None:
    step = Coupling("t", 1, 6, False)
    flow = flow_of(step, network_of(step, [7, 8, 9, -8, -9, 24]))
    y = forward(flow, np.zeros((1, 7, 1, 1), np.int32))
    assert y[0, 1:, 0, 0].tolist() == [0, 1, 1, 0, -1, 2]


def test_the_first_channels_pass_unchanged() -> None:
    step = Coupling("t", 3, 1, False)
    x = np.random.default_rng(1).integers(-1 << 30, 1 << 30, (2, 4, 5, 6), np.int32)
    assert np.array_equal(forward(flow_of(step, network_of(step)), x)[:, :3], x[:, :3])


def test_channels_move_by_those_before_them_as_they_were() -> None:
    step = Coupling("t", 1, 3, True)
    # No translation; each coefficient is one.
    flow = flow_of(step, network_of(step, [0, 0, 0, 128, 128, 128]))
    y = forward(flow, np.array([9, 100, 20, 3], np.int32).reshape(1, 4, 1, 1))
    assert y.ravel().tolist() == [9, 100, 120, 123]
