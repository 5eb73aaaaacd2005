"""The inverse transforms, held against libjpeg-turbo (by Pillow), real numbers (by scipy) and their derivation."""

from __future__ import annotations

from math import cos, pi, tan
from pathlib import Path

import imagecodecs
import jpeg_writer
import numpy as np
import pytest
from dct_models import made_components, made_history, planes_of, scene, through_jpeg
from numpy.typing import NDArray
from scipy.fft import dctn, idctn

from haarchive.codecs.dct import inverse
from haarchive.codecs.dct.codec import DctCodec
from haarchive.codecs.dct.header import read_header
from haarchive.codecs.dct.inverse import INVERSES, decode_blocks
from haarchive.codecs.dct.recover import recover
from haarchive.codecs.dct.transform import blocks_of
from haarchive.codecs.haar.ycbcr import to_rgb


def in_real_numbers(coefficients: NDArray[np.int32], steps: NDArray[np.int64]) -> NDArray[np.float64]:
    units = np.moveaxis(coefficients * steps[:, None, None], 0, 2).astype(np.float64)
    height, width = units.shape[:2]
    blocks = idctn(units.reshape(height, width, 8, 8), axes=(2, 3), norm="ortho")
    return (blocks.swapaxes(1, 2).reshape(8 * height, 8 * width) + 128).clip(0, 255)


@pytest.mark.parametrize("quality", [10, 50, 75, 90, 100])
def test_grey_blocks_decode_as_libjpeg_turbo_decodes_them(quality: int) -> None:
    history = made_history((160, 200, 1), quality)
    (coefficients,) = made_components(history, quality)
    assert np.ptp(coefficients[0]) > 0
    (expected,) = jpeg_writer.decoded(jpeg_writer.jpeg_of([coefficients], history.steps))
    assert np.array_equal(decode_blocks(coefficients, history.steps[0]), expected)


@pytest.mark.parametrize("frequency", range(64))
def test_each_frequency_alone_decodes_as_libjpeg_turbo_decodes_it(frequency: int) -> None:
    coefficients = np.zeros((64, 1, 40), np.int32)
    coefficients[frequency, 0] = np.arange(-20, 20)
    steps = np.full((1, 64), 23, np.int64)
    (expected,) = jpeg_writer.decoded(jpeg_writer.jpeg_of([coefficients], steps))
    assert np.array_equal(decode_blocks(coefficients, steps[0]), expected)


@pytest.mark.parametrize("quality", [30, 75, 90])
def test_coefficients_of_a_picture_saved_by_pillow_decode_to_all_its_samples(quality: int) -> None:
    picture, steps = through_jpeg(scene(96, 120, 1), quality=quality)
    (plane,) = planes_of(picture)
    blocks = dctn(blocks_of(plane - 128.0), axes=(2, 3), norm="ortho").reshape(12, 15, 64)
    coefficients = np.moveaxis(np.rint(blocks / steps[0]), 2, 0).astype(np.int32)
    wrong = decode_blocks(coefficients, steps[0]) != plane
    # Where a step is below 4, rounded samples may hide which multiple it was.
    assert wrong.any(axis=None) <= (quality >= 90)
    assert wrong.mean() < 0.01


@pytest.mark.parametrize("by", INVERSES)
def test_the_integer_transforms_are_within_one_of_real_numbers(by: str) -> None:
    history = made_history((240, 240, 1), 60)
    (coefficients,) = made_components(history)
    off = decode_blocks(coefficients, history.steps[0], by) - in_real_numbers(coefficients, history.steps[0])
    assert np.abs(off).max() < 1
    assert np.abs(off).mean() < 0.3


@pytest.mark.parametrize("by", INVERSES)
def test_samples_beyond_their_range_are_clipped(by: str) -> None:
    coefficients = np.zeros((64, 1, 4), np.int32)
    coefficients[0, 0] = [-32768, 32768, -9, 9]
    samples = decode_blocks(coefficients, np.full(64, 255, np.int64), by)
    assert [np.unique(block).tolist() for block in np.split(samples, 4, axis=1)] == [[0], [255], [0], [255]]


