"""Archive in this process, on a few threads: for jobs too small to pay for Ray."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from haarchive.pipeline.archive import ArchiveWriter
from haarchive.pipeline.config import ArchiveConfig
from haarchive.pipeline.jobs.ledger import Failure, Ledger, Settled
from haarchive.pipeline.jobs.outcome import begin, conclude
from haarchive.pipeline.jobs.plan import ShardTask
from haarchive.pipeline.jobs.report import Progress, SourceReport, Stoppable, explain
from haarchive.pipeline.jobs.stages import Encoder, ScannedSource, WrittenShard, read, write
from haarchive.pipeline.sources import SourceRef

__all__ = ["archive_in_process"]

_MOST_THREADS = 4
"""Where the configuration names no number: a thread holds a shard's samples, and codecs use cores too."""

_Pending = set["Future[WrittenShard | Failure]"]


def archive_in_process(
    refs: Sequence[SourceRef],
    writer: ArchiveWriter,
    config: ArchiveConfig,
    models: Mapping[str, bytes],
    progress: Progress,
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

    Yields
    ------
    SourceReport
        As each source is committed, or fails.
    """
    threads = config.threads or min(_MOST_THREADS, os.cpu_count() or 1)
    ledger: Ledger[ScannedSource] = Ledger()
    pending: _Pending = set()
    stoppable = Stoppable(progress)
    worker = _Worker(writer, Encoder(config, models, writer), ledger, stoppable)
    with ThreadPoolExecutor(threads, thread_name_prefix="haarchive") as pool:
        try:
            for ref in refs:
                scanned = begin(ref, writer, config)
                if isinstance(scanned, SourceReport):
                    yield scanned
                    continue
                name = scanned.layout.name
                progress.planned(name, scanned.raw_bytes)
                if not scanned.tasks:
                    yield conclude(Settled(name, scanned), writer)
                    continue
                ledger.expect(name, len(scanned.tasks), scanned)
                for task in scanned.tasks:
                    pending.add(pool.submit(worker, task, scanned))
                    if len(pending) >= 2 * threads:
                        yield from _collect(pending, ledger, writer)
            while pending:
                yield from _collect(pending, ledger, writer)
        finally:
            stoppable.stop()
            pool.shutdown(wait=True, cancel_futures=True)


class _Worker:
    """Makes one shard, on a thread of the pool."""

    def __init__(
        self, writer: ArchiveWriter, encoder: Encoder, ledger: Ledger[ScannedSource], progress: Progress
    ) -> None:
        self._writer = writer
        self._encoder = encoder
        self._ledger = ledger
        self._progress = progress

    def __call__(self, task: ShardTask, scanned: ScannedSource) -> WrittenShard | Failure:
        if self._ledger.failed(task.source):
            return Failure(task.source, task.index, "not tried, as another shard failed")
        try:
            chunks = read(task, scanned)
            encoded, models = self._encoder.encode(task, scanned.layout.planes, chunks, self._progress.advanced)
            return write(self._writer, task, scanned.layout, encoded, models)
        except Exception as error:
            return Failure(task.source, task.index, explain(error))


def _collect(pending: _Pending, ledger: Ledger[ScannedSource], writer: ArchiveWriter) -> Iterator[SourceReport]:
    """Wait for a shard, and conclude the sources that are complete with it."""
    done, still = wait(pending, return_when=FIRST_COMPLETED)
    pending.clear()
    pending.update(still)
    for future in done:
        settled = ledger.settle(future.result())
        if settled:
            yield conclude(settled, writer)
