"""One band of all planes: what is coded is what is decoded, and what is fitted pays."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from haar_models import picture
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from haarchive.codecs.errors import BitstreamError
from haarchive.codecs.haar.band import Band, Classes
from haarchive.codecs.haar.band_code import code_plane, decode_plane, foresee
from haarchive.codecs.haar.band_fit import Effort, fit_band
from haarchive.codecs.haar.band_model import CONSTANT_LIMIT, SCALE_LIMIT, WEIGHT_LIMIT, BandModel, default_model
from haarchive.codecs.haar.lifting import split
from haarchive.codecs.haar.margins import MARGIN
from haarchive.codecs.haar.phases import NO_GRID, Grid
from haarchive.codecs.haar.taps import COARSEST, IMAGE_BANDS, BandSpec
from haarchive.codecs.rans.stream import OperationList, WordReader

Planes = NDArray[np.int32]
Networks = tuple[Planes, Planes]

GRIDS = [
    (NO_GRID, NO_GRID),
    (Grid(1 << 30, 4), Grid(1 << 30, 4)),
    (Grid(1431655765, 3), NO_GRID),
    (NO_GRID, Grid(1367130551, 4)),
]
EFFORTS = [Effort(4096, 0), Effort(4096, 1, quick=True), Effort(16384, 2)]


def bands_of(x: Planes) -> list[tuple[BandSpec, list[Planes], Planes]]:
    """The coarsest band, and the three detail bands of one level: their low bands, and their samples."""
    low, high = split(x, 2)
    coarse, v = split(low, 1)
    even, odd = low[:, 0::2], low[:, 1::2]
    _, he_spec, ho_spec = IMAGE_BANDS
    return [
        (COARSEST, [], coarse),
        (IMAGE_BANDS[0], [coarse], v),
        (he_spec, [even, odd], high[:, 0::2]),
        (ho_spec, [odd, even], high[:, 1::2]),
    ]


def empty(
    spec: BandSpec,
    lows: list[Planes],
    before: list[Band],
    shape: tuple[int, ...],
    networks: Networks | None = None,
    bits: int = 8,
    rich: bool = True,
    grids: tuple[Grid, Grid] = (NO_GRID, NO_GRID),
) -> Band:
    size = (shape[0], shape[1], shape[2])
    return Band(
        spec, 1, size, lows, before,
        shift=bits - 8, limit=1 << (bits + 6), rich=rich, grids=grids, networks=networks,
    )  # fmt: skip


def predicted(values: Planes, seed: int = 0) -> Networks:
    """Locations that are near the samples, and log-scales, as networks would give them."""
    rng = np.random.default_rng(seed)
    near = values * 16 + rng.integers(-60, 61, values.shape)
    return near.astype(np.int32), rng.integers(-200, 400, values.shape).astype(np.int32)


def coded(band: Band, values: Planes, effort: Effort) -> tuple[bytes, list[BandModel]]:
    operations, models = OperationList(), []
    for plane in range(len(values)):
        band.values[plane] = values[plane]
        model, ahead = fit_band(band, plane, effort)
        models.append(model)
        code_plane(band, plane, model, ahead, operations)
    return operations.to_bytes(), models


def decoded(band: Band, data: bytes) -> Planes:
    reader = WordReader(data)
    for plane in range(band.shape[0]):
        decode_plane(band, plane, reader)
    reader.finish()
    return band.values


def check(x: Planes, bits: int, effort: Effort, rich: bool, grids: tuple[Grid, Grid], with_networks: bool) -> None:
    """Code and decode the bands of a picture, each with those before it in its context."""
    done: tuple[list[Band], list[Band]] = ([], [])
    for spec, lows, values in bands_of(x):
        if not values.size:
            continue
        networks = predicted(values) if with_networks and spec.lows else None
        coder, decoder = (
            empty(spec, lows, before[::-1] if spec.lows > 1 else [], values.shape, networks, bits, rich, grids)
            for before in done
        )
        data, _ = coded(coder, values, effort)
        assert np.array_equal(decoded(decoder, data), values)
        assert np.array_equal(coder.distances, decoder.distances)
        if spec.lows:
            done[0].append(coder)
            done[1].append(decoder)


def planes(height: int, width: int, count: int = 3, bits: int = 8) -> Planes:
    x = np.moveaxis(picture(height, width, count, bits).astype(np.int32), 2, 0) - (1 << (bits - 1))
    return np.ascontiguousarray(x)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("with_networks", [False, True])
def test_bands_of_any_number_of_planes_come_back(count: int, with_networks: bool) -> None:
    check(planes(51, 38, count), 8, EFFORTS[2], True, GRIDS[1], with_networks)


@pytest.mark.parametrize("shape", [(2, 2), (2, 3), (3, 2), (2, 90), (90, 2), (3, 5), (33, 31), (32, 64)], ids=str)
@pytest.mark.parametrize("rich", [False, True])
def test_bands_of_any_shape_come_back(shape: tuple[int, int], rich: bool) -> None:
    check(planes(*shape), 8, EFFORTS[2], rich, GRIDS[2], True)


@pytest.mark.parametrize(("effort", "grids", "bits"), list(product(EFFORTS, GRIDS, (8, 16))))
def test_bands_with_every_effort_and_grid_come_back(effort: Effort, grids: tuple[Grid, Grid], bits: int) -> None:
    check(planes(40, 45, 2, bits), bits, effort, True, grids, True)


@pytest.mark.parametrize("with_networks", [False, True])
def test_bands_that_are_large_enough_for_the_long_list_of_taps_come_back(with_networks: bool) -> None:
    check(planes(134, 139, 3), 8, EFFORTS[1], True, GRIDS[1], with_networks)


@settings(max_examples=20)
@given(
    seed=st.integers(0, 2**32),
    shape=st.tuples(st.integers(1, 4), st.integers(2, 44), st.integers(2, 44)),
    rich=st.booleans(),
    with_networks=st.booleans(),
    effort=st.sampled_from(EFFORTS),
    grids=st.sampled_from(GRIDS),
    top=st.sampled_from([0, 1, 3, 127, (1 << 16) - 1]),
)
def test_bands_of_noise_come_back(seed, shape, rich, with_networks, effort, grids, top):
    x = np.random.default_rng(seed).integers(-top, top, shape, np.int32, endpoint=True)
    check(x, 8 if top < 128 else 16, effort, rich, grids, with_networks)


def test_a_band_stream_says_when_it_is_cut_or_goes_on() -> None:
    spec, lows, values = bands_of(planes(60, 60))[1]
    data, _ = coded(empty(spec, lows, [], values.shape), values, EFFORTS[2])
    for wrong in (data[:-2], data[: len(data) // 2], data + b"\0\0"):
        with pytest.raises(BitstreamError):
            decoded(empty(spec, lows, [], values.shape), wrong)


def by_phase(seed: int = 0) -> tuple[list[Planes], Planes]:
    """A detail band that follows its low band's slope, upwards in every other row and downwards between."""
    rng = np.random.default_rng(seed)
    low = np.cumsum(rng.integers(-20, 21, (1, 96, 96)), axis=1).astype(np.int32)
    slope = np.zeros_like(low)
    slope[:, 1:-1] = low[:, 2:] - low[:, :-2]
    sign = np.where(np.arange(96) % 2, 1, -1)[:, None]
    return [low], (sign * slope // 4 + rng.integers(-2, 3, low.shape)).astype(np.int32)


def test_rows_that_differ_by_phase_get_weights_of_their_own() -> None:
    lows, values = by_phase()
    half = (Grid(1 << 31, 2), NO_GRID)
    data, (model,) = coded(empty(IMAGE_BANDS[0], lows, [], values.shape, grids=half), values, EFFORTS[2])
    assert model.by_row
    assert not model.by_column
    assert model.of_classes().shape == (2, len(model.kept))
    plain, (other,) = coded(empty(IMAGE_BANDS[0], lows, [], values.shape), values, EFFORTS[2])
    assert not other.by_row
    assert not len(other.changes)
    assert len(data) < 0.75 * len(plain)
    assert np.array_equal(decoded(empty(IMAGE_BANDS[0], lows, [], values.shape, grids=half), data), values)


def test_a_grid_that_tells_nothing_gets_no_classes() -> None:
    spec, lows, values = bands_of(np.random.default_rng(1).integers(-50, 50, (1, 140, 140), np.int32))[1]
    _, (model,) = coded(empty(spec, lows, [], values.shape, grids=GRIDS[1]), values, EFFORTS[2])
    assert not model.by_row
    assert not model.by_column


def test_a_network_that_knows_the_samples_makes_the_band_small() -> None:
    spec, lows, values = bands_of(planes(130, 130, 1))[1]
    without, _ = coded(empty(spec, lows, [], values.shape), values, EFFORTS[2])
    networks = (values * 16, np.full(values.shape, -200, np.int32))
    data, (model,) = coded(empty(spec, lows, [], values.shape, networks), values, EFFORTS[2])
    assert model.network == pytest.approx(1 << empty(spec, lows, [], values.shape).fraction, rel=0.05)
    assert len(data) < 0.2 * len(without)


def test_a_network_that_knows_nothing_costs_next_to_nothing() -> None:
    spec, lows, values = bands_of(planes(130, 130, 1))[1]
    without, _ = coded(empty(spec, lows, [], values.shape), values, EFFORTS[2])
    rng = np.random.default_rng(2)
    networks = tuple(rng.integers(-2000, 2000, values.shape).astype(np.int32) for _ in range(2))
    data, _ = coded(empty(spec, lows, [], values.shape, (networks[0], networks[1])), values, EFFORTS[2])
    assert len(data) < 1.01 * len(without) + 8


@pytest.mark.parametrize("most", [16, 40])
def test_what_is_fitted_stays_in_the_range_that_decoders_take(most: int) -> None:
    rng = np.random.default_rng(3)
    for values in (
        np.zeros((1, most, most), np.int32),
        np.full((1, most, most), -(1 << 18), np.int32),
        (rng.integers(0, 2, (1, most, most)) * ((1 << 18) - 1)).astype(np.int32),
        np.cumsum(rng.integers(-2, 3, (1, most, most)), axis=2).astype(np.int32),
    ):
        band = empty(COARSEST, [], [], values.shape, bits=16)
        _, (model,) = coded(band, values, EFFORTS[2])
        assert np.abs(model.of_classes()).max(initial=0) <= WEIGHT_LIMIT
        assert abs(model.constant) <= CONSTANT_LIMIT
        assert np.abs(model.scale).max() <= SCALE_LIMIT


def test_a_small_coarsest_band_is_predicted_from_the_samples_before() -> None:
    flat = np.full((1, 15, 15), -127, np.int32)
    data, (model,) = coded(empty(COARSEST, [], [], flat.shape), flat, EFFORTS[2])
    assert model.weights.tolist() == [64, 64, -64]
    assert len(data) < 24


def test_small_bands_have_the_default_model_and_send_none() -> None:
    spec, lows, values = bands_of(planes(20, 20, 1))[1]
    band = empty(spec, lows, [], values.shape)
    assert not band.fitted
    band.values[:] = values
    model, _ = fit_band(band, 0, EFFORTS[2])
    default = default_model(band, len(band.features(0)))
    assert model.kept.size == 0
    assert model.scale.tolist() == default.scale.tolist()
    zeros, operations = empty(spec, lows, [], values.shape), OperationList()
    code_plane(zeros, 0, default, foresee(zeros, 0, default), operations)
    assert len(operations.to_bytes()) < 24


def model_of(weights: list[int], changes: list[list[int]]) -> BandModel:
    kept = np.arange(len(weights))
    model = BandModel(kept, np.array(weights, np.int32), 0, 0, np.zeros(2, np.int32))
    return replace(model, changes=np.array(changes, np.int32)) if changes else model


def test_weights_of_classes_are_clamped() -> None:
    model = model_of([4000, -4000, 5], [[4000, -4000, 1], [-9000, 9000, -5]])
    assert model.of_classes().tolist() == [[4095, -4095, 6], [-4095, 4095, 0]]


def test_without_classes_all_samples_share_the_weights() -> None:
    assert model_of([7, -8], []).of_classes().tolist() == [[7, -8]]
    assert model_of([], []).of_classes().shape == (1, 0)


def test_classes_count_those_of_rows_times_those_of_columns() -> None:
    classes = Classes(np.array([0, 1, 2, 0]), np.array([0, 1]))
    assert (classes.across, classes.count) == (2, 6)
    none = Classes(np.zeros(0, np.int64), np.zeros(0, np.int64))
    assert (none.across, none.count) == (1, 1)


def test_low_bands_go_on_past_the_band_and_then_repeat_their_edge() -> None:
    low = np.arange(9 * 8, dtype=np.int32).reshape(1, 9, 8)
    band = empty(IMAGE_BANDS[0], [low], [], (1, 8, 8))
    height, width = band.planes.shape[1:]
    for y in range(height):
        for x in range(width):
            assert band.planes[0, y, x] == low[0, min(max(y - MARGIN, 0), 8), min(max(x - MARGIN, 0), 7)]


def test_known_taps_on_a_low_band_are_differences_from_the_sample_at_the_place() -> None:
    spec, lows, values = bands_of(planes(40, 40, 3))[2]
    band = empty(spec, lows, [], values.shape)
    taps = band.layout(1).only(np.arange(band.layout(1).causal))
    rng = np.random.default_rng(4)
    weights = rng.integers(-100, 100, (1, taps.count)).astype(np.int32)
    band.values[0] = values[0]
    total = band.known(weights, taps, band.classes(False, False))
    for i, j in ((0, 0), (7, 11), (19, 19)):
        expected = 0
        for k in range(taps.count):
            seen = int(band.planes[taps.sources[k], i + MARGIN + taps.dy[k], j + MARGIN + taps.dx[k]])
            seen -= int(band.planes[taps.centres[k], i + MARGIN, j + MARGIN]) if taps.centres[k] >= 0 else 0
            expected += int(weights[0, k]) * seen
        assert total[i, j] == expected


@pytest.mark.parametrize("grids", GRIDS)
def test_an_encoder_foresees_the_distances_that_a_decoder_finds(grids: tuple[Grid, Grid]) -> None:
    spec, lows, values = bands_of(planes(140, 132, 2))[1]
    networks = predicted(values)
    band = empty(spec, lows, [], values.shape, networks, grids=grids)
    operations, foreseen = OperationList(), []
    for plane in range(2):
        band.values[plane] = values[plane]
        model, ahead = fit_band(band, plane, EFFORTS[2])
        foreseen.append(ahead.distances)
        code_plane(band, plane, model, ahead, operations)
    decoder = empty(spec, lows, [], values.shape, networks, grids=grids)
    decoded(decoder, operations.to_bytes())
    assert np.array_equal(decoder.distances[:2], foreseen)


def test_rows_that_no_fit_saw_have_the_weights_of_all() -> None:
    lows, values = by_phase()
    grid = (Grid(1 << 30, 4), Grid(1 << 30, 4))
    band = empty(IMAGE_BANDS[0], lows, [], values.shape, grids=grid)
    data, (model,) = coded(band, values, Effort(96, 1, quick=True))
    assert len(model.changes) in (0, 4, 16)
    assert np.array_equal(decoded(empty(IMAGE_BANDS[0], lows, [], values.shape, grids=grid), data), values)
