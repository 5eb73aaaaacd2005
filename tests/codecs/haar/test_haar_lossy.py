"""Pictures without their finest details."""

from __future__ import annotations

import numpy as np
import pytest
from haar_models import picture, tiny_codec
from numpy.typing import NDArray

from haarchive.codecs.base import Bitstream
from haarchive.codecs.errors import BitstreamError
from haarchive.codecs.haar.image import HaarCodec
from haarchive.codecs.haar.image_header import ImageHeader
from haarchive.codecs.haar.lossy import drop_bands, dropped_bands


def peak_ratio(image: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Peak signal to noise, in decibels."""
    error = float(np.mean((image.astype(np.float64) - other) ** 2))
    return 10 * np.log10(255**2 / max(error, 1e-9))


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_a_picture_without_details_has_its_full_size_and_its_lower_resolutions(
    shipped: HaarCodec, histology: NDArray[np.uint8], levels: int
) -> None:
    image = histology[64:221, 32:187]
    (whole,) = shipped.encode([image])
    part = drop_bands(whole, levels)
    assert part.nbytes < 0.55 * whole.nbytes
    (lossy,) = shipped.decode([part])
    assert lossy.shape == image.shape
    assert lossy.dtype == image.dtype
    for reduce in range(levels, 4):
        ours, theirs = (shipped.decode([one], reduce=reduce)[0] for one in (part, whole))
        assert np.array_equal(ours, theirs)


def test_details_as_the_networks_expect_them_are_nearer_than_none(histology: NDArray[np.uint8]) -> None:
    codec = HaarCodec.load(preset="fast")
    image = histology[128:384, 128:384]
    part = drop_bands(codec.encode([image])[0], 1)
    half = codec.decode([part], reduce=1)[0].astype(np.float64)
    (lossy,) = codec.decode([part])
    assert peak_ratio(image, lossy) > 30
    assert peak_ratio(image, lossy) > peak_ratio(image, half.repeat(2, 0).repeat(2, 1)) + 2


def test_the_header_says_how_many_levels_are_missing() -> None:
    codec = tiny_codec("fast")
    (whole,) = codec.encode([picture(70, 80)])
    assert dropped_bands(whole) == 0
    assert drop_bands(whole, 0) == whole
    assert dropped_bands(drop_bands(whole, 2)) == 2
    assert drop_bands(drop_bands(whole, 2), 1) == drop_bands(whole, 2)
    assert drop_bands(drop_bands(whole, 1), 2) == drop_bands(whole, 2)


def test_of_a_picture_of_few_levels_only_those_are_dropped() -> None:
    codec = tiny_codec("fast")
    image = picture(33, 20)
    part = drop_bands(codec.encode([image])[0], 9)
    assert len(part.bands) == 1
    assert dropped_bands(part) == ImageHeader.from_bytes(part.bands[0]).levels == 1
    assert codec.decode([part])[0].shape == image.shape


@pytest.mark.parametrize("shape", [(0, 5, 3), (4, 4, 0), (9, 300, 1), (33, 18, 2), (50, 35, 5)], ids=str)
def test_pictures_of_any_shape_can_lose_details(shape: tuple[int, int, int]) -> None:
    codec = tiny_codec("fast")
    image = picture(*shape)
    (lossy,) = codec.decode([drop_bands(codec.encode([image])[0], 1)])
    assert lossy.shape == image.shape


def test_what_was_dropped_cannot_be_passed_off_as_lossless() -> None:
    codec = tiny_codec("fast")
    (whole,) = codec.encode([picture(70, 80)])
    with pytest.raises(BitstreamError, match="too few"):
        codec.decode([Bitstream(whole.bands[:-1])])


def test_fewer_than_no_levels_cannot_be_dropped() -> None:
    (whole,) = tiny_codec("fast").encode([picture(20, 20)])
    with pytest.raises(ValueError, match="0 or more"):
        drop_bands(whole, -1)


@pytest.mark.parametrize("flags", [4, 8, 0x70, 0xF0])
def test_flags_that_cannot_be_are_damage(flags: int) -> None:
    (whole,) = tiny_codec("fast").encode([picture(70, 80)])
    first = bytearray(whole.bands[0])
    first[5] |= flags
    with pytest.raises(BitstreamError):
        drop_bands(Bitstream((bytes(first), *whole.bands[1:])), 1)
