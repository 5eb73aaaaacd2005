"""The stages of archiving a source, each a function of values: scan, read, encode and prove, write, finish.

They run alike in this process and on Ray; the caller decides only where and when, never what is written.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock

import pyarrow as pa

from haarchive.codecs import CODECS_WITH_TABLES, Codec, Samples, get_codec
from haarchive.codecs.errors import ModelError, SourceConflictError, UnsupportedSamplesError
from haarchive.codecs.jpegxl import JpegXLPixels
from haarchive.pipeline.archive import ArchiveWriter, EncodedChunk, Manifest, ShardRef, build_shard
from haarchive.pipeline.archive.small import embed, is_small
from haarchive.pipeline.archive.writer import Committed
from haarchive.pipeline.config import ArchiveConfig
from haarchive.pipeline.flows import PICTURE_FLOWS, route, specialists_of
from haarchive.pipeline.jobs.plan import ShardTask, plan_shards
from haarchive.pipeline.jobs.proving import encode_proven
from haarchive.pipeline.layout import Plane, SourceLayout
from haarchive.pipeline.sources import SourceRef, open_source

__all__ = [
    "Encoder",
    "ScannedSource",
    "WrittenShard",
    "finish",
    "is_archived",
    "one_torch_thread",
    "proven_manifest",
    "read",
    "scan",
    "write",
]


@dataclass(frozen=True)
class ScannedSource:
    """A source that was looked at, and how it will be cut into shards."""

    ref: SourceRef
    layout: SourceLayout
    tasks: tuple[ShardTask, ...]
    guarantee: str
    """What its manifest will promise."""
    started: float
    """When the scan began, in seconds since the epoch."""

    @property
    def raw_bytes(self) -> int:
        """Bytes of the samples of all chunks."""
        return sum(task.raw_bytes for task in self.tasks)


@dataclass(frozen=True)
class WrittenShard:
    """A shard that is in the archive, and what the manifest must know of it.

    Parameters
    ----------
    source : str
    task : int
        `ShardTask.index`.
    shard : ShardRef or bytes
        The bitstreams themselves where the source is small: they go into its manifest.
    index : pyarrow.RecordBatch
        One row a chunk; see `haarchive.pipeline.archive.shard`.
    models : Mapping of str to str
        SHA-256 of the model that each learned codec needs to decode, by codec name.
    """

    source: str
    task: int
    shard: ShardRef | bytes
    index: pa.RecordBatch
    models: Mapping[str, str] = field(default_factory=dict)


def scan(ref: SourceRef, config: ArchiveConfig) -> ScannedSource:
    """Read a source once: its structure, its digests, and how it is cut into shards."""
    started = time.time()
    with open_source(ref, guarantee=config.promise, keep_damaged=config.keep_damaged) as source:
        layout = route(source.layout, config.codec)
    lossless = not any("dropped_bands" in plane.attrs for plane in layout.planes)
    guarantee = config.guarantee if lossless else config.promise
    return ScannedSource(ref, layout, plan_shards(layout, config.shard_bytes), guarantee, started)


def is_archived(writer: ArchiveWriter, scanned: ScannedSource) -> Committed | None:
    """What the archive has of this very content; None where it has nothing of this name.

    Raises
    ------
    SourceConflictError
        If the archive has other content under the name.
    """
    there = writer.committed(scanned.layout.name)
    if there is None:
        return None
    manifest = there.manifest
    if manifest.is_of(scanned.layout, scanned.guarantee):
        return there
    what = "other content"
    if manifest.guarantee != scanned.guarantee:
        what = f"a source with another guarantee, {manifest.guarantee} and not {scanned.guarantee},"
    raise SourceConflictError(
        f"{scanned.layout.name}: the archive holds {what} under this name; archive it elsewhere or rename it"
    )


def read(task: ShardTask, scanned: ScannedSource) -> list[Samples]:
    """Read the samples of a shard's chunks, in the order of its runs."""
    with open_source(scanned.ref, guarantee=scanned.guarantee, layout=scanned.layout) as source:
        return [source.read_chunk(run.plane, chunk) for run in task.runs for chunk in run.chunks()]


def one_torch_thread() -> None:
    """Keep torch to one thread in this process: a job's workers are as many as the cores are already.

    Where more threads than cores wait for each other, small convolutions take five times as long.
    """
    import torch

    torch.set_num_threads(1)


