"""How small it gets: limits that a change must not break."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray

from haarchive.codecs.haar.image import HaarCodec
from haarchive.codecs.haar.plans import PLANS
from haarchive.codecs.haar.presets import PRESETS


def size(codec: HaarCodec, image: NDArray[np.integer]) -> int:
    return codec.encode([image])[0].nbytes


def jpeg_xl(image: NDArray[np.integer]) -> int:
    return len(imagecodecs.jpegxl_encode(np.ascontiguousarray(image), lossless=True, effort=3))


def test_tissue_is_smaller_than_jpeg_xl_of_effort_3(shipped: HaarCodec, histology: NDArray[np.uint8]) -> None:
    crop = histology[128:384, 128:384]
    assert size(shipped, crop) < 0.97 * jpeg_xl(crop)


def test_slower_presets_are_no_larger(histology: NDArray[np.uint8]) -> None:
    crop = histology[128:384, 128:384]
    fast, balanced, most = (size(HaarCodec.load(preset=preset), crop) for preset in PRESETS)
    assert balanced < 0.99 * fast
    assert most < 1.001 * balanced


@pytest.mark.parametrize("side", [17, 40, 90, 200])
def test_small_pictures_are_no_larger_by_max_than_by_balanced(histology: NDArray[np.uint8], side: int) -> None:
    image = histology[200 : 200 + side, 150 : 150 + side]
    smallest, default = (HaarCodec.load(preset=preset).encode([image])[0] for preset in ("max", "balanced"))
    assert smallest.nbytes <= default.nbytes


def test_a_picture_that_was_a_jpeg_is_smaller_for_its_grid(histology: NDArray[np.uint8]) -> None:
    jpeg = imagecodecs.jpeg_encode(np.ascontiguousarray(histology[128:384, 128:384]), level=75)
    image = imagecodecs.jpeg_decode(jpeg)
    with_grid = PLANS["balanced"]
    without = replace(with_grid, grids=False)
    assert size(HaarCodec.load(plan=with_grid), image) < 0.995 * size(HaarCodec.load(plan=without), image)


@pytest.mark.parametrize("folder", ["glas", "breakhis"])
def test_slides_are_smaller_than_jpeg_xl_of_effort_3(shipped: HaarCodec, data_dir: Path, folder: str) -> None:
    paths = sorted(p for p in (data_dir / "histology" / "val" / folder).glob("*") if p.is_file())
    crop = imagecodecs.imread(str(paths[1]))[100:292, 100:292]
    assert size(shipped, crop) < jpeg_xl(crop)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_flat_chunk_takes_less_than_60_bytes(shipped: HaarCodec, dtype: type) -> None:
    assert size(shipped, np.full((512, 512, 3), 243, dtype)) < 60


def test_a_ramp_takes_next_to_nothing(shipped: HaarCodec) -> None:
    ramp = np.broadcast_to(np.arange(256, dtype=np.uint8)[None, :, None], (256, 256, 3))
    assert size(shipped, ramp) < 256 * 256 * 3 // 100


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
def test_noise_takes_little_more_than_it_has(shipped: HaarCodec, dtype: type, channels: int) -> None:
    shape = (112, 112, channels)
    noise = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)
    assert size(shipped, noise) <= 1.07 * noise.nbytes


def test_12_bits_in_16_cost_no_more_than_12(shipped: HaarCodec) -> None:
    noise = np.random.default_rng(0).integers(0, 1 << 12, (160, 160, 1), np.uint16)
    assert size(shipped, noise) <= 1.05 * noise.size * 12 / 8
