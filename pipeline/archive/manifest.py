"""Manifests: the commit record of one archived source, in one object."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import zstandard
from numpy.typing import NDArray

from haarchive.codecs.errors import ArchiveError, IntegrityError, SchemaVersionError
from haarchive.pipeline.archive.keys import FORMAT_VERSION, check_name
from haarchive.pipeline.archive.shard import INDEX_SCHEMA, ShardRef
from haarchive.pipeline.layout import Member, Pieces, Plane, SourceLayout

__all__ = ["MANIFEST_INDEX_SCHEMA", "CodecTotals", "Manifest"]

MANIFEST_INDEX_SCHEMA = INDEX_SCHEMA.insert(2, pa.field("shard", pa.int32()))
"""The index of a manifest: that of its shards, and which shard each chunk is in."""

_PIECES_SCHEMA = pa.schema([("gap", pa.int64()), ("length", pa.int64()), ("plane", pa.int32()), ("step", pa.int64())])
_VERSION_KEY, _RECORD_KEY = b"haarchive.format_version", b"haarchive.record"
_ZSTD_LEVEL = 12
_DIGEST_FRAME = bytes.fromhex("502a4d18 20000000")
"""The head of a zstd frame that decoders skip: the manifest's digest is its 32 bytes of content."""
_FRAME_BYTES = len(_DIGEST_FRAME) + 32


@dataclass(frozen=True)
class CodecTotals:
    """What one codec has made of a source: chunks, bytes of samples, bytes of bitstreams."""

    chunks: int
    raw_bytes: int
    bytes: int


