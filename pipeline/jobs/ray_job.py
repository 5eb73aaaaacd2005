"""Archive on Ray Data: read, encode and prove in an actor pool, write shards; commit source by source.

What workers share is in Ray, not in the driver: scanned sources (with their layouts) are objects in the
object store, models were put there once, and an actor counts attempts. Rows that flow through Ray Data name a
shard and carry its samples, then its bitstreams, then its entry for the manifest.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from haarchive.pipeline.archive import ArchiveWriter
from haarchive.pipeline.config import ArchiveConfig
from haarchive.pipeline.jobs.ledger import Failure, Ledger, Settled
from haarchive.pipeline.jobs.outcome import begin, conclude
from haarchive.pipeline.jobs.plan import ShardTask
from haarchive.pipeline.jobs.ray_session import ray_session
from haarchive.pipeline.jobs.report import Progress, SourceReport, explain
from haarchive.pipeline.jobs.stages import Encoder, ScannedSource, WrittenShard, read, write
from haarchive.pipeline.sources import SourceRef

__all__ = ["archive_on_ray"]

_WAVE_SOURCES = 4096
"""Most sources of one run of Ray Data: each costs the driver a few kilobytes."""
_ATTEMPTS = 3
"""How often a shard may take its worker down (out of memory, a crash in a C library)."""
_COMMITS = 8
"""Commits under way at once; each rereads its source to see that it is unchanged."""


def archive_on_ray(
    refs: Sequence[SourceRef],
    writer: ArchiveWriter,
    config: ArchiveConfig,
    models: Mapping[str, bytes],
    progress: Progress,
) -> Iterator[SourceReport]:
    """Archive sources on Ray; see `archive_in_process`, which writes the same bytes.

    Paths of sources and archive must mean the same on every node of the cluster.

    Yields
    ------
    SourceReport
        As each source is committed, or fails.
    """
    with ray_session(config.actors):
        import ray

        attempts = ray.remote(num_cpus=0)(_Attempts).remote()
        shared = _Shared(writer.url, config, ray.put(dict(models)), attempts)
        for wave in _waves(refs, config.wave_bytes):
            yield from _archive_wave(wave, shared, progress)


@dataclass(frozen=True)
class _Shared:
    """What every worker is given: small values, and references to the large ones."""

    url: str
    config: ArchiveConfig
    models: Any
    attempts: Any


def _waves(refs: Sequence[SourceRef], wave_bytes: int) -> Iterator[list[SourceRef]]:
    """Sources in groups that are scanned, encoded and committed one after the other."""
    wave: list[SourceRef] = []
    total = 0
    for ref in refs:
        nbytes = _size(ref)
        if wave and (total + nbytes > wave_bytes or len(wave) == _WAVE_SOURCES):
            yield wave
            wave, total = [], 0
        wave.append(ref)
        total += nbytes
    if wave:
        yield wave


def _size(ref: SourceRef) -> int:
    try:
        return Path(ref.path).stat().st_size
    except OSError:
        return 0  # the scan will say what is wrong


def _archive_wave(refs: Sequence[SourceRef], shared: _Shared, progress: Progress) -> Iterator[SourceReport]:
    import ray

    scan = ray.remote(num_returns=2, max_retries=_ATTEMPTS - 1)(_scan)
    scans = [scan.remote(ref, shared) for ref in refs]
    scanned: dict[str, Any] = {}
    tasks: dict[str, tuple[ShardTask, ...]] = {}
    for ref, (answer, source) in zip(refs, scans, strict=True):
        try:
            found: SourceReport | tuple[ShardTask, ...] = ray.get(answer)
        except ray.exceptions.RayError as error:
            found = SourceReport(ref.name, "failed", error=_first_line(error))
        if isinstance(found, SourceReport):
            yield found
            continue
        scanned[ref.name], tasks[ref.name] = source, found
        progress.planned(ref.name, sum(task.raw_bytes for task in found))

    commits = _Commits(shared)
    ledger: Ledger[Any] = Ledger()
    for name, planned in tasks.items():
        if planned:
            ledger.expect(name, len(planned), scanned[name])
        else:
            yield from commits.start(Settled(name, scanned[name]))
    lost = "the processes that worked on it died; see Ray's logs"
    try:
        for outcome in _outcomes([task for planned in tasks.values() for task in planned], scanned, shared):
            progress.advanced(outcome.source, tasks[outcome.source][outcome.task].raw_bytes)
            settled = ledger.settle(outcome)
            if settled:
                yield from commits.start(settled)
    except ray.exceptions.RayError as error:
        lost = f"Ray failed: {_first_line(error)}"
    for settled in ledger.give_up(lost):
        yield from commits.start(settled)
    yield from commits.rest()


def _outcomes(
    tasks: Sequence[ShardTask], scanned: Mapping[str, Any], shared: _Shared
) -> Iterator[WrittenShard | Failure]:
    """Run Ray Data over the shards of many sources; outcomes come as they are ready, in any order."""
    import ray.data

    if not tasks:
        return
    config = shared.config.actors
    on_gpu = config.num_gpus > 0
    rows = [{"source": task.source, "task": task.index, "payload": b""} for task in tasks]
    given = {"scanned": dict(scanned), "shared": shared}
    flow = (
        ray.data.from_items(rows, override_num_blocks=len(rows))
        .map_batches(_read, batch_size=1, batch_format="pyarrow", num_cpus=0.5, fn_kwargs=given)
        .map_batches(
            _Encode,
            batch_size=1,
            batch_format="pyarrow",
            num_cpus=None if on_gpu else config.num_cpus,
            num_gpus=config.num_gpus if on_gpu else None,
            compute=ray.data.ActorPoolStrategy(min_size=min(config.min_size, len(rows)), max_size=config.max_size),
            fn_constructor_kwargs=given,
        )
        .map_batches(_write, batch_size=1, batch_format="pyarrow", num_cpus=0.25, fn_kwargs=given)
    )
    for table in flow.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        for payload in table["payload"]:
            yield pickle.loads(payload.as_buffer())


class _Commits:
    """Commits under way, a bounded number at once."""

    def __init__(self, shared: _Shared) -> None:
        import ray

        # Commits wait for storage rather than compute, and must not queue behind the actors for a CPU.
        self._conclude = ray.remote(num_cpus=0, max_retries=_ATTEMPTS - 1)(_conclude)
        self._shared = shared
        self._pending: dict[Any, str] = {}

    def start(self, settled: Settled[Any]) -> Iterator[SourceReport]:
        """Begin a commit; yields the reports of those that had to be waited for."""
        if len(self._pending) >= _COMMITS:
            yield self._next()
        # The scanned source is a reference; only as an argument of its own does Ray resolve it.
        future = self._conclude.remote(settled.source, settled.key, settled.written, settled.error, self._shared)
        self._pending[future] = settled.source

    def rest(self) -> Iterator[SourceReport]:
        """Wait for all that are under way."""
        while self._pending:
            yield self._next()

    def _next(self) -> SourceReport:
        import ray

        (done, *_), _ = ray.wait(list(self._pending), num_returns=1)
        source = self._pending.pop(done)
        try:
            report: SourceReport = ray.get(done)
        except ray.exceptions.RayError as error:
            report = SourceReport(source, "failed", error=_first_line(error))
        return report


class _Attempts:
    """An actor that counts how often each shard was begun, wherever that was."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str, int], int] = {}

    def begin(self, stage: str, source: str, task: int) -> int:
        """Count one more attempt at a stage of a shard, and return which one it is."""
        key = (stage, source, task)
        self._counts[key] = self._counts.get(key, 0) + 1
        return self._counts[key]


