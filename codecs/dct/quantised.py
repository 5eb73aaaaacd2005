"""Components as quantised coefficients; only encoders search."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.dct.history import History
from haarchive.codecs.dct.sampling import downsampled
from haarchive.codecs.dct.steps import find_steps
from haarchive.codecs.dct.transform import BLOCK, blocks_of, coefficients_of

__all__ = ["clean_blocks", "component_of", "find_quantised", "rounded"]

_CENTRE = 128
_FEW = 96


def component_of(goal: NDArray[np.float32], component: int, history: History) -> NDArray[np.float32]:
    """A component ``(h, w)`` in its own size, of the samples ``(3, H, W)`` of all of a region of complete units."""
    if component == 0:
        luma: NDArray[np.float32] = goal[0]
        return luma
    region = history.region
    lines = history.chroma_lines(region.top, region.left, region.bottom, region.right)
    return downsampled(goal[component], history.sampling, lines)


def clean_blocks(unclipped: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The blocks without samples that may have been clipped; where there are few, those with the fewest."""
    doubtful = BLOCK * BLOCK - np.count_nonzero(blocks_of(unclipped), axis=(2, 3))
    few = min(_FEW, doubtful.size) - 1
    clean: NDArray[np.bool_] = doubtful <= np.partition(doubtful.ravel(), few)[few]
    return clean


def find_quantised(
    plane: NDArray[np.float32], clean: NDArray[np.bool_], enlarged: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.int32]] | None:
    """The steps of a component, from its clean blocks, and its coefficients."""
    coefficients = coefficients_of(np.ascontiguousarray(blocks_of(plane)) - _CENTRE)
    steps = find_steps(coefficients[clean].reshape(-1, BLOCK * BLOCK), enlarged=enlarged)
    return None if steps is None else (steps, _divided(coefficients, steps))


def rounded(plane: NDArray[np.float32], steps: NDArray[np.int64]) -> NDArray[np.int32]:
    """The coefficients ``(64, h, w)`` of a component ``(8 h, 8 w)`` of 0 to 255, by steps that are known."""
    return _divided(coefficients_of(np.ascontiguousarray(blocks_of(plane)) - _CENTRE), steps)


def _divided(coefficients: NDArray[np.float32], steps: NDArray[np.int64]) -> NDArray[np.int32]:
    height, width = coefficients.shape[:2]
    quotients = np.rint(coefficients.reshape(height, width, 64) / steps.astype(np.float32)).astype(np.int32)
    return np.ascontiguousarray(np.moveaxis(quotients, 2, 0))
