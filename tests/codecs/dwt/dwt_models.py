"""Pictures as a decoder of JPEG 2000 makes them, of coefficients that we know."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.dwt.axis import LEVELS, Axis
from haarchive.codecs.dwt.pairs import Halved, to_planes
from haarchive.codecs.dwt.pyramid import Pyramid, expected, rounded
from haarchive.codecs.dwt.steps import STEP_BITS, Steps

CENTRE = 128
STEPS = Steps(
    tuple(round(step * (1 << STEP_BITS)) for step in (10.4, 5.27, 2.515, 1, 1)),
    tuple(round(step * (1 << STEP_BITS)) for step in (20.8, 22.0, 10.1, 4.9, 2.43)),
)
CUT = Axis(194, 194 + 200, 256), Axis(93, 93 + 230, 256)
"""Tiles that all edges of the picture cut, and an edge of tiles in each direction."""


def made_component(axes: tuple[Axis, Axis], seed: int, spread: float = 0.6, most: int = 100) -> Pyramid:
    """A pyramid of made-up coefficients, and its samples, all by our own integers, none beyond `most`."""
    rng = np.random.default_rng(seed)
    height, width = (axis.at_level(LEVELS).size for axis in axes)
    y, x = np.mgrid[:height, :width]
    low = np.rint(0.4 * most * np.sin(x / 3 + seed) + 0.3 * most * np.cos(y / 2)).astype(np.int32)
    samples: list[NDArray[np.int32]] = [low]
    numbers = []
    for level in range(LEVELS, 0, -1):
        rows, columns = (axis.at_level(level - 1) for axis in axes)
        bands = []
        for band in (1, 2, 3):
            down = rows.high[1] - rows.high[0] if band >= 2 else rows.low.size
            across = columns.high[1] - columns.high[0] if band % 2 else columns.low.size
            scale = spread * (0.35 if band == 3 else 0.8) * 2.0 ** (level - 2)
            bands.append(np.rint(rng.laplace(0, scale, (down, across))).astype(np.int32))
        if level == 1:
            bands[2][:] = 0
        numbers.append((bands[0], bands[1], bands[2]))
        fine = rounded(expected(samples[-1], numbers[-1], level, STEPS, rows, columns), level)
        samples.append(np.clip(fine, -most, most) if level == 1 else fine)
    return Pyramid(tuple(samples[::-1]), tuple(numbers[::-1]))


def made_picture(axes: tuple[Axis, Axis] = CUT, spread: float = 0.6, most: int = 90) -> NDArray[np.uint8]:
    """A decoded picture ``(H, W, 3)``."""
    rows, columns = axes
    luma = made_component(axes, 1, spread, most).samples[0] + CENTRE
    cb, cr = (made_component((rows, columns.halved()), seed, spread / 2, 15).samples[0] for seed in (2, 3))
    planes = to_planes(Halved(luma, cb, cr), columns.begin & 1)
    return np.ascontiguousarray(np.moveaxis(planes, 0, 2)).astype(np.uint8)


def planes_of(picture: NDArray[np.uint8]) -> NDArray[np.int32]:
    """The first three planes ``(3, H, W)``."""
    return np.ascontiguousarray(np.moveaxis(picture[..., :3], 2, 0)).astype(np.int32)
