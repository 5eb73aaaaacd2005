"""Restore and verify on Ray: many small sources a call, or one large one.

The driver lists manifests and the indexes of packs, and reads neither manifests nor data. Sources of one pack go
into one call, which fetches their manifests at once. A call whose worker has died is made again; where a
call of many sources takes its worker down time and again, they go one by one, so that the one to blame fails alone.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from shutil import rmtree
from typing import Any

from haarchive.codecs.errors import ConfigError, HaarchiveError, IntegrityError
from haarchive.pipeline import logs
from haarchive.pipeline.archive import Archive, ArchivedSource, Manifest
from haarchive.pipeline.archive.keys import MANIFESTS, manifest_key, name_of_manifest, pack_key
from haarchive.pipeline.archive.models import CodecCache
from haarchive.pipeline.archive.pack import PackEntry, PackTable
from haarchive.pipeline.config import ActorConfig
from haarchive.pipeline.jobs import events
from haarchive.pipeline.jobs.ray_pool import ActorPool, Call, Done
from haarchive.pipeline.jobs.ray_session import ray_session
from haarchive.pipeline.jobs.report import Progress, Quiet, SourceReport, explain
from haarchive.pipeline.jobs.retrieval import Restoring, Work, attempt
from haarchive.pipeline.jobs.stages import one_torch_thread
from haarchive.pipeline.jobs.staging import StagedRestoring, staging_folder
from haarchive.pipeline.storage import ObjectStore, open_store

__all__ = ["Batch", "ReadWorker", "Wanted", "plan_batches", "read_on_ray"]

_IN_FLIGHT = 2
"""Calls that a worker has at once: one decodes, the other reads or writes."""
_CACHE_BYTES = 128 << 20


@dataclass(frozen=True)
class Wanted:
    """A source, and where its manifest lies.

    Parameters
    ----------
    number : int
        Tells sources apart.
    name : str
    entry : PackEntry, optional
        None where the manifest is an object of its own.
    """

    number: int
    name: str
    entry: PackEntry | None = None


@dataclass(frozen=True)
class Batch:
    """What one call is for: sources of one pack, or one source with a manifest of its own."""

    number: int
    sources: tuple[Wanted, ...]


def read_on_ray(
    opened: Archive | ArchivedSource, work: Work, device: str, progress: Progress
) -> Generator[SourceReport]:
    """Do `work` with one source, or with all of an archive, on Ray.

    Parameters
    ----------
    opened : Archive or ArchivedSource
    work : Work
    device : str
        'cuda' gives each worker a GPU of its own.
    progress : Progress
        Told of a source's bytes when it is done.

    Yields
    ------
    SourceReport
        As each source is done.

    Raises
    ------
    ConfigError
        If other processes cannot see the archive, a node does not see the folder that originals go to, or `device` is
        for one process only.
    StorageError
        If that folder cannot be made.
    """
    store = opened.store
    if store.url.startswith("memory://"):
        raise ConfigError(f"{store.url}: other processes cannot see this memory; work in this process")
    if device.startswith("cuda:"):
        raise ConfigError(f"on Ray each worker has one GPU of its own: give 'cuda' as the device, not {device!r}")
    actors = ActorConfig(num_gpus=1 if device == "cuda" else 0)
    batches = plan_batches(store, opened.name if isinstance(opened, ArchivedSource) else None)
    with ExitStack() as stack:
        stage: Path | None = None
        if isinstance(work, Restoring):
            work = replace(work, folder=work.folder.absolute())
            stage = stack.enter_context(staging_folder(work.folder))
        stack.enter_context(ray_session(actors))
        make = _make_worker(store.url, work, device, stage, actors)
        pool = ActorPool(make, min_size=1, max_size=None, in_flight=_IN_FLIGHT)
        stack.callback(pool.close)
        for report in _drive(pool, batches, stage):
            if report.status != "failed":
                nbytes = work.nbytes(report.bytes, report.archived_bytes)
                progress.planned(report.source, nbytes)
                progress.advanced(report.source, nbytes)
            yield report


def plan_batches(store: ObjectStore, only: str | None = None) -> list[Batch]:
    """The calls to make, the large ones first, so that the last ones are short.

    Parameters
    ----------
    store : ObjectStore
        The archive.
    only : str, optional
        The one source to work on.
    """
    packs = PackTable(store)
    if only is not None:
        there = store.head(manifest_key(only)) is not None
        return [Batch(0, (Wanted(0, only, None if there else packs.find(only)),))]
    own = dict(store.list(MANIFESTS))
    packs.refresh()
    # A manifest grows with its source; what lies in a pack is small.
    groups: list[list[tuple[str, PackEntry | None]]] = [
        [(name_of_manifest(key) or _name_within(store, key), None)]
        for key, _ in sorted(own.items(), key=lambda item: (-item[1], item[0]))
    ]
    by_pack: dict[int, list[tuple[str, PackEntry | None]]] = {}
    for name in packs.names():
        entry = packs.find(name, refresh=False)
        if entry and manifest_key(name) not in own:  # a manifest of its own counts before one in a pack
            by_pack.setdefault(entry.pack, []).append((name, entry))
    groups += by_pack.values()
    batches: list[Batch] = []
    number = 0
    for group in groups:
        wanted = tuple(Wanted(number + i, name, entry) for i, (name, entry) in enumerate(group))
        batches.append(Batch(len(batches), wanted))
        number += len(group)
    return batches


class ReadWorker:
    """Does a work with sources of an archive, batch by batch. Each call may be repeated.

    Parameters
    ----------
    url : str
        Root of the archive.
    work : Work
    device : str
        Torch device of learned codecs.
    stage : Path, optional
        Where originals are made, if work is to restore.
    settings : LogSettings, optional
        How to log; None leaves it as it is.
    """

    def __init__(
        self, url: str, work: Work, device: str, stage: Path | None, settings: logs.LogSettings | None = None
    ) -> None:
        if settings:
            logs.set_up(settings)
        one_torch_thread()
        self._store = open_store(url)
        self._codecs = CodecCache(self._store, device)
        self._work = work
        self._stage = stage

    def ready(self) -> bool:
        """True, once the worker is there."""
        return True

    def read(self, batch: Batch) -> list[SourceReport] | ConfigError:
        """Do the work with the sources of a batch; an error where this node can do it with none."""
        if self._stage is not None and not self._stage.is_dir():
            return ConfigError(
                f"{self._stage.parent} is not the same folder on every node: a worker does not find what the job has"
                " made there; restore to a folder that all nodes share, or without Ray"
            )
        try:
            manifests = self._manifests(batch)
        except HaarchiveError as error:
            return [SourceReport(wanted.name, "failed", error=explain(error)) for wanted in batch.sources]
        reports = []
        for wanted, manifest in zip(batch.sources, manifests, strict=True):
            find = partial(self._open, wanted, *manifest)
            reports.append(attempt(wanted.name, find, self._work_for(batch, wanted), Quiet()))
            events.settled(reports[-1])
        return reports

    def _work_for(self, batch: Batch, wanted: Wanted) -> Work:
        if self._stage is None or not isinstance(self._work, Restoring):
            return self._work
        return StagedRestoring(self._work, _place(self._stage, batch) / str(wanted.number))

    def _manifests(self, batch: Batch) -> list[tuple[bytes, int, str]]:
        """Of each source: its manifest, the bytes it takes beside its shards, and where it is from."""
        entries = [wanted.entry for wanted in batch.sources if wanted.entry]
        if not entries:
            key = manifest_key(batch.sources[0].name)
            data = self._store.get(key)
            return [(data, len(data), self._store.object_url(key))]
        key = pack_key(entries[0].pack)
        blocks = self._store.get_ranges(key, [entry.start for entry in entries], [entry.length for entry in entries])
        origins = [f"{self._store.object_url(key)} at byte {entry.start}" for entry in entries]
        return [(block, entry.nbytes, origin) for block, entry, origin in zip(blocks, entries, origins, strict=True)]

    def _open(self, wanted: Wanted, data: bytes, nbytes: int, origin: str) -> ArchivedSource:
        manifest = Manifest.from_bytes(data, origin=origin)
        if manifest.name != wanted.name:
            raise IntegrityError(f"{origin} is the manifest of {manifest.name!r}: it was moved")
        return ArchivedSource(self._store, manifest, nbytes, self._codecs, _CACHE_BYTES)


def _drive(pool: ActorPool, batches: Sequence[Batch], stage: Path | None) -> Iterator[SourceReport]:
    waiting = iter(batches)
    more = True
    while more or not pool.idle:
        while more and pool.hungry:
            batch = next(waiting, None)
            more = batch is not None
            if batch:
                pool.submit(Call(("batch", batch.number), "read", (batch,)))
        for done in pool.results():
            yield from _ended(done, pool, stage)


def _ended(done: Done, pool: ActorPool, stage: Path | None) -> Iterator[SourceReport]:
    batch: Batch = done.call.args[0]
    if isinstance(done.value, ConfigError):
        raise done.value
    if not done.error:
        yield from done.value
    elif len(batch.sources) == 1:
        yield SourceReport(batch.sources[0].name, "failed", error=done.error)
    else:
        for wanted in batch.sources:
            pool.submit(Call(("source", wanted.number), "read", (replace(batch, sources=(wanted,)),)))
        return  # what the batch has made already is taken up
    if stage is not None and done.call.key[0] == "batch":
        rmtree(_place(stage, batch), ignore_errors=True)


def _make_worker(url: str, work: Work, device: str, stage: Path | None, actors: ActorConfig) -> Callable[[], Any]:
    import ray

    remote = ray.remote(num_cpus=actors.num_cpus, num_gpus=actors.num_gpus, max_concurrency=_IN_FLIGHT, max_restarts=0)(
        ReadWorker
    )
    settings = logs.current()
    return lambda: remote.remote(url, work, device, stage, settings)


def _place(stage: Path, batch: Batch) -> Path:
    return stage / str(batch.number)


def _name_within(store: ObjectStore, key: str) -> str:
    """The source of a manifest whose key was cut as too long."""
    return Manifest.from_bytes(store.get(key), origin=store.object_url(key)).name
