"""Pictures as planes for flows, and planes as pictures again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.base import Samples
from haarchive.codecs.errors import BitstreamError, UnsupportedSamplesError
from haarchive.codecs.haar import ycbcr
from haarchive.codecs.haar.outliers import write_outliers
from haarchive.codecs.idf.encoding import Each, batches, one_by_one, write
from haarchive.codecs.idf.escape import raw_samples
from haarchive.codecs.idf.header import COLOURS, DTYPES, MAX_PLANES, MAX_SIDE, IdfHeader
from haarchive.codecs.idf.placed import PlacedFlow
from haarchive.codecs.idf.planes import Prepared
from haarchive.codecs.planes import common_divisor
from haarchive.codecs.rans.stream import OperationList

__all__ = ["halved", "of_ycbcr", "prepare", "restore", "uncoded"]

_MIDDLE = 1 << 7

_FEW_PIXELS = 48 * 48
"""From which couplings that adapt do not learn enough to make up for networks that know other colours."""

_TRIAL_SIDE = 32


def prepare(
    pictures: Sequence[Samples], flows: Mapping[str, PlacedFlow], *, adaptive: bool, each: Each = one_by_one
) -> list[Prepared]:
    """See what pictures are, and take them apart.

    Parameters
    ----------
    pictures : sequence of ndarray, shape (H, W, C)
    flows : Mapping of str to PlacedFlow
        That they will be coded with.
    adaptive : bool
    each : Each

    Raises
    ------
    UnsupportedSamplesError
        If one is nothing that the codec takes.
    """
    prepared = [_divided(picture, adaptive) for picture in pictures]
    if not _know_differences(flows):
        return prepared
    doubtful: dict[int, Prepared] = {}

    def look(n: int) -> None:
        converted = _converted(prepared[n])
        if converted is not None and _is_sure(converted.header):
            prepared[n] = converted
        elif converted is not None:
            doubtful[n] = converted

    each(look, len(prepared))
    pay = _pay(flows, [(converted, prepared[n]) for n, converted in doubtful.items()])
    for (n, converted), pays in zip(doubtful.items(), pay, strict=True):
        if pays:
            prepared[n] = converted
    return prepared


def of_ycbcr(ycc: NDArray[np.int32]) -> NDArray[np.int32]:
    """What flows are given of Y, Cb, Cr: luma centred, then the negative of red's and of blue's difference from it.

    Flows know differences of green and of red from luma-like planes; tissue has little green, so that these are the
    negative ones.

    Parameters
    ----------
    ycc : ndarray, shape (3, H, W), int32
        Cb and Cr centred on 0.

    Returns
    -------
    ndarray of the same shape, int32
    """
    luma, cb, cr = ycc
    return np.stack([luma - _MIDDLE, -cr, -cb])


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


def _divided(samples: Samples, adaptive: bool) -> Prepared:
    """A picture as planes without a common divisor."""
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
    return Prepared(IdfHeader(samples.dtype, shape, bits, divisor, adaptive=adaptive), planes, OperationList())


def _converted(plain: Prepared) -> Prepared | None:
    """A picture as Y, Cb, Cr, if it was made from such."""
    header, rgb = plain.header, plain.planes[:COLOURS]
    if header.dtype != np.uint8 or header.divisor != 1 or len(rgb) < COLOURS:
        return None
    found = ycbcr.find(rgb)
    if found is None:
        return None
    outliers = OperationList()
    if found.missed.any():
        write_outliers(found.missed, rgb, outliers)
    planes = np.concatenate([of_ycbcr(found.ycc), plain.planes[COLOURS:]])
    return Prepared(replace(header, conversion=found.name, outliers=outliers.n > 0), planes, outliers)


def _know_differences(flows: Mapping[str, PlacedFlow]) -> bool:
    """Whether no flow was trained on R, G, B together, which Y, Cb, Cr are too unlike."""
    return "p3" not in flows or flows["p3"].flow.colour != "none"


def _is_sure(header: IdfHeader) -> bool:
    """Whether Y, Cb, Cr take less than RGB for certain.

    Couplings that adapt soon know the colours of all but small pictures. Networks alone may be at a loss with some.
    """
    height, width, _ = header.shape
    return header.adaptive and height * width > _FEW_PIXELS


def _pay(flows: Mapping[str, PlacedFlow], pairs: Sequence[tuple[Prepared, Prepared]]) -> list[bool]:
    """Whether the middle of each picture takes fewer bytes converted than as it is, by the networks alone."""
    trials = [_middle(one) for pair in pairs for one in pair]
    sizes = [0] * len(trials)
    for batch in batches([one.header for one in trials], next(iter(flows.values())).device):
        for n, writer in zip(batch, write(flows, [trials[n] for n in batch]), strict=True):
            sizes[n] = sum(map(len, writer.bands()))
    return [ours < theirs for ours, theirs in zip(sizes[::2], sizes[1::2], strict=True)]


def _middle(prepared: Prepared) -> Prepared:
    """The colours of the middle of a picture."""
    height, width, _ = prepared.header.shape
    rows, columns = (slice(max(0, (n - _TRIAL_SIDE) // 2), (n + _TRIAL_SIDE) // 2) for n in (height, width))
    planes = prepared.planes[:COLOURS, rows, columns]
    shape = (planes.shape[1], planes.shape[2], COLOURS)
    return Prepared(replace(prepared.header, shape=shape, adaptive=False), planes, OperationList())
