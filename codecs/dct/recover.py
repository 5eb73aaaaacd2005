"""Recovering the coefficients that a picture was decoded from; only encoders search.

What is found need not be what once was: it is taken if it decodes to the same samples, but for a few.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.dct.chroma import all_histories, by_quality, complete
from haarchive.codecs.dct.coefficients import LARGEST_COEFFICIENT
from haarchive.codecs.dct.edges import Seen, with_edges
from haarchive.codecs.dct.history import History
from haarchive.codecs.dct.inverse import INVERSES
from haarchive.codecs.dct.origin import find_origin
from haarchive.codecs.dct.quantised import clean_blocks, component_of, find_quantised, rounded
from haarchive.codecs.dct.sampling import downsampled
from haarchive.codecs.dct.seams import find_seams
from haarchive.codecs.haar.ycbcr import from_rgb, likely

__all__ = ["Recovered", "recover"]

_TO_YCC = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], np.float32)
"""JFIF's conversion (ITU-T T.871, section 7)."""
_CENTRE = 128
_MOST_MISSED = 0.1
"""Part of the samples that may come out wrong; each is coded for itself."""
_OTHERWISE = 0.002
"""Where an inverse transform leaves more of the samples wrong, another may have been used: the two differ in 3 %."""
_HARDLY_ANY = 0.0001
"""Of the samples: not worth another round."""
_HOPELESS = 0.25
_ROUNDS = 6
_REACH = 6


@dataclass(frozen=True, eq=False)
class Recovered:
    """A history and the coefficients that go with it.

    Parameters
    ----------
    history : History
    components : list of ndarray, shape (64, h, w), int32
    decoded : ndarray, shape (C, H, W), int32
        The samples of all units that they give.
    """

    history: History
    components: list[NDArray[np.int32]]
    decoded: NDArray[np.int32]


def recover(planes: NDArray[np.int32]) -> Recovered | None:
    """Find out whether a picture was a JPEG, and which.

    Parameters
    ----------
    planes : ndarray, shape (C, H, W), int32
        0 to 255; grey or RGB.

    Returns
    -------
    Recovered, optional
        None where nothing is found that decodes to nearly all of the samples.
    """
    luma = np.tensordot(_TO_YCC[0], planes.astype(np.float32), 1) if len(planes) == 3 else planes[0].astype(np.float32)
    origin = find_origin(luma)
    if origin is None:
        return None
    shape = (planes.shape[1], planes.shape[2], len(planes))
    if len(planes) == 3 and likely(planes) == "ycbcr":
        return _recover_converted(planes, shape, origin)
    history = complete(History(shape, False, (1, 1), origin, (0, 0), np.ones((len(planes), 64), np.int64)))
    inside = planes[:, *history.region.slices]
    found = [find_quantised(plane.astype(np.float32), clean_blocks((plane > 0) & (plane < 255))) for plane in inside]
    if any(one is None for one in found):
        return None
    made = _made(history, [one for one in found if one is not None], inside)
    return _extended(made, planes, planes - _CENTRE) if _is_near(made, inside) else None


def _recover_converted(
    planes: NDArray[np.int32], shape: tuple[int, int, int], origin: tuple[int, int]
) -> Recovered | None:
    """Recover Y, Cb, Cr, of full size or not."""
    ycc, _ = from_rgb("ycbcr", planes)
    # First what luma's quality tells: little chroma is enough for that.
    likeliest = by_quality(planes, ycc, origin)
    if likeliest is not None and (found := _with_sampling(likeliest, planes, ycc, known=True)) is not None:
        return _extended(found, planes, ycc - np.array([_CENTRE, 0, 0])[:, None, None])
    for history in all_histories(shape, origin):
        if (found := _with_sampling(history, planes, ycc)) is not None:
            return _extended(found, planes, ycc - np.array([_CENTRE, 0, 0])[:, None, None])
    return None


