"""``haarchive report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from haarchive.pipeline.cli.locating import ArchiveOption, JobArgument, located

__all__ = ["report_command"]


def report_command(
    job: JobArgument,
    archive: ArchiveOption = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a page with plots: one file, no requests.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: totals, and every source.")] = False,
) -> None:
    """Report what a job has done: a table, JSON with every source, or a page with plots.

    Made from the archive's storage as the job stands, running or not. When a run ends, the page is also written to
    ARCHIVE/jobs/ID/report.html. Exit code 1 where sources have failed.

    [bold]haarchive report[/] s3://out/archive/jobs/20261121-081530-3fa9

    [bold]haarchive report[/] s3://out/archive/jobs/20261121-081530-3fa9 --html report.html
    """
    from haarchive.pipeline.cli.show import print_job, print_json
    from haarchive.pipeline.jobs.durable.html import job_html
    from haarchive.pipeline.jobs.durable.journal import load_results
    from haarchive.pipeline.jobs.durable.status import job_status

    store, name = located(job, archive)
    if html is not None:
        html.write_text(job_html(store, name), encoding="utf-8")
    status = job_status(store, name)
    reports = list(load_results(store, name).values())
    if as_json:
        print_json({**status.to_dict(), "reports": [report.to_dict() for report in reports]})
    elif html is None:
        print_job(reports, status.rate)
        if status.remaining > status.totals.failed:
            typer.echo(f"{status.state}; {status.remaining - status.totals.failed} sources are not done yet")
    if status.failures:
        raise typer.Exit(1)
