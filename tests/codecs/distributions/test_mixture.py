"""Mixtures of discretised logistics as integer tables, against SciPy."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from haarchive.codecs.distributions import PROBABILITY_ONE, CdfTables, logistic_tables, mixture_tables
from haarchive.codecs.distributions.fixed_point import PHASES, SCALE_LOG2_MIN, SCALES_PER_OCTAVE
from haarchive.codecs.distributions.logistic import SCALES
from haarchive.codecs.distributions.mixture import MAX_LOCATION, MAX_MIXTURE_SCALE, MAX_SYMBOLS, WEIGHT_ONE
from haarchive.codecs.rans import decode_symbols, encode_symbols

GOLDEN = Path(__file__).parents[2] / "golden" / "distributions.json"
INT32 = st.integers(-(1 << 31), (1 << 31) - 1)
LOCATION = st.integers(-MAX_LOCATION, MAX_LOCATION) | st.integers(-5000, 5000) | st.integers(-100, 100)
SCALE = st.integers(0, MAX_MIXTURE_SCALE)


class Mixture(NamedTuple):
    """One row of each of the arguments of `mixture_tables`."""

    weights: list[int]
    locations: list[int]
    scales: list[int]

    def below(self, z: NDArray) -> NDArray[np.float64]:
        """The cumulative distribution below each symbol, by SciPy: equation 9 of the IDF paper, summed up."""
        scale = 2.0 ** (SCALE_LOG2_MIN + np.array(self.scales) / SCALES_PER_OCTAVE)
        logistic = stats.logistic(loc=np.array(self.locations) / PHASES, scale=scale)
        parts: NDArray[np.float64] = logistic.cdf(np.asarray(z)[:, None] - 0.5) @ np.array(self.weights)
        return parts / WEIGHT_ONE


@st.composite
def mixtures(draw: st.DrawFn) -> Mixture:
    """From one component to eight, anywhere, of any size; some of no weight."""
    k = draw(st.integers(1, 8))
    cuts = sorted(draw(st.lists(st.integers(0, WEIGHT_ONE), min_size=k - 1, max_size=k - 1)))
    weights = [stop - start for start, stop in itertools.pairwise([0, *cuts, WEIGHT_ONE])]
    locations = draw(st.lists(LOCATION, min_size=k, max_size=k))
    scales = draw(st.lists(SCALE, min_size=k, max_size=k))
    return Mixture(weights, locations, scales)


def made(*rows: Mixture) -> CdfTables:
    return mixture_tables(*([list(part) for part in zip(*rows, strict=True)]))


def padded(mixture: Mixture, k: int) -> Mixture:
    """The same mixture, with components of no weight up to k."""
    return Mixture(*(part + [0] * (k - len(part)) for part in mixture))


def symbols_of(tables: CdfTables, table: int = 0) -> NDArray[np.int64]:
    return tables.low[table] + np.arange(tables.size[table] - 1)


EXTREMES = {
    "all weight on one": Mixture([0, 0, WEIGHT_ONE], [-64000, 900, 37], [104, 90, 30]),
    "equal components": Mixture([WEIGHT_ONE // 8] * 8, [55] * 8, [40] * 8),
    "far apart": Mixture([WEIGHT_ONE // 2 + 1, WEIGHT_ONE // 2 - 1], [-4000 * PHASES, 4000 * PHASES], [20, 20]),
    "just not too far apart": Mixture([WEIGHT_ONE // 2] * 2, [0, 4000 * PHASES], [0, 0]),
    "smallest scale": Mixture([WEIGHT_ONE], [PHASES // 2], [0]),
    "largest scale": Mixture([WEIGHT_ONE], [MAX_LOCATION], [MAX_MIXTURE_SCALE]),
    "largest scale, eight apart": Mixture(
        [WEIGHT_ONE // 8] * 8, list(range(-64000, 64000, 16000)), [MAX_MIXTURE_SCALE] * 8
    ),
    "a light one on a wide one": Mixture([WEIGHT_ONE - 1, 1], [0, -70], [MAX_MIXTURE_SCALE, 0]),
}


def check_against_scipy(mixture: Mixture) -> None:
    """The probabilities that the table gives, the escape's too."""
    tables = made(mixture)
    frequencies = tables.frequencies(0)
    mass = np.diff(mixture.below(np.append(symbols_of(tables), symbols_of(tables)[-1] + 1)))
    ideal = np.append(mass, 1 - mass.sum()) * PROBABILITY_ONE
    # One unit of rounding, and the share that the entries rounded up to 1 take from the others. The largest
    # entry has what is left: less than as many as can have the same mass.
    bound = 1.001 + ideal * frequencies.size / PROBABILITY_ONE
    bound[frequencies.argmax()] += 2 * len(mixture.weights)
    assert np.all(np.abs(frequencies - ideal) <= bound)
    assert frequencies.min() >= 1
    assert frequencies.sum() == PROBABILITY_ONE


