"""Codec `dwt`: what it takes comes back bit for bit, whatever was done to it since it was decoded."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from dwt_models import CUT, made_picture
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from haarchive.codecs.dwt.axis import Axis
from haarchive.codecs.dwt.codec import DwtCodec
from haarchive.codecs.errors import CodecError, UnsupportedSamplesError
from haarchive.codecs.registry import get_codec

CODEC = DwtCodec()


def coded(picture: NDArray[np.uint8]) -> int:
    """The bytes of a picture, which is decoded and compared."""
    (bitstream,) = CODEC.encode([picture])
    (decoded,) = CODEC.decode([bitstream])
    assert decoded.dtype == np.uint8
    assert decoded.flags.c_contiguous
    np.testing.assert_array_equal(decoded, picture)
    return bitstream.nbytes


@pytest.mark.parametrize(
    "axes",
    [
        CUT,
        (Axis(0, 256, 256), Axis(0, 256, 256)),
        (Axis(255, 255 + 131, 256), Axis(1, 140, 256)),
        (Axis(6, 6 + 128, 0), Axis(17, 17 + 150, 0)),
    ],
)
def test_pictures_come_back_smaller_than_from_jpeg_xl(axes: tuple[Axis, Axis]) -> None:
    picture = made_picture(axes)
    rival = len(imagecodecs.jpegxl_encode(picture, lossless=True, effort=5, numthreads=1))
    assert coded(picture) < 0.6 * rival


@settings(max_examples=15)
@given(st.data())
def test_cut_and_edited_pictures_come_back(data: st.DataObject) -> None:
    whole = made_picture()
    top, left = data.draw(st.integers(0, 100)), data.draw(st.integers(0, 100))
    height, width = data.draw(st.integers(64, 100)), data.draw(st.integers(64, 130))
    picture = whole[top : top + height, left : left + width].copy()
    for _ in range(data.draw(st.integers(0, 4))):
        y, x = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
        picture[y : y + 3, x] = data.draw(st.integers(0, 255))
    try:
        coded(picture)
    except UnsupportedSamplesError:
        assert min(height, width) < 80  # too little to see


def test_clipped_pictures_come_back() -> None:
    picture = made_picture(spread=1.2, most=128)
    assert ((picture == 0) | (picture == 255)).any(axis=2).mean() > 0.005
    coded(picture)


def test_a_constant_fourth_plane_costs_a_byte() -> None:
    picture = made_picture()
    with_alpha = np.concatenate([picture, np.full((*picture.shape[:2], 1), 200, np.uint8)], axis=2)
    assert coded(with_alpha) == coded(picture) + 1
    with_alpha[3, 4, 3] = 7
    with pytest.raises(UnsupportedSamplesError, match="constant"):
        CODEC.encode([with_alpha])


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((80, 80, 1), np.uint8),
        np.zeros((80, 80, 3), np.uint16),
        np.zeros((80, 80), np.uint8),
        np.zeros((0, 80, 3), np.uint8),
        np.zeros((1, 1, 3), np.uint8),
        np.zeros((80, 0, 4), np.uint8),
        np.zeros((80, 80, 2), np.uint8),
    ],
)
def test_other_samples_are_refused(picture: NDArray[np.uint8]) -> None:
    with pytest.raises(UnsupportedSamplesError):
        CODEC.encode([picture])


def test_there_is_one_resolution() -> None:
    (bitstream,) = CODEC.encode([made_picture()])
    assert CODEC.bands_needed(1, 3) == 1
    with pytest.raises(CodecError, match="one resolution"):
        CODEC.decode([bitstream], reduce=1)
    assert isinstance(get_codec("dwt"), DwtCodec)


@pytest.mark.parametrize("name", ["TCGA-18-5592", "TCGA-B0-5711"])
def test_training_pictures_take_a_third_of_what_jpeg_xl_needs(name: str, data_dir: Path) -> None:
    (path,) = (data_dir / "histology/train/monuseg").glob(f"*{name}*.jxl")
    picture = np.ascontiguousarray(imagecodecs.imread(path)[300:700, 200:600])
    assert coded(picture) < len(imagecodecs.jpegxl_encode(picture, lossless=True, effort=7, numthreads=1)) / 3
