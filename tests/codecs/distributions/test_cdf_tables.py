"""Tables of integer probabilities."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from haarchive.codecs.distributions import PROBABILITY_ONE, CdfTables
from haarchive.codecs.distributions.tables import entry_of_slot


@st.composite
def frequency_rows(draw: st.DrawFn) -> list[int]:
    """Positive integers that add up to PROBABILITY_ONE, from one to thousands of them."""
    cuts = draw(st.sets(st.integers(1, PROBABILITY_ONE - 1), max_size=60))
    dense = draw(st.integers(0, 2000))
    edges = sorted({0, PROBABILITY_ONE} | cuts | set(range(1, dense + 1)))
    return [stop - start for start, stop in itertools.pairwise(edges)]


@settings(deadline=None, max_examples=30)
@given(rows=st.lists(frequency_rows(), min_size=1, max_size=3), data=st.data())
def test_every_slot_belongs_to_the_entry_whose_interval_contains_it(rows: list[list[int]], data: st.DataObject) -> None:
    tables = CdfTables.from_frequencies(rows, np.zeros(len(rows), int))
    table = data.draw(st.integers(0, len(rows) - 1))
    owners = np.repeat(np.arange(len(rows[table])), rows[table])
    starts = np.cumsum(rows[table]) - rows[table]
    slots = data.draw(st.lists(st.integers(0, PROBABILITY_ONE - 1), max_size=20))
    for slot in [0, PROBABILITY_ONE - 1, *slots]:
        entry, start, freq = entry_of_slot(tables.cdf, tables.first, tables.offset, table, slot)
        assert (entry, start, freq) == (owners[slot], starts[owners[slot]], rows[table][owners[slot]])


def test_a_table_gives_back_the_frequencies_it_was_made_of() -> None:
    rows = [[1, PROBABILITY_ONE - 2, 1], [PROBABILITY_ONE], [1 << 14, 1 << 14]]
    tables = CdfTables.from_frequencies(rows, [-1, 0, 7])
    assert len(tables) == 3
    assert [tables.frequencies(table).tolist() for table in range(3)] == rows


@pytest.mark.parametrize(
    "row", [[], [0, PROBABILITY_ONE], [PROBABILITY_ONE - 1], [PROBABILITY_ONE, 1], [-1, PROBABILITY_ONE + 1]]
)
def test_frequencies_that_are_no_distribution_are_refused(row: list[int]) -> None:
    with pytest.raises(ValueError, match="table 1: frequencies must be positive"):
        CdfTables.from_frequencies([[PROBABILITY_ONE], row], [0, 0])


def test_symbols_outside_of_int32_are_refused() -> None:
    with pytest.raises(ValueError, match="int32"):
        CdfTables.from_frequencies([[1 << 14, 1 << 14]], [(1 << 31) - 1])


def test_one_lowest_symbol_a_table_is_needed() -> None:
    with pytest.raises(ValueError, match="lowest symbols"):
        CdfTables.from_frequencies([[PROBABILITY_ONE]], [0, 0])


def test_tables_cannot_be_changed() -> None:
    tables = CdfTables.from_frequencies([[PROBABILITY_ONE]], [0])
    with pytest.raises(ValueError, match="read-only"):
        tables.cdf[0] = 1


def test_tables_with_other_symbols_have_another_digest() -> None:
    row = [1 << 14, 1 << 14]
    digests = {CdfTables.from_frequencies([row], [low]).sha256() for low in (-1, 0, 1)}
    assert len(digests) == 3
