"""What training does to pictures."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from haarchive.pipeline.jobs.augment import cut, degraded, photographed, subsampled


def ramp(height: int, width: int, channels: int = 3) -> NDArray[np.uint8]:
    y, x, c = np.ogrid[:height, :width, :channels]
    return (60 + 60 * y / height + 60 * x / width + 5 * c).astype(np.uint8)


def roughness(image: NDArray[np.uint8]) -> float:
    """Mean size of second differences, which a ramp has none of."""
    return float(np.abs(np.diff(image.astype(np.float64), 2, axis=1)).mean())


@pytest.mark.parametrize("shape", [(64, 64, 3), (48, 200, 1), (48, 48, 4)])
def test_other_cameras_give_crops_of_the_size_that_is_asked_for(shape: tuple[int, int, int]) -> None:
    for seed in range(8):
        image = ramp(*shape)
        seen = photographed(image, (48, 48), np.random.default_rng(seed))
        assert (seen.shape, seen.dtype) == ((48, 48, shape[2]), np.uint8)
        assert np.array_equal(seen, photographed(image, (48, 48), np.random.default_rng(seed)))


def test_other_cameras_have_noise_and_another_exposure() -> None:
    image = ramp(160, 160)
    seen = [photographed(image, (64, 64), np.random.default_rng(seed)) for seed in range(24)]
    rough = [roughness(one) for one in seen]
    assert min(rough) < 1.2 * roughness(image) + 0.5 < 2 < max(rough)
    means = [float(one.mean()) for one in seen]
    assert max(means) - min(means) > 40
    # Noise that the colours share, and noise of their own.
    shared = [np.corrcoef(np.diff(one[..., :2].astype(float), 2, axis=1).reshape(-1, 2).T)[0, 1] for one in seen]
    assert min(shared) < 0.3 < 0.8 < max(shared)


def test_resampling_changes_how_steep_a_ramp_is() -> None:
    image = np.repeat(np.repeat((np.arange(200, dtype=np.uint8))[None, :, None], 200, 0), 3, 2)
    slopes = []
    for seed in range(24):
        seen = photographed(image, (64, 64), np.random.default_rng(seed)).astype(float).mean(axis=(0, 2))
        slopes.append(np.polyfit(np.arange(64), seen, 1)[0])
    assert min(slopes) < 0.75
    assert max(slopes) > 1.3


def test_a_crop_is_cut_from_within() -> None:
    image = np.arange(60, dtype=np.uint8).reshape(6, 10, 1)
    found = {int(cut(image, (6, 9), np.random.default_rng(seed))[0, 0, 0]) for seed in range(20)}
    assert found == {0, 1}


def test_lossy_codecs_keep_shape_and_come_near() -> None:
    image = ramp(48, 64)
    for seed in range(10):
        lossy = degraded(image, np.random.default_rng(seed))
        assert (lossy.shape, lossy.dtype) == (image.shape, np.uint8)
        assert np.abs(lossy.astype(int) - image).mean() < 8


def test_subsampling_leaves_luma_and_constant_chroma_alone() -> None:
    rng = np.random.default_rng(5)
    ycc = np.stack([rng.integers(0, 256, (12, 15)), np.full((12, 15), 40), np.full((12, 15), -7)]).astype(np.int32)
    for seed in range(8):
        assert np.array_equal(subsampled(ycc, np.random.default_rng(seed)), ycc)
    noisy = ycc.copy()
    noisy[1:] = rng.integers(-100, 100, (2, 12, 15))
    changed = [not np.array_equal(subsampled(noisy, np.random.default_rng(seed)), noisy) for seed in range(20)]
    assert 3 < sum(changed) < 17
