"""Manifests: the commit record of one archived source, in one object."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import zstandard
from numpy.typing import NDArray

from haarchive.codecs.errors import ArchiveError, IntegrityError, SchemaVersionError
from haarchive.pipeline.archive import small
from haarchive.pipeline.archive.keys import FORMAT_VERSION, check_name
from haarchive.pipeline.archive.shard import INDEX_SCHEMA, ShardRef
from haarchive.pipeline.guarantees import dropped_bands
from haarchive.pipeline.layout import Member, Pieces, Plane, SourceLayout

__all__ = ["MANIFEST_INDEX_SCHEMA", "CodecTotals", "Manifest"]

MANIFEST_INDEX_SCHEMA = INDEX_SCHEMA.insert(2, pa.field("shard", pa.int32()))
"""The index of a manifest: that of its shards, and which shard each chunk is in.

-1 is the manifest itself: see `haarchive.pipeline.archive.small`.
"""

_PIECES_SCHEMA = pa.schema([("gap", pa.int64()), ("length", pa.int64()), ("plane", pa.int32()), ("step", pa.int64())])
_VERSION_KEY, _RECORD_KEY = b"haarchive.format_version", b"haarchive.record"
_ZSTD_LEVEL, _ZSTD_LEVEL_SMALL = 12, 19
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
    """All that is needed to read an archived source, apart from its models and (of all but small ones) its shards.

    Parameters
    ----------
    layout : SourceLayout
    guarantee : str
        'file-exact', 'sample-exact' or one that `lossy_guarantee` names.
    shards : tuple of ShardRef
        None of a small source, and of one without chunks.
    models : Mapping of str to str
        SHA-256 (hexadecimal) of the model file of each codec that needs one, by the codec's name.
    index : pyarrow.Table
        A row a chunk with `MANIFEST_INDEX_SCHEMA`, ordered by plane and chunk, every chunk exactly once.
    payload : bytes
        The bitstreams of a small source.
    """

    layout: SourceLayout
    guarantee: str
    shards: tuple[ShardRef, ...]
    models: Mapping[str, str]
    index: Any
    payload: bytes = b""

    @classmethod
    def build(
        cls,
        layout: SourceLayout,
        guarantee: str,
        parts: Iterable[tuple[ShardRef | bytes, Any]],
        models: Mapping[str, str],
    ) -> Manifest:
        """Put a manifest together from written shards and their indexes, in any order.

        Parameters
        ----------
        layout : SourceLayout
        guarantee : str
        parts : iterable of (ShardRef or bytes, pyarrow.RecordBatch)
            Of a small source the one part that `small.embed` has made.
        models : Mapping of str to str

        Raises
        ------
        ArchiveError
            If chunks of the source are missing or there twice.
        """
        parts = sorted(parts, key=lambda part: (part[1]["plane"][0].as_py(), part[1]["chunk"][0].as_py()))
        embedded = [content for content, _ in parts if isinstance(content, bytes)]
        if embedded and len(parts) > 1:
            raise ArchiveError(f"{layout.name}: cannot commit: a source is either small or has shards")
        tables = [
            _with_shard(pa.Table.from_batches([index]), number - len(embedded))
            for number, (_, index) in enumerate(parts)
        ]
        index = pa.concat_tables(tables) if tables else MANIFEST_INDEX_SCHEMA.empty_table()
        index = index.sort_by([("plane", "ascending"), ("chunk", "ascending")]).combine_chunks()
        shards = tuple(ref for ref, _ in parts if isinstance(ref, ShardRef))
        made = cls(layout, guarantee, shards, dict(sorted(models.items())), index, b"".join(embedded))
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
            read = zstandard.ZstdDecompressor().decompress(body)
            record, index, pieces, payload = (_small if read.startswith(b"{") else _large)(read, origin)
            manifest = cls(
                layout=_layout(record, pieces),
                guarantee=str(record["guarantee"]),
                shards=tuple(ShardRef(sha256, int(nbytes)) for sha256, nbytes in record.get("shards", ())),
                models=dict(record.get("models", {})),
                index=index,
                payload=payload,
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
        record, pieces = self._record(), _pieces_table(self.layout.pieces)
        if self.shards:
            metadata = {_VERSION_KEY: str(FORMAT_VERSION).encode(), _RECORD_KEY: small.json_line(record)}
            sink = pa.BufferOutputStream()
            for table in (self.index.replace_schema_metadata(metadata), pieces):
                with pa.ipc.new_stream(sink, table.schema) as writer:
                    writer.write_table(table)
            body, level = sink.getvalue().to_pybytes(), _ZSTD_LEVEL
        else:
            record["format_version"] = FORMAT_VERSION
            body, level = small.pack(record, self.index, pieces, self.payload), _ZSTD_LEVEL_SMALL
        body = zstandard.ZstdCompressor(level=level).compress(body)
        return body + _DIGEST_FRAME + hashlib.sha256(body).digest()

    @property
    def name(self) -> str:
        """The source's name in the archive."""
        return self.layout.name

    @property
    def shard_bytes(self) -> int:
        """Bytes of all shards."""
        return sum(shard.nbytes for shard in self.shards)

    def is_of(self, layout: SourceLayout, guarantee: str) -> bool:
        """Whether this is what archiving a source with that layout would make; its bitstreams may be others."""
        there = self.layout
        if self.guarantee != guarantee or there.members != layout.members:
            return False
        return not dropped_bands(guarantee) or there.originals == layout.originals

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

    def plane_codecs(self, plane: int) -> dict[str, int]:
        """How many chunks of plane number `plane` each codec has made, by the codec's name."""
        first = self.first_row(plane)
        names = self._column("codec")[first : first + self.layout.planes[plane].n_chunks].tolist()
        return dict(sorted(Counter(names).items()))

    def fallbacks(self) -> dict[str, int]:
        """How many chunks another codec made than was meant to, most often 'stored', by reason."""
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
        """What is wrong with members or index; empty where nothing is."""
        known = self.layout.originals if dropped_bands(self.guarantee) else self.layout.members
        if not all(file.sha256 for file in known):
            return "there is a file whose SHA-256 is not known"
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
        low, high = (0, len(self.shards) - 1) if self.shards else (-1, -1)
        if len(shard) and not (shard.min() >= low and shard.max() <= high):
            return "the index names a shard that the manifest does not have"
        if not self.shards and self._coded_bytes().sum() != len(self.payload):
            return f"the index has bands of {self._coded_bytes().sum()} bytes, and there are {len(self.payload)}"
        return ""

    def _record(self) -> dict[str, Any]:
        layout = self.layout
        record = {
            "name": layout.name,
            "kind": layout.kind,
            "attrs": dict(layout.attrs),
            "guarantee": self.guarantee,
            "members": [[m.path, m.size, m.sha256] for m in layout.members],
            "planes": [
                _without_empty(
                    {
                        "kind": p.kind,
                        "shape": p.shape,
                        "dtype": p.dtype,
                        "chunk_shape": p.chunk_shape,
                        "codec": p.codec,
                        "packer": dict(p.packer),
                        "attrs": dict(p.attrs),
                    }
                )
                for p in layout.planes
            ],
            "shards": [[s.sha256, s.nbytes] for s in self.shards],
            "models": dict(self.models),
        }
        return _without_empty(record)


