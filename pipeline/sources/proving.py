"""Finding out whether compressed segments can be made again from their pixels, byte for byte."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.errors import SourceFormatError
from haarchive.pipeline.layout import Plane
from haarchive.pipeline.sources.deflate import find_recipes
from haarchive.pipeline.sources.files import SourceBytes
from haarchive.pipeline.sources.lzw import lzw_encode
from haarchive.pipeline.sources.lzw import recipes as lzw_recipes
from haarchive.pipeline.sources.packers import Packer, get_packer
from haarchive.pipeline.sources.scan import PlaneScan

__all__ = ["MAX_ASIDE", "prove_segments"]

MAX_ASIDE = 0.05
"""The largest fraction of a plane's segments that may fail to be reproduced."""

_PROBES = 3


def prove_segments(
    files: SourceBytes,
    plane: Plane,
    segment: NDArray[np.int64],
    offset: NDArray[np.int64],
    length: NDArray[np.int64],
) -> PlaneScan | None:
    """Find the recipe that a plane's segments were made by, and try it on each of them.

    Parameters
    ----------
    files : SourceBytes
    plane : Plane
        Its packer is 'lzw' or 'deflate', without a recipe, or 'raw'.
    segment, offset, length : ndarray of int64, shape (n,)

    Returns
    -------
    PlaneScan or None
        With the recipe, the segments that it reproduces, and the few that it does not, aside; None where
        those are more than `MAX_ASIDE` of all, or where a segment cannot be read at all.
    """
    where = list(zip(segment.tolist(), offset.tolist(), length.tolist(), strict=True))
    try:
        for recipe in _likely_recipes(files, plane, where):
            packer = get_packer(replace(plane, packer={**plane.packer, **recipe}))
            proven = _reproduced(files, packer, where)
            if proven is not None:
                aside = [place for place, good in zip(where, proven, strict=True) if not good]
                return PlaneScan(packer.plane, segment[proven], offset[proven], length[proven], aside)
    except SourceFormatError:
        return None
    return None


def _likely_recipes(files: SourceBytes, plane: Plane, where: Sequence[tuple[int, int, int]]) -> list[dict[str, Any]]:
    """What to add to the plane's packer: the recipes that make its largest segments, best first."""
    name = plane.packer["name"]
    if name == "raw":
        return [{}]
    packer = get_packer(plane)
    votes: dict[str, tuple[int, dict[str, Any]]] = {}
    for segment, offset, length in sorted(where, key=lambda place: -place[2])[:_PROBES]:
        data = files.read(offset, length)
        expected = int(np.prod([s.stop - s.start for s in packer.bounds(segment)], dtype=np.int64))
        raw = packer.decompress(data, expected * np.dtype(plane.dtype).itemsize)  # type: ignore[attr-defined]
        if name == "deflate":
            found = list(find_recipes(data, raw, plane.packer.get("container", "zlib")))
        else:
            found = [recipe for recipe in lzw_recipes() if lzw_encode(raw, **recipe) == data]
        for recipe in found:
            count, _ = votes.get(str(recipe), (0, recipe))
            votes[str(recipe)] = (count + 1, recipe)
    ranked = sorted(votes.values(), key=lambda vote: -vote[0])
    return [{"recipe": recipe} for count, recipe in ranked if count == ranked[0][0]]


def _reproduced(files: SourceBytes, packer: Packer, where: Sequence[tuple[int, int, int]]) -> NDArray[np.bool_] | None:
    """Which segments the packer reproduces; None as soon as too many are not."""
    allowed = int(MAX_ASIDE * len(where))
    proven = np.ones(len(where), np.bool_)
    for i, (segment, offset, length) in enumerate(where):
        data = files.read(offset, length)
        if packer.pack(packer.unpack(data, segment), segment) != data:
            proven[i] = False
            allowed -= 1
            if allowed < 0:
                return None
    return proven
