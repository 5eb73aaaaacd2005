"""Running a job that is kept in object storage: from its beginning, or from where it stopped."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from haarchive.codecs.errors import ModelNotFoundError, ObjectNotFoundError
from haarchive.pipeline import logs
from haarchive.pipeline.archive import ArchiveWriter
from haarchive.pipeline.archive.keys import model_key
from haarchive.pipeline.config import ArchiveConfig
from haarchive.pipeline.jobs.durable.html import store_html
from haarchive.pipeline.jobs.durable.inventory import freeze_inventory, load_inventory
from haarchive.pipeline.jobs.durable.journal import load_results
from haarchive.pipeline.jobs.durable.record import JobRecord, check_id, job_key, store_job
from haarchive.pipeline.jobs.durable.recorder import Recorder
from haarchive.pipeline.jobs.durable.totals import Totals
from haarchive.pipeline.jobs.engines import Engine, archive_sources
from haarchive.pipeline.jobs.finding import find_sources
from haarchive.pipeline.jobs.report import JobReport, Progress, Quiet, SourceReport
from haarchive.pipeline.jobs.shard_journal import ShardJournal
from haarchive.pipeline.sources import SourceRef

__all__ = ["create_job", "run_job"]

_DONE = ("archived", "unchanged")


def create_job(
    writer: ArchiveWriter,
    sources: Sequence[str],
    config: ArchiveConfig,
    models: Mapping[str, bytes],
    *,
    engine: Engine,
    job: str,
) -> JobRecord:
    """Write down what a job is to do; a job of this ID that is to do the same is that job.

    Parameters
    ----------
    writer : ArchiveWriter
    sources : sequence of str
        Local paths are taken as they are where the job runs, from the folder that this process works in.
    config : ArchiveConfig
    models : Mapping of str to bytes
        Models that replace the shipped ones; they go into the archive.
    engine : {'auto', 'local', 'ray'}
    job : str
        Its ID.

    Raises
    ------
    ConfigError
        If `job` is no ID, or another job's.
    """
    writer.prepare()
    record = JobRecord(
        id=check_id(job),
        sources=tuple(source if "://" in source else os.path.abspath(source) for source in sources),  # noqa: PTH100
        config=config.model_copy(update={"models": {}}).model_dump(mode="json"),
        engine=engine,
        models={name: writer.put_model(content) for name, content in sorted(models.items())},
    )
    return store_job(writer.store, record)


def run_job(
    writer: ArchiveWriter, record: JobRecord, *, engine: Engine | None = None, progress: Progress | None = None
) -> JobReport:
    """Do what a job has still to do.

    Parameters
    ----------
    writer : ArchiveWriter
    record : JobRecord
    engine : {'auto', 'local', 'ray'}, optional
        Replaces the job's own.
    progress : Progress, optional
        Told of the sources of this run only.

    Returns
    -------
    JobReport
        Of all sources of the job, those of earlier runs included.

    Raises
    ------
    JobCancelledError
        If somebody cancels the job, or has done so.
    ModelNotFoundError
        If a model of the job's own is not in the archive any more.
    """
    started = time.monotonic()
    store = writer.store
    config = ArchiveConfig.model_validate(record.config)
    models = {name: _model(writer, name, sha256) for name, sha256 in record.models.items()}
    with logs.about(job=record.id), Recorder(store, record.id, progress or Quiet(), _where()) as recorder:
        recorder.check()
        refs, failures = _inventory(writer, record)
        results = load_results(store, record.id)
        rest = [ref for ref in refs if ref.name not in results or results[ref.name].status not in _DONE]
        recorder.expect(len(rest))
        for report in failures:
            recorder.finished(report)
            results[report.source] = report
        journal = ShardJournal(store, job_key(record.id, "shards"))
        for report in archive_sources(
            rest, writer, config, models, engine=engine or record.engine, progress=recorder, journal=journal
        ):
            results[report.source] = report
            recorder.finished(report)
    order = {ref.name: number for number, ref in enumerate(refs)}
    reports = sorted(results.values(), key=lambda report: order.get(report.source, -1))
    whole = JobReport(tuple(reports), time.monotonic() - started)
    _store_report(writer, record, whole)
    store_html(store, record.id)
    return whole


def _inventory(writer: ArchiveWriter, record: JobRecord) -> tuple[list[SourceRef], list[SourceReport]]:
    refs = load_inventory(writer.store, record.id)
    if refs is not None:
        return refs, []
    refs, failures = find_sources(record.sources, writer)
    return freeze_inventory(writer.store, record.id, refs), failures


def _model(writer: ArchiveWriter, name: str, sha256: str) -> bytes:
    try:
        return writer.store.get(model_key(sha256))
    except ObjectNotFoundError as error:
        raise ModelNotFoundError(f"the job's model for {name!r} is not in the archive any more: {error}") from error


def _where() -> dict[str, Any]:
    """How to find the run on a cluster: Ray sets these for what `haarchive submit` starts."""
    names = {"submission": "HAARCHIVE_SUBMISSION", "address": "HAARCHIVE_ADDRESS"}
    return {key: os.environ[name] for key, name in names.items() if os.environ.get(name)}


def _store_report(writer: ArchiveWriter, record: JobRecord, report: JobReport) -> None:
    totals = Totals.of(report.sources)
    body = {"job": record.id, **totals.to_dict(), "sources": [one.to_dict() for one in report.sources]}
    writer.store.put(job_key(record.id, "report.json"), json.dumps(body, indent=1).encode() + b"\n")
