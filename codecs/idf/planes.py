"""Planes of a picture and the flows that they go through."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.haar import colour
from haarchive.codecs.idf.header import COLOURS, IdfHeader
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


def centred(planes: NDArray[np.int32], header: IdfHeader, placed: PlacedFlow, part: slice) -> NDArray[np.int32]:
    """What a flow is given of a picture's planes: transformed colours, centred on zero.

    Parameters
    ----------
    planes : ndarray, shape (C, H, W), int32
        As `haarchive.codecs.idf.pictures.prepare` leaves them.
    header : IdfHeader
    placed : PlacedFlow
    part : slice
        The planes that go through it.
    """
    if _converted(header, part):
        return planes[part]
    transform = placed.flow.colour
    x = colour.forward(transform, planes[part]).copy()
    x[_own(transform, len(x))] -= 1 << (header.bits - 1)
    return x


def uncentred(x: NDArray[np.int32], header: IdfHeader, placed: PlacedFlow, part: slice) -> NDArray[np.int32]:
    """Undo `centred`, for the planes of one flow."""
    if _converted(header, part):
        return x
    transform = placed.flow.colour
    x = x.copy()
    x[_own(transform, len(x))] += 1 << (header.bits - 1)
    return colour.inverse(transform, x)


def _converted(header: IdfHeader, part: slice) -> bool:
    """Whether planes are luma or chroma already."""
    return header.conversion is not None and part.start < COLOURS


def _own(transform: str, planes: int) -> slice:
    """The planes that are no differences of others: the first, or without a transform all."""
    return slice(1 if transform != "none" else planes)
