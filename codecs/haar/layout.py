"""Where the taps of a plane of a band lie in the arrays of a `Band`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.haar.taps import BandSpec, Tap, band_taps, rich_taps

__all__ = ["Layout", "long_layout", "short_layout", "unfitted_layout"]

_UNFITTED = 3
"""Taps of the coarsest band where nothing is fitted: to the left, above, and above to the left."""


@dataclass(frozen=True, eq=False)
class Layout:
    """Taps, the causal ones last.

    Parameters
    ----------
    sources, dy, dx : ndarray, shape (k,), int64
        Of each tap the plane in `Band.planes`, and its offsets.
    centres : ndarray, shape (k,), int64
        The plane whose sample at the place is subtracted; -1 for none.
    causal : int
        Taps before this one look at what is known before the plane is coded.
    """

    sources: NDArray[np.int64]
    dy: NDArray[np.int64]
    dx: NDArray[np.int64]
    centres: NDArray[np.int64]
    causal: int

    @property
    def count(self) -> int:
        """How many taps there are."""
        return self.sources.size

    def only(self, kept: NDArray[np.int64]) -> Layout:
        """Some of the taps, by ascending number."""
        causal = int(np.searchsorted(kept, self.causal))
        return Layout(self.sources[kept], self.dy[kept], self.dx[kept], self.centres[kept], causal)


@lru_cache(maxsize=256)
def short_layout(spec: BandSpec, plane: int, planes: int) -> Layout:
    """The short list of taps of plane number `plane` of `planes`."""
    return _layout(spec, plane, planes, band_taps(spec, plane))


@lru_cache(maxsize=256)
def long_layout(spec: BandSpec, plane: int, planes: int) -> Layout:
    """The long list."""
    return _layout(spec, plane, planes, rich_taps(spec, plane, planes))


@lru_cache(maxsize=256)
def unfitted_layout(spec: BandSpec, plane: int, planes: int) -> Layout:
    """The taps of a band that is too small for a fit: three in the coarsest, else none."""
    return _layout(spec, plane, planes, () if spec.lows else spec.taps[:_UNFITTED])


def _layout(spec: BandSpec, plane: int, planes: int, taps: Sequence[Tap]) -> Layout:
    taps = sorted(taps, key=lambda tap: tap.source == "self")
    own = (spec.lows + spec.details) * planes
    places = np.array([_place(spec, plane, planes, own, tap) for tap in taps], np.int64).reshape(-1, 4)
    sources, dy, dx, centres = np.ascontiguousarray(places.T)
    return Layout(sources, dy, dx, centres, sum(tap.source != "self" for tap in taps))


def _place(spec: BandSpec, plane: int, planes: int, own: int, tap: Tap) -> tuple[int, int, int, int]:
    of = plane if tap.plane is None else tap.plane
    match tap.source:
        case "low":
            source = tap.index * planes + of
        case "detail":
            source = (spec.lows + tap.index) * planes + of
        case "cross":
            source = own + tap.index
        case _:
            source = own + plane
    return source, tap.dy, tap.dx, of if tap.source == "low" else -1
