"""Handing a job to a Ray cluster, and asking the cluster about it."""

from __future__ import annotations

import json
import logging
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from haarchive.codecs.errors import ClusterError
from haarchive.pipeline import logs
from haarchive.pipeline.jobs.durable.record import JobRecord, job_key
from haarchive.pipeline.jobs.durable.recorder import utc
from haarchive.pipeline.storage import ObjectStore

__all__ = ["follow_logs", "is_submission", "stop_submission", "submissions", "submit_job"]

_GONE = "STOPPED", "SUCCEEDED", "FAILED"


def submit_job(store: ObjectStore, record: JobRecord, address: str) -> str:
    """Have a cluster run a job that was written down; returns the name that Ray knows it by.

    The cluster needs haarchive installed, the sources and the archive in reach under the same names, and its own
    credentials: none are sent along.

    Parameters
    ----------
    store : ObjectStore
        The archive.
    record : JobRecord
    address : str
        Of Ray's job server, such as ``http://head:8265``.

    Raises
    ------
    ClusterError
        If there is no Ray, or it refuses.
    """
    submission = f"haarchive-{record.id}-{utc().replace(':', '').replace('-', '')}"
    entrypoint = f"haarchive resume --ray --json {shlex.quote(store.object_url(job_key(record.id, '')).rstrip('/'))}"
    variables = {"HAARCHIVE_SUBMISSION": submission, "HAARCHIVE_ADDRESS": address}
    if logs.is_json():
        variables["HAARCHIVE_LOG_JSON"] = "1"
    with _cluster(address) as client:
        client.submit_job(entrypoint=entrypoint, submission_id=submission, runtime_env={"env_vars": variables})
    body = {"submission": submission, "address": address, "submitted": utc()}
    store.put(job_key(record.id, f"submissions/{submission}.json"), json.dumps(body, indent=1).encode() + b"\n")
    return submission


def submissions(store: ObjectStore, job: str) -> list[dict[str, Any]]:
    """Where a job was submitted to, the latest last."""
    keys = sorted(key for key, _ in store.list(job_key(job, "submissions")))
    return [json.loads(store.get(key)) for key in keys]


def is_submission() -> bool:
    """Whether this process is what a cluster runs for a submitted job."""
    return bool(os.environ.get("HAARCHIVE_SUBMISSION"))


def stop_submission(address: str, submission: str) -> bool:
    """End what was submitted, if it still runs; whether it did.

    Raises
    ------
    ClusterError
        If the cluster cannot be reached.
    """
    with _cluster(address) as client:
        if str(client.get_job_status(submission).value) in _GONE:
            return False
        return bool(client.stop_job(submission))


def follow_logs(address: str, submission: str, *, follow: bool) -> Iterator[str]:
    """What a submitted job has printed, piece by piece; with `follow`, until it ends.

    Raises
    ------
    ClusterError
        If the cluster cannot be reached, or has forgotten the job.
    """
    import asyncio

    with _cluster(address) as client:
        if not follow:
            yield client.get_job_logs(submission)
            return
        pieces = client.tail_job_logs(submission)
        with asyncio.Runner() as runner:
            while True:
                try:
                    yield runner.run(anext(pieces))
                except StopAsyncIteration:
                    return


@contextmanager
def _cluster(address: str) -> Iterator[Any]:
    """A client of Ray's job server; what goes wrong becomes a `ClusterError` in one line."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobSubmissionClient

    logging.getLogger("ray").setLevel(logging.WARNING)
    if "://" not in address:
        address = f"http://{address}"
    try:
        token = _token()
        yield JobSubmissionClient(address, headers={"Authorization": f"Bearer {token}"} if token else None)
    except ConnectionError as error:
        raise ClusterError(
            f"no Ray job server answers at {address}; it is the dashboard's port of the head node, 8265 unless set"
        ) from error
    except AuthenticationError as error:
        raise ClusterError(
            f"Ray at {address} wants a token, and this one will not do: put the cluster's into ~/.ray/auth_token, or"
            " set RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH ('ray get-auth-token' on the head node prints it)"
        ) from error
    except RuntimeError as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        raise ClusterError(f"Ray at {address} refuses: {lines[-1].strip() if lines else error}") from error


def _token() -> str:
    """The token that the cluster may want, from where Ray's own commands take it; empty where there is none."""
    # Ray's client sends it only in a process that had it turned on before Ray was imported.
    if os.environ.get("RAY_AUTH_TOKEN"):
        return os.environ["RAY_AUTH_TOKEN"]
    try:
        return Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token").read_text().strip()
    except (OSError, RuntimeError, UnicodeDecodeError):
        return ""
