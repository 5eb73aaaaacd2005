"""Pictures as planes that are lifted, and planes as pictures again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.base import Samples
from haarchive.codecs.errors import BitstreamError
from haarchive.codecs.haar import colour, ycbcr
from haarchive.codecs.haar.image_header import ImageHeader
from haarchive.codecs.haar.occurrences import Occurrences
from haarchive.codecs.haar.packing import unpack
from haarchive.codecs.haar.remap import SampleMap
from haarchive.codecs.planes import plane_groups
from haarchive.codecs.rans.stream import OperationList

__all__ = ["SideInformation", "centred", "uncentred"]


@dataclass(frozen=True, eq=False)
class SideInformation:
    """What a bitstream holds of a whole picture besides its header.

    Parameters
    ----------
    maps : tuple of SampleMap
        Of each plane; none where samples are as they are.
    occurrences : Occurrences, optional
    outliers : OperationList
        The pixels that the colour transform does not reproduce.
    """

    maps: tuple[SampleMap, ...] = ()
    occurrences: Occurrences | None = None
    outliers: OperationList = field(default_factory=OperationList)


def centred(planes: NDArray[np.int32], colours: NDArray[np.int32], bits: int) -> NDArray[np.int32]:
    """Planes, the first of which are replaced by transformed colours, each group's first centred on zero."""
    x = planes.copy()
    x[: len(colours)] = colours
    for group in plane_groups(len(x)):
        x[group.start] -= 1 << (bits - 1)
    return x


def uncentred(x: NDArray[np.int32], header: ImageHeader, reduce: int, maps: Sequence[SampleMap]) -> Samples:
    """Undo `centred`; averages of a reduced picture may leave the range by rounding and are clipped."""
    x = x.copy()
    for group in plane_groups(len(x)):
        x[group.start] += 1 << (header.bits - 1)
    if header.transform in ycbcr.CONVERSIONS:
        # Lifting rounds down, by 1/4 a step on average: red and blue, where luma and chroma add up, show it.
        x[:3] = ycbcr.to_rgb(header.transform, x[:3] + (reduce >> 1))
    elif header.transform != "none":
        x[:3] = colour.inverse(header.transform, x[:3])
    top = np.iinfo(header.dtype).max // header.divisor
    exact = reduce == header.dropped == 0
    if maps:
        x = unpack(x, maps, exact=exact)
    if exact and x.size and (x.min() < 0 or x.max() > top):
        raise BitstreamError("decoded samples leave their range: the bitstream is damaged")
    return np.ascontiguousarray(np.moveaxis(x.clip(0, top) * header.divisor, 0, 2).astype(header.dtype))
