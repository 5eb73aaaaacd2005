"""The adaptive coupling: decoders learn what encoders learn, and it pays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from haarchive.codecs.errors import BitstreamError
from haarchive.codecs.idf.factored import LevelCoder, expect
from haarchive.codecs.idf.steps import FactorOut, n_coefficients
from haarchive.codecs.rans.stream import OperationList, WordReader

LARGEST = 1 << 30
STEPS = tuple(FactorOut(f"z{n}", 3 + 3 * n, 3, True) for n in range(3))
"""What a level on Haar lifting factors out, in decoding order."""

Level = list[tuple[FactorOut, NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]]


def outputs(step: FactorOut, rng: np.random.Generator, shape: tuple[int, int], reach: int = 300) -> NDArray[np.int32]:
    """What a network could give: locations, log-scales, coefficients."""
    out = rng.integers(-reach, reach, (step.outputs, *shape)).astype(np.int32)
    out[step.taken : 2 * step.taken] += 2 * 64
    out[2 * step.taken :] //= 3
    return out


def made_level(z: NDArray[np.int32], shift: int = 0, reach: int = 300, seed: int = 0) -> Level:
    """A level of three factor-outs whose latents are `z`, ``(9, H, W)``."""
    rng = np.random.default_rng(seed)
    given_all = rng.integers(-500 << shift, 500 << shift, (3, *z.shape[1:])).astype(np.int32)
    level = []
    for n, step in enumerate(STEPS):
        before = np.concatenate([given_all, z[: 3 * n]])
        level.append((step, before, outputs(step, rng, z.shape[1:], reach), z[3 * n : 3 * n + 3]))
    return level


def encode(level: Level, adaptive: bool = True, shift: int = 0, of: int = 1) -> bytes:
    ops = OperationList()
    coder = LevelCoder(of, 3, shift, 1 << (14 + shift), adaptive, ops)
    for step, before, out, z in level:
        coder.code(step, before, out, z)
    return ops.to_bytes()


def decode(level: Level, data: bytes, adaptive: bool = True, shift: int = 0, of: int = 1) -> NDArray[np.int32]:
    reader = WordReader(data)
    coder = LevelCoder(of, 3, shift, 1 << (14 + shift), adaptive, reader)
    parts = []
    for step, before, out, z in level:
        again = np.zeros_like(z)
        coder.code(step, before, out, again)
        parts.append(again)
    reader.finish()
    return np.concatenate(parts)


def latents(kind: str, shape: tuple[int, int] = (21, 26), shift: int = 0) -> NDArray[np.int32]:
    rng = np.random.default_rng(1)
    y, x = np.mgrid[: shape[0], : shape[1]]
    made = {
        "constant": np.full((9, *shape), 77),
        "zero": np.zeros((9, *shape)),
        "noise": rng.integers(-200, 201, (9, *shape)),
        "huge": rng.choice(np.array([-LARGEST, -1, 0, 1, LARGEST]), (9, *shape)),
        "one huge": np.where((x == 11) & (y == 8), LARGEST, 0)[None].repeat(9, 0),
        "checks": np.where((x + y) % 2, 1 << 15, -(1 << 15))[None].repeat(9, 0),
        "grid of four": (40 * (x % 4 == 0) - 25 * (y % 4 == 3) + rng.integers(-3, 4, (9, *shape))),
        "growing": (1 << (x + y) % 30)[None].repeat(9, 0),
    }[kind]
    return (made << shift if kind == "noise" else made).astype(np.int32)


KINDS = ("constant", "zero", "noise", "huge", "one huge", "checks", "grid of four", "growing")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shift", [0, 8])
@pytest.mark.parametrize(("adaptive", "of"), [(False, 1), (True, 1), (True, 2), (True, 4)])
def test_adversarial_latents_come_back(kind: str, shift: int, adaptive: bool, of: int) -> None:
    z = latents(kind, shift=shift)
    level = made_level(z, shift)
    assert np.array_equal(decode(level, encode(level, adaptive, shift, of), adaptive, shift, of), z)


@pytest.mark.parametrize("reach", [1, 1 << 15])
def test_any_outputs_of_networks_are_harmless(reach: int) -> None:
    z = latents("noise")
    level = made_level(z, reach=reach)
    assert np.array_equal(decode(level, encode(level)), z)


@settings(max_examples=25)
@given(
    shape=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    reach=st.sampled_from([1, 30, 1 << 20, LARGEST]),
    shift=st.integers(0, 8),
    adaptive=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_latents_of_any_shape_and_size_come_back(
    shape: tuple[int, int], reach: int, shift: int, adaptive: bool, seed: int
) -> None:
    z = np.random.default_rng(seed).integers(-reach, reach + 1, (9, *shape)).astype(np.int32)
    level = made_level(z, shift, seed=seed)
    assert np.array_equal(decode(level, encode(level, adaptive, shift), adaptive, shift), z)


@pytest.mark.parametrize("kind", ["constant", "grid of four"])
def test_what_repeats_in_a_picture_is_learned(kind: str) -> None:
    level = made_level(latents(kind, (64, 64)), reach=20)
    assert len(encode(level)) < 0.8 * len(encode(level, adaptive=False))


def test_what_cannot_be_learned_costs_little_more() -> None:
    rng = np.random.default_rng(0)
    z = np.round(rng.logistic(0, 4, (9, 64, 64))).astype(np.int32)  # just what the networks say
    level = []
    for step, before, out, latent in made_level(z):
        still = np.zeros_like(out)
        still[step.taken : 2 * step.taken] = 2 * 64
        level.append((step, before, still, latent))
    assert len(encode(level)) < 1.03 * len(encode(level, adaptive=False))


def test_errors_of_bands_done_before_help() -> None:
    rng = np.random.default_rng(0)
    z = rng.integers(-60, 61, (9, 48, 48)).astype(np.int32)
    alone = made_level(z, reach=1)
    z = z.copy()
    z[3:6] = z[:3]
    z[6:9] = z[:3]
    alike = made_level(z, reach=1)
    assert len(encode(alike)) < 0.75 * len(encode(alone))
    assert np.array_equal(decode(alike, encode(alike)), z)


def test_encoding_leaves_what_it_is_given_alone() -> None:
    level = made_level(latents("noise"))
    before = [[part.copy() for part in rest] for _, *rest in level]
    encode(level)
    for (_, *after), copies in zip(level, before, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(after, copies, strict=True))


def test_flipped_bits_are_noticed_or_give_other_latents() -> None:
    z = latents("noise")
    level = made_level(z)
    data = encode(level)
    rng = np.random.default_rng(0)
    noticed = 0
    for _ in range(40):
        damaged = bytearray(data)
        damaged[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
        try:
            assert not np.array_equal(decode(level, bytes(damaged)), z)
        except BitstreamError:
            noticed += 1
    assert noticed > 35


@pytest.mark.parametrize("shift", [0, 4])
def test_what_is_expected_is_the_location_rounded_to_the_nearest_sample(shift: int) -> None:
    step = FactorOut("z", 3, 2, True)
    out = np.zeros((step.outputs, 1, 4), np.int32)
    out[0] = [7, 8, -8, -9]  # 1/16
    out[4] = 128  # the second channel follows the first, which is what was expected of it
    out[1] = [16, 0, 0, 0]
    z = np.zeros((2, 1, 4), np.int32)
    expect(step, out, shift, z)
    first = [(v * 2**shift + 8) // 16 for v in (7, 8, -8, -9)]
    assert z[0, 0].tolist() == first
    assert z[1, 0].tolist() == [first[0] + 2**shift, *first[1:]]
    assert n_coefficients(2, True) == 1
