"""Planes of a picture and the flows that they go through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.haar import colour
from haarchive.codecs.idf.header import COLOURS, IdfHeader
from haarchive.codecs.idf.placed import PlacedFlow
from haarchive.codecs.planes import plane_groups
from haarchive.codecs.rans.stream import OperationList

__all__ = ["Prepared", "centred", "flow_units", "uncentred"]


@dataclass(frozen=True, eq=False)
class Prepared:
    """A picture that is to be coded (see `haarchive.codecs.idf.pictures.prepare`).

    Parameters
    ----------
    header : IdfHeader
    planes : ndarray, shape (C, H, W), int32
        Divided by the header's divisor; of a converted picture the first three are ``Y - 128, -Cr, -Cb``.
    outliers : OperationList
        The pixels that its conversion does not give.
    """

    header: IdfHeader
    planes: NDArray[np.int32]
    outliers: OperationList


def flow_units(flows: Mapping[str, PlacedFlow], planes: int) -> list[tuple[PlacedFlow, slice]]:
    """The flows of so many planes: one for three together where the model has it, and one for each of the rest."""
    units = []
    for group in plane_groups(planes):
        together = flows.get(f"p{group.stop - group.start}")
        parts = [group] if together else [slice(n, n + 1) for n in range(group.start, group.stop)]
        units += [(together or flows["p1"], part) for part in parts]
    return units


def centred(prepared: Prepared, placed: PlacedFlow, part: slice) -> NDArray[np.int32]:
    """What a flow is given of the planes that go through it: transformed colours, centred on zero."""
    planes = prepared.planes[part]
    if _converted(prepared.header, part):
        return planes
    transform = placed.flow.colour
    x = colour.forward(transform, planes).copy()
    x[_own(transform, len(x))] -= 1 << (prepared.header.bits - 1)
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
