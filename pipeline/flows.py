"""Families of learned flows: what a job sends pictures and sound to.

Which samples a flow can code is a matter of the source, and scanning finds it; which flow codes them is a matter of
the job. So sources are scanned for 'haar', and the job's layouts name the family that it was told to use.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from haarchive.pipeline.layout import SourceLayout

__all__ = ["FLOWS", "PICTURE_FLOWS", "FlowFamily", "FlowName", "route"]

FlowFamily = Literal["haar", "idf"]
FlowName = Literal["haar", "haar-audio", "idf", "idf-audio"]

PICTURE_FLOWS = frozenset({"haar", "idf"})
"""Codecs of pictures whose leading bands are a picture of lower resolution."""

FLOWS = PICTURE_FLOWS | {"haar-audio", "idf-audio"}
"""All learned codecs, by the names that planes and manifests have for them."""


def route(layout: SourceLayout, family: FlowFamily) -> SourceLayout:
    """A layout as it was scanned, with the planes that a flow can code going to those of `family`.

    Parameters
    ----------
    layout : SourceLayout
    family : {'haar', 'idf'}

    Returns
    -------
    SourceLayout
        What no flow can code goes where it went.
    """
    names = {"haar": family, "haar-audio": f"{family}-audio"}
    planes = tuple(replace(plane, codec=names.get(plane.codec, plane.codec)) for plane in layout.planes)
    return replace(layout, planes=planes)
