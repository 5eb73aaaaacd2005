"""Coding whole arrays with static tables."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from reference_rans import encode_stream

from haarchive.codecs.distributions import PROBABILITY_ONE, CdfTables, logistic_tables
from haarchive.codecs.distributions.logistic import PHASES, SCALES
from haarchive.codecs.errors import BitstreamError
from haarchive.codecs.rans import decode_symbols, encode_symbols

GOLDEN = Path(__file__).parents[2] / "golden" / "rans.json"
INT32 = np.iinfo(np.int32)

Message = tuple[NDArray[np.int32], NDArray[np.int32]]


def sample(n: int, seed: int = 0) -> Message:
    """Logistic samples of all scales and phases, and the tables that describe them."""
    rng = np.random.default_rng(seed)
    index = rng.integers(0, SCALES * PHASES, n).astype(np.int32)
    scale = 2.0 ** (index // PHASES / 8 - 5)
    symbols = np.floor(rng.logistic(index % PHASES / PHASES, scale) + 0.5).astype(np.int32)
    return symbols, index


def golden_message(name: str, n: int) -> Message:
    """Symbols near and far that depend on the name only, not on a version of NumPy."""
    raw = np.frombuffer(hashlib.shake_256(name.encode()).digest(8 * n), dtype="<u4").reshape(n, 2)
    index = (raw[:, 0] % (SCALES * PHASES)).astype(np.int32)
    near = (raw[:, 1] & 7).astype(np.int32) - 3
    far = raw[:, 1].view(np.int32) >> (raw[:, 0] >> 27).astype(np.int32)
    return np.where(raw[:, 1] >> 8 & 63 == 0, far, near).astype(np.int32), index


symbols_anywhere = (
    st.integers(-4, 4)
    | st.integers(-400, 400)
    | st.integers(INT32.min, INT32.max)
    | st.sampled_from([INT32.min, INT32.max])
)
messages = st.lists(st.tuples(symbols_anywhere, st.integers(0, SCALES * PHASES - 1)), max_size=100)


@settings(deadline=None, max_examples=200)
@given(message=messages, lanes=st.integers(1, 9))
def test_any_int32_comes_back_with_any_table(message: list[tuple[int, int]], lanes: int) -> None:
    symbols, index = np.array(message, dtype=np.int32).reshape(-1, 2).T
    data = encode_symbols(symbols, index, logistic_tables(), lanes)
    decoded = decode_symbols(data, index, logistic_tables(), lanes)
    assert decoded.dtype == np.int32
    np.testing.assert_array_equal(decoded, symbols)


def test_symbols_with_their_tables_give_the_bytes_of_rans_on_big_integers() -> None:
    tables = logistic_tables()
    symbols, index = sample(3001)
    entry = symbols - tables.low[index]
    known = (entry >= 0) & (entry < tables.size[index] - 1)
    symbols, index, entry = symbols[known], index[known], entry[known]
    start = tables.cdf[tables.offset[index] + entry].astype(int)
    stop = tables.cdf[tables.offset[index] + entry + 1].astype(int)
    intervals = list(zip(start.tolist(), (stop - start).tolist(), strict=True))
    assert encode_symbols(symbols, index, tables, 4) == encode_stream(intervals, 4)


def test_a_million_symbols_take_at_most_a_thousandth_more_than_the_ideal() -> None:
    tables = logistic_tables()
    symbols, index = sample(1_000_000)
    data = encode_symbols(symbols, index, tables)
    np.testing.assert_array_equal(decode_symbols(data, index, tables), symbols)
    scale = 2.0 ** (index // PHASES / 8 - 5)
    # The mass between two points is that between their mirror images: take the side that does not cancel.
    near = np.abs(symbols - index % PHASES / PHASES)
    upper = 1 / (1 + np.exp(np.minimum((near - 0.5) / scale, 700)))
    lower = 1 / (1 + np.exp(np.minimum((near + 0.5) / scale, 700)))
    ideal = -np.log2(upper - lower).sum() / 8
    assert len(data) < 1.001 * ideal


def test_a_million_symbols_of_one_table_take_what_the_table_says() -> None:
    row = [30000, 2000, 700, 60, 7, 1]
    tables = CdfTables.from_frequencies([row], [0])
    symbols = np.random.default_rng(1).choice(5, 1_000_000, p=np.array(row[:-1]) / sum(row[:-1]))
    data = encode_symbols(symbols.astype(np.int32), np.zeros(1_000_000, np.int32), tables)
    ideal = -np.log2(np.array(row)[symbols] / PROBABILITY_ONE).sum() / 8
    assert ideal < len(data) < 1.001 * ideal


def test_tables_may_have_more_entries_than_a_byte_can_count() -> None:
    row = np.full(5000, 6)
    row[-1] += PROBABILITY_ONE - row.sum()
    tables = CdfTables.from_frequencies([row], [-1000])
    symbols = np.arange(-1100, 4100, dtype=np.int32)
    index = np.zeros(symbols.size, np.int32)
    data = encode_symbols(symbols, index, tables)
    np.testing.assert_array_equal(decode_symbols(data, index, tables), symbols)


def test_a_table_of_nothing_but_the_escape_codes_every_symbol() -> None:
    tables = CdfTables.from_frequencies([[PROBABILITY_ONE]], [0])
    symbols = np.array([0, -1, 1, INT32.min, INT32.max], np.int32)
    index = np.zeros(5, np.int32)
    data = encode_symbols(symbols, index, tables)
    np.testing.assert_array_equal(decode_symbols(data, index, tables), symbols)


def test_no_symbols_are_a_stream_too() -> None:
    nothing = np.empty(0, np.int32)
    data = encode_symbols(nothing, nothing, logistic_tables())
    assert decode_symbols(data, nothing, logistic_tables()).shape == (0,)


def test_decoding_on_many_threads_gives_the_same_symbols() -> None:
    symbols, index = sample(20_000)
    data = encode_symbols(symbols, index, logistic_tables())
    with ThreadPoolExecutor(4) as pool:
        for decoded in pool.map(lambda _: decode_symbols(data, index, logistic_tables()), range(8)):
            np.testing.assert_array_equal(decoded, symbols)


@pytest.mark.parametrize("name", ["one lane", "four lanes", "nine lanes"])
def test_the_bytes_never_change(name: str) -> None:
    golden = json.loads(GOLDEN.read_text())[name]
    symbols, index = golden_message(name, golden["symbols"])
    data = encode_symbols(symbols, index, logistic_tables(), golden["lanes"])
    assert len(data) == golden["bytes"]
    assert hashlib.sha256(data).hexdigest() == golden["sha256"]


@pytest.mark.parametrize("table", [-1, SCALES * PHASES])
def test_a_table_that_does_not_exist_is_refused(table: int) -> None:
    with pytest.raises(ValueError, match="table_index must lie in"):
        encode_symbols(np.zeros(1, np.int32), np.array([table]), logistic_tables())
    with pytest.raises(ValueError, match="table_index must lie in"):
        decode_symbols(bytes(16), np.array([table]), logistic_tables())


@pytest.mark.parametrize("symbol", [INT32.min - 1, INT32.max + 1])
def test_a_symbol_outside_of_int32_is_refused(symbol: int) -> None:
    with pytest.raises(ValueError, match="symbols must lie in"):
        encode_symbols(np.array([symbol]), np.zeros(1, np.int32), logistic_tables())


def test_symbols_that_are_no_integers_are_refused() -> None:
    with pytest.raises(TypeError, match="symbols must be integers"):
        encode_symbols(np.array([0.5]), np.zeros(1, np.int32), logistic_tables())


def test_arrays_of_unequal_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="of one length"):
        encode_symbols(np.zeros(2, np.int32), np.zeros(3, np.int32), logistic_tables())


def test_table_indices_of_two_dimensions_are_refused() -> None:
    with pytest.raises(ValueError, match="must be a vector"):
        decode_symbols(bytes(16), np.zeros((2, 2), np.int32), logistic_tables())


def test_there_is_no_coder_without_lanes() -> None:
    with pytest.raises(ValueError, match="at least 1 lane"):
        encode_symbols(np.zeros(1, np.int32), np.zeros(1, np.int32), logistic_tables(), lanes=0)


@pytest.mark.parametrize("size", [0, 2, 14])
def test_a_stream_that_cannot_hold_its_states_is_refused(size: int) -> None:
    with pytest.raises(BitstreamError, match="states of 4 lanes"):
        decode_symbols(bytes(size), np.zeros(0, np.int32), logistic_tables())


def test_every_truncation_is_recognised() -> None:
    symbols, index = sample(200)
    data = encode_symbols(symbols, index, logistic_tables())
    for size in range(len(data)):
        with pytest.raises(BitstreamError):
            decode_symbols(data[:size], index, logistic_tables())


def test_bytes_after_the_end_are_recognised() -> None:
    symbols, index = sample(200)
    data = encode_symbols(symbols, index, logistic_tables())
    with pytest.raises(BitstreamError, match="damaged"):
        decode_symbols(data + b"\0\0", index, logistic_tables())


@settings(deadline=None, max_examples=300)
@given(data=st.binary(min_size=16, max_size=200).filter(lambda b: len(b) % 2 == 0), n=st.integers(0, 300))
def test_arbitrary_bytes_give_an_error_or_symbols(data: bytes, n: int) -> None:
    index = np.arange(n, dtype=np.int32) * 37 % (SCALES * PHASES)
    try:
        symbols = decode_symbols(data, index, logistic_tables())
    except BitstreamError:
        return
    assert encode_symbols(symbols, index, logistic_tables()) == data


DAMAGE = """
import sys
import numpy as np
from haarchive.codecs.distributions import logistic_tables
from haarchive.codecs.errors import BitstreamError
from haarchive.codecs.rans import decode_symbols, encode_symbols

