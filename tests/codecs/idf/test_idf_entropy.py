"""Entropy coding of latents: any integers come back."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from haarchive.codecs.distributions import CdfTables, mixture_tables
from haarchive.codecs.errors import BitstreamError
from haarchive.codecs.idf.entropy import code_located, code_mixture
from haarchive.codecs.rans.stream import OperationList, WordReader

LARGEST = 1 << 30
"""The magnitude that decoded latents are clamped to."""

TABLES = mixture_tables([[30000, 35536], [65536, 0]], [[-100, 900], [16 * 40, 0]], [[50, 70], [30, 60]])

LATENTS = st.one_of(st.integers(-LARGEST, LARGEST), st.integers(-300, 300))


def mixture_bytes(z: NDArray[np.int32], tables: CdfTables = TABLES, shift: int = 0) -> bytes:
    ops = OperationList()
    code_mixture(z, tables, shift, ops)
    return ops.to_bytes()


def mixture_again(data: bytes, shape: tuple[int, ...], shift: int = 0) -> NDArray[np.int32]:
    z = np.zeros(shape, np.int32)
    reader = WordReader(data)
    code_mixture(z, TABLES, shift, reader)
    reader.finish()
    return z


@settings(max_examples=60)
@given(
    z=arrays.arrays(np.int32, st.tuples(st.just(2), st.integers(1, 6), st.integers(1, 6)), elements=LATENTS),
    shift=st.integers(0, 8),
)
def test_any_last_latents_come_back(z: NDArray[np.int32], shift: int) -> None:
    assert np.array_equal(mixture_again(mixture_bytes(z, shift=shift), z.shape, shift), z)


@pytest.mark.parametrize("value", [-LARGEST, -1, 0, LARGEST])
@pytest.mark.parametrize("shift", [0, 8])
def test_last_latents_that_are_all_extreme_come_back(value: int, shift: int) -> None:
    z = np.full((2, 9, 7), value, np.int32)
    assert np.array_equal(mixture_again(mixture_bytes(z, shift=shift), z.shape, shift), z)


def test_last_latents_cost_what_their_tables_say() -> None:
    z = np.random.default_rng(0).integers(-30, 80, (2, 60, 60), np.int32)
    bits = 0.0
    for c in range(2):
        frequencies = TABLES.frequencies(c)
        entries = z[c] - int(TABLES.low[c])
        inside = (entries >= 0) & (entries < len(frequencies) - 1)
        assert inside.all() == (c == 0)
        bits += -np.log2(frequencies[entries[inside]] / 32768).sum()
    whole = 8 * len(mixture_bytes(z))
    outside = [int(v) for v in z[1].ravel() if not 0 <= v - int(TABLES.low[1]) < int(TABLES.size[1]) - 1]
    # Escapes: their own probability, then a length and as many bits.
    escaped = -np.log2(TABLES.frequencies(1)[-1] / 32768) * len(outside)
    assert bits + escaped < whole < bits + escaped + 20 * len(outside) + 64


def test_low_bits_of_deep_pictures_go_as_they_are() -> None:
    z = np.random.default_rng(0).integers(-20, 60, (2, 40, 40), np.int32)
    deep = (z << 8) + np.random.default_rng(1).integers(0, 256, z.shape, np.int32)
    assert len(mixture_bytes(deep, shift=8)) == pytest.approx(len(mixture_bytes(z)) + z.size, rel=0.002)


def located_bytes(z: NDArray[np.int32], location: NDArray[np.int64], octaves: NDArray[np.int32]) -> bytes:
    ops = OperationList()
    code_located(z, location, octaves, ops)
    return ops.to_bytes()


def located_again(data: bytes, location: NDArray[np.int64], octaves: NDArray[np.int32]) -> NDArray[np.int32]:
    z = np.zeros(location.shape, np.int32)
    reader = WordReader(data)
    code_located(z, location, octaves, reader)
    reader.finish()
    return z


PLANES = st.tuples(st.integers(1, 7), st.integers(1, 7))


@settings(max_examples=60)
@given(data=st.data(), shape=PLANES)
def test_any_latents_under_any_locations_and_scales_come_back(data: st.DataObject, shape: tuple[int, int]) -> None:
    z = data.draw(arrays.arrays(np.int32, shape, elements=LATENTS))
    location = data.draw(arrays.arrays(np.int64, shape, elements=st.integers(-(1 << 34), 1 << 34)))
    octaves = data.draw(arrays.arrays(np.int32, shape, elements=st.integers(-(1 << 15), (1 << 15) + 512)))
    assert np.array_equal(located_again(located_bytes(z, location, octaves), location, octaves), z)


def test_latents_near_their_locations_cost_less() -> None:
    rng = np.random.default_rng(0)
    z = rng.integers(-100, 100, (50, 50), np.int32)
    right, wrong = z.astype(np.int64) * 16, np.zeros(z.shape, np.int64)
    octaves = np.full(z.shape, -3 * 64, np.int32)
    assert len(located_bytes(z, right, octaves)) < 60
    assert len(located_bytes(z, wrong, octaves)) > 4000


def test_bytes_of_latents_are_those_of_old() -> None:
    rng = np.random.Generator(np.random.PCG64(5))
    z = rng.integers(-200, 200, (2, 30, 31)).astype(np.int32)
    z[0, 0, :4] = [LARGEST, -LARGEST, 5000, -5000]
    location = rng.integers(-3000, 3000, z.shape[1:])
    octaves = rng.integers(-400, 900, z.shape[1:]).astype(np.int32)
    digests = [
        hashlib.sha256(data).hexdigest()[:16]
        for data in (
            mixture_bytes(z),
            mixture_bytes(z, shift=3),
            located_bytes(z[1], location, octaves),
        )
    ]
    assert digests == ["e63027e2f434f7d4", "3d9819da8673329a", "e5e4782bd3e05e77"]


@pytest.mark.parametrize("length", [4, 6, 200])
def test_a_truncated_stream_is_noticed(length: int) -> None:
    z = np.random.default_rng(0).integers(-300, 300, (2, 30, 30), np.int32)
    with pytest.raises(BitstreamError):
        mixture_again(mixture_bytes(z)[:length], z.shape)
    octaves = np.full((30, 30), 300, np.int32)
    data = located_bytes(z[0], np.zeros((30, 30), np.int64), octaves)
    with pytest.raises(BitstreamError):
        located_again(data[:length], np.zeros((30, 30), np.int64), octaves)


def test_nothing_is_read_past_the_end_of_a_stream() -> None:
    reader = WordReader(mixture_bytes(np.full((2, 3, 3), 7, np.int32)))
    z = np.zeros((2, 200, 200), np.int32)
    with pytest.raises(BitstreamError, match="ends too early"):
        code_mixture(z, TABLES, 0, reader)
    assert z[0, 0].any()
    assert not z[1].any()