@settings(deadline=None, max_examples=300)
@given(mixture=mixtures())
def test_every_probability_is_within_its_quantisation_of_the_mixture_of_scipy(mixture: Mixture) -> None:
    check_against_scipy(mixture)


@pytest.mark.parametrize("name", EXTREMES)
def test_extreme_mixtures_are_within_their_quantisation_of_scipy_too(name: str) -> None:
    check_against_scipy(EXTREMES[name])


@settings(deadline=None, max_examples=200)
@given(mixture=mixtures())
def test_likely_symbols_are_outside_only_where_a_table_cannot_reach_them(mixture: Mixture) -> None:
    tables = made(mixture)
    centres = [
        location // PHASES for location, weight in zip(mixture.locations, mixture.weights, strict=True) if weight
    ]
    around = np.unique(np.concatenate([np.arange(centre - 1500, centre + 1501) for centre in centres]))
    mass = mixture.below(around + 1) - mixture.below(around)
    likely = around[mass * PROBABILITY_ONE > 0.501]
    symbols = symbols_of(tables)
    assert symbols.size <= MAX_SYMBOLS
    if likely.size and not np.all((likely >= symbols[0]) & (likely <= symbols[-1])):
        heaviest = mixture.locations[int(np.argmax(mixture.weights))] // PHASES
        assert max(likely[-1], heaviest + 2) - min(likely[0], heaviest - 1) >= MAX_SYMBOLS


def test_a_table_that_cannot_hold_all_holds_the_heavier_part() -> None:
    apart = EXTREMES["far apart"]
    symbols = symbols_of(made(apart))
    assert -4000 in symbols
    assert 4000 not in symbols
    symbols = symbols_of(made(apart._replace(weights=apart.weights[::-1])))
    assert -4000 not in symbols
    assert 4000 in symbols


def test_a_table_bridges_a_gap_that_it_can() -> None:
    symbols = symbols_of(made(EXTREMES["just not too far apart"]))
    assert {0, 4000} <= set(symbols.tolist())


def test_the_neighbours_of_the_heaviest_component_need_no_escape() -> None:
    symbols = symbols_of(made(Mixture([WEIGHT_ONE], [-5 * PHASES + 3], [0])))
    assert symbols.tolist() == [-6, -5, -4, -3]


def test_tables_of_one_component_are_those_of_the_logistic() -> None:
    scales, phases = np.divmod(np.arange(SCALES * PHASES), PHASES)
    tables = mixture_tables(np.full((scales.size, 1), WEIGHT_ONE), phases[:, None] - 37 * PHASES, scales[:, None])
    expected = logistic_tables()
    assert np.array_equal(tables.low + 37, expected.low)
    assert np.array_equal(tables.cdf, expected.cdf)


