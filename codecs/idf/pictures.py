"""Pictures as planes for flows, and planes as pictures again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.base import Samples
from haarchive.codecs.errors import BitstreamError, UnsupportedSamplesError
from haarchive.codecs.haar import ycbcr
from haarchive.codecs.haar.outliers import write_outliers
from haarchive.codecs.idf.escape import raw_samples
from haarchive.codecs.idf.header import COLOURS, DTYPES, MAX_PLANES, MAX_SIDE, IdfHeader
from haarchive.codecs.idf.placed import PlacedFlow
from haarchive.codecs.planes import common_divisor
from haarchive.codecs.rans.stream import OperationList

__all__ = ["Prepared", "halved", "prepare", "restore", "uncoded"]

_MIDDLE = 1 << 7


@dataclass(frozen=True, eq=False)
class Prepared:
    """A picture that is to be coded.

    Parameters
    ----------
    header : IdfHeader
    planes : ndarray, shape (C, H, W), int32
        Divided by the header's divisor; of a converted picture the first three are ``Y - 128, -Cr, -Cb``.
    outliers : OperationList
        The pixels that its conversion does not give.
    """

    header: IdfHeader
    planes: NDArray[np.int32]
    outliers: OperationList


def prepare(samples: Samples, flows: Mapping[str, PlacedFlow], *, adaptive: bool) -> Prepared:
    """See what a picture is, and take it apart.

    Parameters
    ----------
    samples : ndarray, shape (H, W, C)
    flows : Mapping of str to PlacedFlow
        That it will be coded with.
    adaptive : bool

    Raises
    ------
    UnsupportedSamplesError
        If it is nothing that the codec takes.
    """
    fits = samples.ndim == 3 and max(samples.shape[:2]) <= MAX_SIDE and samples.shape[2] <= MAX_PLANES
    if not fits or samples.dtype not in DTYPES:
        raise UnsupportedSamplesError(
            f"idf takes (H, W, C) uint8 or uint16 up to {MAX_SIDE} a side with up to {MAX_PLANES} planes, "
            f"not {samples.shape} {samples.dtype}"
        )
    planes = np.ascontiguousarray(np.moveaxis(samples, 2, 0)).astype(np.int32)
    divisor = common_divisor(planes)
    if divisor > 1:
        planes //= divisor
    bits = max(8, int(planes.max(initial=0)).bit_length())
    shape = (samples.shape[0], samples.shape[1], samples.shape[2])
    header = IdfHeader(samples.dtype, shape, bits, divisor, adaptive=adaptive)
    outliers = OperationList()
    if samples.dtype == np.uint8 and divisor == 1 and shape[2] >= COLOURS and _know_differences(flows):
        found = ycbcr.find(planes[:COLOURS])
        if found:
            if found.missed.any():
                write_outliers(found.missed, planes[:COLOURS], outliers)
            header = replace(header, conversion=found.name, outliers=outliers.n > 0)
            luma, cb, cr = found.ycc
            planes[:COLOURS] = luma - _MIDDLE, -cr, -cb
    return Prepared(header, planes, outliers)


def restore(header: IdfHeader, planes: NDArray[np.int32], reduce: int = 0, *, exact: bool = True) -> Samples:
    """Undo `prepare`, but for outliers.

    Parameters
    ----------
    header : IdfHeader
    planes : ndarray, shape (C, H, W), int32
    reduce : int
        How often the flow halved them.
    exact : bool
        Whether they must be what `prepare` gave, so that anything else is damage.

    Raises
    ------
    BitstreamError
        If they leave their range, and are exact.
    """
    if header.conversion is not None:
        # Lifting rounds down, by 1/4 a step on average: red and blue, where luma and chroma add up, show it.
        luma, cr, cb = planes[:COLOURS] + (reduce >> 1)
        rgb = ycbcr.to_rgb(header.conversion, np.stack([luma + _MIDDLE, -cb, -cr]))
        planes = np.concatenate([rgb, planes[COLOURS:]])
    top = np.iinfo(header.dtype).max // header.divisor
    if exact and planes.size and (planes.min() < 0 or planes.max() > top):
        raise BitstreamError("decoded samples leave their range: the bitstream is damaged")
    return np.ascontiguousarray(np.moveaxis(planes.clip(0, top) * header.divisor, 0, 2).astype(header.dtype))


def uncoded(header: IdfHeader, data: memoryview) -> Samples:
    """Samples of a bitstream that holds them as they are, or has none."""
    return raw_samples(data, header.shape, header.dtype) if header.raw else np.zeros(header.shape, header.dtype)


def halved(samples: Samples, times: int) -> Samples:
    """Halve a picture: floors of the means of each four, sides rounded up, edges repeated."""
    for _ in range(times):
        down, across = samples.shape[0] % 2, samples.shape[1] % 2
        # A picture without samples has no edge to repeat.
        samples = np.pad(samples, ((0, down), (0, across), (0, 0)), mode="edge" if samples.size else "empty")
        wide = samples.astype(np.uint32)
        total = wide[0::2, 0::2] + wide[0::2, 1::2] + wide[1::2, 0::2] + wide[1::2, 1::2]
        samples = (total >> 2).astype(samples.dtype)
    return samples


def _know_differences(flows: Mapping[str, PlacedFlow]) -> bool:
    """Whether a flow of three planes was trained on luma and differences, which Y, Cb, Cr resemble."""
    return "p3" not in flows or flows["p3"].flow.colour != "none"
