"""What jobs write to the log, in the same words wherever they run; the fields are for machines."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence

from haarchive.pipeline.archive import EncodedChunk
from haarchive.pipeline.jobs.proving import is_alarming
from haarchive.pipeline.jobs.report import SourceReport
from haarchive.pipeline.jobs.stages import ScannedSource, WrittenShard

__all__ = ["scanned", "settled", "shard_failed", "shard_written"]

_log = logging.getLogger(__name__)
# Reports say the same: where nobody has set logging up, Python is not to print failures a second time.
_log.addHandler(logging.NullHandler())


def scanned(source: ScannedSource, seconds: float) -> None:
    """A source was looked at, and there is something to encode."""
    name, nbytes, shards = source.layout.name, source.layout.size, len(source.tasks)
    facts = {"source": name, "bytes": nbytes, "raw_bytes": source.raw_bytes, "shards": shards, "seconds": seconds}
    _log.info("%s: scanned, %d bytes in %d shards, %.3f s", name, nbytes, shards, seconds, extra=facts)


def shard_written(shard: WrittenShard, chunks: Sequence[EncodedChunk], seconds: float) -> None:
    """A shard was encoded, proven and written, or kept for the manifest of a small source."""
    raw = sum(chunk.raw_bytes for chunk in chunks)
    nbytes = len(shard.shard) if isinstance(shard.shard, bytes) else shard.shard.nbytes
    about = {"source": shard.source, "shard": shard.task}
    facts = about | {"raw_bytes": raw, "bytes": nbytes, "chunks": len(chunks), "seconds": seconds}
    text = "%s: shard %d written, %d -> %d bytes, %.3f s"
    _log.info(text, shard.source, shard.task, raw, nbytes, seconds, extra=facts)
    for reason, count in Counter(chunk.fallback for chunk in chunks if chunk.fallback).items():
        _fell_back(reason, count, about)


def shard_failed(source: str, shard: int, error: str) -> None:
    """A shard could not be made: its source fails."""
    facts = {"source": source, "shard": shard, "reason": error}
    _log.warning("%s: shard %d failed: %s", source, shard, error, extra=facts)


def settled(report: SourceReport) -> None:
    """A source is done, well or badly."""
    about = {"source": report.source}
    facts = about | {
        "status": report.status,
        "bytes": report.bytes,
        "archived_bytes": report.archived_bytes,
        "seconds": round(report.seconds, 3),
    }
    if report.status == "failed":
        _log.warning("%s: failed: %s", report.source, report.error, extra=facts | {"reason": report.error})
        return
    text = "%s: %s, %d -> %d bytes, %.3f s"
    values = (report.source, report.status, report.bytes, report.archived_bytes, report.seconds)
    _log.info(text, *values, extra=facts)
    for reason, count in report.fallbacks.items():
        _fell_back(reason, count, about)


def _fell_back(reason: str, count: int, about: Mapping[str, object]) -> None:
    level = logging.WARNING if is_alarming(reason) else logging.INFO
    facts = {**about, "fallback": reason, "chunks": count}
    _log.log(level, "%s: %d chunks are stored without their codec: %s", about["source"], count, reason, extra=facts)
