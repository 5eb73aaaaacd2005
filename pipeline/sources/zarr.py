"""Zarr stores, version 2 and 3, sharded or not, OME-Zarr among them: a folder whose files lie end to end.

Chunks that are stored raw, or by zlib or gzip where they can be made again byte for byte, become image
planes: one for each two-dimensional picture (or one with channels) of an array. Chunks by other compressors
(Blosc, Zstandard) stay the bytes they are: their libraries change what they write from version to version, so
that no promise could be kept.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from haarchive.pipeline.layout import Plane
from haarchive.pipeline.sources.files import SourceBytes
from haarchive.pipeline.sources.grid import image_chunk
from haarchive.pipeline.sources.proving import prove_segments
from haarchive.pipeline.sources.scan import PlaneScan, Scan
from haarchive.pipeline.sources.tiles import MAX_SEGMENT, opaque_tiles
from haarchive.pipeline.sources.zarr_meta import ZarrArray, level_of, parse_array

__all__ = ["scan_zarr"]

_FLOW_DTYPES = ("uint8", "uint16")
_STORED_DTYPES = ("int8", "int16", "int32", "uint32", "float32", "float64")
_MAX_PLANES = 4096
_MAX_CHANNELS = 16
_SPARSEST = 16
_GZIP_HEAD = 10
_MISSING = 2**64 - 1

Place = tuple[int, int]
"""Offset and length of a chunk, in bytes of the source."""


def scan_zarr(files: SourceBytes) -> Scan:
    """Find the planes of a zarr store.

    Raises
    ------
    SourceFormatError
        If its metadata is malformed.
    """
    names = set(files.paths)
    documents = [path for path in files.paths if path.rpartition("/")[2] in (".zarray", "zarr.json")]
    planes: list[PlaneScan] = []
    notes: list[str] = []
    attrs: dict[str, Any] = {}
    has_level_0 = False
    for path in documents:
        home = path.rpartition("/")[0]
        group, attributes = _group_above(files, names, home)
        array = parse_array(path, _member(files, path), attributes)
        if array is None:
            continue
        level, mpp = level_of(home, group, attributes)
        if level == 0 and mpp:
            attrs["mpp"] = mpp
        places = _places(files, array)
        found = _image_planes(files, array, places)
        if found is None:
            notes.append(f"the chunks of {home or 'the array'!r} are kept as they are")
            found = [tiles] if (tiles := _opaque(files, home, places)) is not None else []
        elif level is None and not has_level_0 and not attributes:
            level = 0
        has_level_0 = has_level_0 or level == 0
        planes += _with_roles(found, home, level)
    return Scan("zarr", planes, {**attrs, **({"note": "; ".join(notes[:8])} if notes else {})})


def _member(files: SourceBytes, path: str) -> bytes:
    index = files.paths.index(path)
    return files.read(files.starts[index], files.sizes[index])


def _group_above(files: SourceBytes, names: set[str], home: str) -> tuple[str, Mapping[str, Any]]:
    """The nearest group with a multiscale pyramid, and its attributes; ``("", {})`` without one."""
    while home:
        home = home.rpartition("/")[0]
        for document, key in ((".zattrs", None), ("zarr.json", "attributes")):
            path = f"{home}/{document}" if home else document
            if path not in names:
                continue
            try:
                content = json.loads(_member(files, path))
                attributes = content.get(key, {}) if key else content
                if "multiscales" in attributes or "multiscales" in attributes.get("ome", {}):
                    return home, attributes
            except (ValueError, AttributeError, TypeError):
                continue
    return "", {}


def _places(files: SourceBytes, array: ZarrArray) -> dict[tuple[int, ...], Place]:
    """Chunk grid position -> where its bytes lie, checksum and gzip header not counted."""
    places: dict[tuple[int, ...], Place] = {}
    first = bisect_left(files.paths, array.prefix)
    for index, path in enumerate(files.paths[first:], first):
        if not path.startswith(array.prefix):
            break
        position = array.coordinates(path)
        if position is None:
            continue
        start, size = files.starts[index], files.sizes[index]
        inner = _shard_entries(files, array, start, size) if array.sharded else [((0,) * len(position), start, size)]
        per_shard = [s // c for s, c in zip(array.shards, array.chunks, strict=True)]
        for within, offset, length in inner:
            chunk = tuple(p * n + w for p, n, w in zip(position, per_shard, within, strict=True))
            if all(c * s < n for c, s, n in zip(chunk, array.chunks, array.shape, strict=True)):
                places[chunk] = (offset, length - array.checksum)
    return places


def _shard_entries(
    files: SourceBytes, array: ZarrArray, start: int, size: int
) -> Iterator[tuple[tuple[int, ...], int, int]]:
    """``(position in the shard, offset, length)`` of each chunk; nothing where the index makes no sense."""
    per_shard = tuple(s // c for s, c in zip(array.shards, array.chunks, strict=True))
    length = 16 * math.prod(per_shard)
    whole = length + array.index_checksum
    if size < whole:
        return
    index = files.read(start + (size - whole if array.index == "end" else 0), length)
    entries = np.frombuffer(index, "<u8").reshape(-1, 2)
    for number, (offset, count) in enumerate(entries.tolist()):
        if offset != _MISSING and offset + count <= size:
            yield tuple(map(int, np.unravel_index(number, per_shard))), start + offset, count


def _image_planes(files: SourceBytes, array: ZarrArray, places: dict[tuple[int, ...], Place]) -> list[PlaneScan] | None:
    """One plane for each picture of the array, None where its chunks are none that we can make again."""
    axes = _picture_axes(array)
    dtypes = _FLOW_DTYPES + (_STORED_DTYPES if array.codec == "raw" else ())
    if array.codec is None or axes is None or array.dtype not in dtypes or not places:
        return None
    y, x, c = axes
    channels = array.shape[c] if c is not None else 1
    ny, nx = math.ceil(array.shape[y] / array.chunks[y]), math.ceil(array.shape[x] / array.chunks[x])
    shape = (ny * array.chunks[y], nx * array.chunks[x], channels)
    pictures: dict[tuple[int, ...], dict[int, Place]] = defaultdict(dict)
    for chunk, place in places.items():
        lead = tuple(i for axis, i in enumerate(chunk) if axis not in axes)
        pictures[lead][chunk[y] * nx + chunk[x]] = place
    if len(pictures) > _MAX_PLANES or len(places) * _SPARSEST < len(pictures) * ny * nx:
        return None
    plane = Plane(
        kind="image",
        shape=shape,
        dtype=array.dtype,
        chunk_shape=image_chunk(shape),
        codec="haar" if array.dtype in _FLOW_DTYPES else "stored",
        packer={
            "name": "raw" if array.codec == "raw" else "deflate",
            **({} if array.codec == "raw" else {"container": "zlib" if array.codec == "zlib" else "gzip-body"}),
            "rows": array.chunks[y],
            "cols": array.chunks[x],
            "grid": [ny, nx],
            "planar": False,
            "order": array.order,
            "axes": "cyx" if c is not None and c < y else "yxc",
            "fill": array.fill,
        },
    )
    found = []
    for lead in sorted(pictures):
        scan = _picture(files, array, plane, pictures[lead])
        if scan is None:
            return None
        size = [array.shape[y], array.shape[x]]
        named = Plane(plane.kind, shape, plane.dtype, plane.chunk_shape, plane.codec, scan.plane.packer,
                      {"size": size, "position": list(lead)})  # fmt: skip
        found.append(PlaneScan(named, scan.segment, scan.offset, scan.length, scan.aside))
    return found


def _picture(files: SourceBytes, array: ZarrArray, plane: Plane, chunks: dict[int, Place]) -> PlaneScan | None:
    segment = np.array(sorted(chunks), np.int64)
    offset, length = np.array([chunks[s] for s in segment.tolist()], np.int64).T
    if array.codec == "raw":
        expected = math.prod(array.chunks) * np.dtype(array.dtype).itemsize
        return PlaneScan(plane, segment, offset, length) if (length == expected).all() else None
    if length.max() > MAX_SEGMENT:
        return None
    if array.codec == "gzip":
        if any(files.peek(begin + 3, 1) != b"\0" for begin in offset.tolist()):
            return None  # names and comments in the header: not written by zarr
        offset, length = offset + _GZIP_HEAD, length - _GZIP_HEAD
    return prove_segments(files, plane, segment, offset, length) if (length > 0).all() else None


def _picture_axes(array: ZarrArray) -> tuple[int, int, int | None] | None:
    """Which dimensions are rows, columns and (where a chunk holds all of them) channels; None for other
    arrays.
    """
    ndim = len(array.shape)
    if ndim < 2:
        return None
    last_is_channel = array.axes[-1] in "c?" and ndim >= 3 and array.shape[-1] <= 4 and array.axes[-2] in "x?"
    y, x = (ndim - 3, ndim - 2) if last_is_channel else (ndim - 2, ndim - 1)
    c: int | None = ndim - 1 if last_is_channel else None
    for axis in range(ndim):
        if axis in (y, x) or (array.chunks[axis] == 1 and axis != c):
            continue
        whole = array.chunks[axis] == array.shape[axis] <= _MAX_CHANNELS
        if not whole or (c is not None and axis != c) or (axis != c and axis != y - 1):
            return None
        c = axis
    return y, x, c


def _opaque(files: SourceBytes, home: str, places: dict[tuple[int, ...], Place]) -> PlaneScan | None:
    where = np.array([places[chunk] for chunk in sorted(places)], np.int64).reshape(-1, 2)
    return opaque_tiles("stored", {"array": home}, where[:, 0], where[:, 1], files.size)


def _with_roles(found: list[PlaneScan], home: str, level: int | None) -> Iterator[PlaneScan]:
    """The first picture of an array is its level; the others are associated images named by their
    position.
    """
    for number, scan in enumerate(found):
        attrs = {**scan.plane.attrs, "array": home}
        if scan.plane.kind == "image":
            position = "-".join(map(str, attrs.pop("position")))
            name = "-".join(filter(None, (home.replace("/", "-"), position)))
            attrs |= {"level": level} if level is not None and number == 0 else {"associated": name or "array"}
        plane = scan.plane
        yield PlaneScan(
            Plane(plane.kind, plane.shape, plane.dtype, plane.chunk_shape, plane.codec, plane.packer, attrs),
            scan.segment, scan.offset, scan.length, scan.aside,
        )  # fmt: skip
