"""What can be said of a job from object storage alone, its cluster there or gone."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from haarchive.pipeline.jobs.durable.inventory import load_inventory
from haarchive.pipeline.jobs.durable.journal import load_results
from haarchive.pipeline.jobs.durable.record import JobRecord, job_key, load_job
from haarchive.pipeline.jobs.durable.recorder import CANCEL, utc
from haarchive.pipeline.jobs.durable.totals import Totals
from haarchive.pipeline.storage import ObjectStore

__all__ = ["JobState", "JobStatus", "cancel_job", "job_status", "last_run", "uncancel_job"]

JobState = Literal["waiting", "running", "finished", "stopped", "cancelled", "lost"]

_SILENCE = 60.0
"""Seconds without a sign of life after which a run counts as lost."""


@dataclass(frozen=True)
class JobStatus:
    """How a job stands.

    Parameters
    ----------
    job : JobRecord
    state : {'waiting', 'running', 'finished', 'stopped', 'cancelled', 'lost'}
        waiting: no run has begun. lost: the last run gives no sign of life. finished: every source was archived or
        listed as failed.
    sources : int or None
        How many the job has; None before they are listed.
    totals : Totals
        Of those that are done.
    remaining : int
        Sources that are not archived; those that failed are tried again when the job is resumed.
    source_bytes : int
        Bytes of all sources.
    failures : dict
        The reason of each source that failed.
    rate : float
        Raw bytes a second of the last run; 0 where it is not known.
    seconds_left : float or None
        At that rate.
    run : Mapping
        The record of the last run.
    """

    job: JobRecord
    state: JobState
    sources: int | None
    totals: Totals
    remaining: int
    source_bytes: int
    failures: dict[str, str] = field(default_factory=dict)
    rate: float = 0.0
    seconds_left: float | None = None
    run: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "job": self.job.id,
            "state": self.state,
            "created": self.job.created,
            "sources": self.sources,
            "remaining": self.remaining,
            "source_bytes": self.source_bytes,
            **self.totals.to_dict(),
            "bytes_per_second": round(self.rate),
            "seconds_left": None if self.seconds_left is None else round(self.seconds_left),
            "failures": self.failures,
            "run": self.run,
        }


def job_status(store: ObjectStore, job: str) -> JobStatus:
    """How a job stands.

    Raises
    ------
    JobNotFoundError
        If the archive has no such job.
    """
    record = load_job(store, job)
    refs = load_inventory(store, job)
    results = load_results(store, job)
    totals = Totals.of(results.values())
    run = last_run(store, job) or {}
    state = _state(store, job, run)
    names = {ref.name for ref in refs or ()}
    done = {name for name, report in results.items() if report.status != "failed"}
    source_bytes = sum(ref.size or 0 for ref in refs or ())
    left_bytes = sum(ref.size or 0 for ref in refs or () if ref.name not in done)
    rate, left = _rate(run), None
    if state == "running" and rate:
        # What the sources under way have behind them is done, although they are not.
        under_way = max(0, int(run["coded_bytes"]) - int(run["bytes"]))
        left = max(0.0, left_bytes - under_way) / rate
    return JobStatus(
        job=record,
        state=state,
        sources=None if refs is None else len(refs),
        totals=totals,
        remaining=len(names - done),
        source_bytes=source_bytes,
        failures={name: report.error for name, report in results.items() if report.status == "failed"},
        rate=rate,
        seconds_left=left,
        run=run,
    )


def last_run(store: ObjectStore, job: str) -> dict[str, Any] | None:
    """The record of a job's last run; None where there was none."""
    keys = sorted(key for key, _ in store.list(job_key(job, "runs")))
    if not keys:
        return None
    record: dict[str, Any] = json.loads(store.get(keys[-1]))
    return record


def cancel_job(store: ObjectStore, job: str) -> None:
    """Ask the runs of a job to stop; they do so within seconds, and what is archived stays.

    Raises
    ------
    JobNotFoundError
    """
    load_job(store, job)
    store.put(job_key(job, CANCEL), utc().encode() + b"\n")


def uncancel_job(store: ObjectStore, job: str) -> None:
    """Let a job run that was cancelled."""
    store.delete(job_key(job, CANCEL))


def _state(store: ObjectStore, job: str, run: dict[str, Any]) -> JobState:
    if run.get("state") == "running":
        silent = time.time() - _seconds(run["updated"])
        return "running" if silent < _SILENCE else "lost"
    if run.get("state") == "finished":
        return "finished"
    if store.head(job_key(job, CANCEL)) is not None:
        return "cancelled"
    return run.get("state", "waiting")  # type: ignore[no-any-return]


def _rate(run: dict[str, Any]) -> float:
    """Raw bytes a second; a source that was archived already took none of the time."""
    if not run:
        return 0.0
    elapsed = _seconds(run["updated"]) - _seconds(run["started"])
    return float(run["coded_bytes"]) / elapsed if elapsed > 0 else 0.0


def _seconds(moment: str) -> float:
    return datetime.strptime(moment, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