def test_intels_rows_are_cosines_times_what_the_columns_leave_to_them() -> None:
    left = [cos(pi / 4), cos(pi / 16), cos(pi / 8), cos(3 * pi / 16)]
    for row, factor in zip(inverse._ROWS, left, strict=True):
        assert row.tolist() == [round(2**15 * cos(n * pi / 16) * factor) for n in range(1, 8)]
    assert tuple(round(2**16 * tan(n * pi / 16)) for n in (1, 2, 3)) == (inverse._TAN1, inverse._TAN2, inverse._TAN3)
    assert round(2**16 * cos(pi / 4)) == inverse._COS


def test_intels_offsets_cancel_what_truncated_products_take_off_the_columns() -> None:
    # Every product loses 1/2 on average. How much of that arrives at the odd half of the results, and how much the
    # four odd rows (two even ones) have to bring along for it.
    t1, t2, t3, c = tan(pi / 16), tan(pi / 8), tan(3 * pi / 16), cos(pi / 4)
    columns = np.array(
        [
            [1, 1, t3, t1],
            [c * (1 + t1), c * (t3 - 1), -c * (1 + t3), c * (t1 - 1)],
            [c * (1 - t1), -c * (1 + t3), c * (1 - t3), c * (1 + t1)],
            [t1, -t3, 1, -1],
        ]
    )
    odd = np.linalg.solve(columns, [1, c + 0.5, 0.5 - c, 0])
    even = np.linalg.solve([[1, t2], [t2, -1]], [0.5, 0.5])
    half = 2**10
    assert inverse._ROW_OFFSET[0] == 64 * half  # which rounds the samples
    assert inverse._ROW_OFFSET[4] == half
    assert [inverse._ROW_OFFSET[n] for n in (1, 3, 5, 7)] == (half + 2**11 * odd).astype(int).tolist()
    assert [inverse._ROW_OFFSET[n] for n in (2, 6)] == (half + 2**11 * even).astype(int).tolist()


def test_what_intel_decoded_is_recognised_and_recovered() -> None:
    history = made_history((160, 176, 3), 80)
    components = made_components(history)
    luma, blue, red = (decode_blocks(one, steps, "intel") for one, steps in zip(components, history.steps, strict=True))
    planes = to_rgb("ycbcr", np.stack([luma, blue - 128, red - 128]))
    found = recover(planes)
    assert found is not None
    assert found.history.inverse == "intel"
    assert np.array_equal(found.history.steps, history.steps)
    assert np.mean(found.decoded != planes) < 1e-3
    picture = np.ascontiguousarray(np.moveaxis(planes, 0, 2)).astype(np.uint8)
    bitstreams = DctCodec().encode([picture])
    assert read_header(bitstreams[0].bands[0])[0].inverse == "intel"
    assert np.array_equal(DctCodec().decode(bitstreams)[0], picture)


def test_libjpegs_pictures_are_taken_for_libjpegs() -> None:
    picture, _ = through_jpeg(scene(96, 120), quality=70, subsampling=0)
    assert read_header(DctCodec().encode([picture])[0].bands[0])[0].inverse == "libjpeg"


def test_pictures_of_a_scanner_with_intels_decoder_come_out_right_but_for_a_few_samples(data_dir: Path) -> None:
    (path,) = (data_dir / "histology/train/gbm40").glob("*12.jxl")
    picture = imagecodecs.imread(path)[:512, :512]
    found = recover(planes_of(picture))
    assert found is not None
    assert found.history.inverse == "intel"
    inside = planes_of(picture)[:, *found.history.region.slices]
    assert np.mean(found.decoded[:, *found.history.seen] != inside) < 1e-3