@dataclass(frozen=True)
class Manifest:
    """All that is needed to read an archived source, apart from its shards and models.

    Parameters
    ----------
    layout : SourceLayout
    guarantee : str
        'file-exact' or 'sample-exact'.
    shards : tuple of ShardRef
    models : Mapping of str to str
        SHA-256 (hexadecimal) of the model file of each codec that needs one, by the codec's name.
    index : pyarrow.Table
        A row a chunk with `MANIFEST_INDEX_SCHEMA`, ordered by plane and chunk, every chunk exactly once.
    """

    layout: SourceLayout
    guarantee: str
    shards: tuple[ShardRef, ...]
    models: Mapping[str, str]
    index: Any

    @classmethod
    def build(
        cls,
        layout: SourceLayout,
        guarantee: str,
        parts: Iterable[tuple[ShardRef, Any]],
        models: Mapping[str, str],
    ) -> Manifest:
        """Put a manifest together from written shards and their indexes, in any order.

        Raises
        ------
        ArchiveError
            If chunks of the source are missing or there twice.
        """
        parts = sorted(parts, key=lambda part: (part[1]["plane"][0].as_py(), part[1]["chunk"][0].as_py()))
        tables = [
            pa.Table.from_batches([index]).add_column(2, "shard", pa.array([number] * len(index), pa.int32()))
            for number, (_, index) in enumerate(parts)
        ]
        index = pa.concat_tables(tables) if tables else MANIFEST_INDEX_SCHEMA.empty_table()
        index = index.sort_by([("plane", "ascending"), ("chunk", "ascending")]).combine_chunks()
        made = cls(layout, guarantee, tuple(ref for ref, _ in parts), dict(sorted(models.items())), index)
        problem = made._problem()
        if problem:
            raise ArchiveError(f"{layout.name}: cannot commit: {problem}")
        return made

    @classmethod
    def from_bytes(cls, data: bytes, *, origin: str = "manifest") -> Manifest:
        """Read a manifest.

        Parameters
        ----------
        data : bytes
            The object's content.
        origin : str
            Where it is from, for messages.

        Raises
        ------
        IntegrityError
            If a single bit is not as it was written.
        SchemaVersionError
            If a newer haarchive wrote it.
        """
        body, frame = data[:-_FRAME_BYTES], data[-_FRAME_BYTES:]
        # The digest comes first, so that nothing below ever reads damaged bytes.
        if frame != _DIGEST_FRAME + hashlib.sha256(body).digest():
            raise IntegrityError(f"{origin} is damaged: its SHA-256 does not match")
        try:
            source = pa.BufferReader(zstandard.ZstdDecompressor().decompress(body))
            stream = pa.ipc.open_stream(source)
            version = int(stream.schema.metadata[_VERSION_KEY])
            if version > FORMAT_VERSION:
                raise SchemaVersionError(
                    f"{origin} has format version {version}, this haarchive reads up to {FORMAT_VERSION}; "
                    "upgrade haarchive"
                )
            record = json.loads(stream.schema.metadata[_RECORD_KEY])
            index = stream.read_all().replace_schema_metadata(None)
            pieces = pa.ipc.open_stream(source).read_all()
            manifest = cls(
                layout=_layout(record, pieces),
                guarantee=str(record["guarantee"]),
                shards=tuple(ShardRef(sha256, int(nbytes)) for sha256, nbytes in record["shards"]),
                models=dict(record["models"]),
                index=index,
            )
            problem = manifest._problem()
        except SchemaVersionError:
            raise
        except (pa.ArrowException, zstandard.ZstdError, KeyError, TypeError, ValueError) as error:
            raise IntegrityError(f"{origin} is not a manifest that haarchive wrote: {error}") from error
        check_name(manifest.layout.name)
        if problem:
            raise IntegrityError(f"{origin} is inconsistent: {problem}")
        return manifest

    def to_bytes(self) -> bytes:
        """The manifest as an object; the same manifest gives the same bytes."""
        metadata = {_VERSION_KEY: str(FORMAT_VERSION).encode(), _RECORD_KEY: _json(self._record())}
        sink = pa.BufferOutputStream()
        for table in (self.index.replace_schema_metadata(metadata), _pieces_table(self.layout.pieces)):
            with pa.ipc.new_stream(sink, table.schema) as writer:
                writer.write_table(table)
        body = zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compress(sink.getvalue().to_pybytes())
        return body + _DIGEST_FRAME + hashlib.sha256(body).digest()

    @property
    def name(self) -> str:
        """The source's name in the archive."""
        return self.layout.name

    @property
    def shard_bytes(self) -> int:
        """Bytes of all shards."""
        return sum(shard.nbytes for shard in self.shards)

    def first_row(self, plane: int) -> int:
        """The row of `index` that plane number `plane` begins at; chunk i is i rows further."""
        return sum(p.n_chunks for p in self.layout.planes[:plane])

    def codec_totals(self) -> dict[str, CodecTotals]:
        """What each codec has made of the source, by the codec's name."""
        names, raw, coded = self._column("codec"), self._column("raw_bytes"), self._coded_bytes()
        return {
            str(name): CodecTotals(
                int((names == name).sum()), int(raw[names == name].sum()), int(coded[names == name].sum())
            )
            for name in sorted(set(names.tolist()))
        }

    def fallbacks(self) -> dict[str, int]:
        """How many chunks were stored instead, by reason."""
        reasons = self._column("fallback")
        return {str(r): int((reasons == r).sum()) for r in sorted(set(reasons.tolist()) - {""})}

    def _column(self, name: str) -> NDArray[Any]:
        return np.asarray(self.index.column(name).to_numpy())

    def _coded_bytes(self) -> NDArray[np.int64]:
        """Bytes of each chunk's bands together, (n_chunks,)."""
        lengths = self.index.column("band_length").combine_chunks()
        total = np.concatenate([[0], np.cumsum(lengths.flatten().to_numpy(), dtype=np.int64)])
        bands = np.concatenate([[0], np.cumsum(lengths.value_lengths().to_numpy(), dtype=np.int64)])
        return np.asarray(total[bands[1:]] - total[bands[:-1]])

    def _problem(self) -> str:
        """What is wrong with the index; empty where nothing is."""
        if self.index.schema.names != MANIFEST_INDEX_SCHEMA.names or (
            self.index.schema.types != MANIFEST_INDEX_SCHEMA.types
        ):
            return "the index has other columns than it should"
        counts = [plane.n_chunks for plane in self.layout.planes]
        planes = np.repeat(np.arange(len(counts)), counts)
        if len(self.index) != len(planes):
            return f"the source has {len(planes)} chunks, the index {len(self.index)}"
        first = np.repeat(np.cumsum([0, *counts[:-1]]), counts)
        wrong = (self._column("plane") != planes) | (self._column("chunk") != np.arange(len(planes)) - first)
        if wrong.any():
            row = int(np.argmax(wrong))
            return f"chunk {row - first[row]} of plane {planes[row]} is missing, or another is there twice"
        shard = self._column("shard")
        if len(shard) and not (shard.min() >= 0 and shard.max() < len(self.shards)):
            return "the index names a shard that the manifest does not have"
        return ""

    def _record(self) -> dict[str, Any]:
        layout = self.layout
        return {
            "name": layout.name,
            "kind": layout.kind,
            "attrs": dict(layout.attrs),
            "guarantee": self.guarantee,
            "members": [[m.path, m.size, m.sha256] for m in layout.members],
            "planes": [
                {
                    "kind": p.kind,
                    "shape": p.shape,
                    "dtype": p.dtype,
                    "chunk_shape": p.chunk_shape,
                    "codec": p.codec,
                    "packer": dict(p.packer),
                    "attrs": dict(p.attrs),
                }
                for p in layout.planes
            ],
            "shards": [[s.sha256, s.nbytes] for s in self.shards],
            "models": dict(self.models),
        }


def _layout(record: Mapping[str, Any], pieces: Any) -> SourceLayout:
    gap, length, plane, step = (pieces.column(name).to_numpy() for name in _PIECES_SCHEMA.names)
    return SourceLayout(
        name=record["name"],
        kind=record["kind"],
        members=tuple(Member(path, int(size), sha256) for path, size, sha256 in record["members"]),
        planes=tuple(
            Plane(**{**p, "shape": tuple(p["shape"]), "chunk_shape": tuple(p["chunk_shape"])}) for p in record["planes"]
        ),
        pieces=Pieces(np.cumsum(gap + length) - length, length, plane, np.cumsum(step)),
        attrs=record["attrs"],
    )


def _pieces_table(pieces: Pieces) -> Any:
    """Pieces as differences, which compress to almost nothing where tiles follow each other."""
    ends = pieces.offset + pieces.length
    columns = [
        pieces.offset - np.concatenate([[0], ends[:-1]])[: len(pieces)],
        pieces.length,
        pieces.plane,
        pieces.segment - np.concatenate([[0], pieces.segment[:-1]])[: len(pieces)],
    ]
    arrays = [pa.array(c, f.type) for c, f in zip(columns, _PIECES_SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=_PIECES_SCHEMA)


def _json(record: Mapping[str, Any]) -> bytes:
    # ASCII only: file names may hold bytes that are no UTF-8, which Python keeps as lone surrogates.
    return json.dumps(record, separators=(",", ":"), sort_keys=True).encode("ascii")
