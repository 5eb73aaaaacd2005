"""The layers of a flow: what each does to integers, and back."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from torch import Tensor

from haarchive.codecs.errors import ModelError
from haarchive.codecs.haar.lifting import split
from haarchive.codecs.idf.steps import (
    Coupling,
    FactorOut,
    Haar,
    Permute,
    Squeeze,
    Step,
    n_coefficients,
    step_from_description,
)

# Differences of these fit into int32.
SAMPLES = st.integers(-(1 << 30), (1 << 30) - 1)

STEPS: list[Step] = [
    Squeeze(2, 2),
    Squeeze(1, 2),
    Haar(4),
    Haar(2),
    Permute((2, 0, 3, 1)),
    Coupling("p3.l1.t1", 9, 3, True),
    FactorOut("p3.l1.z", 6, 6, False),
]


@st.composite
def batches(draw: st.DrawFn, channels: int | None = None) -> Tensor:
    """Integers ``(N, C, H, W)`` of any sides from 1, odd ones too."""
    shape = (
        draw(st.integers(1, 3)),
        draw(st.integers(1, 5)) if channels is None else channels,
        draw(st.integers(1, 9)),
        draw(st.integers(1, 9)),
    )
    return torch.from_numpy(draw(arrays.arrays(np.int32, shape, elements=SAMPLES)).copy())


def numbered(*shape: int) -> NDArray[np.int32]:
    return np.arange(np.prod(shape), dtype=np.int32).reshape(shape)


@given(x=batches(), rows=st.integers(1, 3), columns=st.integers(1, 3))
def test_unsqueezing_undoes_squeezing_of_any_sides(x: Tensor, rows: int, columns: int) -> None:
    step = Squeeze(rows, columns)
    n, channels, height, width = x.shape
    y = step.forward(x)
    assert y.shape == (n, channels * rows * columns, -(-height // rows), -(-width // columns))
    assert torch.equal(step.inverse(y, (height, width)), x)


@pytest.mark.parametrize("shape", [(1, 7), (7, 1), (1, 1), (2, 2), (5, 8)], ids=str)
@pytest.mark.parametrize(("rows", "columns"), [(2, 2), (1, 2)])
def test_squeezing_puts_each_place_of_a_cell_into_channels_of_its_own(
    shape: tuple[int, int], rows: int, columns: int
) -> None:
    x = numbered(2, 3, *shape)
    y = Squeeze(rows, columns).forward(torch.from_numpy(x)).numpy()
    for i, j, c in np.ndindex(rows, columns, 3):
        for row, column in np.ndindex(y.shape[2:]):
            # Where a side is no multiple, its last row or column is repeated.
            source = min(row * rows + i, shape[0] - 1), min(column * columns + j, shape[1] - 1)
            assert y[1, (i * columns + j) * 3 + c, row, column] == x[1, c, *source]


@given(x=batches(channels=8), cells=st.sampled_from([2, 4]))
def test_the_inverse_s_transform_undoes_it(x: Tensor, cells: int) -> None:
    x >>= 2  # three differences in a row must fit
    before = x.clone()
    y = Haar(cells).forward(x)
    assert torch.equal(Haar(cells).inverse(y), x)
    assert torch.equal(x, before)


@given(x=batches())
def test_the_s_transform_of_squares_is_lifting_along_rows_then_columns(x: Tensor) -> None:
    x >>= 2
    x = torch.cat([x, x.flip(2)], 2)
    x = torch.cat([x, 3 - x.flip(3)], 3)  # even sides
    ll, v, he, ho = Haar(4).forward(Squeeze(2, 2).forward(x)).chunk(4, 1)
    low, high = split(x.numpy(), 3)
    coarse, vertical = split(low, 2)
    assert np.array_equal(ll, coarse)
    assert np.array_equal(v, vertical)
    assert np.array_equal(he, high[:, :, 0::2])
    assert np.array_equal(ho, high[:, :, 1::2])


@given(x=batches())
def test_the_s_transform_of_pairs_is_lifting_along_rows(x: Tensor) -> None:
    x = torch.cat([x, x.flip(3)], 3) >> 1
    low, high = Haar(2).forward(Squeeze(1, 2).forward(x)).chunk(2, 1)
    expected = split(x.numpy(), 3)
    assert np.array_equal(low, expected[0])
    assert np.array_equal(high, expected[1])


def test_a_side_that_is_odd_leaves_its_last_sample_as_it_is() -> None:
    x = torch.from_numpy(numbered(1, 1, 3, 5) * 7)
    ll, v, he, _ = Haar(4).forward(Squeeze(2, 2).forward(x)).chunk(4, 1)
    assert int(ll[0, 0, -1, -1]) == int(x[0, 0, -1, -1])
    assert not v[..., -1, :].any()
    assert not he[..., -1].any()


@given(x=batches(channels=4), order=st.permutations(range(4)))
def test_channels_are_reordered_as_told_and_back(x: Tensor, order: list[int]) -> None:
    step = Permute(tuple(order))
    y = step.forward(x)
    for n, source in enumerate(order):
        assert torch.equal(y[:, n], x[:, source])
    assert torch.equal(step.inverse(y), x)


@pytest.mark.parametrize("cells", [2, 4])
def test_training_computes_the_s_transform_of_integers_and_has_gradients(cells: int) -> None:
    x = torch.from_numpy(np.random.default_rng(0).integers(-1000, 1000, (2, 8, 5, 6), np.int32))
    real = x.float().requires_grad_()
    y = Haar(cells).forward(real)
    assert torch.equal(y.detach().to(torch.int32), Haar(cells).forward(x))
    y[:, 0].sum().backward()
    assert real.grad is not None
    # The low band is a mean of the cell, as far as gradients can tell.
    assert real.grad[0, :: 8 // cells, 0, 0].tolist() == [1 / cells] * cells


@pytest.mark.parametrize(("channels", "count"), [(1, 0), (2, 1), (3, 3), (6, 15)])
def test_a_lower_triangle_has_so_many_coefficients(channels: int, count: int) -> None:
    assert n_coefficients(channels, triangular=True) == count
    assert n_coefficients(channels, triangular=False) == 0
    assert Coupling("t", 9, channels, True).outputs == channels + count
    assert FactorOut("z", 9, channels, True).outputs == 2 * channels + count


@pytest.mark.parametrize("step", STEPS, ids=str)
def test_a_description_gives_the_step_back(step: Step) -> None:
    assert step_from_description(json.loads(json.dumps(step.describe()))) == step


@pytest.mark.parametrize(
    "description",
    [
        {},
        {"step": "actnorm"},
        {"step": None},
        {"step": "squeeze"},
        {"step": "squeeze", "rows": 2},
        {"step": "haar", "cells": 4, "more": 1},
        {"step": "coupling", "network": "t", "kept": 3, "taken": 1, "triangular": False},
        {"rows": 2, "columns": 2},
    ],
    ids=str,
)
def test_a_step_that_is_not_known_is_refused_and_says_what_to_do(description: dict[str, object]) -> None:
    with pytest.raises(ModelError, match="update haarchive"):
        step_from_description(description)
