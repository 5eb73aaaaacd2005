"""New containers for pixels and samples whose own container cannot be made again: plain BigTIFF and WAV.

Under the guarantee 'sample-exact' a source is archived as if it were such a file, of which everything but the
samples is the skeleton. So restoring it is the same as restoring any other file.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from haarchive.pipeline.layout import Plane
from haarchive.pipeline.sources.assemble import ReadRegion
from haarchive.pipeline.sources.packers import get_packer
from haarchive.pipeline.sources.scan import PlaneScan

__all__ = ["Container", "Conversion", "Page", "Tag", "baseline_tags", "big_tiff", "wav"]

_SHORT, _LONG, _LONG8 = 3, 4, 16
_OFFSETS, _BYTE_COUNTS = {False: 273, True: 324}, {False: 279, True: 325}
_PCM_GUID = bytes.fromhex("0100000000001000800000aa00389b71")
_RIFF_LIMIT = 0xFFFFFFFF


@dataclass(frozen=True)
class Container:
    """A file that does not exist: its skeleton, its size, and where the segments of its planes lie in it."""

    skeleton: bytes
    size: int
    planes: tuple[PlaneScan, ...]


@dataclass(frozen=True)
class Conversion:
    """A container that could be, and how to read the samples that it would hold.

    Parameters
    ----------
    suffix : str
        What the restored file's name gets appended, '.tif' or '.wav'.
    container : Container
    read : callable
        Reads regions of the container's planes 1, 2, ... (see `ReadRegion`).
    attrs : Mapping
        Facts for readers, as in `SourceLayout`.
    """

    suffix: str
    container: Container
    read: ReadRegion
    attrs: Mapping[str, Any]


@dataclass(frozen=True)
class Tag:
    """One TIFF tag: `data` is the value's bytes, in the byte order of the file that it goes into."""

    code: int
    dtype: int
    count: int
    data: bytes


@dataclass(frozen=True)
class Page:
    """A page to be written: its tags but for offsets and byte counts, its plane, the segments that exist.

    `parent` is the number of the page whose SubIFD it is, None for pages of the main chain.
    """

    tags: Sequence[Tag]
    plane: Plane
    tiled: bool
    segments: NDArray[np.int64]
    parent: int | None = None


def big_tiff(order: str, pages: Sequence[Page]) -> Container:
    """Lay out an uncompressed BigTIFF: header, directories and their values, then all segments in order.

    Parameters
    ----------
    order : {'<', '>'}
        The byte order of everything in it.
    pages : sequence of Page
        In file order; SubIFDs after the page that they belong to.
    """
    children = {n: [c for c, page in enumerate(pages) if page.parent == n] for n in range(len(pages))}
    sizes = [_segment_sizes(page) for page in pages]
    directories, position = [], 16
    for number, page in enumerate(pages):
        directories.append(position)
        counts = [len(tag.data) for tag in page.tags] + [8 * len(sizes[number])] * 2
        counts += [8 * len(children[number])] if children[number] else []
        position += 16 + 20 * (len(counts) + 1) + sum(_aligned(n) for n in counts if n > 8)
    pixels = _aligned(position, 16)

    skeleton = bytearray(struct.pack(f"{order}2sHHHQ", b"II" if order == "<" else b"MM", 43, 8, 0, directories[0]))
    scans, end = [], pixels
    main_chain = [number for number, page in enumerate(pages) if page.parent is None]
    following = dict(pairwise(main_chain))
    for number, page in enumerate(pages):
        length = sizes[number]
        offset = (end + np.cumsum(length) - length) * (length > 0)
        end += int(length.sum())
        tags = [
            *page.tags,
            Tag(259, _SHORT, 1, struct.pack(f"{order}H", 1)),
            Tag(_OFFSETS[page.tiled], _LONG8, len(offset), offset.astype(f"{order}u8").tobytes()),
            Tag(_BYTE_COUNTS[page.tiled], _LONG8, len(length), length.astype(f"{order}u8").tobytes()),
        ]
        if children[number]:
            where = np.array([directories[child] for child in children[number]], f"{order}u8")
            tags.append(Tag(330, _LONG8, len(where), where.tobytes()))
        next_directory = directories[following[number]] if number in following else 0
        skeleton += _directory(order, sorted(tags, key=lambda tag: tag.code), len(skeleton), next_directory)
        there = page.segments
        scans.append(PlaneScan(_raw(page.plane, order), there, offset[there], length[there]))
    skeleton += bytes(pixels - len(skeleton))
    return Container(bytes(skeleton), end, tuple(scans))