# Below: what runs on workers. Tables have one row: source, task, payload. A `Failure` passes through.


def _scan(ref: SourceRef, shared: _Shared) -> tuple[SourceReport | tuple[ShardTask, ...], ScannedSource | None]:
    """The plan, for the driver, and the source, for the workers."""
    found = begin(ref, _writer(shared.url), shared.config)
    return (found, None) if isinstance(found, SourceReport) else (found.tasks, found)


def _read(table: pa.Table, scanned: Mapping[str, Any], shared: _Shared) -> pa.Table:
    source, task = _address(table)
    try:
        _begin(shared, "reading", source, task)
        found = _fetch(scanned[source])
        return _row(source, task, read(found.tasks[task], found))
    except Exception as error:
        return _row(source, task, Failure(source, task, explain(error)))


class _Encode:
    """Holds the models; encodes and proves one shard a call."""

    def __init__(self, scanned: Mapping[str, Any], shared: _Shared) -> None:
        import ray

        self._scanned = scanned
        self._shared = shared
        self._encoder = Encoder(shared.config, ray.get(shared.models), _writer(shared.url))

    def __call__(self, table: pa.Table) -> pa.Table:
        source, task = _address(table)
        content = _content(table)
        if isinstance(content, Failure):
            return table
        try:
            _begin(self._shared, "encoding", source, task)
            found = _fetch(self._scanned[source])
            return _row(source, task, self._encoder.encode(found.tasks[task], found.layout.planes, content))
        except Exception as error:
            return _row(source, task, Failure(source, task, explain(error)))


def _write(table: pa.Table, scanned: Mapping[str, Any], shared: _Shared) -> pa.Table:
    source, task = _address(table)
    content = _content(table)
    if isinstance(content, Failure):
        return table
    try:
        encoded, models = content
        found = _fetch(scanned[source])
        return _row(source, task, write(_writer(shared.url), found.tasks[task], found.layout, encoded, models))
    except Exception as error:
        return _row(source, task, Failure(source, task, explain(error)))


def _conclude(
    source: str, scanned: ScannedSource, written: tuple[WrittenShard, ...], error: str, shared: _Shared
) -> SourceReport:
    return conclude(Settled(source, scanned, written, error), _writer(shared.url))


def _begin(shared: _Shared, stage: str, source: str, task: int) -> None:
    import ray

    if ray.get(shared.attempts.begin.remote(stage, source, task)) > _ATTEMPTS:
        raise RuntimeError(f"the process died {_ATTEMPTS} times while {stage} shard {task}; is memory short?")


def _fetch(reference: Any) -> ScannedSource:
    import ray

    scanned: ScannedSource = ray.get(reference)
    return scanned


@lru_cache(maxsize=4)
def _writer(url: str) -> ArchiveWriter:
    """One writer a process, so that connections are reused."""
    return ArchiveWriter(url)


def _address(table: pa.Table) -> tuple[str, int]:
    return table["source"][0].as_py(), table["task"][0].as_py()


def _content(table: pa.Table) -> Any:
    return pickle.loads(table["payload"][0].as_buffer())


def _row(source: str, task: int, content: Any) -> pa.Table:
    payload = pa.array([pickle.dumps(content, protocol=5)], pa.large_binary())
    return pa.table({"source": pa.array([source]), "task": pa.array([task], pa.int64()), "payload": payload})


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
