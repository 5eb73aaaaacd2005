"""Recovering the coefficients that a picture was decoded from; only encoders search."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.dwt.find_steps import find_steps
from haarchive.codecs.dwt.header import Header
from haarchive.codecs.dwt.origin import find_axes
from haarchive.codecs.dwt.pairs import CONVERSION, Halved, find_pairs, halve
from haarchive.codecs.dwt.pyramid import Pyramid, build, expected, rounded
from haarchive.codecs.haar.ycbcr import likely

__all__ = ["CENTRE", "Recovered", "recover"]

CENTRE = 128
"""Of luma: the transform takes it centred on zero."""

_MOST_MISSED = 0.15
"""Part of the samples of luma that may come out otherwise."""
_RIM = 8
_TOP = 255


@dataclass(frozen=True, eq=False)
class Recovered:
    """What was found.

    Parameters
    ----------
    header : Header
    pyramids : tuple of Pyramid
        Of luma, Cb and Cr.
    outliers : ndarray, shape (H, W), bool
        Pixels that they do not give.
    """

    header: Header
    pyramids: tuple[Pyramid, ...]
    outliers: NDArray[np.bool_]


def recover(rgb: NDArray[np.int32], constant: int | None = None) -> Recovered | None:
    """Take a picture back to coefficients; None where it was not JPEG 2000, as far as can be seen.

    Parameters
    ----------
    rgb : ndarray, shape (3, H, W), int32
        In ``[0, 255]``.
    constant : int, optional
        What all samples of a fourth plane are.
    """
    if likely(rgb) != CONVERSION:
        return None
    odd = find_pairs(rgb)
    if odd is None:
        return None
    halved, outliers = halve(rgb, odd)
    axes = find_axes(halved.luma - CENTRE, odd)
    if axes is None:
        return None
    steps = find_steps(halved.luma - CENTRE, *axes)
    header = Header(*axes, steps, constant, bool(outliers.any()))
    pyramids = _take_apart(header, halved)
    given = _given(header, pyramids)
    inside = (halved.luma != given.luma)[_RIM:-_RIM, _RIM:-_RIM]
    if inside.mean() > _MOST_MISSED:
        return None
    if ((rgb == 0) | (rgb == _TOP)).any():
        halved, outliers = halve(rgb, odd, given)
        header = Header(*axes, steps, constant, bool(outliers.any()))
        pyramids = _take_apart(header, halved)
    return Recovered(header, pyramids, outliers)


def _take_apart(header: Header, halved: Halved) -> tuple[Pyramid, ...]:
    components = halved.luma - CENTRE, halved.cb, halved.cr
    return tuple(
        build(component, *axes, header.steps) for component, axes in zip(components, header.component_axes, strict=True)
    )


def _given(header: Header, pyramids: tuple[Pyramid, ...]) -> Halved:
    """What coefficients of the finest level say."""
    luma, cb, cr = (
        rounded(expected(pyramid.samples[1], pyramid.numbers[0], 1, header.steps, *axes), 1)
        for pyramid, axes in zip(pyramids, header.component_axes, strict=True)
    )
    return Halved(luma + CENTRE, cb, cr)
