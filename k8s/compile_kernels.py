"""Compile every numba kernel into ``NUMBA_CACHE_DIR``, by archiving and restoring small sources of every kind.

The image is built with it, so that no process of a cluster compiles: ``python k8s/compile_kernels.py``. It fails where
a source is not archived and restored, and prints how many kernels it compiled or found compiled.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import soundfile
import tifffile
from numba.core.dispatcher import Dispatcher
from numpy.typing import NDArray

import haarchive.codecs
import haarchive.pipeline
from haarchive.codecs.dwt.axis import LEVELS, Axis
from haarchive.codecs.dwt.pairs import Halved, to_planes
from haarchive.codecs.dwt.pyramid import build, expected, rounded
from haarchive.codecs.dwt.steps import Steps
from haarchive.pipeline import archive
from haarchive.pipeline.jobs.report import JobReport
from haarchive.pipeline.jobs.restore import restore
from haarchive.pipeline.sources.zlib_blocks import write_blocks
from haarchive.pipeline.sources.zlib_matches import find_symbols

PRESETS = {"haar": ("fast", "balanced", "max"), "idf": ("fast", "balanced")}
"""Of each family of flows those that call other kernels."""


def main() -> int:
    """Archive with every codec, and restore."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        sources = make_sources(root / "sources")
        for family, presets in PRESETS.items():
            for preset in presets:
                url = root / f"{family}-{preset}"
                fail_unless_ok(archive(sources, url, codec=family, preset=preset, engine="local"))
                fail_unless_ok(restore(str(url), root / f"{url.name}-restored"))
    # Beside a fork of zlib its own compressor is needed; this Python may have zlib itself.
    pixels = np.frombuffer(bytes(range(256)) * 9, np.uint8)
    write_blocks(pixels, *find_symbols(pixels, 6, 0, 8, 15))
    called = [kernel for kernel in kernels() if kernel.signatures]
    compiled = sum(sum(kernel.stats.cache_misses.values()) for kernel in called)
    print(f"{len(called)} kernels: {compiled} compiled, {sum(len(k.signatures) for k in called) - compiled} found")
    return 0


