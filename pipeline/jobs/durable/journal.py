"""What became of a job's sources, as far as it is known."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

from haarchive.pipeline.jobs.durable.record import job_key
from haarchive.pipeline.jobs.report import SourceReport
from haarchive.pipeline.storage import ObjectStore

__all__ = ["Entry", "Journal", "load_entries", "load_results", "new_run"]

_READERS = 16


@dataclass(frozen=True)
class Entry:
    """A line of the journal.

    Parameters
    ----------
    report : SourceReport
    run : str
        The run that has written it.
    written : float
        When, in seconds since the epoch: a moment after the source was done.
    """

    report: SourceReport
    run: str
    written: float


class Journal:
    """Appends results, an object at a time; runs that go on side by side do not touch each other's.

    Parameters
    ----------
    store : ObjectStore
    job : str
    run : str
    """

    def __init__(self, store: ObjectStore, job: str, run: str) -> None:
        self._store, self._job, self._run = store, job, run
        self._written = 0

    def write(self, reports: Sequence[SourceReport]) -> None:
        """Append what became of sources."""
        if not reports:
            return
        now = {"written": round(time.time(), 3)}
        lines = [json.dumps(report.to_dict() | now, separators=(",", ":")) for report in reports]
        name = f"results/{self._run}-{self._written:06d}.jsonl"
        self._store.put(job_key(self._job, name), ("\n".join(lines) + "\n").encode())
        self._written += 1


def load_results(store: ObjectStore, job: str) -> dict[str, SourceReport]:
    """What became of each source: that it was archived, if any run says so; else the last failure."""
    return {name: entry.report for name, entry in load_entries(store, job).items()}


def load_entries(store: ObjectStore, job: str) -> dict[str, Entry]:
    """The line of the journal that counts for each source; see `load_results`."""
    keys = sorted(key for key, _ in store.list(job_key(job, "results")))
    with ThreadPoolExecutor(_READERS) as pool:
        bodies = list(pool.map(store.get, keys))
    return _merged(
        _entry(line, key.rpartition("/")[2].rpartition("-")[0])
        for key, body in zip(keys, bodies, strict=True)
        for line in body.decode().splitlines()
        if line
    )


def new_run() -> str:
    """A name for a run that sorts by its start, to the microsecond."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S-%f}-{secrets.token_hex(2)}"


def _entry(line: str, run: str) -> Entry:
    record = json.loads(line)
    written = float(record.pop("written"))
    return Entry(SourceReport.from_dict(record), run, written)


def _merged(entries: Iterable[Entry]) -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    for entry in entries:
        name = entry.report.source
        before = found.get(name)
        # 'unchanged' tells less than the 'archived' of the run that did it.
        rank = {"failed": 0, "unchanged": 1}
        if before is None or rank.get(entry.report.status, 2) >= rank.get(before.report.status, 2):
            found[name] = entry
    return found
