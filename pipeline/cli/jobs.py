"""``haarchive submit``, ``jobs``, ``status``, ``logs``, ``cancel``, ``resume``: jobs that outlive their processes."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from haarchive.pipeline.cli.archiving import CodecName, GuaranteeName, PresetName, warn_of_loss
from haarchive.pipeline.cli.locating import ArchiveOption, JobArgument, located

if TYPE_CHECKING:
    from haarchive.pipeline.jobs.durable.status import JobStatus

__all__ = ["cancel_command", "jobs_command", "logs_command", "resume_command", "status_command", "submit_command"]

_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_MOST_FAILURES = 20


def submit_command(
    sources: Annotated[
        list[str], typer.Argument(metavar="SOURCES", help="Files, folders, patterns, s3://bucket/prefix/.")
    ],
    url: Annotated[
        str, typer.Argument(metavar="ARCHIVE", help="s3://bucket/prefix, or a folder that all nodes share.")
    ],
    address: Annotated[str, typer.Option(envvar="RAY_JOB_ADDRESS", help="Ray's job server, such as http://head:8265.")],
    config: Annotated[str, typer.Option("--config", "-c", help="A YAML file, or a profile: local, gpu.")] = "local",
    guarantee: Annotated[GuaranteeName | None, typer.Option(help="file-exact or sample-exact.")] = None,
    codec: Annotated[
        CodecName | None,
        typer.Option(help="The flows for pictures and sound: haar; or idf, which is slower and wants GPUs (-c gpu)."),
    ] = None,
    model: Annotated[
        list[Path] | None,
        typer.Option("--model", help="A model of your own, from tune or train, with its flows; may be repeated."),
    ] = None,
    preset: Annotated[PresetName | None, typer.Option(help="How much time to take for fewer bytes.")] = None,
    drop_bands: Annotated[
        int | None,
        typer.Option("--drop-bands", metavar="N", min=0, max=4, help="LOSSY: leave out details of pictures for good."),
    ] = None,
    keep_damaged: Annotated[
        bool, typer.Option("--keep-damaged", help="Archive files that were cut short, too.")
    ] = False,
    job: Annotated[str | None, typer.Option("--job", help="An ID for the job; made up unless given.")] = None,
    as_json: _Json = False,
) -> None:
    """Submit an archival job to a Ray cluster, and return at once.

    What is to be done is written to ARCHIVE/jobs/ID first, with the whole configuration; the cluster then lists the
    sources and works through them. Everything about the job lies in that place: it can be asked about, and resumed on
    another cluster, when this one is gone. The same --job again is the same job.

    [bold]haarchive submit[/] --address http://head:8265 -c gpu s3://in/slides/ s3://out/archive

    [bold]haarchive status[/] s3://out/archive/jobs/20261121-081530-3fa9
    """
    from haarchive.pipeline.archive import ArchiveWriter
    from haarchive.pipeline.cli.show import print_json
    from haarchive.pipeline.config import load_config
    from haarchive.pipeline.jobs.archive import own_models, read_models
    from haarchive.pipeline.jobs.durable.record import new_id
    from haarchive.pipeline.jobs.durable.run import create_job
    from haarchive.pipeline.jobs.durable.submit import submit_job

    settings = load_config(
        config,
        guarantee=guarantee.value if guarantee else None,
        drop_bands=drop_bands,
        **own_models(model or (), codec.value if codec else None),
        preset=preset.value if preset else None,
        keep_damaged=keep_damaged or None,
    )
    warn_of_loss(settings, guarantee)
    writer = ArchiveWriter(url)
    record = create_job(writer, sources, settings, read_models(settings), engine="ray", job=job or new_id())
    submission = submit_job(writer.store, record, address)
    where = f"{writer.url}/jobs/{record.id}"
    if as_json:
        print_json({"job": where, "id": record.id, "submission": submission})
    else:
        typer.echo(where)


def jobs_command(
    url: Annotated[
        str | None, typer.Argument(metavar="ARCHIVE", help="The archive.", envvar="HAARCHIVE_ARCHIVE")
    ] = None,
    as_json: _Json = False,
) -> None:
    """List the jobs of an archive, the latest last.

    [bold]haarchive jobs[/] s3://out/archive
    """
    from haarchive.pipeline.cli.show import print_json
    from haarchive.pipeline.jobs.durable.record import list_jobs
    from haarchive.pipeline.jobs.durable.status import job_status
    from haarchive.pipeline.storage import open_store

    if url is None:
        raise typer.BadParameter("name the archive, or set HAARCHIVE_ARCHIVE", param_hint="ARCHIVE")
    store = open_store(url)
    found = 0
    for job in list_jobs(store):
        found += 1
        status = job_status(store, job)
        if as_json:
            print_json(status.to_dict())
        else:
            typer.echo(f"{store.url}/jobs/{job}: {_line(status)}")
    if not found and not as_json:
        typer.echo(f"{store.url} has no jobs")


def status_command(job: JobArgument, archive: ArchiveOption = None, as_json: _Json = False) -> None:
    """Say how a job stands: sources done, failed and remaining, bytes, speed, time left.

    Answers from the archive's storage, whether the cluster is there or not. Exit code 1 where sources have failed or
    the job is lost.

    [bold]haarchive status[/] s3://out/archive/jobs/20261121-081530-3fa9

    [bold]haarchive status[/] 20261121-081530-3fa9 -a s3://out/archive --json
    """
    from haarchive.pipeline.cli.show import print_json
    from haarchive.pipeline.jobs.durable.status import job_status

    status = job_status(*located(job, archive))
    if as_json:
        print_json(status.to_dict())
    else:
        typer.echo("\n".join(_description(status)))
    if status.failures or status.state == "lost":
        raise typer.Exit(1)


def logs_command(
    job: JobArgument,
    archive: ArchiveOption = None,
    address: Annotated[str | None, typer.Option(help="Ray's job server, if it has moved since the submission.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job ends.")] = False,
) -> None:
    """Show what a job prints: a line of JSON for each source that is done.

    From the cluster that it was submitted to; if that is gone, from the archive's storage.

    [bold]haarchive logs[/] s3://out/archive/jobs/20261121-081530-3fa9 --follow
    """
    from haarchive.codecs.errors import ClusterError
    from haarchive.pipeline.cli.show import print_json
    from haarchive.pipeline.jobs.durable.journal import load_results
    from haarchive.pipeline.jobs.durable.record import load_job
    from haarchive.pipeline.jobs.durable.submit import follow_logs, submissions

    store, name = located(job, archive)
    load_job(store, name)
    sent = submissions(store, name)
    if sent:
        try:
            for piece in follow_logs(address or sent[-1]["address"], sent[-1]["submission"], follow=follow):
                typer.echo(piece, nl=False)
            return
        except ClusterError as error:
            typer.echo(f"haarchive: {error}; this is what the archive's storage knows", err=True)
    for report in load_results(store, name).values():
        print_json(report.to_dict())


def cancel_command(job: JobArgument, archive: ArchiveOption = None) -> None:
    """Stop a job. What is archived stays, nothing is half archived, and resume goes on.

    [bold]haarchive cancel[/] s3://out/archive/jobs/20261121-081530-3fa9
    """
    from haarchive.codecs.errors import ClusterError
    from haarchive.pipeline.jobs.durable.status import cancel_job, job_status
    from haarchive.pipeline.jobs.durable.submit import stop_submission, submissions

    store, name = located(job, archive)
    state = job_status(store, name).state
    if state == "finished":
        typer.echo(f"{name} is finished; there is nothing to cancel")
        return
    cancel_job(store, name)
    if state == "running":
        typer.echo(f"{name} will stop within seconds")
        return
    for sent in submissions(store, name)[-1:]:
        # One that has not begun need not begin; without its cluster it cannot.
        with suppress(ClusterError):
            stop_submission(sent["address"], sent["submission"])
    typer.echo(f"{name} will not run until it is resumed")


def resume_command(
    job: JobArgument,
    archive: ArchiveOption = None,
    address: Annotated[
        str | None, typer.Option(help="Ray's job server: submit the job there. Without it the job runs here.")
    ] = None,
    local: Annotated[bool, typer.Option("--local", help="Run in this process, whatever the size.")] = False,
    ray: Annotated[bool, typer.Option("--ray", help="Run on Ray, whatever the size.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a source.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Go on with a job that was stopped, cancelled, lost, or had failures.

    Sources that are archived are not touched again; within a large one, shards that are written are kept.

    [bold]haarchive resume[/] s3://out/archive/jobs/20261121-081530-3fa9

    [bold]haarchive resume[/] s3://out/archive/jobs/20261121-081530-3fa9 --address http://head:8265
    """
    from haarchive.pipeline.archive import ArchiveWriter
    from haarchive.pipeline.cli.show import Screen, summarise, summarise_job
    from haarchive.pipeline.jobs.durable.record import load_job
    from haarchive.pipeline.jobs.durable.run import run_job
    from haarchive.pipeline.jobs.durable.status import uncancel_job
    from haarchive.pipeline.jobs.durable.submit import is_submission, submit_job

    if local and ray:
        raise typer.BadParameter("--local and --ray exclude each other")
    store, name = located(job, archive)
    record = load_job(store, name)
    if not is_submission():  # a job that was cancelled before its cluster got to it must not run
        uncancel_job(store, name)
    if address:
        typer.echo(f"submitted as {submit_job(store, record, address)}")
        return
    with Screen(as_json=as_json, quiet=quiet, verb="archiving") as screen:
        report = run_job(
            ArchiveWriter(store.url), record, engine="local" if local else "ray" if ray else None, progress=screen
        )
    summarise_job(report, screen)
    summarise(report, "archived")


