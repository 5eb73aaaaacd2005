"""Pictures made as a decoder of JPEG 2000 makes them, of coefficients that we know."""

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
AXES = Axis(194, 194 + 200, 256), Axis(93, 93 + 230, 256)
"""Cut tiles on all sides, and an edge in each direction."""


def made_component(
    axes: tuple[Axis, Axis], seed: int, spread: float = 1.0, steps: Steps = STEPS
) -> tuple[Pyramid, NDArray[np.int32]]:
    """A pyramid of made-up coefficients, and its samples, all by our own integers."""
    rng = np.random.default_rng(seed)
    shape = [axis.at_level(LEVELS).size for axis in axes]
    y, x = np.mgrid[: shape[0], : shape[1]]
    low = np.rint(40 * np.sin(x / 3 + seed) + 30 * np.cos(y / 2)).astype(np.int32)
    samples, numbers = [low], []
    for level in range(LEVELS, 0, -1):
        rows, columns = (axis.at_level(level - 1) for axis in axes)
        bands = []
        for band in (1, 2, 3):
            height = rows.high[1] - rows.high[0] if band >= 2 else rows.low.size
            width = columns.high[1] - columns.high[0] if band % 2 else columns.low.size
            scale = spread * (0.35 if band == 3 else 0.8) * 2.0 ** (level - 2)
            bands.append(np.rint(rng.laplace(0, scale, (height, width))).astype(np.int32))
        if level == 1:
            bands[2][:] = 0
        numbers.append((bands[0], bands[1], bands[2]))
        samples.append(rounded(expected(samples[-1], numbers[-1], level, steps, rows, columns), level))
    return Pyramid(tuple(samples[::-1]), tuple(numbers[::-1])), samples[-1]


def made_picture(axes: tuple[Axis, Axis] = AXES, spread: float = 0.6) -> NDArray[np.uint8]:
    """A decoded picture ``(H, W, 3)``: chroma has half the columns and less to show."""
    rows, columns = axes
    luma = made_component(axes, 1, spread)[1] // 2 + 20
    chroma = [made_component((rows, columns.halved()), seed, spread / 2)[1] // 4 for seed in (2, 3)]
    return as_picture(luma, chroma, columns.begin & 1)


def decoded_scene(axes: tuple[Axis, Axis] = AXES, spread: float = 0.6) -> NDArray[np.uint8]:
    """A picture whose samples are what our integers make of coefficients, nothing added: `dwt` is for such."""
    rows, columns = axes
    luma = np.clip(made_component(axes, 1, spread)[1], -110, 110)
    chroma = [made_component((rows, columns.halved()), seed, spread / 2)[1] for seed in (2, 3)]
    return as_picture(luma, [np.clip(one, -20, 20) for one in chroma], columns.begin & 1)


def as_picture(luma: NDArray[np.int32], chroma: list[NDArray[np.int32]], odd: int) -> NDArray[np.uint8]:
    planes = to_planes(Halved(luma + CENTRE, *chroma), odd)
    return np.ascontiguousarray(np.moveaxis(planes, 0, 2)).astype(np.uint8)
