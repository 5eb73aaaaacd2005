"""Written shards of sources that are not committed yet: a job that dies within a slide goes on there."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress

import pyarrow as pa

from haarchive.codecs.errors import HaarchiveError
from haarchive.pipeline.archive import ShardRef
from haarchive.pipeline.archive.keys import shard_key
from haarchive.pipeline.archive.small import json_line
from haarchive.pipeline.jobs.stages import ScannedSource, WrittenShard
from haarchive.pipeline.storage import ObjectStore

__all__ = ["ShardJournal"]

_RECORD = b"haarchive.record"


class ShardJournal:
    """Remembers written shards in the archive's storage, an object each, until their source is committed.

    Parameters
    ----------
    store : ObjectStore
        The archive.
    prefix : str
        Where it keeps them: one job's place, as jobs differ in how they cut and code a source.
    """

    def __init__(self, store: ObjectStore, prefix: str) -> None:
        self._store = store
        self._prefix = prefix

    def keep(self, scanned: ScannedSource, written: WrittenShard) -> None:
        """Remember a shard. A source of one shard, or of none, has nothing to remember."""
        if isinstance(written.shard, bytes) or len(scanned.tasks) == 1:
            return
        record = {"shard": [written.shard.sha256, written.shard.nbytes], "models": dict(written.models)}
        batch = written.index.replace_schema_metadata({_RECORD: json_line(record)})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as stream:
            stream.write_batch(batch)
        self._store.put(self._key(scanned, written.task), sink.getvalue().to_pybytes())

    def written(self, scanned: ScannedSource) -> list[WrittenShard]:
        """The shards of a source that are remembered, and still there."""
        if len(scanned.tasks) == 1:
            return []
        found = []
        for key, _ in self._store.list(self._folder(scanned)):
            # What cannot be read, or is not there any more, is made again.
            with suppress(HaarchiveError, pa.ArrowException, KeyError, ValueError, OSError):
                found.append(self._read(key, scanned))
        return sorted(found, key=lambda shard: shard.task)

    def forget(self, scanned: ScannedSource) -> None:
        """Drop what is remembered of a source that is committed."""
        if len(scanned.tasks) == 1:
            return
        with suppress(HaarchiveError):
            for key, _ in list(self._store.list(self._folder(scanned))):
                self._store.delete(key)

    def _read(self, key: str, scanned: ScannedSource) -> WrittenShard:
        with pa.ipc.open_stream(pa.BufferReader(self._store.get(key))) as stream:
            record = json.loads(stream.schema.metadata[_RECORD])
            batch = stream.read_next_batch().replace_schema_metadata(None)
        ref = ShardRef(record["shard"][0], int(record["shard"][1]))
        number = int(key.rpartition("/")[2])
        if self._store.head(shard_key(ref.sha256)) != ref.nbytes or not 0 <= number < len(scanned.tasks):
            raise ValueError("the shard is not there")
        return WrittenShard(scanned.layout.name, number, ref, batch, record["models"])

    def _folder(self, scanned: ScannedSource) -> str:
        """Of this content under this name: a source that has changed since begins anew."""
        layout = scanned.layout
        members = [[file.path, file.size, file.sha256] for file in layout.originals]
        identity = json_line({"name": layout.name, "members": members, "guarantee": scanned.guarantee})
        return f"{self._prefix}/{hashlib.sha256(identity).hexdigest()[:32]}"

    def _key(self, scanned: ScannedSource, task: int) -> str:
        return f"{self._folder(scanned)}/{task:08d}"
