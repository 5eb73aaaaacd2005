"""Luma in the size of chroma, held against means of samples and scipy's cosine transform."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from dct_models import made_history, streamed
from numpy.typing import NDArray
from scipy.fft import dctn, idctn

from haarchive.codecs.dct.coefficients import LARGEST_COEFFICIENT, code_coefficients
from haarchive.codecs.dct.reduced import reduced, reducing_matrices
from haarchive.codecs.rans.stream import OperationList


def samples_of(coefficients: NDArray[np.int64]) -> NDArray[np.float64]:
    _, height, width = coefficients.shape
    units = np.moveaxis(coefficients, 0, 2).reshape(height, width, 8, 8).astype(np.float64)
    return idctn(units, axes=(2, 3), norm="ortho").swapaxes(1, 2).reshape(8 * height, 8 * width)


def coefficients_of(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    height, width = samples.shape[0] // 8, samples.shape[1] // 8
    blocks = samples.reshape(height, 8, width, 8).swapaxes(1, 2)
    return np.moveaxis(dctn(blocks, axes=(2, 3), norm="ortho").reshape(height, width, 64), 2, 0)


@pytest.mark.parametrize("down", [1, 2, 3, 4])
@pytest.mark.parametrize("across", [1, 2, 3, 4])
def test_they_are_the_coefficients_of_means(down: int, across: int) -> None:
    rng = np.random.default_rng(0)
    steps = rng.integers(1, 20, 64)
    component = rng.integers(-9, 10, (64, 2 * down, 3 * across)).astype(np.int32)
    samples = samples_of(component * steps[:, None, None])
    means = samples.reshape(16, down, 24, across).mean(axis=(1, 3))
    ours = reduced(component, steps, (2, 3))
    assert ours.dtype == np.int32
    assert np.abs(ours - coefficients_of(means)).max() < 0.5 + 0.25  # rounding, and that of matrices


def test_of_the_same_size_they_are_the_same() -> None:
    rng = np.random.default_rng(0)
    component = rng.integers(-99, 100, (64, 3, 4)).astype(np.int32)
    assert np.array_equal(reduced(component, np.full(64, 3), (3, 4)), 3 * component)


@pytest.mark.parametrize("sign", [-1, 1])
def test_the_largest_are_kept_within_bounds(sign: int) -> None:
    for seed in range(3):
        signs = np.random.default_rng(seed).choice([-1, 1], (64, 4, 4)) * sign
        signs[0] = sign
        out = reduced((LARGEST_COEFFICIENT * signs).astype(np.int32), np.full(64, 255), (2, 2))
        assert np.abs(out).max() == LARGEST_COEFFICIENT - 1


def test_matrices_are_the_same_on_every_machine() -> None:
    # No entry is near enough to a half for a cosine's last digit to matter: the nearest is 0.006 away.
    digest = hashlib.sha256(b"".join(reducing_matrices(n).astype("<i8").tobytes() for n in (1, 2, 3, 4)))
    assert digest.hexdigest() == "5d69d19726e293e2616bb32e92bbd864c0bf5c79c227b1630b725b1adac45ae2"


@pytest.mark.parametrize("sampling", [(1, 2), (2, 2)])
def test_chroma_that_follows_luma_costs_less_given_it(sampling: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    history = made_history((256, 256, 3), 85, sampling)
    luma = rng.integers(-12, 13, (64, *history.grid(0))).astype(np.int32)
    known = reduced(luma, history.steps[0], history.grid(1))
    chroma = np.rint(known / history.steps[1][:, None, None] / 2).astype(np.int32)
    chroma += rng.integers(-1, 2, chroma.shape, np.int32)
    sizes = []
    for given in ([], [known]):
        operations = OperationList()
        code_coefficients([chroma], history.steps[1:2], operations, known=given)
        decoded = np.zeros_like(chroma)
        code_coefficients([decoded], history.steps[1:2], streamed(operations), known=given)
        assert np.array_equal(decoded, chroma)
        sizes.append(len(operations.to_bytes()))
    assert sizes[1] < 0.9 * sizes[0]
