"""Shards: many bitstreams in one immutable object, coarse bands first."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import google_crc32c
import numpy as np
import pyarrow as pa

from haarchive.codecs.base import Samples
from haarchive.pipeline.archive.keys import FORMAT_VERSION

__all__ = [
    "INDEX_SCHEMA",
    "SHARD_SCHEMA",
    "EncodedChunk",
    "Shard",
    "ShardRef",
    "build_shard",
    "chunk_index",
    "crc32c",
    "samples_digest",
]

SHARD_SCHEMA = pa.schema(
    [
        ("plane", pa.int32()),
        ("chunk", pa.int64()),
        ("band", pa.int16()),
        ("crc32c", pa.uint32()),
        ("payload", pa.large_binary()),
    ],
    metadata={"haarchive.object": "shard", "haarchive.format_version": str(FORMAT_VERSION)},
)

INDEX_SCHEMA = pa.schema(
    [
        ("plane", pa.int32()),
        ("chunk", pa.int64()),
        ("codec", pa.string()),
        ("digest", pa.binary(16)),
        ("raw_bytes", pa.int64()),
        ("fallback", pa.string()),
        ("band_offset", pa.list_(pa.int64())),
        ("band_length", pa.list_(pa.int32())),
        ("band_crc", pa.list_(pa.uint32())),
    ]
)


@dataclass(frozen=True)
class EncodedChunk:
    """A chunk on its way into a shard.

    Parameters
    ----------
    plane, chunk : int
        Which chunk of which plane of the source.
    codec : str
        The codec that the bitstream is of: the plane's own, another that suits the chunk better, or 'stored' where
        the plane's was of no use.
    bands : tuple of bytes
        The bitstream.
    raw_bytes : int
        Bytes of the samples.
    digest : bytes
        `samples_digest` of the samples.
    fallback : str
        Why a codec that should have made the chunk has not; empty where none failed. Of a specialist, its name first.
    """

    plane: int
    chunk: int
    codec: str
    bands: tuple[bytes, ...]
    raw_bytes: int
    digest: bytes
    fallback: str = ""


@dataclass(frozen=True)
class ShardRef:
    """A shard as manifests name it: the SHA-256 (hexadecimal) and size in bytes of the object."""

    sha256: str
    nbytes: int


@dataclass(frozen=True)
class Shard:
    """A shard that is ready to be written.

    Parameters
    ----------
    data : bytes
        The object's content.
    sha256 : str
        Its digest, hexadecimal: its name.
    index : pyarrow.RecordBatch
        A row a chunk, with `INDEX_SCHEMA`.
    """

    data: bytes
    sha256: str
    index: Any

    @property
    def ref(self) -> ShardRef:
        """What a manifest keeps of the shard."""
        return ShardRef(self.sha256, len(self.data))


def build_shard(chunks: Sequence[EncodedChunk]) -> Shard:
    """Lay encoded chunks out as an Arrow IPC file.

    Rows are ordered by band, then plane, then chunk, so that all of the coarse bands lie together and a
    low-resolution read is few requests. The order of `chunks` makes no difference.

    Raises
    ------
    ValueError
        If there are no chunks.
    """
    if not chunks:
        raise ValueError("a shard holds at least one chunk")
    chunks = sorted(chunks, key=lambda c: (c.plane, c.chunk))
    rows = sorted(((band, row) for row, c in enumerate(chunks) for band in range(len(c.bands))))
    payloads = [chunks[row].bands[band] for band, row in rows]
    crcs = [crc32c(payload) for payload in payloads]
    batch = pa.record_batch(
        [
            pa.array([chunks[row].plane for _, row in rows], pa.int32()),
            pa.array([chunks[row].chunk for _, row in rows], pa.int64()),
            pa.array([band for band, _ in rows], pa.int16()),
            pa.array(crcs, pa.uint32()),
            pa.array(payloads, pa.large_binary()),
        ],
        schema=SHARD_SCHEMA,
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, SHARD_SCHEMA) as writer:
        writer.write_batch(batch)
    buffer = sink.getvalue()

    ends = np.cumsum([len(payload) for payload in payloads])
    first = _payload_start(buffer)
    offsets: list[list[int]] = [[] for _ in chunks]
    lengths: list[list[int]] = [[] for _ in chunks]
    band_crcs: list[list[int]] = [[] for _ in chunks]
    for (_, row), payload, end, crc in zip(rows, payloads, ends.tolist(), crcs, strict=True):
        offsets[row].append(first + end - len(payload))
        lengths[row].append(len(payload))
        band_crcs[row].append(crc)
    index = chunk_index(chunks, offsets, lengths, band_crcs)
    data = buffer.to_pybytes()
    return Shard(data, hashlib.sha256(data).hexdigest(), index)


def chunk_index(
    chunks: Sequence[EncodedChunk],
    offsets: Sequence[Sequence[int]],
    lengths: Sequence[Sequence[int]],
    crcs: Sequence[Sequence[int]],
) -> Any:
    """A row a chunk, with `INDEX_SCHEMA`, from what is known of the bands of each."""
    return pa.record_batch(
        [
            pa.array([c.plane for c in chunks], pa.int32()),
            pa.array([c.chunk for c in chunks], pa.int64()),
            pa.array([c.codec for c in chunks], pa.string()),
            pa.array([c.digest for c in chunks], pa.binary(16)),
            pa.array([c.raw_bytes for c in chunks], pa.int64()),
            pa.array([c.fallback for c in chunks], pa.string()),
            pa.array(offsets, pa.list_(pa.int64())),
            pa.array(lengths, pa.list_(pa.int32())),
            pa.array(crcs, pa.list_(pa.uint32())),
        ],
        schema=INDEX_SCHEMA,
    )


def samples_digest(samples: Samples) -> bytes:
    """BLAKE2b-128 of the samples' bytes, C order, little-endian: 16 bytes."""
    little = np.ascontiguousarray(samples.astype(samples.dtype.newbyteorder("<"), copy=False))
    return hashlib.blake2b(little.reshape(-1).view(np.uint8).data, digest_size=16).digest()


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli, RFC 3720) of `data`."""
    return int(google_crc32c.value(data))


def _payload_start(buffer: Any) -> int:
    """Where, in bytes from the start of an IPC file of one batch, the payloads begin."""
    payload = pa.ipc.open_file(pa.BufferReader(buffer)).get_batch(0).column("payload")
    return int(payload.buffers()[2].address - buffer.address)
