"""Which samples the adaptive predictor of a band looks at.

A plane of a picture is lifted once along its columns and once along its rows, and its three detail bands are coded
one after the other on the grid of the coarse band ``ll``. Each has a *context* of what the decoder has by then:

===========  ==============================================  ===========================  =================
band         what it holds                                   low bands known              details known
===========  ==============================================  ===========================  =================
``v``        vertical detail of the low columns              ``ll``                       -
``he``       horizontal detail of the even rows              even rows, odd rows          -
``ho``       horizontal detail of the odd rows               odd rows, even rows          ``he``
===========  ==============================================  ===========================  =================

Sound is one row: its only band ``h`` is the detail along time given the low band. A tap names one neighbour. Taps on
a low band count as differences from the low band's sample at the same position, so that a constant picture
predicts a detail of zero.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["AUDIO_BANDS", "AUDIO_COARSEST", "COARSEST", "IMAGE_BANDS", "BandSpec", "Tap", "band_taps", "rich_taps"]


@dataclass(frozen=True)
class Tap:
    """One neighbour.

    Parameters
    ----------
    source : {'low', 'detail', 'cross', 'self'}
        A known low band of the same plane, a known detail band of the same plane, this band in a plane coded
        before, or this band itself (then causal: above, or to the left in the same row).
    index : int
        Which low band, detail band or earlier plane.
    dy, dx : int
        Offset in rows and columns.
    plane : int, optional
        For low and detail bands, the plane that is looked at; None is the plane being coded.
    """

    source: str
    index: int
    dy: int
    dx: int
    plane: int | None = None


@dataclass(frozen=True, eq=False)
class BandSpec:
    """A detail band and its neighbourhood.

    Parameters
    ----------
    name : str
    lows, details : int
        How many low bands and detail bands its context has.
    taps : tuple of Tap
        Neighbours in this plane; those of earlier planes follow by `band_taps`.
    cross : tuple of (dy, dx)
        Neighbours in each plane coded before.
    """

    name: str
    lows: int
    details: int
    taps: tuple[Tap, ...]
    cross: tuple[tuple[int, int], ...]


def _taps(source: str, index: int, offsets: list[tuple[int, int]], plane: int | None = None) -> list[Tap]:
    return [Tap(source, index, dy, dx, plane) for dy, dx in offsets]


_CAUSAL = _taps("self", 0, [(0, -1), (-1, 0), (-1, -1), (-1, 1), (0, -2), (-2, 0)])
_CROSS = ((0, 0), (0, -1), (0, 1), (-1, 0), (1, 0))
_RING = [(-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1)]
_SIDES = [(0, -1), (0, 1), (0, -2), (0, 2), (-1, 0), (1, 0), (-1, -1), (-1, 1), (1, -1), (1, 1)]

IMAGE_BANDS = (
    BandSpec("v", 1, 0, tuple(_taps("low", 0, [*_RING, (-2, 0), (2, 0), (0, -2), (0, 2)]) + _CAUSAL), _CROSS),
    BandSpec(
        "he",
        2,
        0,
        tuple(
            _taps("low", 0, _SIDES) + _taps("low", 1, [(0, 0), (0, -1), (0, 1), (-1, 0), (-1, -1), (-1, 1)]) + _CAUSAL
        ),
        _CROSS,
    ),
    BandSpec(
        "ho",
        2,
        1,
        tuple(
            _taps("low", 0, _SIDES)
            + _taps("low", 1, [(0, 0), (0, -1), (0, 1), (1, 0), (1, -1), (1, 1)])
            + _taps("detail", 0, [(0, 0), (1, 0), (0, -1), (0, 1), (1, -1), (1, 1)])
            + _CAUSAL
        ),
        _CROSS,
    ),
)
"""The three detail bands of a level of a picture, in coding order."""

COARSEST = BandSpec("ll", 0, 0, tuple(_CAUSAL), _CROSS)
"""The coarsest band, coded before all others."""

AUDIO_BANDS = (
    BandSpec(
        "h",
        1,
        0,
        tuple(
            _taps("low", 0, [(0, dx) for dx in range(-8, 9) if dx]) + _taps("self", 0, [(0, -dx) for dx in range(1, 9)])
        ),
        tuple((0, dx) for dx in range(-4, 5)),
    ),
)
"""The one detail band of a level of sound."""

AUDIO_COARSEST = BandSpec(
    "l", 0, 0, tuple(_taps("self", 0, [(0, -dx) for dx in range(1, 17)])), tuple((0, dx) for dx in range(-4, 9))
)
"""The coarsest band of sound: all of it where a recording is better not split at all."""


def band_taps(band: BandSpec, plane: int) -> tuple[Tap, ...]:
    """All taps of a band in plane number `plane`; at most the two planes before it are looked at."""
    cross = [Tap("cross", before, dy, dx) for before in range(max(0, plane - 2), plane) for dy, dx in band.cross]
    return (*band.taps, *cross)


_RICH_CAUSAL = [
    *((t.dy, t.dx) for t in _CAUSAL),
    *((-1, -2), (-1, 2), (-2, -1), (-2, 1), (-2, -2), (-2, 2), (0, -3), (-3, 0)),
]
_RICH_CROSS = [*_CROSS, (-1, -1), (-1, 1), (1, -1), (1, 1), (0, -2), (0, 2), (-2, 0), (2, 0)]
_SQUARE = [(dy, dx) for dy in range(-2, 3) for dx in range(-2, 3) if (dy, dx) != (0, 0)]
_BESIDE = [(0, 0), (0, -1), (0, 1), (1, 0), (-1, 0)]
_BELOW = [(0, 0), (1, 0), (0, -1), (0, 1), (1, -1), (1, 1)]
_RICH_BELOW = [
    *_BELOW,
    *((-1, 0), (2, 0), (0, -2), (0, 2), (1, -2), (1, 2), (-1, -1), (-1, 1), (2, -1), (2, 1)),
]


def rich_taps(band: BandSpec, plane: int, planes: int) -> tuple[Tap, ...]:
    """Taps of a band of plane number `plane` out of `planes`: two rings, and what is known of other planes.

    At most the two planes before and the two after are looked at.
    """
    taps = _taps("self", 0, _RICH_CAUSAL)
    if band.lows:
        taps += _taps("low", 0, _SQUARE)
    if band.lows > 1:
        taps += _taps("low", 1, [(0, 0), *_SQUARE])
    if band.details:
        taps += _taps("detail", 0, _RICH_BELOW)
    for other in range(max(0, plane - 2), min(planes, plane + 3)):
        if other < plane:
            taps += _taps("cross", other, _RICH_CROSS)
        if other == plane:
            continue
        if band.lows:
            taps += _taps("low", 0, _SIDES if band.lows > 1 else _RING, other)
        if band.lows > 1:
            taps += _taps("low", 1, _BESIDE, other)
        if band.details:
            taps += _taps("detail", 0, _BELOW, other)
    return tuple(taps)
