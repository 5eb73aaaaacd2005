"""Families of learned flows: what a job sends pictures and sound to.

Which samples a flow can code is a matter of the source, and scanning finds it; which flow codes them is a matter of
the job. So sources are scanned for 'haar', and the job's layouts name the family that it was told to use.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from haarchive.codecs.haar.presets import Preset
from haarchive.pipeline.layout import SourceLayout

__all__ = ["FLOWS", "PICTURE_FLOWS", "FlowFamily", "FlowName", "route", "specialists_of"]

FlowFamily = Literal["haar", "idf"]
FlowName = Literal["haar", "haar-audio", "idf", "idf-audio"]

PICTURE_FLOWS = frozenset({"haar", "idf"})
"""Codecs of pictures whose leading bands are a picture of lower resolution."""

FLOWS = PICTURE_FLOWS | {"haar-audio", "idf-audio"}
"""All learned codecs, by the names that planes and manifests have for them."""


def specialists_of(preset: Preset) -> tuple[str, ...]:
    """The codecs that see pictures of 8 bits before a flow does: far better on what once was JPEG or JPEG 2000.

    They are quick to see what was not. Where time counts most, what was JPEG 2000 goes to the flow, which is several
    times as fast as going back to wavelets.
    """
    return ("dct",) if preset == "fast" else ("dct", "dwt")


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
