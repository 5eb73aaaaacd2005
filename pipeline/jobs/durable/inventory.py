"""The sources of a job, frozen when it began."""

from __future__ import annotations

import os
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from haarchive.codecs.errors import IntegrityError, ObjectExistsError, ObjectNotFoundError
from haarchive.pipeline.jobs.durable.record import job_key
from haarchive.pipeline.sources import SourceRef
from haarchive.pipeline.storage import ObjectStore

__all__ = ["freeze_inventory", "load_inventory"]

_NAME = "inventory.parquet"
_SCHEMA = pa.schema(
    [
        ("name", pa.string()),
        ("path", pa.string()),
        ("size", pa.int64()),
        ("version", pa.string()),
        ("path_bytes", pa.binary()),
    ]
)
"""`path_bytes` holds paths that are no UTF-8, which `path` then only describes."""


def freeze_inventory(store: ObjectStore, job: str, refs: Sequence[SourceRef]) -> list[SourceRef]:
    """Write the inventory of a job, once.

    Returns
    -------
    list of SourceRef
        The inventory; another run's, where one was quicker.
    """
    rows = [_row(ref) for ref in refs]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, _SCHEMA), sink, compression="zstd")
    try:
        store.put_new(job_key(job, _NAME), sink.getvalue().to_pybytes())
    except ObjectExistsError:
        return load_inventory(store, job) or []
    return list(refs)


def load_inventory(store: ObjectStore, job: str) -> list[SourceRef] | None:
    """Read the inventory of a job; None where it has none yet.

    Raises
    ------
    IntegrityError
        If it is damaged.
    """
    key = job_key(job, _NAME)
    try:
        data = store.get(key)
    except ObjectNotFoundError:
        return None
    try:
        rows = pq.read_table(pa.BufferReader(data), schema=_SCHEMA).to_pylist()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise IntegrityError(f"{store.object_url(key)} is not an inventory, or is damaged: {error}") from error
    return [
        SourceRef(
            os.fsdecode(row["path_bytes"]) if row["path_bytes"] is not None else row["path"],
            row["name"],
            size=row["size"],
            version=row["version"] or "",
        )
        for row in rows
    ]


def _row(ref: SourceRef) -> dict[str, object]:
    path = os.fsencode(ref.path)
    text = path.decode("utf-8", "backslashreplace")
    raw = None if text.encode() == path else path
    return {"name": ref.name, "path": text, "size": ref.size, "version": ref.version, "path_bytes": raw}