def _line(status: JobStatus) -> str:
    from haarchive.pipeline.cli.show import human_bytes

    totals = status.totals
    done = totals.archived + totals.unchanged
    of = "sources are being listed" if status.sources is None else f"{done} of {status.sources} sources"
    text = f"{status.state}, {of}, {human_bytes(totals.bytes)} -> {human_bytes(totals.archived_bytes)}"
    return text + (f", {totals.failed} failed" if totals.failed else "")


def _description(status: JobStatus) -> list[str]:
    from haarchive.pipeline.cli.show import human_bytes

    totals, run = status.totals, status.run
    percent = f" ({totals.archived_bytes / totals.bytes:.1%})" if totals.bytes else ""
    lines = [
        f"{status.job.id}: {_state(status)}",
        f"  sources    {_count(status.sources)}, {human_bytes(status.source_bytes)}",
        f"  archived   {totals.archived + totals.unchanged}: {human_bytes(totals.bytes)} ->"
        f" {human_bytes(totals.archived_bytes)}{percent}",
        f"  remaining  {status.remaining}",
    ]
    if run:
        since = f"since {run['started']}, last sign of life {run['updated']}"
        lines.append(f"  run        {run['run']}, {since}")
    if status.rate:
        lines.append(f"  speed      {human_bytes(status.rate)}/s of raw samples")
    if status.seconds_left is not None:
        lines.append(f"  time left  {_duration(status.seconds_left)}")
    lines += [f"  fallback   {count} chunks: {reason}" for reason, count in totals.fallbacks.items()]
    if status.failures:
        lines.append(f"  failed     {len(status.failures)}")
        shown = list(status.failures.items())[:_MOST_FAILURES]
        lines += [f"    {name}: {reason}" for name, reason in shown]
        if len(status.failures) > _MOST_FAILURES:
            lines.append(f"    and {len(status.failures) - _MOST_FAILURES} more; --json has them all")
    return lines


def _state(status: JobStatus) -> str:
    match status.state:
        case "lost":
            return "lost: the last run gives no sign of life; 'haarchive resume' goes on"
        case "stopped":
            return f"stopped ({status.run.get('error') or 'without a reason'}); 'haarchive resume' goes on"
        case state:
            return state


def _count(sources: int | None) -> str:
    return "not listed yet" if sources is None else str(sources)


def _duration(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours} h {rest // 60} min" if hours else f"{rest // 60} min {rest % 60} s"
