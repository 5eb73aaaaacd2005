"""Real files of several kinds for jobs to work on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile


@pytest.fixture(scope="session")
def picture() -> np.ndarray:
    """A smooth picture with some noise, (240, 300, 3) uint8."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:240, :300]
    waves = 120 + 60 * np.sin(x / 17) + 50 * np.cos(y / 11)
    return (waves[..., None] + rng.normal(0, 3, (240, 300, 3))).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def make_sources(picture: np.ndarray) -> Callable[[Path], Path]:
    """Fills a folder ``in`` with a JPEG TIFF, a TIFF of uint32 samples, opaque files and an empty one."""

    def make(parent: Path) -> Path:
        folder = parent / "in"
        (folder / "sub").mkdir(parents=True)
        tifffile.imwrite(folder / "slide.tif", picture, tile=(128, 128), compression="jpeg")
        tifffile.imwrite(folder / "sub" / "deep.tif", picture[..., 0].astype(np.uint32) * 70001)
        (folder / "sub" / "notes.txt").write_text("stained 14 May\n" * 500)
        (folder / "noise.bin").write_bytes(np.random.default_rng(2).bytes(3_000_000))
        (folder / "empty").touch()
        return folder

    return make


@pytest.fixture
def sources(make_sources: Callable[[Path], Path], tmp_path: Path) -> Path:
    """The folder of `make_sources`."""
    return make_sources(tmp_path)
