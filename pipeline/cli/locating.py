"""How commands are told which job is meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from haarchive.pipeline.storage import ObjectStore

__all__ = ["ArchiveOption", "JobArgument", "located"]

JobArgument = Annotated[
    str,
    typer.Argument(metavar="JOB", help="ARCHIVE/jobs/ID, as submit and jobs print it; or its ID, with --archive."),
]
ArchiveOption = Annotated[
    str | None,
    typer.Option("--archive", "-a", envvar="HAARCHIVE_ARCHIVE", help="The archive that the job writes to."),
]


def located(job: str, archive: str | None) -> tuple[ObjectStore, str]:
    """The archive's storage, and the job's ID.

    Raises
    ------
    typer.BadParameter
        If the archive is not named, or `job` is none.
    """
    from haarchive.pipeline.jobs.durable.record import JOBS, check_id
    from haarchive.pipeline.storage import open_store

    root, marker, name = job.rstrip("/").rpartition(f"/{JOBS}/")
    if marker and "/" not in name:
        return open_store(root), check_id(name)
    if "/" in job:
        raise typer.BadParameter(f"{job!r} is not ARCHIVE/jobs/ID", param_hint="JOB")
    if archive is None:
        raise typer.BadParameter(
            f"which archive? write ARCHIVE/jobs/{job}, or give --archive, or set HAARCHIVE_ARCHIVE", param_hint="JOB"
        )
    return open_store(archive), check_id(job)
