"""Submitting to a cluster that is not ready, or never will be."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest

from haarchive.pipeline.jobs.durable import submit
from haarchive.pipeline.jobs.durable.record import JobRecord
from haarchive.pipeline.storage import open_store

NOT_READY = "Request failed with status code 500: No available agent to submit job, please try again later.."


class Client:
    """Ray's, which raises some errors before it takes a job."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.jobs: list[dict[str, Any]] = []

    def submit_job(self, **job: Any) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.jobs.append(job)


@pytest.fixture
def record() -> JobRecord:
    return cast(JobRecord, SimpleNamespace(id="one"))


def connected(monkeypatch: pytest.MonkeyPatch, client: Client) -> None:
    @contextmanager
    def cluster(address: str) -> Iterator[Client]:
        yield client

    monkeypatch.setattr(submit, "_cluster", cluster)
    monkeypatch.setattr(submit.time, "sleep", lambda seconds: None)


def test_a_cluster_that_has_just_come_up_is_waited_for(monkeypatch: pytest.MonkeyPatch, record: JobRecord) -> None:
    client, store = Client(RuntimeError(NOT_READY), RuntimeError(NOT_READY)), open_store(f"memory://{uuid.uuid4()}")
    connected(monkeypatch, client)
    submission = submit.submit_job(store, record, "http://head:8265")
    assert [job["submission_id"] for job in client.jobs] == [submission]
    assert [one["submission"] for one in submit.submissions(store, "one")] == [submission]


@pytest.mark.parametrize("patience", [0.0, 60.0])
def test_what_is_no_matter_of_time_is_raised_at_once_and_nothing_is_noted(
    monkeypatch: pytest.MonkeyPatch, record: JobRecord, patience: float
) -> None:
    reason = NOT_READY if patience == 0 else "Request failed with status code 400: no such runtime environment"
    client, store = Client(*[RuntimeError(reason)] * 9), open_store(f"memory://{uuid.uuid4()}")
    connected(monkeypatch, client)
    monkeypatch.setattr(submit, "_PATIENCE", patience - 1)
    with pytest.raises(RuntimeError, match="Request failed"):
        submit.submit_job(store, record, "http://head:8265")
    assert len(client.errors) == 8
    assert not submit.submissions(store, "one")