@settings(deadline=None, max_examples=50)
@given(mixture=mixtures(), by=st.integers(-100, 100))
def test_moving_all_components_by_whole_symbols_moves_the_table(mixture: Mixture, by: int) -> None:
    here = mixture._replace(locations=[location // 2 for location in mixture.locations])
    there = here._replace(locations=[location + by * PHASES for location in here.locations])
    tables = made(here, there)
    assert tables.low[1] == tables.low[0] + by
    assert np.array_equal(tables.frequencies(0), tables.frequencies(1))


@settings(deadline=None, max_examples=50)
@given(location=LOCATION, scale=SCALE, share=st.integers(0, WEIGHT_ONE))
def test_two_equal_components_are_as_one(location: int, scale: int, share: int) -> None:
    split = Mixture([share, WEIGHT_ONE - share], [location] * 2, [scale] * 2)
    assert made(split).sha256() == made(Mixture([WEIGHT_ONE], [location], [scale])).sha256()


@settings(deadline=None, max_examples=50)
@given(mixture=mixtures(), location=LOCATION, scale=SCALE)
def test_a_component_without_weight_changes_nothing(mixture: Mixture, location: int, scale: int) -> None:
    more = Mixture([*mixture.weights, 0], [*mixture.locations, location], [*mixture.scales, scale])
    assert made(more).sha256() == made(mixture).sha256()


@settings(deadline=None, max_examples=50)
@given(first=mixtures(), second=mixtures())
def test_the_tables_of_many_mixtures_are_those_of_each(first: Mixture, second: Mixture) -> None:
    k = max(len(first.weights), len(second.weights))
    together = made(padded(first, k), padded(second, k))
    for table, row in enumerate((first, second)):
        alone = made(row)
        assert together.low[table] == alone.low[0]
        assert np.array_equal(together.frequencies(table), alone.frequencies(0))


@pytest.mark.parametrize("scale", range(0, MAX_MIXTURE_SCALE + 1, 8))
def test_coding_with_a_table_costs_hardly_more_than_the_entropy(scale: int) -> None:
    mixture = Mixture([30000, 20000, 10000, 5000, 536], [0, 40, -77, 160, -300], [scale] * 5)
    tables = made(mixture)
    wide = np.arange(-8000, 8001)
    p = np.diff(mixture.below(np.append(wide, wide[-1] + 1)))
    entropy = -np.sum(p[p > 0] * np.log2(p[p > 0]))
    bits = -np.log2(tables.frequencies(0) / PROBABILITY_ONE)
    inside = symbols_of(tables) - wide[0]
    outside = np.delete(np.arange(wide.size), inside)
    away = np.maximum(wide[outside] - wide[inside[-1]], wide[inside[0]] - wide[outside])
    gamma = 2 * np.floor(np.log2(2 * away)) + 1
    cost = np.sum(p[inside] * bits[:-1]) + np.sum(p[outside] * (bits[-1] + gamma))
    # Entries of less than a slot take theirs from the others: the more, the wider the table.
    assert cost - entropy < 0.0015 + 0.6 * tables.size[0] / PROBABILITY_ONE


@settings(deadline=None, max_examples=100)
@given(rows=st.lists(mixtures(), min_size=1, max_size=3), data=st.data())
def test_any_symbols_come_back_from_the_coder(rows: list[Mixture], data: st.DataObject) -> None:
    k = max(len(row.weights) for row in rows)
    tables = made(*(padded(row, k) for row in rows))
    near = st.sampled_from([location // PHASES for row in rows for location in row.locations])
    symbol = st.builds(int.__add__, near, st.integers(-300, 300)) | INT32
    pairs = data.draw(st.lists(st.tuples(symbol, st.integers(0, len(rows) - 1)), max_size=50))
    symbols, index = np.array(pairs, np.int32).reshape(-1, 2).T
    assert np.array_equal(decode_symbols(encode_symbols(symbols, index, tables), index, tables), symbols)


@pytest.mark.parametrize("name", EXTREMES)
def test_every_symbol_of_an_extreme_table_comes_back_and_far_ones_too(name: str) -> None:
    tables = made(EXTREMES[name])
    ends = [-(1 << 31), int(tables.low[0]) - 1, int(tables.low[0] + tables.size[0]) - 1, (1 << 31) - 1]
    symbols = np.append(symbols_of(tables), ends).astype(np.int32)
    index = np.zeros(symbols.size, np.int32)
    assert np.array_equal(decode_symbols(encode_symbols(symbols, index, tables), index, tables), symbols)


def golden_arguments() -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Mixtures of five, of all sizes, up to 1250 symbols from 0, made without a random generator."""
    n = np.arange(64 * 5).reshape(64, 5)
    raw = (n * 7919 % 101) ** 2
    weights = raw * WEIGHT_ONE // raw.sum(axis=1, keepdims=True)
    weights[:, 0] += WEIGHT_ONE - weights.sum(axis=1)
    return weights, n * 104729 % 40001 - 20000, n * 31 % (MAX_MIXTURE_SCALE + 1)


def test_the_tables_are_the_ones_that_archives_were_written_with() -> None:
    golden = json.loads(GOLDEN.read_text())["mixture"]
    assert mixture_tables(*golden_arguments()).sha256() == golden["sha256"]
    for row in golden["tables"]:
        tables = mixture_tables([row["weights"]], [row["locations"]], [row["scales"]])
        assert tables.low[0] == row["low"]
        assert tables.frequencies(0).tolist() == row["frequencies"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[65535]], [[0]], [[0]]), r"weights of each row must add up to 65536, not 65535 as those of row 0"),
        (([[65536, 0], [65536, 1]], [[0, 0]] * 2, [[0, 0]] * 2), r"not 65537 as those of row 1"),
        (([[65537, -1]], [[0, 0]], [[0, 0]]), r"weights must lie in \[0, 65536\], not in \[-1, 65537\]"),
        (([[65536]], [[MAX_LOCATION + 1]], [[0]]), r"locations must lie in \[-524288, 524288\]"),
        (([[65536]], [[-MAX_LOCATION - 1]], [[0]]), r"locations must lie in"),
        (([[65536]], [[0]], [[105]]), r"scales must lie in \[0, 104\], not in \[105, 105\]"),
        (([[65536]], [[0]], [[-1]]), r"scales must lie in"),
        (([[65536]], [[0.0]], [[0]]), r"locations must be integers, not float64"),
        (([[1.0]], [[0]], [[0]]), r"weights must be integers, not float64"),
        (([65536], [0], [0]), r"weights must be a matrix, a mixture a row and a component a column, not \(1,\)"),
        ((np.empty((0, 5), int),) * 3, r"weights must be a matrix.*\(0, 5\)"),
        (([[65536]], [[0, 0]], [[0]]), r"\(1, 1\), locations \(1, 2\) and scales \(1, 1\) must be of one shape"),
    ],
)
def test_arguments_that_are_no_mixtures_are_refused(arguments: tuple[Any, Any, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mixture_tables(*arguments)