def _extended(recovered: Recovered, planes: NDArray[np.int32], goal: NDArray[np.integer]) -> Recovered:
    """With the units that the picture's edges cut, as far as they can be recovered; `goal` is centred on zero."""
    history = recovered.history
    seen = [Seen(goal[0].astype(np.float32), history.origin)]
    rows, columns = history.sampling
    top, left = history.origin[0] % rows, history.origin[1] % columns
    for one in goal[1:]:
        # Samples of chroma of which only a part is seen are left out.
        height, width = (
            (side - first) // n * n for side, first, n in zip(one.shape, (top, left), (rows, columns), strict=True)
        )
        whole = one[top : top + height, left : left + width].astype(np.float32)
        lines = history.chroma_lines(top, left, top + height, left + width)
        small = downsampled(whole, history.sampling, lines)
        seen.append(Seen(small, (history.origin[0] // rows, history.origin[1] // columns)))
    history, components, decoded = with_edges(history, recovered.components, seen, planes)
    if decoded is None:
        return recovered
    bounded = _bounded(history, components)
    if not all(map(np.array_equal, bounded, components)):
        decoded = history.decode(bounded)
    return Recovered(history, bounded, decoded)


def _with_sampling(
    history: History, planes: NDArray[np.int32], ycc: NDArray[np.int32], *, known: bool = False
) -> Recovered | None:
    """Recover components of one sampling, whose steps are `known` or found."""
    inside = planes[:, *history.region.slices]
    goal = ycc[:, *history.region.slices].astype(np.float32)
    # Chroma first: of all samplings only one has a lattice.
    goal[1:] += _CENTRE
    clipped = ((inside == 0) | (inside == 255)).any(axis=0)
    quantised: dict[int, tuple[NDArray[np.int64], NDArray[np.int32]]] = {}
    for component in (1, 2, 0):
        if known:
            steps = history.steps[component]
            quantised[component] = steps, rounded(component_of(goal, component, history), steps)
            continue
        rows, columns = history.sampling if component else (1, 1)
        doubtful = _grown(clipped) if rows * columns > 1 else clipped
        found = find_quantised(
            component_of(goal, component, history), clean_blocks(~doubtful[::rows, ::columns]), rows * columns > 1
        )
        if found is None:
            return None
        quantised[component] = found
    best = _made(history, [quantised[n] for n in range(3)], inside)
    wrong = _wrong(best, inside)
    if history.sampling != (1, 1) and _HARDLY_ANY * inside.size < wrong < _HOPELESS * inside.size:
        tiled = replace(best.history, seams=find_seams(best.history, best.components, best.decoded, inside))
        if tiled.seams != best.history.seams and (better := _wrong(now := _again(tiled, goal, inside), inside)) < wrong:
            best, wrong = now, better
    for _ in range(_ROUNDS):
        if not clipped.any() or not _HARDLY_ANY * inside.size < wrong < _HOPELESS * inside.size:
            break
        # Clipping left several Y, Cb, Cr to choose from: those next to what was decoded are better than the first.
        again = best.history.decode_components(best.components)
        missing = (inside - best.decoded).astype(np.float32)
        nearer = again + np.tensordot(_TO_YCC, missing, 1)
        goal = np.where(clipped, nearer, goal)
        now = _again(best.history, goal, inside)
        if (better := _wrong(now, inside)) >= wrong:
            break
        best, wrong = now, better
    return best if wrong <= _MOST_MISSED * inside.size else None


def _again(history: History, goal: NDArray[np.float32], inside: NDArray[np.int32]) -> Recovered:
    """With steps that are known."""
    steps = history.steps
    return _made(history, [(one, rounded(component_of(goal, n, history), one)) for n, one in enumerate(steps)], inside)


def _grown(clipped: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Also what is near enough to clipped samples for them to be felt where chroma is taken back to its size."""
    padded = np.pad(clipped, _REACH)
    height, width = clipped.shape
    rows = np.any([padded[n : n + height] for n in range(2 * _REACH + 1)], axis=0)
    grown: NDArray[np.bool_] = np.any([rows[:, n : n + width] for n in range(2 * _REACH + 1)], axis=0)
    return grown


def _made(
    history: History, quantised: Sequence[tuple[NDArray[np.int64], NDArray[np.int32]]], inside: NDArray[np.int32]
) -> Recovered:
    """Decoded by the inverse transform that comes nearest to the samples."""
    history = replace(history, steps=np.stack([steps for steps, _ in quantised]))
    components = _bounded(history, [coefficients for _, coefficients in quantised])
    made = []
    for inverse in INVERSES:
        by_this = replace(history, inverse=inverse)
        made.append(Recovered(by_this, components, by_this.decode(components)))
        if _wrong(made[-1], inside) <= _OTHERWISE * inside.size:
            return made[-1]
    return min(made, key=lambda one: _wrong(one, inside))


def _bounded(history: History, components: Sequence[NDArray[np.int32]]) -> list[NDArray[np.int32]]:
    """Coefficients within what can be coded."""
    bounds = (LARGEST_COEFFICIENT - 1) // history.steps[:, :, None, None]
    return [np.clip(one, -bound, bound).astype(np.int32) for one, bound in zip(components, bounds, strict=True)]


def _is_near(recovered: Recovered, inside: NDArray[np.int32]) -> bool:
    return _wrong(recovered, inside) <= _MOST_MISSED * inside.size


def _wrong(recovered: Recovered, inside: NDArray[np.int32]) -> int:
    return int(np.count_nonzero(recovered.decoded != inside))
