"""Planes of a picture and the flows that they go through."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.haar import colour
from haarchive.codecs.idf.placed import PlacedFlow
from haarchive.codecs.planes import plane_groups

__all__ = ["centred", "flow_units", "uncentred"]


def flow_units(flows: Mapping[str, PlacedFlow], planes: int) -> list[tuple[PlacedFlow, slice]]:
    """The flows of so many planes: one for three together where the model has it, and one for each of the rest."""
    units = []
    for group in plane_groups(planes):
        together = flows.get(f"p{group.stop - group.start}")
        parts = [group] if together else [slice(n, n + 1) for n in range(group.start, group.stop)]
        units += [(together or flows["p1"], part) for part in parts]
    return units


def centred(planes: NDArray[np.int32], transform: str, bits: int) -> NDArray[np.int32]:
    """Colour transform, then the first plane (of which the others are differences, or all) centred on zero."""
    x = colour.forward(transform, planes).copy()
    x[: 1 if transform != "none" else len(x)] -= 1 << (bits - 1)
    return x


def uncentred(x: NDArray[np.int32], transform: str, bits: int) -> NDArray[np.int32]:
    """Undo `centred`."""
    x = x.copy()
    x[: 1 if transform != "none" else len(x)] += 1 << (bits - 1)
    return colour.inverse(transform, x)
