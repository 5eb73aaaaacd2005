"""A job's signs of life in object storage while it runs."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Any, Self

from haarchive.codecs.errors import HaarchiveError, JobCancelledError
from haarchive.pipeline.jobs.durable.journal import Journal, new_run
from haarchive.pipeline.jobs.durable.record import job_key
from haarchive.pipeline.jobs.report import Progress, SourceReport
from haarchive.pipeline.storage import ObjectStore

__all__ = ["CANCEL", "Recorder", "utc"]

CANCEL = "cancel"
"""The object of a job that asks it to stop."""

_EVERY = 5.0
"""Seconds between two signs of life."""

_log = logging.getLogger(__name__)


def utc(seconds: float | None = None) -> str:
    """A time, or now, in UTC (ISO 8601)."""
    moment = datetime.now(UTC) if seconds is None else datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


class Recorder:
    """A `Progress` that writes down how a job goes, and stops it where somebody has cancelled it.

    Parameters
    ----------
    store : ObjectStore
        The archive.
    job : str
    progress : Progress
        Who is told as well.
    facts : Mapping
        What else to write into the run's record: where it runs.
    every : float
        Seconds between two signs of life.
    """

    def __init__(
        self, store: ObjectStore, job: str, progress: Progress, facts: Mapping[str, Any], *, every: float = _EVERY
    ) -> None:
        self._store, self._job, self._progress, self._every = store, job, progress, every
        self.run = new_run()
        self._journal = Journal(store, job, self.run)
        self._waiting: list[SourceReport] = []
        self._record: dict[str, Any] = {
            "run": self.run, "state": "running", "started": utc(), "updated": utc(), **facts,
            "sources": 0, "finished": 0, "failed": 0, "bytes": 0, "archived_bytes": 0, "raw_bytes": 0, "coded_bytes": 0,
        }  # fmt: skip
        self._cancelled = False
        self._stopped = Event()
        self._lock = Lock()
        self._writing = Lock()
        self._thread = Thread(target=self._beat, name="haarchive-recorder", daemon=True)

    def __enter__(self) -> Self:
        self._look()
        self._flush()
        self._thread.start()
        _log.info("job %s: run %s has begun", self._job, self.run, extra={"job": self._job, "run": self.run})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()
        if error is None:
            state = "finished"
        elif isinstance(error, JobCancelledError):
            state = "cancelled"
        else:
            state = "stopped"
            self._record["error"] = f"{type(error).__name__}: {error}".strip(": ")
        self._record["state"] = state
        self._flush()
        about = {"job": self._job, "run": self.run, "state": state}
        _log.info("job %s: run %s has ended: %s", self._job, self.run, state, extra=about)

    def expect(self, sources: int) -> None:
        """So many sources are to be archived in this run."""
        with self._lock:
            self._record["sources"] = sources

    def planned(self, source: str, raw_bytes: int) -> None:
        """Count, and pass on.

        Raises
        ------
        JobCancelledError
        """
        self.check()
        with self._lock:
            self._record["raw_bytes"] += raw_bytes
        self._progress.planned(source, raw_bytes)

    def advanced(self, source: str, raw_bytes: int) -> None:
        """Count, and pass on.

        Raises
        ------
        JobCancelledError
        """
        self.check()
        with self._lock:
            self._record["coded_bytes"] += raw_bytes
        self._progress.advanced(source, raw_bytes)

    def finished(self, report: SourceReport) -> None:
        """Write down, and pass on.

        Raises
        ------
        JobCancelledError
            Failures that came of cancelling are none.
        """
        if report.status == "failed":
            self.check()
        with self._lock:
            self._waiting.append(report)
            self._record["finished"] += 1
            self._record["failed"] += report.status == "failed"
            self._record["bytes"] += report.bytes
            self._record["archived_bytes"] += report.archived_bytes
        self._progress.finished(report)
        self.check()

    def check(self) -> None:
        """Go on only where nobody has cancelled the job.

        Raises
        ------
        JobCancelledError
        """
        if self._cancelled:
            raise JobCancelledError(
                f"the job was cancelled; what is archived stays, and 'haarchive resume"
                f" {self._store.object_url(job_key(self._job, ''))}' goes on"
            )

    def _beat(self) -> None:
        while not self._stopped.wait(self._every):
            try:
                self._look()
                self._flush()
            except HaarchiveError as error:
                # The job itself meets the same trouble, and says so where it matters.
                _log.warning("job %s: cannot write its progress: %s", self._job, error)

    def _look(self) -> None:
        self._cancelled = self._cancelled or self._store.head(job_key(self._job, CANCEL)) is not None

    def _flush(self) -> None:
        with self._writing:
            with self._lock:
                waiting, self._waiting = self._waiting, []
                self._record["updated"] = utc(time.time())
                body = json.dumps(self._record, indent=1).encode() + b"\n"
            try:
                self._journal.write(waiting)
            except HaarchiveError:
                with self._lock:
                    self._waiting = waiting + self._waiting
                raise
            self._store.put(job_key(self._job, f"runs/{self.run}.json"), body)
