"""The resolution levels of an archived image: those of the source, and more that its codec gives for free."""

from __future__ import annotations

from dataclasses import dataclass

from haarchive.pipeline.archive.geometry import reduced_shape
from haarchive.pipeline.flows import PICTURE_FLOWS
from haarchive.pipeline.layout import Plane, SourceLayout

__all__ = ["Level", "associated_planes", "find_levels", "picture_size"]

_VIRTUAL_LEVELS = 4
_SMALLEST = 64


@dataclass(frozen=True)
class Level:
    """One resolution of an image.

    Parameters
    ----------
    plane : int
        The plane that it is read from.
    reduce : int
        How many times that plane is halved; 0 for levels that the source has itself.
    width, height : int
        Pixels.
    downsample : float
        How many pixels of level 0 one of its pixels stands for, along an axis.
    """

    plane: int
    reduce: int
    width: int
    height: int
    downsample: float


def find_levels(layout: SourceLayout) -> tuple[Level, ...]:
    """The levels of a source from fine to coarse; none where it is no image.

    Levels of the source come first. Behind them come up to four virtual ones, each half as large as the one
    before, where the last of the source's own is coded by a flow, whose coarse bands are such levels: means
    of pixels, rounded down at every step, that serve viewing.
    """
    native: dict[int, int] = {}
    for number, plane in enumerate(layout.planes):
        if plane.kind in ("image", "tiles") and "level" in plane.attrs and "associated" not in plane.attrs:
            native.setdefault(int(plane.attrs["level"]), number)
    if not native:
        return ()
    full_height, full_width = picture_size(layout.planes[native[min(native)]])
    levels = []
    for _, number in sorted(native.items()):
        height, width = picture_size(layout.planes[number])
        downsample = (full_width / max(1, width) + full_height / max(1, height)) / 2
        levels.append(Level(number, 0, width, height, downsample))
    last = levels[-1]
    plane = layout.planes[last.plane]
    for reduce in range(1, _VIRTUAL_LEVELS + 1):
        height, width = reduced_shape((last.height, last.width), reduce)
        if not _halves(plane, reduce) or max(height, width) < _SMALLEST:
            break
        levels.append(Level(last.plane, reduce, width, height, last.downsample * (1 << reduce)))
    return tuple(levels)


def associated_planes(layout: SourceLayout) -> dict[str, int]:
    """Planes of images beside the pyramid (label, macro, thumbnail, ...), by name."""
    found: dict[str, int] = {}
    for number, plane in enumerate(layout.planes):
        if plane.kind in ("image", "tiles") and "associated" in plane.attrs:
            found.setdefault(str(plane.attrs["associated"]), number)
    return found


def picture_size(plane: Plane) -> tuple[int, int]:
    """Height and width of an image plane without the padding of its edge tiles."""
    height, width = plane.attrs.get("size", plane.shape[:2])
    return int(height), int(width)


def _halves(plane: Plane, reduce: int) -> bool:
    """Whether chunks still fit together, pixel by pixel, when each is halved `reduce` times."""
    if plane.kind != "image" or plane.codec not in PICTURE_FLOWS:
        return False
    along = zip(plane.grid[:2], plane.chunk_shape[:2], strict=True)
    return all(n == 1 or step % (1 << reduce) == 0 for n, step in along)