def _large(body: bytes, origin: str) -> tuple[dict[str, Any], Any, Any, bytes]:
    """Record, index, pieces and no payload, from two Arrow streams."""
    source = pa.BufferReader(body)
    stream = pa.ipc.open_stream(source)
    _check_version(int(stream.schema.metadata[_VERSION_KEY]), origin)
    record = json.loads(stream.schema.metadata[_RECORD_KEY])
    index = stream.read_all().replace_schema_metadata(None)
    return record, index, pa.ipc.open_stream(source).read_all(), b""


def _small(body: bytes, origin: str) -> tuple[dict[str, Any], Any, Any, bytes]:
    """Record, index, pieces and payload, from a line of JSON and what follows."""
    line, _, payload = body.partition(b"\n")
    record = json.loads(line)
    _check_version(int(record["format_version"]), origin)
    index, pieces = small.unpack(record, _PIECES_SCHEMA)
    return record, _with_shard(index, -1), pieces, payload


def _check_version(version: int, origin: str) -> None:
    if version > FORMAT_VERSION:
        raise SchemaVersionError(
            f"{origin} has format version {version}, this haarchive reads up to {FORMAT_VERSION}; upgrade haarchive"
        )


def _with_shard(index: Any, number: int) -> Any:
    return index.add_column(2, "shard", pa.array([number] * len(index), pa.int32()))


def _without_empty(record: dict[str, Any]) -> dict[str, Any]:
    """Without mappings and lists that hold nothing; readers take what is absent as such."""
    return {name: value for name, value in record.items() if value not in ({}, [])}


def _layout(record: Mapping[str, Any], pieces: Any) -> SourceLayout:
    gap, length, plane, step = (pieces.column(name).to_numpy() for name in _PIECES_SCHEMA.names)
    return SourceLayout(
        name=record["name"],
        kind=record["kind"],
        members=tuple(Member(path, int(size), sha256) for path, size, sha256 in record.get("members", ())),
        planes=tuple(
            Plane(**{**p, "shape": tuple(p["shape"]), "chunk_shape": tuple(p["chunk_shape"])}) for p in record["planes"]
        ),
        pieces=Pieces(np.cumsum(gap + length) - length, length, plane, np.cumsum(step)),
        attrs=record.get("attrs", {}),
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
