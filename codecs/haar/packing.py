"""Pictures whose samples never have some of the values in their range: the used values are numbered.

Contrast stretched by a factor in software leaves such gaps, and pictures of 8 bits that were made ones of 16. Numbered,
they are what they were before, in all of the pyramid: histogram packing. Where values are rare and not absent, see
`occurrences`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.haar.remap import SampleMap

__all__ = ["find_maps", "pack", "unpack"]

_COMMON = 0.9
_VISITS, _MANY_VISITS = 8, 32
_DENSE = 0.9
_COST = 6


def find_maps(counts: Sequence[NDArray[np.int64]]) -> tuple[SampleMap, ...]:
    """A map for each plane, or nothing where no plane gains from one.

    Parameters
    ----------
    counts : sequence of ndarray, int64
        The `haarchive.codecs.planes.histogram` of each plane.
    """
    maps = tuple(_find_map(of_plane) for of_plane in counts)
    return () if all(one.trivial for one in maps) else maps


def pack(planes: NDArray[np.int32], maps: Sequence[SampleMap]) -> NDArray[np.int32]:
    """Number the samples of each plane."""
    return np.stack([one.forward(plane) for one, plane in zip(maps, planes, strict=True)]).astype(np.int32)


def unpack(planes: NDArray[np.int32], maps: Sequence[SampleMap], *, exact: bool) -> NDArray[np.int32]:
    """Undo `pack`.

    Parameters
    ----------
    planes : ndarray, shape (P, H, W), int32
    maps : sequence of SampleMap
    exact : bool
        Whether any other number is damage; means of numbers may leave the range by rounding, and are clipped.

    Raises
    ------
    BitstreamError
        If there is no such number.
    """
    wide = planes.astype(np.int64)
    if not exact:
        wide = np.stack(
            [
                plane.clip(0, one.values.size - 1) if one.values.size else plane
                for one, plane in zip(maps, wide, strict=True)
            ]
        )
    values = [one.inverse(plane) for one, plane in zip(maps, wide, strict=True)]
    # Damaged maps have any values.
    return np.stack(values).clip(-1, 1 << 17).astype(np.int32)


def _find_map(counts: NDArray[np.int64]) -> SampleMap:
    used, samples = np.flatnonzero(counts), int(counts.sum())
    if used.size < 2:
        return SampleMap()
    # The ends of a histogram have gaps by chance.
    below = counts.cumsum() / samples
    first, last = (int(np.searchsorted(below, (1 + side * _COMMON) / 2)) for side in (-1, 1))
    span = last - first + 1
    density = np.count_nonzero(counts[first : last + 1]) / span
    if density >= _DENSE:
        return SampleMap()
    cost = _COST * (2 + np.count_nonzero(np.diff(used, 2))) + used.size / 64
    # Of many samples to each possible value, or very many to each that occurs, none at others is no chance.
    sure = samples >= min(_VISITS * span, _MANY_VISITS * used.size)
    return SampleMap(0, used) if sure and samples * -np.log2(density) > 2 * cost else SampleMap()
