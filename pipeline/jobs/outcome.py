"""The first and last step of every source, with whatever goes wrong turned into its report."""

from __future__ import annotations

import logging
import time

from haarchive.pipeline.archive import ArchiveWriter, Manifest
from haarchive.pipeline.config import ArchiveConfig
from haarchive.pipeline.jobs.ledger import Settled
from haarchive.pipeline.jobs.report import SourceReport, Status, explain
from haarchive.pipeline.jobs.stages import ScannedSource, finish, is_archived, scan
from haarchive.pipeline.sources import SourceRef

__all__ = ["begin", "conclude", "describe", "failed"]

_log = logging.getLogger(__name__)


def begin(
    ref: SourceRef, writer: ArchiveWriter, config: ArchiveConfig, *, new: bool = False
) -> ScannedSource | SourceReport:
    """Scan a source; its report where there is nothing to encode: it is archived already, or cannot be.

    Parameters
    ----------
    ref : SourceRef
    writer : ArchiveWriter
    config : ArchiveConfig
    new : bool
        Whether the caller knows that the archive has nothing of this name.
    """
    started = time.time()
    try:
        scanned = scan(ref, config)
        there = None if new else is_archived(writer, scanned)
        if there is None:
            return scanned
        return describe(there.manifest, there.nbytes, "unchanged", started)
    except Exception as error:
        _log.debug("scanning %s failed", ref.path, exc_info=True)
        return SourceReport(ref.name, "failed", seconds=time.time() - started, error=explain(error))


def conclude(settled: Settled[ScannedSource], writer: ArchiveWriter) -> SourceReport:
    """Commit a source whose shards are written, or say why not."""
    scanned = settled.key
    if settled.error:
        return failed(scanned, settled.error)
    try:
        manifest, nbytes = finish(writer, scanned, settled.written)
    except Exception as error:
        _log.debug("committing %s failed", scanned.ref.path, exc_info=True)
        return failed(scanned, explain(error))
    return describe(manifest, nbytes, "archived", scanned.started)


def failed(scanned: ScannedSource, error: str) -> SourceReport:
    """The report of a source that was scanned, but is not in the archive."""
    return SourceReport(
        scanned.layout.name,
        "failed",
        bytes=scanned.layout.size,
        guarantee=scanned.guarantee,
        seconds=time.time() - scanned.started,
        error=error,
    )


def describe(manifest: Manifest, manifest_bytes: int, status: Status, started: float) -> SourceReport:
    """The report of a source that is in the archive.

    Parameters
    ----------
    manifest : Manifest
    manifest_bytes : int
        Size of the manifest object.
    status : str
    started : float
        Seconds since the epoch.
    """
    shards = {shard.sha256: shard.nbytes for shard in manifest.shards}  # equal shards are one object
    return SourceReport(
        manifest.name,
        status,
        bytes=manifest.layout.size,
        archived_bytes=manifest_bytes + sum(shards.values()),
        guarantee=manifest.guarantee,
        codecs=manifest.codec_totals(),
        fallbacks=manifest.fallbacks(),
        models=dict(manifest.models),
        seconds=time.time() - started,
        note=str(manifest.layout.attrs.get("note", "")),
    )
