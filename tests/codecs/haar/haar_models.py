"""Tiny models and made inputs, the same for ever: goldens and most tests code with them."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.base import Bitstream, Samples
from haarchive.codecs.haar.image import HaarCodec
from haarchive.codecs.haar.image_header import ImageHeader
from haarchive.codecs.haar.networks import INPUT_LIMIT, network_layers
from haarchive.codecs.haar.plans import PLANS
from haarchive.codecs.haar.presets import Preset
from haarchive.codecs.haar.taps import AUDIO_BANDS, IMAGE_BANDS
from haarchive.codecs.intnet import IntegerNetwork
from haarchive.codecs.intnet.modelfile import ModelFile

CHANNELS = 4


@lru_cache
def tiny_model(codec: str = "haar") -> bytes:
    """A model file of small networks with random weights."""
    if codec == "haar":
        bands = [(planes, band, (3, 3)) for planes in (1, 3) for band in IMAGE_BANDS]
    else:
        bands = [(1, band, (1, 5)) for band in AUDIO_BANDS]
    rng = np.random.Generator(np.random.PCG64(2024))
    networks = {}
    for planes, band, kernel in bands:
        layers = tuple(network_layers(band, planes, CHANNELS, 1, kernel))
        weights, biases = [], []
        for spec in layers:
            shape = (spec.out_channels, spec.in_channels, *spec.kernel)
            weights.append(rng.integers(-60, 61, shape).astype(np.int32))
            biases.append(rng.integers(-3000, 6000, spec.out_channels).astype(np.int32))
        weights[-1] = weights[-1] // 8
        biases[-1][planes:] = 96 << layers[-1].shift
        networks[f"p{planes}.{band.name}"] = IntegerNetwork(
            layers, tuple(weights), tuple(biases), -INPUT_LIMIT, INPUT_LIMIT
        )
    return ModelFile(codec, networks, {"made": "in a test"}).to_bytes()


def picture(height: int, width: int, channels: int = 3, bits: int = 8, seed: int = 1) -> NDArray[np.integer]:
    """A smooth picture with edges and some noise; integers only, so that it is the same everywhere."""
    rng = np.random.Generator(np.random.PCG64(seed))
    y, x, c = np.ogrid[:height, :width, :channels]
    top = (1 << bits) - 1
    waves = np.abs((3 * x + 5 * y + 40 * c) % 256 - 128) + np.abs((7 * x - 4 * y) % 256 - 128)
    blocks = ((x // 11 + y // 13) % 3 == 0) * 60
    noise = rng.integers(-6, 7, (height, width, channels))
    level = np.clip((waves + blocks) * 255 // 330 + noise, 0, 255) * top // 255
    if bits > 8:
        level = np.clip(level + rng.integers(0, 1 << (bits - 8), level.shape), 0, top)
    return level.astype(np.uint8 if bits <= 8 else np.uint16)


def converted(height: int, width: int, channels: int = 3, name: str = "ycbcr") -> NDArray[np.uint8]:
    """A picture whose colours a decoder made from YCbCr, as documented; its other planes are as they are."""
    image = picture(height, width, channels).astype(np.int64)
    luma, cb, cr = image[..., 0].copy(), (image[..., 1] - 128) // 3, (image[..., 2] - 128) // 3
    red, green_by_blue, green_by_red, blue = (
        (91881, 22554, 46802, 116130) if name == "ycbcr" else (92160, 22528, 47104, 115712)
    )
    image[..., 0] = luma + ((red * cr + 32768) >> 16)
    image[..., 1] = luma + ((32768 - green_by_blue * cb - green_by_red * cr) >> 16)
    image[..., 2] = luma + ((blue * cb + 32768) >> 16)
    return image.clip(0, 255).astype(np.uint8)


def stretched(image: NDArray[np.integer]) -> NDArray[np.uint8]:
    """More contrast: one of five values never occurs."""
    return ((image.astype(np.int64) - 128) * 5 // 4 + 128).clip(0, 255).astype(np.uint8)


def combed(image: NDArray[np.integer]) -> NDArray[np.uint8]:
    """More contrast, and a little of what else happens to a picture: one of five values is rare."""
    result = stretched(image)
    result.reshape(-1)[::23] ^= 1
    return result


def with_foreign(image: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    """A picture with so many pixels, the first one among them, of a colour that no conversion gives."""
    changed = image.copy()
    pixels = changed.reshape(-1, image.shape[2])
    pixels[np.linspace(0, len(pixels) - 1, count).astype(int), :3] = 183, 98, 65
    return changed


def recording(frames: int, channels: int, seed: int = 1) -> NDArray[np.int16]:
    """Decaying tones and noise; integers only, so that it is the same everywhere."""
    rng = np.random.Generator(np.random.PCG64(seed))
    t, c = np.ogrid[:frames, :channels]
    # Triangle waves of slightly different length in each channel.
    tone = np.abs((t * 97 + 31 * c) % 6000 - 3000) + np.abs((t * (310 + 2 * c)) % 5000 - 2500) - 2750
    loud = 1 + (4000 - t % 4000) // 1000
    noise = rng.integers(-30, 31, (frames, channels))
    return (tone * loud + noise).astype(np.int16)


def tiny_codec(preset: Preset) -> HaarCodec:
    """The image codec with a tiny model, whose networks are used even where they do not pay."""
    return HaarCodec.load(tiny_model(), plan=replace(PLANS[preset], choose=False))


def header_of(bitstream: Bitstream) -> ImageHeader:
    return ImageHeader.from_bytes(bitstream.bands[0])


def check(codec: HaarCodec, image: Samples) -> Bitstream:
    """Code a picture, and hold it against what is decoded."""
    (bitstream,) = codec.encode([image])
    (decoded,) = codec.decode([bitstream])
    assert np.array_equal(decoded, image)
    assert decoded.dtype == image.dtype
    return bitstream