def make_sources(folder: Path) -> list[Path]:
    """Pictures and recordings of every sample type that the flows take, and of every encoding that they undo."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for dtype in (np.uint8, np.uint16):
        for channels in (1, 3):
            name = f"{np.dtype(dtype).name}-{channels}"
            pixels = picture(rng, dtype, channels)
            for compression in ("none", "lzw", "deflate"):
                tifffile.imwrite(
                    folder / f"{name}-{compression}.tif",
                    pixels,
                    photometric="rgb" if channels == 3 else "minisblack",
                    tile=(32, 32),
                    compression=None if compression == "none" else compression,
                    predictor=compression != "none",
                )
            (folder / f"{name}.png").write_bytes(imagecodecs.png_encode(pixels))
    # Pixels that were JPEG are taken back to their coefficients, chroma of half the size too. Of the blocks that edges
    # cut, five rows will do for that, two are too few. At quality 95 some are missed, and another decoder may have made
    # them.
    for sampling, quality, cut in (("444", 95, 14), ("444", 75, 11), ("420", 75, 14)):
        jpeg = imagecodecs.jpeg_encode(picture(rng, np.uint8, 3, 256), level=quality, subsampling=sampling)
        was_jpeg = imagecodecs.jpeg_decode(jpeg)[cut:, cut:]
        tifffile.imwrite(folder / f"was-jpeg-{sampling}-{quality}.tif", was_jpeg, photometric="rgb")
    tifffile.imwrite(folder / "was-jpeg-2000.tif", decoded_jpeg_2000(rng), photometric="rgb")
    # What is JPEG stays JPEG.
    tifffile.imwrite(
        folder / "jpeg.tif", picture(rng, np.uint8, 3, 256), photometric="rgb", compression="jpeg", tile=(128, 128)
    )
    # Of quality 100 no coefficients are found, but Y, Cb, Cr; a few pixels of other colours go as they are.
    converted = imagecodecs.jpeg_decode(imagecodecs.jpeg_encode(picture(rng, np.uint8, 3, 256), level=100)).copy()
    converted[10, 10:20] = rng.integers(60, 200, (10, 3))
    tifffile.imwrite(folder / "was-ycbcr.tif", converted, photometric="rgb")
    # What was changed since has a grid still, which the flow looks for and uses.
    changed = (was_jpeg.astype(int) + rng.integers(-1, 2, was_jpeg.shape)).clip(0, 255).astype(np.uint8)
    tifffile.imwrite(folder / "nearly-jpeg.tif", changed, photometric="rgb")
    for channels in (1, 2):
        for subtype in ("PCM_16", "PCM_24"):
            samples = recording(rng, channels)
            for kind in ("wav", "flac"):
                soundfile.write(folder / f"{subtype}-{channels}.{kind}", samples, 44_100, subtype=subtype)
    sparse = np.round(recording(rng, 1) * 40) * 3  # every third value alone
    soundfile.write(folder / "sparse.wav", sparse.astype(np.int16), 44_100)
    return sorted(folder.iterdir())


def picture(rng: np.random.Generator, dtype: Any, channels: int, size: int = 64) -> NDArray[Any]:
    """A smooth picture with some noise, ``(size, size)`` or ``(size, size, channels)``."""
    y, x = np.mgrid[:size, :size]
    top = np.iinfo(dtype).max
    shape = (np.sin(x / 9) + np.cos(y / 7) + 2) / 5 * top
    pixels = shape[..., None] * np.linspace(0.7, 1, channels) + rng.normal(0, top / 60, (size, size, channels))
    return np.clip(pixels, 0, top).astype(dtype).squeeze()


def decoded_jpeg_2000(rng: np.random.Generator) -> NDArray[np.uint8]:
    """A picture that only quantised wavelet coefficients are left of, and a few pixels of other colours."""
    steps = Steps((10649, 5396, 2575, 1024, 1024), (21299, 22528, 10342, 5018, 2488))
    side = Axis(0, 256, 256)
    components = []
    for axes, range_ in (((side, side), 180), ((side, side.halved()), 30), ((side, side.halved()), 30)):
        plane = picture(rng, np.uint8, 1, 256).astype(np.int32)[:, :: 256 // axes[1].size]
        pyramid = build((plane - 128) * range_ // 256, *axes, steps)
        samples = pyramid.samples[LEVELS]
        for level in range(LEVELS, 0, -1):
            rows, columns = (axis.at_level(level - 1) for axis in axes)
            samples = rounded(expected(samples, pyramid.numbers[level - 1], level, steps, rows, columns), level)
        components.append(samples)
    planes = to_planes(Halved(components[0] + 128, *components[1:]), 0)
    planes[:, 10, 10:20] = rng.integers(60, 200, (3, 10))
    return np.ascontiguousarray(np.moveaxis(planes, 0, 2)).astype(np.uint8)


def recording(rng: np.random.Generator, channels: int, frames: int = 6_000) -> NDArray[np.float64]:
    """A tone with some noise, ``(frames, channels)``."""
    wave = 0.4 * np.sin(np.arange(frames) / 13)
    return wave[:, None] * np.linspace(0.7, 1, channels) + rng.normal(0, 0.002, (frames, channels))


def fail_unless_ok(report: JobReport) -> None:
    """End here where a source failed, with the reasons."""
    if not report.ok:
        sys.exit("\n".join(f"{failed.source}: {failed.error}" for failed in report.failed))


def kernels() -> Iterator[Dispatcher]:
    """Every kernel of the package."""
    for package in (haarchive.codecs, haarchive.pipeline):
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            module = importlib.import_module(info.name)
            for value in vars(module).values():
                if isinstance(value, Dispatcher) and value.py_func.__module__ == info.name:
                    yield value


if __name__ == "__main__":
    sys.exit(main())
