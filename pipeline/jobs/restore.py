"""The way back: restore and verify sources of an archive, one by one or all; a few at once, or on a cluster."""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Literal

from haarchive.pipeline.archive import Archive, ArchivedSource, open_archive
from haarchive.pipeline.jobs import events
from haarchive.pipeline.jobs.report import JobReport, Progress, Quiet, SourceReport, Stoppable
from haarchive.pipeline.jobs.retrieval import Restoring, Verifying, Work, attempt
from haarchive.pipeline.jobs.stages import one_torch_thread

__all__ = ["ReadEngine", "restore", "verify"]

ReadEngine = Literal["local", "ray"]

_THREADS = 4


def restore(
    url: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    device: str = "cpu",
    threads: int | None = None,
    engine: ReadEngine = "local",
    progress: Progress | None = None,
) -> JobReport:
    """Write originals back, each under a temporary name until its SHA-256 is that of the original.

    Parameters
    ----------
    url : str or path
        A source in an archive, or an archive's root for all of its sources.
    out : str or path
        The folder they go to; made if it is not there. One source gets its base name in it; all sources keep
        their relative names. A source archived `sample-exact` in a new container has that container's suffix.
    overwrite : bool
        Whether to replace files that are there.
    device : str
        Torch device of learned codecs. On Ray 'cuda' gives each worker a GPU of its own.
    threads : int, optional
        Sources that are restored at once in this process. None: one a CPU core, at most 4.
    engine : {'local', 'ray'}
        'local' works in this process, 'ray' on the cluster that this process is connected to or that ``RAY_ADDRESS``
        names, or on one that is started here. There `out` must be a folder that all nodes share, and so must the
        archive be, if it is a folder.
    progress : Progress, optional

    Returns
    -------
    JobReport
        A source that fails is reported there and does not stop the others.

    Raises
    ------
    ArchiveNotFoundError, IntegrityError, SchemaVersionError, StorageError
        If the archive, or the one source asked for, cannot be opened.
    ConfigError
        If the engine cannot be used here, or a node does not see `out`.
    """
    opened = open_archive(url, device=device)
    work = Restoring(Path(out), whole=isinstance(opened, Archive), overwrite=overwrite)
    return _run(opened, work, engine, device, threads, progress or Quiet())


def verify(
    url: str | os.PathLike[str],
    *,
    deep: bool = False,
    device: str = "cpu",
    threads: int | None = None,
    engine: ReadEngine = "local",
    progress: Progress | None = None,
) -> JobReport:
    """Check that sources are there, undamaged, and (deep) decode to the originals.

    Parameters
    ----------
    url : str or path
        A source in an archive, or an archive's root for all of its sources.
    deep : bool
        False: read every object; compare SHA-256 and CRC-32C. True: also decode everything and compare the
        digests of chunks and the SHA-256 of the original files.
    device, threads, engine, progress
        See `restore`.

    Returns
    -------
    JobReport
        Damage is reported there, naming objects and chunks.

    Raises
    ------
    ArchiveNotFoundError, IntegrityError, SchemaVersionError, StorageError
        If the archive, or the one source asked for, cannot be opened.
    ConfigError
        If the engine cannot be used here.
    """
    opened = open_archive(url, device=device)
    return _run(opened, Verifying(deep), engine, device, threads, progress or Quiet())


def _run(
    opened: Archive | ArchivedSource,
    work: Work,
    engine: ReadEngine,
    device: str,
    threads: int | None,
    progress: Progress,
) -> JobReport:
    """Do `work` for one source or all; failures become reports, in the order of names."""
    started = time.monotonic()
    if engine == "ray":
        from haarchive.pipeline.jobs.ray_restore import read_on_ray

        done = read_on_ray(opened, work, device, progress)
    else:
        done = _read_in_process(opened, work, threads, progress)
    reports = []
    with closing(done):
        for report in done:
            events.settled(report)
            progress.finished(report)
            reports.append(report)
    return JobReport(tuple(sorted(reports, key=lambda report: report.source)), time.monotonic() - started)


def _read_in_process(
    opened: Archive | ArchivedSource, work: Work, threads: int | None, progress: Progress
) -> Generator[SourceReport]:
    """Sources as they are done, a few at once."""
    if isinstance(opened, ArchivedSource):
        yield attempt(opened.name, lambda: opened, work, progress)
        return
    stoppable = Stoppable(progress)
    one_torch_thread()
    with ThreadPoolExecutor(threads or min(_THREADS, os.cpu_count() or 1)) as pool:
        futures = [
            pool.submit(attempt, name, partial(opened.__getitem__, name), work, stoppable) for name in opened.sources()
        ]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            stoppable.stop()
            pool.shutdown(cancel_futures=True)
