"""The discretised logistic as integer tables, against SciPy."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from haarchive.codecs.distributions import PROBABILITY_ONE, LogisticTables, fixed_point, logistic_tables
from haarchive.codecs.distributions import logistic as module
from haarchive.codecs.distributions.logistic import (
    PHASES,
    SCALE_LOG2_MAX,
    SCALE_LOG2_MIN,
    SCALES,
    SCALES_PER_OCTAVE,
)
from haarchive.codecs.errors import ModelError

GOLDEN = Path(__file__).parents[2] / "golden" / "distributions.json"
WIDE = np.arange(-600, 601)


def masses(table: int) -> NDArray[np.float64]:
    """Equation 8 of the IDF paper for every symbol of WIDE, by SciPy."""
    scale = 2.0 ** (SCALE_LOG2_MIN + table // PHASES / SCALES_PER_OCTAVE)
    logistic = stats.logistic(loc=table % PHASES / PHASES, scale=scale)
    left = logistic.cdf(WIDE + 0.5) - logistic.cdf(WIDE - 0.5)
    right = logistic.sf(WIDE - 0.5) - logistic.sf(WIDE + 0.5)
    return np.where(WIDE > 0, right, left)  # whichever side does not cancel


def symbols(tables: LogisticTables, table: int) -> NDArray[np.int64]:
    return tables.low[table] + np.arange(tables.size[table] - 1)


def test_there_is_a_table_for_every_scale_and_phase() -> None:
    assert SCALE_LOG2_MIN + (SCALES - 1) / SCALES_PER_OCTAVE == SCALE_LOG2_MAX
    assert len(logistic_tables()) == SCALES * PHASES


def test_every_table_is_within_its_quantisation_of_the_logistic_of_scipy() -> None:
    tables = logistic_tables()
    for table in range(len(tables)):
        ideal = masses(table)[symbols(tables, table) - WIDE[0]] * PROBABILITY_ONE
        error = np.abs(tables.frequencies(table)[:-1] - ideal)
        # One unit of rounding, and the share that the entries rounded up to 1 take from the others.
        assert np.all(error <= 2 + 0.005 * ideal), table


def test_coding_with_a_table_costs_hardly_more_than_the_entropy() -> None:
    tables = logistic_tables()
    for table in range(len(tables)):
        p = masses(table)
        entropy = -np.sum(p[p > 0] * np.log2(p[p > 0]))
        bits = -np.log2(tables.frequencies(table) / PROBABILITY_ONE)
        inside = symbols(tables, table) - WIDE[0]
        outside = np.delete(np.arange(WIDE.size), inside)
        away = np.maximum(WIDE[outside] - WIDE[inside[-1]], WIDE[inside[0]] - WIDE[outside])
        gamma = 2 * np.floor(np.log2(2 * away)) + 1
        cost = np.sum(p[inside] * bits[:-1]) + np.sum(p[outside] * (bits[-1] + gamma))
        assert cost - entropy < 0.0003 + 0.0003 * entropy, table


def test_no_symbol_is_impossible_and_all_add_up_to_one() -> None:
    tables = logistic_tables()
    for table in range(len(tables)):
        frequencies = tables.frequencies(table)
        assert frequencies.min() >= 1
        assert frequencies.sum() == PROBABILITY_ONE


def test_the_neighbours_of_every_location_need_no_escape() -> None:
    tables = logistic_tables()
    assert np.all(tables.low <= -1)
    assert np.all(tables.low + tables.size - 2 >= 2)


def test_a_flat_region_costs_next_to_nothing() -> None:
    tables = logistic_tables()
    certain = tables.frequencies(0)[-tables.low[0]]
    assert -np.log2(certain / PROBABILITY_ONE) < 0.0002


def test_the_tables_are_the_ones_that_archives_were_written_with() -> None:
    golden = json.loads(GOLDEN.read_text())
    tables = logistic_tables()
    assert tables.sha256() == golden["logistic"]["sha256"] == module.TABLES_SHA256
    for table, row in golden["logistic"]["tables"].items():
        assert tables.low[int(table)] == row["low"]
        assert tables.frequencies(int(table)).tolist() == row["frequencies"]


def test_tables_are_built_once() -> None:
    assert logistic_tables() is logistic_tables()


def test_a_machine_that_builds_other_tables_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fixed_point, "FIXED_BITS", 24)
    with pytest.raises(ModelError, match="came out as"):
        logistic_tables.__wrapped__()
