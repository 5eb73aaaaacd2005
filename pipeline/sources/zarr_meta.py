"""What zarr metadata, version 2 or 3, says about an array and the files its chunks lie in."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from haarchive.codecs.errors import SourceFormatError

__all__ = ["ZarrArray", "level_of", "parse_array"]

_CHECKSUM = 4
_MICROMETRE = {"micrometer": 1.0, "nanometer": 1e-3, "millimeter": 1e3}


@dataclass(frozen=True)
class ZarrArray:
    """One array of a store.

    Parameters
    ----------
    path : str
        Of the array in the store; '' for the store's root.
    shape, chunks, shards : tuple of int
        `chunks` are the smallest units that are compressed; `shards` is what one file holds, equal to
        `chunks` where there are no shards.
    dtype : str
        NumPy name, in native order.
    order : {'<', '>'}
    fill : int
    codec : {'raw', 'zlib', 'gzip', None}
        None stands for what we cannot take apart.
    checksum : int
        Bytes of checksum after each chunk.
    index : {'start', 'end'}
        Where the index of a shard lies.
    index_checksum : int
        Bytes of checksum after that index.
    prefix, separator : str
        A file is called ``prefix + separator.join(indices)``.
    axes : str
        One letter a dimension, '?' where unknown.
    """

    path: str
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    shards: tuple[int, ...]
    dtype: str
    order: str
    fill: int
    codec: str | None
    checksum: int
    index: str
    index_checksum: int
    prefix: str
    separator: str
    axes: str

    @property
    def sharded(self) -> bool:
        """Whether a file holds an index and several chunks."""
        return self.index != ""

    def coordinates(self, file: str) -> tuple[int, ...] | None:
        """The grid position that a file's name, relative to the store, stands for; None for other files."""
        if not file.startswith(self.prefix):
            return None
        parts = file[len(self.prefix) :].split(self.separator)
        if not all(part.isascii() and part.isdigit() and str(int(part)) == part for part in parts):
            return None
        position = tuple(map(int, parts))
        grid = [math.ceil(n / s) for n, s in zip(self.shape, self.shards, strict=True)]
        if len(position) != len(grid) or any(p >= g for p, g in zip(position, grid, strict=True)):
            return None
        return position


def parse_array(path: str, document: bytes, attributes: Mapping[str, Any]) -> ZarrArray | None:
    """Read an array's metadata document.

    Parameters
    ----------
    path : str
        Of the document in the store: ``.../.zarray`` or ``.../zarr.json``.
    document : bytes
    attributes : Mapping
        Attributes of the group above, for the names of the axes.

    Returns
    -------
    ZarrArray or None
        None where the document describes a group.

    Raises
    ------
    SourceFormatError
        If the document is not what the zarr specification says.
    """
    try:
        meta = json.loads(document)
        home = path.rpartition("/")[0]
        if path.endswith(".zarray"):
            return _version_2(home, meta, attributes)
        return _version_3(home, meta, attributes) if meta.get("node_type") == "array" else None
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise SourceFormatError(f"{path} is not zarr metadata: {type(error).__name__}: {error}") from None


def level_of(home: str, group: str, attributes: Mapping[str, Any]) -> tuple[int | None, float | None]:
    """The resolution level that an OME-Zarr group gives an array, and its pixel size in microns, where
    known.
    """
    multiscale = _multiscale(attributes)
    for level, dataset in enumerate(multiscale.get("datasets", ())):
        if "/".join(filter(None, (group, str(dataset.get("path", ""))))) == home:
            return level, _pixel_size(multiscale, dataset)
    return None, None


def _version_2(home: str, meta: Mapping[str, Any], attributes: Mapping[str, Any]) -> ZarrArray:
    shape, chunks = tuple(map(int, meta["shape"])), tuple(map(int, meta["chunks"]))
    dtype = np.dtype(meta["dtype"])
    compressor = meta["compressor"]
    codec = None
    if meta.get("order", "C") == "C" and not meta.get("filters"):
        codec = "raw" if compressor is None else {"zlib": "zlib", "gzip": "gzip"}.get(compressor["id"])
    return _checked(
        ZarrArray(
            path=home,
            shape=shape,
            chunks=chunks,
            shards=chunks,
            dtype=dtype.name,
            order=">" if dtype.str[0] == ">" else "<",
            fill=_fill(meta.get("fill_value")),
            codec=codec,
            checksum=0,
            index="",
            index_checksum=0,
            prefix=f"{home}/" if home else "",
            separator=str(meta.get("dimension_separator", ".")),
            axes=_axes(len(shape), None, attributes),
        )
    )


