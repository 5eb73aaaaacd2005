"""TIFF files that were cut short: directories, values, strips and tiles that lie beyond the end of the file.

TIFF 6.0 and BigTIFF, read without tifffile, which passes over what it cannot reach.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from haarchive.pipeline.sources.files import SourceBytes

__all__ = ["missing_in_tiff"]

_ITEM_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _SAMPLES, _ROWS, _PLANAR = 256, 257, 258, 259, 277, 278, 284
_STRIPS, _TILES = (273, 279), (324, 325)  # where they begin, and their bytes
_SUBIFDS = 330
_NAMES = {34665: "the Exif directory", 34853: "the GPS directory"}
_NDPI, _LSM = 65420, 34412
_RAW, _OLD_JPEG = 1, 6
_MOST_ENTRIES = 1 << 16
"""More in one directory are no directory, but a pointer into something else."""


@dataclass(frozen=True)
class _Form:
    """How a TIFF file lays out its numbers: bytes of a count, of an offset, and of an entry's value."""

    order: Literal["little", "big"]
    count: int
    offset: int

    @property
    def entry(self) -> int:
        """Bytes of an entry of a directory."""
        return 4 + 2 * self.offset


_Entries = Mapping[int, tuple[int, int, int]]
"""Tag -> (type, number of values, byte at which they lie)."""


def missing_in_tiff(files: SourceBytes) -> str:
    """What is missing at the end of a TIFF file; see `what_is_missing`."""
    head = files.peek(0, 16)
    order: Literal["little", "big"] = "little" if head[:1] == b"I" else "big"
    is_big = 43 in head[2:4]
    form = _Form(order, 8, 8) if is_big else _Form(order, 2, 4)
    if files.size < 2 * form.offset:
        return f"the header reaches to byte {2 * form.offset}"
    wide = int.from_bytes(head[4:12], order)
    if not is_big and files.size > 1 << 32 and 8 <= wide < files.size and _is_wide_ndpi(files, form, wide):
        # Hamamatsu's files of more than 4 GiB have eight bytes in places where TIFF has four, and numbers there that
        # mean little without them.
        return ""
    pending = [(0, int.from_bytes(head[form.offset : 2 * form.offset], order))]
    seen: set[int] = set()
    n_pages = 0
    while pending:
        parent, at = pending.pop(0)
        if not at or at in seen:
            continue
        seen.add(at)
        name = f"{_NAMES.get(parent, f'IFD {n_pages}')} (at byte {at})"
        n_pages += parent not in _NAMES
        found = _directory(files, form, at, name)
        if isinstance(found, str):
            return found
        entries, following = found
        missing = next(_missing_values(files, entries, name), "") or _missing_segments(files, form, entries, name)
        if missing:
            return missing
        children = [(tag, child) for tag in (_SUBIFDS, *_NAMES) for child in _values(files, form, entries, tag)]
        pending[:0] = [*children, (0, following)]
    return ""


def _directory(files: SourceBytes, form: _Form, at: int, name: str) -> tuple[_Entries, int] | str:
    """The entries of a directory and where the next one is; what is missing, where it is not all there."""
    count = int.from_bytes(files.peek(at, form.count), form.order)
    end = at + form.count + count * form.entry + form.offset
    if at + form.count > files.size:
        return f"{name} reaches to byte {at + form.count} or more"
    if end > files.size:
        return f"{name} reaches to byte {end}"
    if count > _MOST_ENTRIES:
        return {}, 0
    table = files.read(at + form.count, end - at - form.count)
    entries: dict[int, tuple[int, int, int]] = {}
    for i in range(count):
        tag, kind, n, value = _entry(form, table[i * form.entry : (i + 1) * form.entry])
        is_inside = n * _ITEM_BYTES.get(kind, 1) <= form.offset
        place = at + form.count + i * form.entry + 4 + form.offset if is_inside else value
        entries.setdefault(tag, (kind, n, place))
    return entries, int.from_bytes(table[count * form.entry :], form.order)


def _entry(form: _Form, data: bytes) -> tuple[int, int, int, int]:
    """``(tag, type, number of values, value or where the values lie)``."""
    cuts = (0, 2, 4, 4 + form.offset, 4 + 2 * form.offset)
    tag, kind, n, value = (int.from_bytes(data[a:b], form.order) for a, b in pairwise(cuts))
    return tag, kind, n, value


def _missing_values(files: SourceBytes, entries: _Entries, name: str) -> Iterator[str]:
    for tag, (kind, n, place) in entries.items():
        end = place + n * _ITEM_BYTES.get(kind, 0)
        if end > files.size:
            yield f"tag {tag} of {name} reaches from byte {place} to byte {end}"


def _missing_segments(files: SourceBytes, form: _Form, entries: _Entries, name: str) -> str:
    """The first strip or tile that is not all there."""
    what, tags = ("tile", _TILES) if _TILES[0] in entries else ("strip", _STRIPS)
    offsets, lengths = (_values(files, form, entries, tag) for tag in tags)
    most = _raw_strip_bytes(files, form, entries, len(offsets)) if what == "strip" else [math.inf] * len(offsets)
    compression = next(iter(_values(files, form, entries, _COMPRESSION)), _RAW)
    # Zeiss writes the size before compression, and old-style JPEG any size.
    has_sizes = compression != _OLD_JPEG and (compression == _RAW or _LSM not in entries)
    for i, (offset, length, limit) in enumerate(zip(offsets, lengths, most, strict=False)):
        end = offset + int(min(length, limit)) if has_sizes else offset + min(length, 1)
        if offset and length and end > files.size:
            return f"{what} {i} of {name} reaches from byte {offset} to byte {offset + length}"
    return ""


def _raw_strip_bytes(files: SourceBytes, form: _Form, entries: _Entries, count: int) -> list[float]:
    """The bytes that each uncompressed strip has pixels for; some writers say more of the last one."""
    known = {tag: _values(files, form, entries, tag) for tag in (_WIDTH, _HEIGHT, _ROWS, _SAMPLES, _PLANAR)}
    bits = _values(files, form, entries, _BITS) or [1]
    is_raw = next(iter(_values(files, form, entries, _COMPRESSION)), _RAW) == _RAW
    if not is_raw or not known[_WIDTH] or not known[_HEIGHT]:
        return [math.inf] * count
    width, height = known[_WIDTH][0], known[_HEIGHT][0]
    rows = max(1, min((known[_ROWS] or [height])[0], height))
    samples = (known[_SAMPLES] or [1])[0]
    is_planar = (known[_PLANAR] or [1])[0] == 2 and samples > 1
    row_bits = width * (bits[0] if is_planar else bits[0] * samples)
    strips = math.ceil(height / rows) if height else 1
    return [math.ceil(row_bits / 8) * min(rows, height - i % strips * rows) for i in range(count)]


def _values(files: SourceBytes, form: _Form, entries: _Entries, tag: int) -> list[int]:
    """A tag's unsigned integers; none where it is not there, or of another type."""
    kind, n, place = entries.get(tag, (0, 0, 0))
    size = _ITEM_BYTES.get(kind, 0)
    if kind not in (3, 4, 13, 16, 18):
        return []
    data = files.read(place, n * size)
    return list(map(int, np.frombuffer(data, f"{'<' if form.order == 'little' else '>'}u{size}")))


def _is_wide_ndpi(files: SourceBytes, form: _Form, at: int) -> bool:
    found = _directory(files, form, at, "")
    return not isinstance(found, str) and _NDPI in found[0]
