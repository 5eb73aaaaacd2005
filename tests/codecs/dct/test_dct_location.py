"""Predictors of coefficients: what they may see, and how they learn."""

from __future__ import annotations

import numpy as np
import pytest
from dct_models import made_components, made_history, streamed
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from haarchive.codecs.dct.coefficients import LARGEST_COEFFICIENT, code_coefficients
from haarchive.codecs.dct.location import FIRST_USUAL, earlier_predictors, learn, look, predictors, sweep, worth
from haarchive.codecs.dct.transform import ZIGZAG
from haarchive.codecs.rans.stream import OperationList

ORDER = {int(k): n for n, k in enumerate(ZIGZAG)}
MOST_BLOCKS = 1 << 19


@pytest.mark.parametrize("components", [1, 2, 3, 4])
@pytest.mark.parametrize("known", [0, 1, None])
def test_predictors_see_only_what_decoders_know(components: int, known: int | None) -> None:
    features, counts = earlier_predictors(components) if known is None else predictors(components, known)
    for c in range(components):
        for k in range(64):
            seen = [tuple(feature) for feature in features[c, k, : counts[c, k]].tolist()]
            assert seen[0] == (c, k, 0, -1)
            assert len(set(seen)) == len(seen)
            for q, frequency, row, column in seen:
                assert max(abs(row), abs(column)) <= 1
                coarser = ORDER[frequency] < ORDER[k]
                before = frequency == k and (q < c or (q == c and (row, column) < (0, 0)))
                assert coarser or before or components <= q < components + (known or 0)


@given(missed=st.integers(0, 1 << 20), usual=st.integers(0, 1 << 18))
def test_blocks_count_less_the_more_was_missed(missed: int, usual: int) -> None:
    weight, after = worth(missed, usual)
    assert weight == (1 << 20) // (1024 + missed) <= 1024
    assert 0 <= after <= max(usual, min(missed, 4 * usual + 64))
    if missed > usual + 64:
        assert after > usual


def test_what_is_usually_missed_follows_but_not_outliers() -> None:
    usual = FIRST_USUAL
    for n in range(2000):
        usual = worth(100 if n % 50 else 1 << 17, usual)[1]
    assert 80 < usual < 150


@given(
    features=st.integers(1, 12), width=st.integers(1, 20), size=st.sampled_from([0, 3, LARGEST_COEFFICIENT]),
    seed=st.integers(0, 1 << 16),
)  # fmt: skip
def test_normal_equations_are_sums_over_blocks(features: int, width: int, size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    seen = rng.integers(-size, size + 1, (features, width)).astype(np.int32)
    seen[rng.random(features) < 0.3] = 0
    here = rng.integers(-size, size + 1, width + 2).astype(np.int32)
    worths = rng.integers(0, 1025, width).astype(np.int32)
    gram, moment = rng.integers(0, 100, (features, features)), rng.integers(0, 100, features)
    gram += gram.T
    wide = seen.astype(np.int64)
    expected = gram + (wide * worths) @ wide.T, moment + (wide * worths) @ here[1:-1].astype(np.int64) * 7
    learn(seen, seen.any(axis=1), here, np.int64(7), worths, gram, moment)
    assert np.array_equal(gram, expected[0])
    assert np.array_equal(moment, expected[1])


def test_sums_over_the_largest_pictures_stay_within_64_bits() -> None:
    assert LARGEST_COEFFICIENT**2 * worth(0, 0)[0] * MOST_BLOCKS < 1 << 63
    assert LARGEST_COEFFICIENT * worth(0, 0)[0] < 1 << 31  # a feature times what its block is worth


def test_weights_are_those_of_weighted_least_squares() -> None:
    rng = np.random.default_rng(0)
    seen = rng.integers(-900, 901, (5, 400)).astype(np.int32)
    here = np.pad((np.array([2, -1, 0, 1, 3]) @ seen // 4 + rng.integers(-9, 10, 400)).astype(np.int32), 1)
    worths = rng.integers(0, 1025, 400).astype(np.int32)
    gram, moment, weights = np.zeros((5, 5), np.int64), np.zeros(5, np.int64), np.zeros(5, np.int64)
    learn(seen, np.ones(5, np.bool_), here, np.int64(1), worths, gram, moment)
    for _ in range(10):
        sweep(gram, moment, weights, np.int64(1), 1, np.int64(100), False)
    root = np.sqrt(worths.astype(float))
    exact = np.linalg.lstsq((seen * root).T, here[1:-1] * root, rcond=None)[0]
    assert weights / 65536 == pytest.approx(exact, abs=1e-3)


def test_features_are_dequantised_coefficients_of_the_blocks_around() -> None:
    rng = np.random.default_rng(0)
    k = np.pad(rng.integers(-9, 10, (2, 64, 3, 4)), ((0, 0), (0, 0), (1, 1), (1, 1))).astype(np.int32)
    k[1, 8] = 0
    steps = rng.integers(1, 99, (2, 64))
    features, counts = predictors(2, 0)
    seen = np.zeros((counts[1, 9], 4), np.int32)
    alive = np.zeros(counts[1, 9], np.bool_)
    look(k, 2, features[1, 9, : counts[1, 9]], steps, seen, alive)
    for out, some, (q, u, row, column) in zip(
        seen[1:], alive[1:], features[1, 9, 1 : counts[1, 9]].tolist(), strict=True
    ):
        assert np.array_equal(out, k[q, u, 2 + row, 1 + column : 5 + column] * steps[q, u])
        assert some == out.any()
    assert alive[1:].any()
    assert not alive[1:].all()


def size_of(components: list[NDArray[np.int32]], steps: NDArray[np.int64], cut: NDArray[np.bool_] | None) -> int:
    operations = OperationList()
    code_coefficients(components, steps, operations, cut=cut)
    decoded = [np.zeros_like(component) for component in components]
    code_coefficients(decoded, steps, streamed(operations), cut=cut)
    assert np.array_equal(decoded, components)
    return len(operations.to_bytes())


def test_cut_blocks_do_not_spoil_the_predictions_of_others() -> None:
    # As edges leave them: coefficients that have little to do with what is around.
    history = made_history((320, 320, 1), 85)
    rng = np.random.default_rng(0)
    (tame,) = made_components(history)
    wild = np.cumsum(tame, axis=2, dtype=np.int32)  # predictable
    wild[:, :, 0] = rng.integers(-200, 201, wild[:, :, 0].shape)
    cut = np.zeros(history.grid(0), np.bool_)
    cut[:, 0] = True
    assert size_of([wild], history.steps, cut) < 0.97 * size_of([wild], history.steps, None)


def test_predictors_that_may_learn_nothing_code_all_the_same() -> None:
    history = made_history((40, 40, 1), 85)
    size_of(made_components(history), history.steps, np.ones((5, 5), np.bool_))
