"""Integer Haar lifting."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from haarchive.codecs.haar.lifting import merge, split

# Differences of these fit into int32.
SAMPLES = st.integers(-(1 << 30), (1 << 30) - 1)


@st.composite
def steps(draw: st.DrawFn) -> tuple[NDArray[np.int32], int]:
    """An array of up to three dimensions, odd and empty ones too, and an axis of it."""
    shape = draw(arrays.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=9))
    x = draw(arrays.arrays(np.int32, shape, elements=SAMPLES))
    return x, draw(st.integers(-x.ndim, x.ndim - 1))


@given(step=steps())
def test_merge_undoes_split(step: tuple[NDArray[np.int32], int]) -> None:
    x, axis = step
    low, high = split(x, axis)
    n = x.shape[axis]
    assert (low.shape[axis], high.shape[axis]) == (n - n // 2, n // 2)
    assert low.dtype == high.dtype == np.int32
    assert np.array_equal(merge(low, high, axis), x)


@given(step=steps())
def test_split_is_the_formula_and_leaves_its_input_alone(step: tuple[NDArray[np.int32], int]) -> None:
    x, axis = step
    before = x.copy()
    low, high = split(x, axis)
    assert np.array_equal(x, before)
    line = np.moveaxis(x, axis, 0).astype(object)
    pairs = len(line) // 2
    h = line[1::2] - line[0::2][:pairs]
    low_line = line[0::2].copy()
    low_line[:pairs] += h // 2
    assert np.array_equal(np.moveaxis(high, axis, 0), h)
    assert np.array_equal(np.moveaxis(low, axis, 0), low_line)


@given(step=steps())
def test_torch_and_numpy_split_alike(step: tuple[NDArray[np.int32], int]) -> None:
    x, axis = step
    tensor = torch.from_numpy(x.copy())
    for ours, theirs in zip(split(x, axis), split(tensor, axis), strict=True):
        assert np.array_equal(ours, theirs.numpy())
    assert np.array_equal(tensor.numpy(), x)


@pytest.mark.parametrize(
    ("pair", "low", "high"), [((3, 6), 4, 3), ((6, 3), 4, -3), ((-1, 0), -1, 1), ((0, -1), -1, -1)]
)
def test_the_low_sample_is_the_mean_rounded_down(pair: tuple[int, int], low: int, high: int) -> None:
    assert [int(a[0]) for a in split(np.array(pair, np.int32), 0)] == [low, high]
