"""What training does to pictures, so that models know more scanners and cameras than the training files show."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["cut", "degraded", "photographed", "subsampled"]

_JPEG_2000_ODDS = 0.35
_SUBSAMPLED_ODDS = 0.5
_LARGEST_ZOOM = 1.6
_GAIN = 1.3
_CHANNEL_GAIN = 1.06
_OFFSET = 20
_NOISE = (0.25, 5.0)
_SMOOTH_ODDS = 0.5


def cut(image: NDArray[Any], size: tuple[int, int], rng: np.random.Generator) -> NDArray[Any]:
    """A crop of so many rows and columns, anywhere in an image that is as large.

    Parameters
    ----------
    image : ndarray, shape (H, W, C)
    size : tuple of int
    rng : Generator
    """
    y, x = (int(rng.integers(n - s + 1)) for n, s in zip(image.shape, size, strict=False))
    return image[y : y + size[0], x : x + size[1]]


def photographed(image: NDArray[np.uint8], size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A crop as a camera of another resolution, exposure and sensitivity would have given it.

    Resampled by a factor of 1/1.6 to 1.6, by bicubic interpolation; brightened or darkened; with normal noise of a
    deviation of 0.25 to 5, partly common to all colours, and smoothed in half of the cases, as demosaicing leaves it.

    Parameters
    ----------
    image : ndarray, shape (H, W, C), uint8
        At least `size`.
    size : tuple of int
        Rows and columns of the result.
    rng : Generator

    Returns
    -------
    ndarray, shape (*size, C), uint8
    """
    import torch

    zoom = min(
        _between(1 / _LARGEST_ZOOM, _LARGEST_ZOOM, rng), *(n / s for n, s in zip(image.shape, size, strict=False))
    )
    crop = cut(image, (round(size[0] * zoom), round(size[1] * zoom)), rng)
    planes = torch.from_numpy(np.moveaxis(crop, -1, 0).astype(np.float32))[None]
    resized = torch.nn.functional.interpolate(planes, size, mode="bicubic", antialias=True)[0].numpy()
    channels = len(resized)
    gain = _between(1 / _GAIN, _GAIN, rng) * np.array(
        [_between(1 / _CHANNEL_GAIN, _CHANNEL_GAIN, rng) for _ in range(channels)]
    )
    exposed = resized * gain[:, None, None] + rng.uniform(-_OFFSET, _OFFSET)
    common = rng.random()
    noise = math.sqrt(common) * rng.standard_normal((1, *size)) + math.sqrt(1 - common) * rng.standard_normal(
        exposed.shape
    )
    if rng.random() < _SMOOTH_ODDS:  # means of four neighbours, brought back to the same deviation
        noise = (noise + np.roll(noise, 1, 1)) / math.sqrt(2)
        noise = (noise + np.roll(noise, 1, 2)) / math.sqrt(2)
    seen = np.clip(np.rint(exposed + _between(*_NOISE, rng) * noise), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(np.moveaxis(seen, 0, -1))


def _between(low: float, high: float, rng: np.random.Generator) -> float:
    """Uniform in the logarithm."""
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def degraded(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A picture as scanners leave it that store JPEG or JPEG 2000."""
    import imagecodecs

    if rng.random() < _JPEG_2000_ODDS:
        encoded = imagecodecs.jpeg2k_encode(image, level=int(rng.integers(32, 46)), codecformat="j2k")
        lossy: NDArray[np.uint8] = imagecodecs.jpeg2k_decode(encoded)
    else:
        subsampling = str(rng.choice(("444", "422", "420"))) if image.shape[2] == 3 else None
        quality = int(rng.integers(30, 96))
        lossy = imagecodecs.jpeg8_decode(imagecodecs.jpeg8_encode(image, level=quality, subsampling=subsampling))
    return lossy.reshape(image.shape)


def subsampled(ycc: NDArray[np.int32], rng: np.random.Generator) -> NDArray[np.int32]:
    """Y, Cb, Cr with chroma as it is, or of half the width, or of half the width and height."""
    if rng.random() >= _SUBSAMPLED_ODDS:
        return ycc
    chroma = _half_and_back(ycc[1:])
    if rng.random() < 0.5:
        chroma = _half_and_back(chroma.swapaxes(1, 2)).swapaxes(1, 2)
    return np.concatenate([ycc[:1], chroma])


def _half_and_back(planes: NDArray[np.int32]) -> NDArray[np.int32]:
    """Means of neighbouring columns, and columns between these: three parts of the nearer and one of the farther."""
    even = planes.shape[2] & ~1
    halves = (planes[..., :even:2] + planes[..., 1:even:2] + 1) >> 1
    wide = np.pad(halves, ((0, 0), (0, 0), (1, 1)), mode="edge")
    result = planes.copy()
    result[..., :even:2] = (3 * halves + wide[..., :-2] + 1) >> 2
    result[..., 1:even:2] = (3 * halves + wide[..., 2:] + 2) >> 2
    return result
