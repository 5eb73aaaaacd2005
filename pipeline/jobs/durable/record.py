"""What a job is to do."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from haarchive.codecs.errors import (
    ConfigError,
    IntegrityError,
    JobNotFoundError,
    ObjectExistsError,
    ObjectNotFoundError,
)
from haarchive.pipeline.jobs.engines import Engine
from haarchive.pipeline.storage import ObjectStore

__all__ = ["JOBS", "JobRecord", "check_id", "job_key", "list_jobs", "load_job", "new_id", "store_job"]

JOBS = "jobs"
_VERSION = 1
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class JobRecord:
    """What a job is to do: everything that a run on another cluster needs.

    Parameters
    ----------
    id : str
    sources : tuple of str
        Files, folders, patterns and prefixes, as they were given.
    config : Mapping
        The whole `ArchiveConfig`, as JSON.
    engine : {'auto', 'local', 'ray'}
    models : Mapping of str to str
        SHA-256 of models that replace the shipped ones, by codec name; they lie in the archive.
    created : str
        When, in UTC (ISO 8601).
    """

    id: str
    sources: tuple[str, ...]
    config: Mapping[str, Any]
    engine: Engine = "auto"
    models: Mapping[str, str] = field(default_factory=dict)
    created: str = ""


def new_id() -> str:
    """An ID that nobody else has: the time, so that jobs sort by it, and chance."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def check_id(job: str) -> str:
    """Return `job` if it can be the ID of a job.

    Raises
    ------
    ConfigError
        If it cannot.
    """
    if not _ID.fullmatch(job):
        raise ConfigError(
            f"{job!r} cannot name a job: an ID has up to 100 letters, digits, '.', '_' and '-', and begins with a"
            " letter or a digit"
        )
    return job


def job_key(job: str, name: str) -> str:
    """The key of one of a job's objects."""
    return f"{JOBS}/{job}/{name}"


def store_job(store: ObjectStore, record: JobRecord) -> JobRecord:
    """Write a job down, once; what is there already counts.

    Returns
    -------
    JobRecord
        The job as it was written first.

    Raises
    ------
    ConfigError
        If another job has the ID: other sources or settings.
    """
    record = _plain(record, created=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}")
    body = json.dumps({"version": _VERSION, **asdict(record)}, indent=1).encode() + b"\n"
    try:
        store.put_new(job_key(record.id, "job.json"), body)
    except ObjectExistsError:
        there = load_job(store, record.id)
        for name in ("sources", "config", "models"):
            if getattr(there, name) != getattr(record, name):
                raise ConfigError(
                    f"{store.url} has another job {record.id!r}, with other {name}; resume that one with"
                    f" 'haarchive resume {store.object_url(job_key(record.id, ''))}', or take another ID"
                ) from None
        return there
    return record


def load_job(store: ObjectStore, job: str) -> JobRecord:
    """Read what a job is to do.

    Raises
    ------
    JobNotFoundError
        If the archive has no such job.
    IntegrityError
        If its record is damaged.
    """
    key = job_key(check_id(job), "job.json")
    try:
        body = store.get(key)
    except ObjectNotFoundError:
        raise JobNotFoundError(
            f"{store.url} has no job {job!r}; 'haarchive jobs {store.url}' lists those that it has"
        ) from None
    try:
        record = json.loads(body)
        if record.pop("version") > _VERSION:
            raise ConfigError(f"{store.object_url(key)} was written by a newer haarchive; upgrade haarchive")
        return JobRecord(**{**record, "sources": tuple(record["sources"])})
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, ConfigError):
            raise
        raise IntegrityError(f"{store.object_url(key)} is not the record of a job, or is damaged: {error}") from error


def list_jobs(store: ObjectStore) -> Iterator[str]:
    """IDs of all jobs of an archive, sorted."""
    found = {key.split("/")[1] for key, _ in store.list(JOBS) if key.count("/") == 2 and key.endswith("/job.json")}
    yield from sorted(found)


def _plain(record: JobRecord, created: str) -> JobRecord:
    """The record as it reads back from JSON."""
    sources: Sequence[str] = [str(source) for source in record.sources]
    config = json.loads(json.dumps(record.config))
    return JobRecord(record.id, tuple(sources), config, record.engine, dict(record.models), created)