def _version_3(home: str, meta: Mapping[str, Any], attributes: Mapping[str, Any]) -> ZarrArray:
    shape = tuple(map(int, meta["shape"]))
    shards = tuple(map(int, meta["chunk_grid"]["configuration"]["chunk_shape"]))
    encoding = meta["chunk_key_encoding"]
    default = encoding["name"] == "default"
    separator = encoding.get("configuration", {}).get("separator", "/" if default else ".")
    codecs = [_codec(entry) for entry in meta["codecs"]]
    chunks, index, index_checksum = shards, "", 0
    if codecs[0][0] == "sharding_indexed" and len(codecs) == 1:
        sharding = codecs[0][1]
        chunks = tuple(map(int, sharding["chunk_shape"]))
        index = str(sharding.get("index_location", "end"))
        index_codecs = [_codec(entry)[0] for entry in sharding["index_codecs"]]
        index_checksum = _CHECKSUM if index_codecs[1:] == ["crc32c"] else 0
        codecs = [_codec(entry) for entry in sharding["codecs"]]
        if index_codecs not in (["bytes"], ["bytes", "crc32c"]):
            codecs = [("", {})]
    checksum = _CHECKSUM if codecs[-1][0] == "crc32c" else 0
    names = [name for name, _ in codecs if name != "crc32c"]
    home_prefix = f"{home}/" if home else ""
    return _checked(
        ZarrArray(
            path=home,
            shape=shape,
            chunks=chunks,
            shards=shards,
            dtype=str(meta["data_type"]),
            order=">" if codecs[0][1].get("endian") == "big" else "<",
            fill=_fill(meta.get("fill_value")),
            codec={("bytes",): "raw", ("bytes", "gzip"): "gzip"}.get(tuple(names)),
            checksum=checksum,
            index=index,
            index_checksum=index_checksum,
            prefix=home_prefix + (f"c{separator}" if default else ""),
            separator=str(separator),
            axes=_axes(len(shape), meta.get("dimension_names"), attributes),
        )
    )


def _codec(entry: Any) -> tuple[str, Mapping[str, Any]]:
    return (entry, {}) if isinstance(entry, str) else (entry["name"], entry.get("configuration") or {})


def _checked(array: ZarrArray) -> ZarrArray:
    same = len(array.shape) == len(array.chunks) == len(array.shards)
    if not same or min((*array.shape, *array.chunks, *array.shards), default=1) < 1:
        raise SourceFormatError(f"shape {array.shape}, chunks {array.chunks}, shards {array.shards}")
    if any(s % c for s, c in zip(array.shards, array.chunks, strict=True)):
        raise SourceFormatError(f"shards {array.shards} are not made of whole chunks {array.chunks}")
    return array


def _fill(value: Any) -> int:
    return int(value) if isinstance(value, int | float) and math.isfinite(value) else 0


def _axes(ndim: int, names: Sequence[str | None] | None, attributes: Mapping[str, Any]) -> str:
    axes = _multiscale(attributes).get("axes", ())
    found = [a.get("name", "?") if isinstance(a, Mapping) else str(a) for a in axes] or list(names or ())
    letters = "".join((str(name or "?")[:1] or "?").lower() for name in found)
    return letters if len(letters) == ndim else "?" * ndim


def _multiscale(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    inner = attributes.get("ome", attributes)
    scales = inner.get("multiscales") if isinstance(inner, Mapping) else None
    first = scales[0] if isinstance(scales, list) and scales else {}
    return first if isinstance(first, Mapping) else {}


def _pixel_size(multiscale: Mapping[str, Any], dataset: Mapping[str, Any]) -> float | None:
    try:
        names = [axis["name"] for axis in multiscale["axes"]]
        x = names.index("x")
        unit = _MICROMETRE[multiscale["axes"][x]["unit"]]
        scale = next(t["scale"] for t in dataset["coordinateTransformations"] if t["type"] == "scale")
        return float(scale[x]) * unit
    except (KeyError, ValueError, TypeError, StopIteration, IndexError):
        return None