def baseline_tags(order: str, plane: Plane) -> list[Tag]:
    """The tags that a picture of 1 to 4 channels needs: grey, grey and alpha, RGB, or RGB and alpha."""
    height, width, channels = plane.shape
    bits = 8 * np.dtype(plane.dtype).itemsize
    tags = [
        Tag(256, _LONG, 1, struct.pack(f"{order}I", width)),
        Tag(257, _LONG, 1, struct.pack(f"{order}I", height)),
        Tag(258, _SHORT, channels, struct.pack(f"{order}{channels}H", *[bits] * channels)),
        Tag(262, _SHORT, 1, struct.pack(f"{order}H", 2 if channels >= 3 else 1)),
        Tag(277, _SHORT, 1, struct.pack(f"{order}H", channels)),
        Tag(278, _LONG, 1, struct.pack(f"{order}I", plane.packer["rows"])),
        Tag(284, _SHORT, 1, struct.pack(f"{order}H", 1)),
    ]
    if channels in (2, 4):
        tags.append(Tag(338, _SHORT, 1, struct.pack(f"{order}H", 2)))
    return tags


def wav(plane: Plane, bits: int) -> Container:
    """Lay out a WAV file of PCM samples, or an RF64 one where it is larger than 4 GiB.

    Parameters
    ----------
    plane : Plane
        Of kind 'audio', with a 'pcm' packer and its samplerate in its attributes.
    bits : int
        Of each sample that count.
    """
    frames, channels = plane.shape
    width, rate = plane.packer["width"], int(plane.attrs["samplerate"])
    size = frames * channels * width
    extensible = channels > 2 or width > 2 or bits != 8 * width
    form = struct.pack(
        "<HHIIHH",
        0xFFFE if extensible else 1,
        channels,
        rate,
        rate * channels * width,
        channels * width,
        8 * width,
    )
    if extensible:
        form += struct.pack("<HHI", 22, bits, 0) + _PCM_GUID
    body = b"fmt " + struct.pack("<I", len(form)) + form
    total = 4 + len(body) + 8 + size + size % 2
    if total <= _RIFF_LIMIT:
        head = b"RIFF" + struct.pack("<I", total) + b"WAVE" + body + b"data" + struct.pack("<I", size)
    else:
        long_sizes = b"ds64" + struct.pack("<IQQQI", 28, total + 36, size, frames, 0)
        unknown = struct.pack("<I", _RIFF_LIMIT)
        head = b"RF64" + unknown + b"WAVE" + long_sizes + body + b"data" + unknown
    run = plane.chunk_shape[0]
    segment = np.arange(math.ceil(frames / run), dtype=np.int64)
    start = segment * run
    length = (np.minimum(start + run, np.int64(frames)) - start) * channels * width
    scan = PlaneScan(plane, segment, len(head) + start * channels * width, length)
    return Container(head + bytes(size % 2), len(head) + size + size % 2, (scan,))


def _raw(plane: Plane, order: str) -> Plane:
    kept: Mapping[str, Any] = {key: plane.packer[key] for key in ("rows", "cols", "grid", "planar")}
    return replace(plane, packer={**kept, "name": "raw", "order": order, "predictor": 1})


def _segment_sizes(page: Page) -> NDArray[np.int64]:
    """Bytes of each segment of the grid, uncompressed; 0 where there is none."""
    packer = get_packer(page.plane)
    ny, nx = page.plane.packer["grid"]
    sizes = np.zeros(ny * nx * (page.plane.shape[2] if page.plane.packer["planar"] else 1), np.int64)
    itemsize = np.dtype(page.plane.dtype).itemsize
    for segment in page.segments.tolist():
        sizes[segment] = math.prod(s.stop - s.start for s in packer.bounds(segment)) * itemsize
    return sizes


def _directory(order: str, tags: Sequence[Tag], start: int, following: int) -> bytes:
    """A BigTIFF directory at `start`, with the values that do not fit into its entries right after it."""
    entries = bytearray(struct.pack(f"{order}Q", len(tags)))
    values = bytearray()
    place = start + 8 + 20 * len(tags) + 8
    for tag in tags:
        entries += struct.pack(f"{order}HHQ", tag.code, tag.dtype, tag.count)
        if len(tag.data) <= 8:
            entries += tag.data.ljust(8, b"\0")
        else:
            entries += struct.pack(f"{order}Q", place + len(values))
            values += tag.data.ljust(_aligned(len(tag.data)), b"\0")
    return bytes(entries + struct.pack(f"{order}Q", following) + values)


def _aligned(size: int, to: int = 8) -> int:
    return -(-size // to) * to
