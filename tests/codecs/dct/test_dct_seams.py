"""Seams of tiles: each tile is a JPEG that libjpeg-turbo (by Pillow) decodes for itself."""

from __future__ import annotations

import numpy as np
import pytest
from dct_models import KINDS, SAMPLING, planes_of, scene, through_jpeg
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from haarchive.codecs.dct.codec import DctCodec
from haarchive.codecs.dct.header import read_header
from haarchive.codecs.dct.recover import recover
from haarchive.codecs.dct.sampling import NO_SEAMS, Lines, Seams, downsampled, upsample

CODEC = DctCodec()


def tiled_scene(kind: str, shape: tuple[int, int], tile: tuple[int, int], quality: int = 75) -> NDArray[np.uint8]:
    """A slide's level: a scene whose tiles went through JPEG one by one."""
    picture = scene(*shape)
    out = np.empty_like(picture)
    for top in range(0, shape[0], tile[0]):
        for left in range(0, shape[1], tile[1]):
            place = slice(top, top + tile[0]), slice(left, left + tile[1])
            out[place], _ = through_jpeg(np.ascontiguousarray(picture[place]), quality=quality, **KINDS[kind])
    return out


@given(first=st.integers(1, 300), period=st.integers(0, 90), begin=st.integers(-20, 40), size=st.integers(1, 300))
def test_seams_between_two_places_are_all_of_them(first: int, period: int, begin: int, size: int) -> None:
    lines = [first] if period == 0 else [first + n * period for n in range(-400, 400)]
    expected = [line for line in lines if begin < line < begin + size]
    assert list(Seams(first, period).between(begin, begin + size)) == expected
    assert not NO_SEAMS.between(begin, begin + size)


@pytest.mark.parametrize("sampling", [(1, 2), (2, 2)])
@pytest.mark.parametrize("lines", [((), ()), ((8,), (8, 24)), ((1, 2, 3), (31,)), (tuple(range(1, 16)), ())], ids=str)
def test_tiles_are_enlarged_each_for_itself(sampling: tuple[int, int], lines: Lines) -> None:
    if sampling[0] == 1:
        lines = (), lines[1]
    chroma = np.random.default_rng(0).integers(100, 140, (16, 32)).astype(np.int32)
    tiles = [np.split(row, lines[1], axis=1) for row in np.split(chroma, lines[0])]
    apart = np.block([[upsample(tile, sampling) for tile in row] for row in tiles])
    assert np.array_equal(upsample(chroma, sampling, lines), apart)
    # Beyond the ends of the picture the search takes nothing for granted, but at seams it may.
    off = np.abs(downsampled(apart.astype(np.float32), sampling, lines) - chroma)
    assert off.max() < 4
    assert off[4:-4, 4:-4].max() < 1


@pytest.mark.parametrize("kind", ["4:2:2", "4:2:0"])
@pytest.mark.parametrize("tile", [(64, 64), (80, 48), (112, 96)], ids=str)
@pytest.mark.parametrize("cut", [(0, 0), (7, 21), (64, 48)], ids=str)
def test_seams_are_found(kind: str, tile: tuple[int, int], cut: tuple[int, int]) -> None:
    picture = np.ascontiguousarray(tiled_scene(kind, (240, 240), tile)[cut[0] :, cut[1] :])
    found = recover(planes_of(picture))
    assert found is not None
    history = found.history
    region = history.region
    for axis, seams in enumerate(history.seams):
        begin, end = ((region.top, region.bottom), (region.left, region.right))[axis]
        there = [line - cut[axis] for line in range(tile[axis], 240, tile[axis])]
        expected = [line for line in there if begin < line < end] if SAMPLING[kind][axis] > 1 else []
        assert list(seams.between(begin, end)) == expected
    inside = planes_of(picture)[:, *region.slices]
    wrong = (found.decoded[:, *history.seen] != inside).any(axis=0)
    assert wrong[24:-24, 24:-24].mean() < 1e-3  # chroma beyond the picture's edges is not known


@pytest.mark.parametrize("kind", ["4:2:2", "4:2:0"])
def test_pictures_with_seams_come_back_and_take_hardly_more_than_without(kind: str) -> None:
    tiled, whole = (tiled_scene(kind, (256, 256), tile) for tile in ((64, 64), (256, 256)))
    one, other = CODEC.encode([tiled, whole])
    assert all(map(np.array_equal, CODEC.decode([one, other]), (tiled, whole)))
    assert read_header(one.bands[0])[0].seams[1] == Seams(64, 64)
    assert read_header(other.bands[0])[0].seams == (NO_SEAMS, NO_SEAMS)
    assert one.nbytes < 1.06 * other.nbytes


def test_noise_in_samples_makes_no_seams() -> None:
    rng = np.random.default_rng(0)
    picture = tiled_scene("4:2:0", (160, 176), (160, 176))
    picture[rng.random(picture.shape[:2]) < 0.01] ^= 1
    found = recover(planes_of(picture))
    assert found is not None
    assert found.history.seams == (NO_SEAMS, NO_SEAMS)


def test_one_seam_is_a_seam_without_a_period() -> None:
    picture = tiled_scene("4:2:2", (96, 160), (96, 96))
    found = recover(planes_of(picture))
    assert found is not None
    assert found.history.seams == (NO_SEAMS, Seams(96, 0))
