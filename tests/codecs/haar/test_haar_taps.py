"""What predictors look at."""

from __future__ import annotations

import pytest

from haarchive.codecs.haar.margins import MARGIN
from haarchive.codecs.haar.taps import COARSEST, IMAGE_BANDS, BandSpec, Tap, band_taps, rich_taps

BANDS = (*IMAGE_BANDS, COARSEST)
CASES = [(band, plane, planes) for band in BANDS for planes in (1, 2, 3, 4, 7) for plane in range(planes)]


def name(case: object) -> str:
    return case.name if isinstance(case, BandSpec) else str(case)


def both(band: BandSpec, plane: int, planes: int) -> tuple[tuple[Tap, ...], tuple[Tap, ...]]:
    return band_taps(band, plane), rich_taps(band, plane, planes)


@pytest.mark.parametrize(("band", "plane", "planes"), CASES, ids=name)
def test_no_tap_is_listed_twice(band: BandSpec, plane: int, planes: int) -> None:
    for taps in both(band, plane, planes):
        assert len(set(taps)) == len(taps)


@pytest.mark.parametrize(("band", "plane", "planes"), CASES, ids=name)
def test_taps_on_the_band_itself_are_causal(band: BandSpec, plane: int, planes: int) -> None:
    for taps in both(band, plane, planes):
        own = [tap for tap in taps if tap.source == "self"]
        assert own
        assert all((tap.dy, tap.dx) < (0, 0) for tap in own)
        assert all(tap.plane is None for tap in own)


@pytest.mark.parametrize(("band", "plane", "planes"), CASES, ids=name)
def test_of_other_planes_only_those_coded_before_are_seen_in_this_band(band: BandSpec, plane: int, planes: int) -> None:
    for taps in both(band, plane, planes):
        assert all(0 <= tap.index < plane for tap in taps if tap.source == "cross")


@pytest.mark.parametrize(("band", "plane", "planes"), CASES, ids=name)
def test_taps_look_at_what_the_band_has(band: BandSpec, plane: int, planes: int) -> None:
    for taps in both(band, plane, planes):
        for tap in taps:
            assert tap.source in ("low", "detail", "cross", "self")
            assert abs(tap.dy) <= MARGIN
            assert abs(tap.dx) <= MARGIN
            assert tap.plane is None or (0 <= tap.plane < planes and tap.plane != plane)
            if tap.source in ("low", "detail"):
                assert 0 <= tap.index < (band.lows if tap.source == "low" else band.details)


@pytest.mark.parametrize(("band", "plane", "planes"), CASES, ids=name)
def test_a_low_sample_is_not_compared_with_itself(band: BandSpec, plane: int, planes: int) -> None:
    for taps in both(band, plane, planes):
        assert Tap("low", 0, 0, 0) not in taps


@pytest.mark.parametrize("band", BANDS, ids=name)
def test_the_first_plane_sees_what_is_known_of_later_ones(band: BandSpec) -> None:
    others = {tap.plane for tap in rich_taps(band, 0, 3)} - {None}
    assert others == ({1, 2} if band.lows else set())


def test_long_lists_stay_below_what_sums_in_32_bits_can_hold() -> None:
    # 200 weights, that of each low band's own sample among them: see `Band.known`.
    assert max(len(rich_taps(*case)) for case in CASES) < 195
