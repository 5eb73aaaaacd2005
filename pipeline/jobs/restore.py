"""The way back: restore and verify sources of an archive, one by one or all, a few at once."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from pathlib import Path

from haarchive.codecs.errors import IntegrityError
from haarchive.pipeline.archive import Archive, ArchivedSource, open_archive
from haarchive.pipeline.jobs.report import (
    JobReport,
    Progress,
    Quiet,
    SourceReport,
    Status,
    Stoppable,
    explain,
)
from haarchive.pipeline.jobs.stages import one_torch_thread

__all__ = ["restore", "verify"]

_log = logging.getLogger(__name__)

_THREADS = 4
_SHOWN_PROBLEMS = 20

_Job = Callable[[ArchivedSource, Progress, float], SourceReport]


def restore(
    url: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    device: str = "cpu",
    threads: int | None = None,
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
        Torch device of learned codecs.
    threads : int, optional
        Sources that are restored at once. None: one a CPU core, at most 4.
    progress : Progress, optional

    Returns
    -------
    JobReport
        A source that fails is reported there and does not stop the others.

    Raises
    ------
    ArchiveNotFoundError, IntegrityError, SchemaVersionError, StorageError
        If the archive, or the one source asked for, cannot be opened.
    """
    opened = open_archive(url, device=device)
    folder = Path(out)
    whole = isinstance(opened, Archive)

    def work(source: ArchivedSource, progress: Progress, started: float) -> SourceReport:
        progress.planned(source.name, source.size)
        name = source.name if whole else source.name.rpartition("/")[2]
        path = source.restore(
            folder / f"{name}{source.manifest.layout.attrs.get('restored_suffix', '')}",
            overwrite=overwrite,
            progress=partial(progress.advanced, source.name),
        )
        return _report(source, "restored", started, path=str(path))

    return _run(opened, work, threads, progress or Quiet())


def verify(
    url: str | os.PathLike[str],
    *,
    deep: bool = False,
    device: str = "cpu",
    threads: int | None = None,
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
    device, threads, progress
        See `restore`.

    Returns
    -------
    JobReport
        Damage is reported there, naming objects and chunks.

    Raises
    ------
    ArchiveNotFoundError, IntegrityError, SchemaVersionError, StorageError
        If the archive, or the one source asked for, cannot be opened.
    """
    opened = open_archive(url, device=device)

    def work(source: ArchivedSource, progress: Progress, started: float) -> SourceReport:
        progress.planned(source.name, source.archived_bytes + (source.size if deep else 0))
        found = source.verify(deep=deep, progress=partial(progress.advanced, source.name))
        if not found.ok:
            more = len(found.problems) - _SHOWN_PROBLEMS
            problems = [*found.problems[:_SHOWN_PROBLEMS], *([f"and {more} more"] if more > 0 else [])]
            raise IntegrityError("; ".join(problems))
        return _report(source, "verified", started)

    return _run(opened, work, threads, progress or Quiet())


def _run(opened: Archive | ArchivedSource, work: _Job, threads: int | None, progress: Progress) -> JobReport:
    """Do `work` for one source or all, a few at once; failures become reports."""
    started = time.monotonic()
    if isinstance(opened, ArchivedSource):
        reports = [_attempt(opened.name, lambda: opened, work, progress)]
        progress.finished(reports[0])
        return JobReport(tuple(reports), time.monotonic() - started)
    stoppable = Stoppable(progress)
    one_torch_thread()
    with ThreadPoolExecutor(threads or min(_THREADS, os.cpu_count() or 1)) as pool:
        futures = [
            pool.submit(_attempt, name, partial(opened.__getitem__, name), work, stoppable) for name in opened.sources()
        ]
        try:
            for future in as_completed(futures):
                progress.finished(future.result())
        finally:
            stoppable.stop()
            pool.shutdown(cancel_futures=True)
    return JobReport(tuple(future.result() for future in futures), time.monotonic() - started)


def _attempt(name: str, find: Callable[[], ArchivedSource], work: _Job, progress: Progress) -> SourceReport:
    started = time.monotonic()
    try:
        return work(find(), progress, started)
    except Exception as error:  # whatever is wrong with one source, the others go on
        _log.debug("%s failed", name, exc_info=True)
        return SourceReport(name, "failed", seconds=time.monotonic() - started, error=explain(error))


def _report(source: ArchivedSource, status: Status, started: float, path: str = "") -> SourceReport:
    return SourceReport(
        source.name,
        status,
        bytes=source.size,
        archived_bytes=source.archived_bytes,
        guarantee=source.manifest.guarantee,
        codecs=source.manifest.codec_totals(),
        seconds=time.monotonic() - started,
        path=path,
    )
