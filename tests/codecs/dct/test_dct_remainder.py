"""The frame around complete blocks, and samples that decode to something else, alone."""

from __future__ import annotations

import numpy as np
import pytest
from dct_models import planes_of, scene, streamed
from numpy.typing import NDArray

from haarchive.codecs.dct.history import Region
from haarchive.codecs.dct.remainder import code_frame, code_misses
from haarchive.codecs.rans.stream import OperationList


def check_frame(planes: NDArray[np.int32], region: Region) -> int:
    """Code a frame and hold it against what comes back; returns how many bytes it took."""
    operations, before = OperationList(), planes.copy()
    code_frame(planes, region, operations)
    assert np.array_equal(planes, before)
    decoded = np.full_like(planes, 99)
    decoded[:, *region.slices] = planes[:, *region.slices]
    if operations.n == 0:
        assert decoded[:, *region.slices].shape == planes.shape
        return 0
    reader = streamed(operations)
    code_frame(decoded, region, reader)
    reader.finish()
    assert np.array_equal(decoded, planes)
    return len(operations.to_bytes())


def check_misses(samples: NDArray[np.int32], decoded: NDArray[np.int32]) -> int:
    """As `check_frame`, of misses."""
    operations = OperationList()
    code_misses(samples, decoded, operations)
    reader = streamed(operations)
    found = np.zeros_like(samples)
    code_misses(found, decoded, reader)
    reader.finish()
    assert np.array_equal(found, samples)
    return len(operations.to_bytes())


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("top", range(8))
def test_frames_of_every_width_come_back(channels: int, top: int) -> None:
    for left, below, right in [(0, 0, 0), (7 - top, 3, 1), (top, 7, 7), (1, 0, 15), (15, 15, 0)]:
        planes = planes_of(scene(top + 24 + below, left + 16 + right, channels))
        check_frame(planes, Region(top, left, top + 24, left + 16))


@pytest.mark.parametrize("channels", [1, 3])
def test_frames_of_noise_and_of_extremes_come_back(channels: int) -> None:
    rng = np.random.default_rng(0)
    region = Region(5, 3, 21, 11)
    for planes in (rng.integers(0, 256, (channels, 30, 20)), rng.integers(0, 2, (channels, 30, 20)) * 255):
        assert 0 < check_frame(planes.astype(np.int32), region) < 2 * channels * (30 * 20 - 16 * 8)


def test_the_frame_of_a_smooth_picture_costs_little() -> None:
    y, x = np.ogrid[:62, :78]
    planes = np.stack([(2 * x + y) % 256, (2 * x + y + 20) % 256, np.full((62, 78), 30)]).astype(np.int32)
    region = Region(7, 7, 55, 71)
    assert check_frame(planes, region) < 0.15 * 3 * (62 * 78 - 48 * 64)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("part", [0.0, 0.001, 0.1, 1.0])
def test_misses_come_back(channels: int, part: float) -> None:
    rng = np.random.default_rng(1)
    decoded = rng.integers(0, 256, (channels, 48, 40)).astype(np.int32)
    samples = np.where(rng.random(decoded.shape) < part, rng.integers(0, 256, decoded.shape), decoded)
    check_misses(samples.astype(np.int32), decoded)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 8, 64), (3, 64, 8)], ids=str)
def test_the_largest_misses_come_back(shape: tuple[int, int, int]) -> None:
    black, white = np.zeros(shape, np.int32), np.full(shape, 255, np.int32)
    check_misses(black, white)
    check_misses(white, black)


def test_no_misses_cost_nothing() -> None:
    decoded = np.random.default_rng(2).integers(0, 256, (3, 64, 64)).astype(np.int32)
    assert check_misses(decoded, decoded) <= 6


def test_misses_in_one_block_cost_nothing_elsewhere() -> None:
    decoded = np.full((3, 160, 160), 100, np.int32)
    samples = decoded.copy()
    samples[:, 80:88, 40:48] += np.random.default_rng(3).integers(-1, 2, (3, 8, 8))
    assert 30 < check_misses(samples, decoded) < 110
