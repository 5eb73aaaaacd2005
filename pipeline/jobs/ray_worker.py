"""What runs on Ray's workers: an actor that holds the codecs and takes sources from scan to commit."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock
from typing import Any

from haarchive.pipeline import logs
from haarchive.pipeline.archive import ArchiveWriter
from haarchive.pipeline.config import ArchiveConfig
from haarchive.pipeline.jobs import events
from haarchive.pipeline.jobs.ledger import Failure, Settled
from haarchive.pipeline.jobs.lots import Lot, archive_lot
from haarchive.pipeline.jobs.outcome import begin, conclude
from haarchive.pipeline.jobs.ray_metrics import Metrics
from haarchive.pipeline.jobs.report import SourceReport, explain
from haarchive.pipeline.jobs.shard_journal import ShardJournal
from haarchive.pipeline.jobs.stages import Encoder, ScannedSource, WrittenShard, read, write
from haarchive.pipeline.sources import SourceRef

__all__ = ["IN_FLIGHT", "ArchiveWorker", "make_worker"]

IN_FLIGHT = 2
"""Calls that a worker has at once: one encodes, the other reads or writes."""


class ArchiveWorker:
    """Scans, encodes, proves, writes and commits. Each call may be repeated.

    Parameters
    ----------
    url : str
        Root of the archive.
    config : ArchiveConfig
    models : Mapping of str to bytes
        Content of model files that replace the shipped ones, by codec name.
    journal : ShardJournal, optional
    settings : LogSettings, optional
        How to log; None leaves it as it is.
    """

    def __init__(
        self,
        url: str,
        config: ArchiveConfig,
        models: Any,
        journal: ShardJournal | None,
        settings: logs.LogSettings | None = None,
    ) -> None:
        if settings:
            logs.set_up(settings)
        self._writer = ArchiveWriter(url)
        self._config = config
        self._encoder = Encoder(config, models, self._writer)
        self._journal = journal
        self._computing = Lock()
        self._metrics = Metrics()

    def ready(self) -> bool:
        """True, once the worker is there."""
        return True

    def scan(self, ref: SourceRef) -> tuple[ScannedSource | SourceReport, list[WrittenShard]]:
        """Look at a source; its report where nothing is to be encoded, and else the shards that it has already."""
        started = time.monotonic()
        with self._metrics.timed("scan"):
            found = begin(ref, self._writer, self._config)
            if isinstance(found, SourceReport):
                events.settled(found)
                return found, []
            events.scanned(found, time.monotonic() - started)
            return found, self._journal.written(found) if self._journal else []

    def shard(self, scanned: ScannedSource, number: int) -> WrittenShard | Failure:
        """Make one shard of a source."""
        task = scanned.tasks[number]
        started = time.monotonic()
        try:
            with self._metrics.timed("read"):
                chunks = read(task, scanned)
            with self._computing, self._metrics.timed("encode"):
                encoded, models = self._encoder.encode(task, scanned.layout.planes, chunks)
            self._metrics.encoded(encoded)
            with self._metrics.timed("write"):
                written = write(self._writer, task, scanned.layout, encoded, models)
                if self._journal:
                    self._journal.keep(scanned, written)
            events.shard_written(written, encoded, time.monotonic() - started)
            return written
        except Exception as error:
            events.shard_failed(task.source, number, explain(error))
            return Failure(task.source, number, explain(error))

    def lot(self, lot: Lot) -> list[SourceReport]:
        """Archive small sources."""
        with self._computing, self._metrics.timed("lot"):
            reports = archive_lot(lot, self._writer, self._encoder, self._config)
        for report in reports:
            self._metrics.archived(report)
            events.settled(report)
        return reports

    def conclude(self, settled: Settled[None], scanned: ScannedSource) -> SourceReport:
        """Commit a source whose shards are written."""
        with self._metrics.timed("commit"):
            whole = Settled(settled.source, scanned, settled.written, settled.error)
            report = conclude(whole, self._writer)
            if self._journal and report.status == "archived":
                self._journal.forget(scanned)
            events.settled(report)
            return report


def make_worker(url: str, config: ArchiveConfig, models: Any, journal: ShardJournal | None) -> Callable[[], Any]:
    """A function that makes an actor; see `ArchiveWorker`, and `ActorConfig` for what it takes of its node."""
    import ray

    remote = ray.remote(
        num_cpus=config.actors.num_cpus,
        num_gpus=config.actors.num_gpus,
        max_concurrency=IN_FLIGHT,
        max_restarts=0,
    )(ArchiveWorker)
    settings = logs.current()
    return lambda: remote.remote(url, config, models, journal, settings)
