"""The inverse transform: against the standard's in real numbers, against another writing of the same integers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from haarchive.codecs.dwt.analysis import analyse
from haarchive.codecs.dwt.axis import LEVELS, Axis
from haarchive.codecs.dwt.synthesis import Bands, synthesise

ALPHA, BETA, GAMMA, DELTA, K = -1.586134342059924, -0.052980118572961, 0.882911075530934, 0.443506852043971, 1.2301741


def axes() -> st.SearchStrategy[Axis]:
    return st.builds(
        lambda begin, size, period: Axis(begin % (period or 64), begin % (period or 64) + size, period),
        st.integers(0, 300),
        st.integers(1, 150),
        st.sampled_from([0, 64, 128, 256]),
    )


def random_bands(rows: Axis, columns: Axis, seed: int, most: int = 60) -> Bands:
    rng = np.random.default_rng(seed)
    heights = rows.low.size, rows.high[1] - rows.high[0]
    widths = columns.low.size, columns.high[1] - columns.high[0]
    shapes = [(heights[0], widths[0]), (heights[0], widths[1]), (heights[1], widths[0]), (heights[1], widths[1])]
    return Bands(*(rng.integers(-most, most + 1, shape).astype(np.int32) for shape in shapes))


def mirrored(k: int, begin: int, end: int) -> int:
    while not begin <= k < end:
        k = 2 * begin - k if k < begin else 2 * (end - 1) - k
    return k


def inverse_by_coordinates(low: list[int], high: list[int], axis: Axis, last: bool) -> list[int]:
    """One line, sample by sample in Python's integers, straight from docs/codecs/dwt.md."""
    lows, highs = iter(low), iter(high)
    x = {k: next(highs) if k % 2 else next(lows) for k in range(axis.begin, axis.end)}
    one = 0 if last else 1
    out: list[int] = []
    for begin, end in zip(axis.bounds[:-1].tolist(), axis.bounds[1:].tolist(), strict=True):
        tile = {k: x[k] for k in range(begin, end)}

        def beside(k: int, begin: int = begin, end: int = end, tile: dict[int, int] = tile) -> int:
            if end - begin == 1:
                return 0
            return tile[mirrored(k - 1, begin, end)] + tile[mirrored(k + 1, begin, end)]

        for k in tile:
            if k % 2:
                tile[k] = (53272 * tile[k] >> (16 + one)) << one
            else:
                tile[k] = (80620 * tile[k] >> 17) << 1
        for k in tile:
            if k % 2 == 0:
                tile[k] -= (29064 * beside(k) >> (16 + one)) << one
        for k in tile:
            if k % 2:
                tile[k] -= (57862 * beside(k) >> (17 + one)) << (1 + one)
        for k in tile:
            if k % 2 == 0:
                tile[k] -= ((32768 if last else 0) - 3472 * beside(k)) >> 16
        for k in tile:
            if k % 2:
                whole = (tile[k] + 1 + one >> (1 + one)) << (1 + one)
                tile[k] = whole - ((-103944 * beside(k) >> 18) << 2)
        out += [tile[k] for k in range(begin, end)]
    return out


def by_coordinates(bands: Bands, rows: Axis, columns: Axis) -> NDArray[np.int64]:
    def across(low: NDArray[np.int32], high: NDArray[np.int32]) -> list[list[int]]:
        lines = zip((low * 32).tolist(), (high * 32).tolist(), strict=True)
        return [inverse_by_coordinates(*line, columns, False) for line in lines]

    low, high = across(bands.ll, bands.hl), across(bands.lh, bands.hh)
    columns_of = [
        inverse_by_coordinates([line[j] for line in low], [line[j] for line in high], rows, True)
        for j in range(columns.size)
    ]
    return np.array(columns_of, np.int64).T.reshape(rows.size, columns.size)


@given(axes(), axes(), st.integers(0, 1000))
def test_samples_are_those_of_the_same_integers_written_otherwise(rows: Axis, columns: Axis, seed: int) -> None:
    rows, columns = Axis(rows.begin, rows.begin + min(rows.size, 40), rows.period), columns
    bands = random_bands(rows, columns, seed)
    np.testing.assert_array_equal(synthesise(bands, rows, columns), by_coordinates(bands, rows, columns))


def in_real_numbers(low: NDArray[np.float64], high: NDArray[np.float64], axis: Axis) -> NDArray[np.float64]:
    """ITU-T T.800, annex F.3.8.2, of each column, tile by tile."""
    x = np.empty((axis.size, low.shape[1]))
    coordinates = np.arange(axis.begin, axis.end)
    x[coordinates % 2 == 0], x[coordinates % 2 == 1] = K * low, high / K
    for begin, end in zip(axis.bounds[:-1], axis.bounds[1:], strict=True):
        for factor, parity in ((DELTA, 0), (GAMMA, 1), (BETA, 0), (ALPHA, 1)):
            for k in range(begin, end):
                if k % 2 == parity:
                    sides = [mirrored(k + side, int(begin), int(end)) - axis.begin for side in (-1, 1)]
                    x[k - axis.begin] -= factor * (x[sides[0]] + x[sides[1]])
    return x


@pytest.mark.parametrize(
    ("rows", "columns"), [(Axis(37, 37 + 90, 64), Axis(2, 81, 0)), (Axis(0, 64, 64), Axis(5, 70, 64))]
)
def test_samples_are_the_standards_within_half_a_grey_level(rows: Axis, columns: Axis) -> None:
    bands = random_bands(rows, columns, 3)
    low = in_real_numbers(bands.ll.T.astype(float), bands.hl.T.astype(float), columns).T
    high = in_real_numbers(bands.lh.T.astype(float), bands.hh.T.astype(float), columns).T
    real = in_real_numbers(low, high, rows)
    assert np.abs(synthesise(bands, rows, columns) / 32 - real).max() < 0.8
    assert abs(np.mean(synthesise(bands, rows, columns) / 32 - real)) < 0.3


def test_the_largest_coefficients_of_damaged_bitstreams_do_not_overflow() -> None:
    rows = columns = Axis(0, 64, 64)
    bands = random_bands(rows, columns, 5, 1 << 20)
    np.testing.assert_array_equal(synthesise(bands, rows, columns), by_coordinates(bands, rows, columns))


@given(axes(), axes(), st.integers(0, 1000))
def test_the_forward_transform_finds_nearly_all_coefficients(rows: Axis, columns: Axis, seed: int) -> None:
    bands = random_bands(rows, columns, seed)
    samples = (synthesise(bands, rows, columns) + 16) >> 5
    for band, found in zip(bands, analyse(samples, rows, columns), strict=True):
        assert found.shape == band.shape
        if min(rows.size, columns.size) > 8 and band.size:
            assert np.median(np.abs(found - band)) < 0.6


@given(axes())
def test_an_axis_counts_its_coefficients(axis: Axis) -> None:
    coordinates = np.arange(axis.begin, axis.end)
    assert axis.low.size == np.count_nonzero(coordinates % 2 == 0)
    assert axis.high[1] - axis.high[0] == np.count_nonzero(coordinates % 2)
    assert axis.bounds[0] == axis.begin
    assert axis.bounds[-1] == axis.end
    if axis.period:
        assert (axis.bounds[1:-1] % axis.period == 0).all()
        assert (np.diff(axis.bounds) <= axis.period).all()
    assert axis.at_level(LEVELS).size <= axis.size // 32 + 1
    assert axis.halved().size in (axis.size // 2, axis.size // 2 + 1)
