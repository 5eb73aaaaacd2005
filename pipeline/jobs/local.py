"""Archive in this process, on a few threads: for jobs too small to pay for Ray."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from haarchive.pipeline.archive import ArchiveWriter
from haarchive.pipeline.config import ArchiveConfig
from haarchive.pipeline.jobs import events
from haarchive.pipeline.jobs.ledger import Failure, Ledger, Settled
from haarchive.pipeline.jobs.lots import Lot, archive_lot, plan_lots
from haarchive.pipeline.jobs.outcome import begin, conclude
from haarchive.pipeline.jobs.plan import ShardTask
from haarchive.pipeline.jobs.report import Progress, SourceReport, Stoppable, explain
from haarchive.pipeline.jobs.shard_journal import ShardJournal
from haarchive.pipeline.jobs.stages import Encoder, ScannedSource, WrittenShard, read, write
from haarchive.pipeline.sources import SourceRef

__all__ = ["archive_in_process"]

_MOST_THREADS = 4
"""Where the configuration names no number: a thread holds a shard's samples, and codecs use cores too."""

_Pending = set["Future[WrittenShard | Failure | list[SourceReport]]"]


def archive_in_process(
    refs: Sequence[SourceRef],
    writer: ArchiveWriter,
    config: ArchiveConfig,
    models: Mapping[str, bytes],
    progress: Progress,
    journal: ShardJournal | None = None,
) -> Iterator[SourceReport]:
    """Archive sources; a failing one does not stop the others.

    Parameters
    ----------
    refs : sequence of SourceRef
    writer : ArchiveWriter
    config : ArchiveConfig
    models : Mapping of str to bytes
        Content of the model files that replace shipped ones, by codec name.
    progress : Progress
    journal : ShardJournal, optional

    Yields
    ------
    SourceReport
        As each source is committed, or fails.
    """
    threads = config.threads or min(_MOST_THREADS, os.cpu_count() or 1)
    ledger: Ledger[ScannedSource] = Ledger()
    pending: _Pending = set()
    stoppable = Stoppable(progress)
    worker = _Worker(writer, Encoder(config, models, writer), ledger, stoppable, journal)
    with ThreadPoolExecutor(threads, thread_name_prefix="haarchive") as pool:
        try:
            for item in plan_lots(refs):
                if isinstance(item, Lot):
                    pending.add(pool.submit(worker.lot, item, config))
                    if len(pending) >= 2 * threads:
                        yield from _collect(pending, ledger, writer, journal)
                    continue
                scanned = begin(item, writer, config)
                if isinstance(scanned, SourceReport):
                    yield scanned
                    continue
                events.scanned(scanned, time.time() - scanned.started)
                name = scanned.layout.name
                progress.planned(name, scanned.raw_bytes)
                if not scanned.tasks:
                    yield conclude(Settled(name, scanned), writer)
                    continue
                ledger.expect(name, len(scanned.tasks), scanned)
                there = journal.written(scanned) if journal else []
                for shard in there:
                    progress.advanced(name, scanned.tasks[shard.task].raw_bytes)
                    yield from _settled(ledger.settle(shard), writer, journal)
                for task in [task for task in scanned.tasks if task.index not in {shard.task for shard in there}]:
                    pending.add(pool.submit(worker.shard, task, scanned))
                    if len(pending) >= 2 * threads:
                        yield from _collect(pending, ledger, writer, journal)
            while pending:
                yield from _collect(pending, ledger, writer, journal)
        finally:
            stoppable.stop()
            pool.shutdown(wait=True, cancel_futures=True)


class _Worker:
    """What the threads of the pool do."""

    def __init__(
        self,
        writer: ArchiveWriter,
        encoder: Encoder,
        ledger: Ledger[ScannedSource],
        progress: Progress,
        journal: ShardJournal | None,
    ) -> None:
        self._writer = writer
        self._encoder = encoder
        self._ledger = ledger
        self._progress = progress
        self._journal = journal

    def lot(self, lot: Lot, config: ArchiveConfig) -> list[SourceReport]:
        """Archive small sources."""
        for ref in lot.sources:
            self._progress.planned(ref.name, ref.size or 0)
        return archive_lot(lot, self._writer, self._encoder, config, self._progress.advanced)

    def shard(self, task: ShardTask, scanned: ScannedSource) -> WrittenShard | Failure:
        """Make one shard."""
        if self._ledger.failed(task.source):
            return Failure(task.source, task.index, "not tried, as another shard failed")
        started = time.monotonic()
        try:
            chunks = read(task, scanned)
            encoded, models = self._encoder.encode(task, scanned.layout.planes, chunks, self._progress.advanced)
            written = write(self._writer, task, scanned.layout, encoded, models)
            if self._journal:
                self._journal.keep(scanned, written)
            events.shard_written(written, encoded, time.monotonic() - started)
            return written
        except Exception as error:
            events.shard_failed(task.source, task.index, explain(error))
            return Failure(task.source, task.index, explain(error))


def _collect(
    pending: _Pending, ledger: Ledger[ScannedSource], writer: ArchiveWriter, journal: ShardJournal | None
) -> Iterator[SourceReport]:
    """Wait for a shard or a lot, and conclude the sources that are complete with it."""
    done, still = wait(pending, return_when=FIRST_COMPLETED)
    pending.clear()
    pending.update(still)
    for future in done:
        outcome = future.result()
        if isinstance(outcome, list):
            yield from outcome
            continue
        yield from _settled(ledger.settle(outcome), writer, journal)


def _settled(
    settled: Settled[ScannedSource] | None, writer: ArchiveWriter, journal: ShardJournal | None
) -> Iterator[SourceReport]:
    """Conclude a source, if it is complete."""
    if settled:
        report = conclude(settled, writer)
        if journal and report.status == "archived":
            journal.forget(settled.key)
        yield report
