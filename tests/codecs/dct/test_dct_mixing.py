"""Coding of integers by mixed binary decisions, and its tables."""

from __future__ import annotations

import hashlib
from decimal import Decimal, localcontext

import numpy as np
import pytest
from dct_models import streamed
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from haarchive.codecs.dct.mixing import NODES, Mixer, code_integer, forget, mixing_tables
from haarchive.codecs.rans.stream import OperationList, WordReader

SIZES = (5, 40, 1)
FIRST, SECOND = 3, 4
LARGEST = NODES - 1 + (1 << 15)
"""Of magnitudes that come back."""


def code(
    values: NDArray[np.int64], contexts: NDArray[np.int64], stream: OperationList | WordReader, mixer: Mixer
) -> NDArray[np.int64]:
    """Code or decode integers; contexts are ``(N, 5)``: of the inputs and of the two sets of weights."""
    inputs = np.zeros(len(SIZES), np.int64)
    out = np.zeros(len(contexts), np.int64)
    for n, (*of_inputs, one, two) in enumerate(contexts.tolist()):
        value = 0 if stream.decoding else int(values[n])
        out[n], *after = code_integer(
            value, np.array(of_inputs), one, two, inputs, *mixer.arrays, stream.decoding, *stream.suspend(4)
        )
        stream.resume(*after)
    return out


def fresh() -> Mixer:
    return Mixer.fresh(SIZES, FIRST, SECOND)


def random_contexts(count: int, seed: int = 0) -> NDArray[np.int64]:
    return np.random.default_rng(seed).integers(0, (*SIZES, FIRST, SECOND), (count, len(SIZES) + 2))


def check(values: list[int], contexts: NDArray[np.int64]) -> int:
    """Code integers and hold them against what comes back; returns how many bytes they took."""
    operations = OperationList()
    encoder, decoder = fresh(), fresh()
    code(np.array(values, np.int64), contexts, operations, encoder)
    reader = streamed(operations)
    assert code(np.zeros(0, np.int64), contexts, reader, decoder).tolist() == values
    reader.finish()
    for ours, theirs in zip(encoder.arrays, decoder.arrays, strict=True):
        assert np.array_equal(ours, theirs)
    return len(operations.to_bytes())


@settings(max_examples=40)
@given(
    values=st.lists(st.integers(-20, 20) | st.integers(-LARGEST, LARGEST), min_size=1, max_size=60),
    seed=st.integers(0, 1 << 16),
)
def test_any_integers_come_back(values: list[int], seed: int) -> None:
    check(values, random_contexts(len(values), seed))


def test_the_ends_of_the_unary_part_come_back() -> None:
    values = [sign * size for size in (0, 1, 2, NODES - 3, NODES - 2, NODES - 1, NODES, NODES + 1) for sign in (1, -1)]
    check(values * 30, random_contexts(30 * len(values)))
    check([LARGEST, -LARGEST], random_contexts(2))


def entropy(chances: NDArray[np.float64]) -> float:
    return float(-(chances * np.log2(chances)).sum())


def test_a_skewed_source_costs_little_more_than_its_entropy() -> None:
    rng = np.random.Generator(np.random.PCG64(1))
    values, chances = np.array([0, 1, -1, 2, -7]), np.array([0.8, 0.1, 0.05, 0.04, 0.01])
    drawn = rng.choice(values, 6000, p=chances)
    nothing = np.zeros((len(drawn), len(SIZES) + 2), np.int64)
    ideal = len(drawn) * entropy(chances) / 8
    assert 0.97 * ideal < check(drawn.tolist(), nothing) < 1.1 * ideal


def test_contexts_are_made_use_of() -> None:
    """Which of two sources a value is from is what an input's context says; that of another says nothing."""
    rng = np.random.Generator(np.random.PCG64(2))
    contexts = random_contexts(6000, 3)
    likely_zero = contexts[:, 0] < 2
    drawn = np.where(rng.random(len(contexts)) < np.where(likely_zero, 0.97, 0.03), 0, 1)
    ideal = len(drawn) * entropy(np.array([0.97, 0.03])) / 8
    assert check(drawn.tolist(), contexts) < 1.6 * ideal
    blind = contexts.copy()
    blind[:, 0] = 0
    assert check(drawn.tolist(), blind) > 4 * ideal


def test_after_forgetting_cells_follow_a_change_sooner() -> None:
    values = np.repeat([0, 3], [2000, 60])
    nothing = np.zeros((len(values), len(SIZES) + 2), np.int64)
    sizes = []
    for most in (255, 2):
        operations, mixer = OperationList(), fresh()
        code(values[:2000], nothing[:2000], operations, mixer)
        for which in range(len(SIZES)):
            forget(mixer.visits, mixer.offsets, which, most)
        code(values[2000:], nothing[2000:], operations, mixer)
        sizes.append(len(operations.to_bytes()))
    assert sizes[1] < sizes[0] - 4


def test_forgetting_leaves_other_inputs_alone() -> None:
    mixer = fresh()
    mixer.visits[:] = 200
    forget(mixer.visits, mixer.offsets, 1, 10)
    ends = NODES * np.cumsum([0, *SIZES])
    assert (mixer.visits[ends[1] : ends[2]] == 10).all()
    assert (mixer.visits[: ends[1]] == 200).all()
    assert (mixer.visits[ends[2] :] == 200).all()


def test_chances_rise_and_mirror_each_other() -> None:
    chances, logits = mixing_tables()
    assert chances.shape == (2 * 12 * 256 + 1,)
    assert (np.diff(chances) >= 0).all()
    assert (chances + chances[::-1] == 1 << 16).all()
    # As intervals of 15 bits they are never empty.
    assert chances.min() >> 1 >= 1
    assert chances.max() >> 1 < 1 << 15
    assert (np.diff(logits) >= 0).all()
    assert np.abs(logits).max() < 8 * 256


def test_chances_are_those_of_the_logistic_function() -> None:
    chances, _ = mixing_tables()
    nats = np.arange(-12 * 256, 12 * 256 + 1) / 256
    exact = 65536 / (1 + np.exp(-nats))
    inner = np.abs(nats) < 7.5
    assert np.abs(chances - exact)[inner].max() <= 1
    # Far out they stay away from 0 and 1.
    assert np.abs(chances - exact).max() <= 16.5
    with localcontext(prec=50):
        for at in range(0, 12 * 256, 97):
            real = 65536 / (1 + (Decimal(12 * 256 - at) / 256).exp())
            assert chances[at] == max(int(real), 16)


@pytest.mark.parametrize("at", [0, 1, 700, 2048, 3000, 4094, 4095])
def test_logits_are_those_of_chances(at: int) -> None:
    _, logits = mixing_tables()
    chance = (16 * at + 8) / 65536
    exact = np.log(chance / (1 - chance)) * 256
    # A chance is a multiple of 2**-16, which far from 1/2 is a large step of its logit.
    step = 256 / (65536 * chance * (1 - chance))
    assert abs(logits[at] - np.clip(exact, -2047, 2047)) <= 1 + step


def test_tables_are_the_same_on_every_machine() -> None:
    digest = hashlib.sha256(b"".join(table.astype("<i8").tobytes() for table in mixing_tables())).hexdigest()
    assert digest == "950e413875d72ca3dc266d11e3af0e24f94c3d03a55e8b5be55c89c9d615710b"
