"""Small sources: manifest and bitstreams in one object, without the framing of Arrow.

A shard costs 1.4 kB beside its payload and an Arrow index half a kilobyte, which for a file of a few kilobytes is
more than compression gains.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import pyarrow as pa

from haarchive.pipeline.archive.shard import INDEX_SCHEMA, EncodedChunk, chunk_index, crc32c
from haarchive.pipeline.layout import SourceLayout

__all__ = ["embed", "is_small", "json_line", "pack", "unpack"]

_MOST_BYTES = 1 << 18
"""Bytes of bitstreams: opening a source reads them all."""
_MOST_ROWS = 256
"""Chunks and pieces: more are smaller as Arrow columns."""

_COLUMNS = ("plane", "chunk", "codec", "digest", "raw_bytes", "fallback", "band_length", "band_crc")
"""Of a chunk's row. Bands lie one behind the other, so that their lengths tell their offsets."""


def is_small(layout: SourceLayout, chunks: Sequence[EncodedChunk]) -> bool:
    """Whether a source whose chunks these are (all of them) goes into its manifest as a whole."""
    return (
        len(chunks) == sum(plane.n_chunks for plane in layout.planes)
        and len(chunks) + len(layout.pieces) <= _MOST_ROWS
        and sum(len(band) for chunk in chunks for band in chunk.bands) <= _MOST_BYTES
    )


def embed(chunks: Sequence[EncodedChunk]) -> tuple[bytes, Any]:
    """Lay the chunks of a small source out.

    Returns
    -------
    bytes
        Their bands, chunk after chunk.
    pyarrow.RecordBatch
        A row a chunk, with `INDEX_SCHEMA`; offsets count from the start of these bytes.
    """
    chunks = sorted(chunks, key=lambda c: (c.plane, c.chunk))
    lengths = [[len(band) for band in c.bands] for c in chunks]
    crcs = [[crc32c(band) for band in c.bands] for c in chunks]
    return b"".join(band for c in chunks for band in c.bands), chunk_index(chunks, _offsets(lengths), lengths, crcs)


def pack(record: Mapping[str, Any], index: Any, pieces: Any, payload: bytes) -> bytes:
    """The body of a small source's manifest: a line of JSON, then the bitstreams.

    Parameters
    ----------
    record : Mapping
        What JSON can say of the source.
    index, pieces : pyarrow.Table
        They become the record's ``"chunks"`` and ``"pieces"``, a list a row.
    payload : bytes
    """
    chunks = [[_plain(row[name]) for name in _COLUMNS] for row in index.to_pylist()]
    rows = [list(row.values()) for row in pieces.to_pylist()]
    whole = {**record, "chunks": chunks, **({"pieces": rows} if rows else {})}
    return json_line(whole) + b"\n" + payload


def unpack(record: Mapping[str, Any], pieces_schema: Any) -> tuple[Any, Any]:
    """The index (with `INDEX_SCHEMA`) and the pieces of a record that `pack` wrote."""
    rows = [dict(zip(_COLUMNS, row, strict=True)) for row in record["chunks"]]
    offsets = _offsets([row["band_length"] for row in rows])
    for row, offset in zip(rows, offsets, strict=True):
        row |= {"digest": bytes.fromhex(row["digest"]), "band_offset": offset}
    pieces = [dict(zip(pieces_schema.names, row, strict=True)) for row in record.get("pieces", ())]
    return pa.Table.from_pylist(rows, INDEX_SCHEMA), pa.Table.from_pylist(pieces, pieces_schema)


def json_line(record: Mapping[str, Any]) -> bytes:
    """A record as JSON; equal records give equal bytes."""
    # ASCII only: file names may hold bytes that are no UTF-8, which Python keeps as lone surrogates.
    return json.dumps(record, separators=(",", ":"), sort_keys=True).encode("ascii")


def _offsets(lengths: Sequence[Sequence[int]]) -> list[list[int]]:
    """Where bands begin that lie one behind the other, from their lengths, chunk by chunk."""
    starts = iter(accumulate((n for bands in lengths for n in bands), initial=0))
    return [[next(starts) for _ in bands] for bands in lengths]


def _plain(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else value