class Encoder:
    """Codecs, loaded once, that encode shard after shard.

    Parameters
    ----------
    config : ArchiveConfig
    models : Mapping of str to bytes
        Content of model files that replace the shipped ones, by codec name.
    writer : ArchiveWriter
        Where models go that the encoded chunks need: an archive is complete in itself.
    """

    def __init__(self, config: ArchiveConfig, models: Mapping[str, bytes], writer: ArchiveWriter) -> None:
        self._config = config
        self._models = dict(models)
        self._writer = writer
        self._codecs: dict[str, Codec] = {}
        self._kept: set[str] = set()
        self._lock = Lock()
        one_torch_thread()

    def encode(
        self,
        task: ShardTask,
        planes: Sequence[Plane],
        chunks: Sequence[Samples],
        advanced: Callable[[str, int], None] | None = None,
    ) -> tuple[list[EncodedChunk], dict[str, str]]:
        """Encode and prove the chunks of a shard.

        Parameters
        ----------
        task : ShardTask
        planes : sequence of Plane
            The source's planes.
        chunks : sequence of ndarray
            What `read` gave.
        advanced : callable, optional
            Told the source's name and raw bytes after each batch.

        Returns
        -------
        list of EncodedChunk
        dict of str to str
            Digests of the models that decoding needs, by codec name.
        """
        encoded: list[EncodedChunk] = []
        models: dict[str, str] = {}
        rest = iter(chunks)
        for run in task.runs:
            plane = planes[run.plane]
            codec, levels = self.codec(plane), plane.attrs.get("dropped_bands", 0)
            specialists, rival = self._specialists(plane), self._rival(plane)
            for numbers in run.batches(self._config.batch_chunks):
                batch = [next(rest) for _ in numbers]
                proven = encode_proven(
                    codec, run.plane, list(numbers), batch, specialists=specialists, rival=rival, levels=levels
                )
                encoded += proven
                if codec.model_digest and any(chunk.codec == codec.name for chunk in proven):
                    models[codec.name] = self._keep_model(codec)
                if advanced:
                    advanced(task.source, sum(samples.nbytes for samples in batch))
        return encoded, models

    def codec(self, plane: Plane) -> Codec:
        """The codec that a plane's chunks go to first."""
        if plane.codec in CODECS_WITH_TABLES:
            return _with_tables(plane.codec, plane)
        return self._loaded(plane.codec)

    def _loaded(self, name: str) -> Codec:
        with self._lock:  # loading proves a model on this device; once is enough
            if name not in self._codecs:
                config = self._config
                model = self._models.get(name)
                self._codecs[name] = get_codec(name, model=model, device=config.device, preset=config.preset)
            return self._codecs[name]

    def _specialists(self, plane: Plane) -> list[Codec]:
        """Codecs that a plane's chunks go to before that."""
        if not _is_lossless_picture(plane) or plane.dtype != "uint8":
            return []
        return [self._loaded(name) for name in specialists_of(self._config.preset)]

    def _rival(self, plane: Plane) -> Codec | None:
        """A codec that may be better on some chunks of a plane, where there is time for it."""
        if plane.codec == "jpeg-xl" and self._config.preset != "fast":
            return _with_tables("jpeg", plane)
        return JpegXLPixels() if _is_lossless_picture(plane) and self._config.preset == "max" else None

    def _keep_model(self, codec: Codec) -> str:
        """Put the codec's model into the archive, once; returns its digest."""
        content, digest = codec.model, codec.model_digest
        if content is None or digest is None:
            raise ModelError(f"codec {codec.name!r} does not give the content of its model; it cannot be archived")
        if digest not in self._kept:
            if self._writer.put_model(content) != digest:
                raise ModelError(f"codec {codec.name!r}: the content of its model is not what its digest says")
            self._kept.add(digest)
        return digest


def _with_tables(name: str, plane: Plane) -> Codec:
    """A codec of JPEG files, which is cheap to make and different for each plane.

    Where the source's tables are damaged, nobody could make pixels of its tiles: they are stored.
    """
    try:
        return get_codec(name, tables=base64.b64decode(plane.attrs.get("jpeg_tables", "")))
    except UnsupportedSamplesError:
        return get_codec("stored")


def _is_lossless_picture(plane: Plane) -> bool:
    """Whether a plane goes to a flow of pictures, all of it."""
    return plane.codec in PICTURE_FLOWS and "dropped_bands" not in plane.attrs


def write(
    writer: ArchiveWriter,
    task: ShardTask,
    layout: SourceLayout,
    encoded: Sequence[EncodedChunk],
    models: Mapping[str, str],
) -> WrittenShard:
    """Put a shard into the archive. Doing it again changes nothing: shards are named by their content.

    The chunks of a small source wait for the commit instead.
    """
    if is_small(layout, encoded):
        payload, index = embed(encoded)
        return WrittenShard(task.source, task.index, payload, index, models)
    shard = build_shard(encoded)
    writer.put_shard(shard)
    return WrittenShard(task.source, task.index, shard.ref, shard.index, models)


def finish(writer: ArchiveWriter, scanned: ScannedSource, written: Sequence[WrittenShard]) -> tuple[Manifest, int]:
    """Commit a source whose shards are all written, if it is still what was scanned.

    Returns
    -------
    Manifest
    int
        Bytes of the manifest object.

    Raises
    ------
    SourceChangedError
        If the source changed meanwhile; nothing is committed.
    SourceConflictError
        If another job committed other content under this name meanwhile.
    """
    manifest = proven_manifest(scanned, written)
    return manifest, writer.commit(manifest)


def proven_manifest(scanned: ScannedSource, written: Sequence[WrittenShard]) -> Manifest:
    """The manifest of a source whose shards are all written, if it is still what was scanned.

    Raises
    ------
    SourceChangedError
        If the source changed meanwhile.
    """
    with open_source(scanned.ref, guarantee=scanned.guarantee, layout=scanned.layout) as source:
        source.check_unchanged()
    models: dict[str, str] = {}
    for shard in written:
        models |= shard.models
    return Manifest.build(scanned.layout, scanned.guarantee, [(shard.shard, shard.index) for shard in written], models)
