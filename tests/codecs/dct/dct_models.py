"""Pictures for the tests of dct."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from haarchive.codecs.dct.history import History
from haarchive.codecs.dct.steps import ijg_tables
from haarchive.codecs.rans.stream import OperationList, WordReader

KINDS: dict[str, dict[str, Any]] = {
    "4:4:4": {"subsampling": 0},
    "4:2:2": {"subsampling": 1},
    "4:2:0": {"subsampling": 2},
    "grey": {},
    "rgb": {"subsampling": 0, "keep_rgb": True},
}
"""How Pillow is asked for each."""

SAMPLING = {"4:2:2": (1, 2), "4:2:0": (2, 2)}


def scene(height: int, width: int, channels: int = 3, seed: int = 1) -> NDArray[np.uint8]:
    """A smooth picture with edges and some noise, far from black and white."""
    rng = np.random.Generator(np.random.PCG64(seed))
    y, x, c = np.ogrid[:height, :width, :channels]
    waves = 30 * np.sin(x / 17 + c) + 25 * np.cos(y / 23 + x / 40) + 15 * np.sin((x * (c + 1) + 2 * y) / 31)
    blocks = 30 * ((x * x // 700 + y * y // 500 + c) % 3 == 0)
    noise = rng.normal(0, 4, (height, width, 1)) + rng.normal(0, 2, (height, width, channels))
    return (110 + waves + blocks + noise).clip(0, 255).astype(np.uint8)


def through_jpeg(picture: NDArray[np.uint8], **options: Any) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """What a JPEG of a picture decodes to, and the steps ``(C, 64)`` of its components."""
    file = io.BytesIO()
    Image.fromarray(picture if picture.shape[2] == 3 else picture[:, :, 0]).save(file, "JPEG", **options)
    image = Image.open(file)
    samples = np.asarray(image)
    tables = image.quantization  # type: ignore[attr-defined]
    of_components = [tables[min(n, len(tables) - 1)] for n in range(picture.shape[2])]
    return samples.reshape(picture.shape), np.array(of_components, np.int64)


def jpeg_scene(kind: str, shape: tuple[int, int], quality: int = 75, seed: int = 1) -> NDArray[np.uint8]:
    """A decoded JPEG of one of `KINDS`."""
    picture = scene(*shape, 1 if kind == "grey" else 3, seed)
    return through_jpeg(picture, quality=quality, **KINDS[kind])[0]


def planes_of(picture: NDArray[np.uint8]) -> NDArray[np.int32]:
    """``(H, W, C)`` uint8 as ``(C, H, W)`` int32."""
    return np.ascontiguousarray(np.moveaxis(picture, 2, 0)).astype(np.int32)


def made_history(
    shape: tuple[int, int, int],
    quality: int = 75,
    sampling: tuple[int, int] = (1, 1),
    origin: tuple[int, int] = (0, 0),
    converted: bool = True,
) -> History:
    """A history with the tables of a quality, and with all units that are complete."""
    down, across = (
        (side - first) // (8 * factor) for side, first, factor in zip(shape[:2], origin, sampling, strict=True)
    )
    luma, chroma = ijg_tables()[[quality - 1, quality + 99]]
    planes = shape[2]
    tables = [luma, chroma, chroma][:planes] if converted else [luma] * planes
    return History(shape, converted and planes == 3, sampling, origin, (down, across), np.stack(tables))


def made_components(history: History, seed: int = 1) -> list[NDArray[np.int32]]:
    """Coefficients as pictures have them: larger ones where they are coarse, and seldom samples beyond 0 to 255."""
    rng = np.random.Generator(np.random.PCG64(seed))
    fall = (np.add.outer(np.arange(8), np.arange(8)).ravel() + 1)[:, None, None]
    components = []
    for n in range(history.shape[2]):
        mean, magnitude = (400, 200) if n == 0 or not history.converted else (300, 60)
        # Integers only, so that they are the same everywhere.
        draws = rng.integers(-magnitude, magnitude + 1, (64, *history.grid(n))) // fall
        units = draws * (rng.integers(0, fall * fall, draws.shape) < 6)
        units[0] = rng.integers(-mean, mean + 1, units[0].shape)
        # Towards zero, so that nothing is gained by rounding.
        steps = history.steps[n][:, None, None]
        components.append((np.sign(units) * (abs(units) // steps)).astype(np.int32))
    return components


def streamed(operations: OperationList) -> WordReader:
    """What was coded, to be read."""
    return WordReader(operations.to_bytes())
