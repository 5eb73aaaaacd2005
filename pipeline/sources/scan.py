"""What a look at a file's structure finds, and how that becomes a layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from haarchive.pipeline.layout import SKELETON_CHUNK, Member, Pieces, Plane, SourceLayout

__all__ = ["PlaneScan", "Scan", "make_layout"]


@dataclass(frozen=True)
class PlaneScan:
    """A plane, and where in the file its segments lie.

    Parameters
    ----------
    plane : Plane
        Of kind 'image', 'audio' or 'tiles'; the shape of a 'tiles' plane of one axis is settled by `make_layout`.
    segment, offset, length : ndarray of int64, shape (n,)
        The segments whose bytes the plane's packer reproduces.
    aside : sequence of (segment, offset, length)
        Segments whose samples belong to the plane but whose bytes it cannot reproduce: these stay in the
        skeleton.
    """

    plane: Plane
    segment: NDArray[np.int64]
    offset: NDArray[np.int64]
    length: NDArray[np.int64]
    aside: Sequence[tuple[int, int, int]] = ()


@dataclass(frozen=True)
class Scan:
    """The structure of a file: its kind, its planes, and facts for readers (see `SourceLayout`)."""

    kind: str
    planes: Sequence[PlaneScan] = ()
    attrs: Mapping[str, Any] = field(default_factory=dict)


def make_layout(name: str, members: tuple[Member, ...], scan: Scan) -> SourceLayout:
    """Settle which bytes belong to which plane.

    Pieces that reach outside of the file, or overlap one that begins before them, are given up: their bytes
    stay in the skeleton (several tiles may share the same bytes), and image planes name them in
    ``attrs["aside"]`` as
    ``[segment, offset, length]``.
    """
    size = sum(member.size for member in members)
    offset = _joined([p.offset for p in scan.planes])
    length = _joined([p.length for p in scan.planes])
    segment = _joined([p.segment for p in scan.planes])
    plane = np.repeat(np.arange(1, len(scan.planes) + 1), [len(p.offset) for p in scan.planes]).astype(np.int32)

    inside = (offset >= 0) & (length > 0) & (length <= size) & (offset <= size - length)
    order = np.flatnonzero(inside)
    order = order[np.argsort(offset[order], kind="stable")]
    accepted = order[_disjoint(offset[order], length[order])]
    given_up = np.setdiff1d(order, accepted)

    planes = [Plane("bytes", (size - int(length[accepted].sum()),), "uint8", (SKELETON_CHUNK,), "stored")]
    for number, found in enumerate(scan.planes, 1):
        attrs = dict(found.plane.attrs)
        if found.plane.kind == "tiles" and len(found.plane.shape) > 1:
            planes.append(found.plane)
            continue
        if found.plane.kind == "tiles":
            mine = accepted[plane[accepted] == number]
            mine = mine[np.argsort(segment[mine], kind="stable")]
            segment[mine] = np.arange(len(mine))
            planes.append(replace(found.plane, shape=(len(mine),)))
            continue
        lost = given_up[plane[given_up] == number]
        aside = sorted(
            [list(map(int, entry)) for entry in found.aside]
            + [[int(segment[i]), int(offset[i]), int(length[i])] for i in lost]
        )
        if aside:
            attrs["aside"] = aside
        planes.append(replace(found.plane, attrs=attrs))

    pieces = Pieces(offset[accepted], length[accepted], plane[accepted], segment[accepted])
    return SourceLayout(name, scan.kind, members, tuple(planes), pieces, dict(scan.attrs))


def _joined(columns: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(0, np.int64), *(np.asarray(column, np.int64) for column in columns)])


def _disjoint(offset: NDArray[np.int64], length: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Of pieces sorted by offset, those that overlap no accepted one before them."""
    keep = np.ones(len(offset), np.bool_)
    if len(offset) and (offset[1:] < (offset + length)[:-1]).any():
        end = 0
        for i, (begin, size) in enumerate(zip(offset.tolist(), length.tolist(), strict=True)):
            keep[i] = begin >= end
            end = begin + size if keep[i] else end
    return keep
