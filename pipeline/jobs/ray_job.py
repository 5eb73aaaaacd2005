"""Archive on Ray: a pool of actors takes each source from scan to commit, shard by shard.

The driver keeps the books and no samples: it hands out scans, shards and commits, small sources by the lot, and takes
outcomes as they come. Scanned sources, with their layouts, lie in the object store; samples never do: an actor
reads what it encodes. So memory is bounded by `IN_FLIGHT` shards an actor, whatever the size of the sources.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from haarchive.pipeline.archive import ArchiveWriter
from haarchive.pipeline.config import ArchiveConfig
from haarchive.pipeline.jobs.ledger import Failure, Ledger, Settled
from haarchive.pipeline.jobs.lots import Lot, plan_lots
from haarchive.pipeline.jobs.ray_pool import ActorPool, Call, Done
from haarchive.pipeline.jobs.ray_session import ray_session
from haarchive.pipeline.jobs.ray_worker import IN_FLIGHT, make_worker
from haarchive.pipeline.jobs.report import Progress, SourceReport
from haarchive.pipeline.jobs.shard_journal import ShardJournal
from haarchive.pipeline.jobs.stages import ScannedSource, WrittenShard
from haarchive.pipeline.sources import SourceRef

__all__ = ["archive_on_ray"]

_log = logging.getLogger(__name__)


def archive_on_ray(
    refs: Sequence[SourceRef],
    writer: ArchiveWriter,
    config: ArchiveConfig,
    models: Mapping[str, bytes],
    progress: Progress,
    journal: ShardJournal | None = None,
) -> Iterator[SourceReport]:
    """Archive sources on Ray; see `archive_in_process`, which writes the same objects.

    Paths of sources and archive must mean the same on every node of the cluster.

    Yields
    ------
    SourceReport
        As each source is committed, or fails.
    """
    with ray_session(config.actors):
        import ray

        _log.info("archiving %d sources on Ray", len(refs), extra={"sources": len(refs)})
        actors = config.actors
        pool = ActorPool(
            make_worker(writer.url, config, ray.put(dict(models)), journal),
            min_size=actors.min_size,
            max_size=actors.max_size,
            in_flight=IN_FLIGHT,
        )
        try:
            yield from _Driver(pool, progress).run(plan_lots(refs))
        finally:
            pool.close()


class _Driver:
    """The books of one job: which source is at which stage."""

    def __init__(self, pool: ActorPool, progress: Progress) -> None:
        self._pool = pool
        self._progress = progress
        self._ledger: Ledger[Any] = Ledger()
        self._raw_bytes: dict[str, tuple[int, ...]] = {}

    def run(self, items: Iterator[Lot | SourceRef]) -> Iterator[SourceReport]:
        more = True
        while more or not self._pool.idle:
            while more and self._pool.hungry:
                item = next(items, None)
                more = item is not None
                if isinstance(item, Lot):
                    self._begin_lot(item)
                elif item is not None:
                    self._pool.submit(Call(("scan", item.name), "scan", (item,)))
            for done in self._pool.results():
                yield from self._ended(done)

    def _begin_lot(self, lot: Lot) -> None:
        for ref in lot.sources:
            self._progress.planned(ref.name, ref.size or 0)
        self._pool.submit(Call(("lot", lot.sources[0].name), "lot", (lot,)))

    def _ended(self, done: Done) -> Iterator[SourceReport]:
        match done.call.method:
            case "scan":
                yield from self._scanned(done)
            case "shard":
                self._made(done)
            case "lot":
                yield from self._archived(done)
            case _:
                source = str(done.call.args[0].source)
                yield done.value or SourceReport(source, "failed", error=_while("committing", done))

    def _scanned(self, done: Done) -> Iterator[SourceReport]:
        import ray

        name = str(done.call.args[0].name)
        scanned, there = done.value or (None, [])
        if not isinstance(scanned, ScannedSource):
            yield scanned or SourceReport(name, "failed", error=_while("scanning", done))
            return
        self._progress.planned(name, scanned.raw_bytes)
        shared = ray.put(scanned)
        if not scanned.tasks:
            self._conclude(Settled(name, shared))
            return
        self._ledger.expect(name, len(scanned.tasks), shared)
        self._raw_bytes[name] = tuple(task.raw_bytes for task in scanned.tasks)
        for shard in there:
            self._book(shard)
        for number in sorted({task.index for task in scanned.tasks} - {shard.task for shard in there}):
            self._pool.submit(Call(("shard", name, number), "shard", (shared, number)))

    def _made(self, done: Done) -> None:
        _, name, number = done.call.key
        outcome: WrittenShard | Failure = done.value or Failure(name, number, _while(f"encoding shard {number}", done))
        self._book(outcome)
        if isinstance(outcome, Failure):
            # The source fails as a whole: its other shards need not be made.
            for call in self._pool.withdraw(lambda call: call.key[:2] == ("shard", name)):
                self._book(Failure(name, call.args[1], outcome.error))

    def _book(self, outcome: WrittenShard | Failure) -> None:
        self._progress.advanced(outcome.source, self._raw_bytes[outcome.source][outcome.task])
        settled = self._ledger.settle(outcome)
        if settled:
            del self._raw_bytes[outcome.source]
            self._conclude(settled)

    def _conclude(self, settled: Settled[Any]) -> None:
        # The scanned source is a reference, which Ray resolves only as an argument of its own.
        call = Call(("commit", settled.source), "conclude", (replace(settled, key=None), settled.key))
        self._pool.submit(call, first=True)

    def _archived(self, done: Done) -> Iterator[SourceReport]:
        lot: Lot = done.call.args[0]
        if done.error:
            # Its sources go one by one, so that the one that is to blame fails alone.
            facts = {"sources": len(lot.sources), "reason": done.error}
            _log.info("%d small sources failed together and go one by one: %s", *facts.values(), extra=facts)
            for ref in lot.sources:
                self._pool.submit(Call(("scan", ref.name), "scan", (ref,)))
            return
        for ref in lot.sources:
            self._progress.advanced(ref.name, ref.size or 0)
        yield from done.value


def _while(what: str, done: Done) -> str:
    return f"{what}: {done.error}"