rng = np.random.default_rng(5)
index = rng.integers(0, 1168, 60).astype(np.int32)
symbols = (rng.normal(size=60) ** 9).astype(np.int32)
data = encode_symbols(symbols, index, logistic_tables())
assert np.array_equal(decode_symbols(data, index, logistic_tables()), symbols)
errors = 0
for _ in range(300):
    damaged = bytearray(data[: rng.choice([len(data), 2 * rng.integers(8, len(data) // 2)])])
    for _ in range(rng.integers(1, 4)):
        damaged[rng.integers(len(damaged))] ^= 1 << rng.integers(8)
    try:
        decode_symbols(bytes(damaged), index, logistic_tables())
    except BitstreamError:
        errors += 1
sys.stdout.write(f"{errors} {data.hex()}")
"""


def test_damaged_streams_are_decoded_within_bounds_and_without_numba_alike() -> None:
    # NumPy checks every index where the kernels run as plain Python.
    outputs = []
    for switch in ("0", "1"):
        environment = {**os.environ, "NUMBA_DISABLE_JIT": switch, "PYTHONWARNINGS": "error::RuntimeWarning"}
        result = subprocess.run(
            [sys.executable, "-c", DAMAGE], capture_output=True, text=True, env=environment, check=False
        )
        assert result.returncode == 0, result.stderr
        outputs.append(result.stdout)
    assert outputs[0] == outputs[1]
    assert int(outputs[0].split()[0]) > 250
