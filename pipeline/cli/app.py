"""The commands put together, and what happens when one fails."""

from __future__ import annotations

import logging
import signal
import sys
from typing import Annotated, Any

import typer
import typer.core

from haarchive.codecs.errors import ConfigError, HaarchiveError
from haarchive.pipeline.cli.archiving import archive_command
from haarchive.pipeline.cli.job_report import report_command
from haarchive.pipeline.cli.jobs import (
    cancel_command,
    jobs_command,
    logs_command,
    resume_command,
    status_command,
    submit_command,
)
from haarchive.pipeline.cli.reading import inspect_command, restore_command, verify_command
from haarchive.pipeline.cli.tiles import tile_command
from haarchive.pipeline.cli.training import train_command
from haarchive.pipeline.cli.tuning import tune_command

__all__ = ["app", "main"]

_INTERRUPTED = 130
"""The exit code of a program that Ctrl-C has stopped: 128 + SIGINT."""


class _Commands(typer.core.TyperGroup):
    """The group of commands; turns errors into one line and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            _say("stopped; what is archived so far stays, nothing is half archived")
            raise typer.Exit(_INTERRUPTED) from None
        except (HaarchiveError, OSError) as error:
            if ctx.params.get("debug"):
                raise
            _say(_one_line(error))
            raise typer.Exit(2 if isinstance(error, ConfigError) else 1) from None


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    help=(
        "Archive whole-slide images and recordings without loss, and read any part without unpacking.\n\n"
        "[bold]haarchive archive[/] slide.svs recordings/ s3://bucket/archive\n\n"
        "[bold]haarchive inspect[/] s3://bucket/archive/slide.svs\n\n"
        "[bold]haarchive verify[/]  s3://bucket/archive --deep\n\n"
        "[bold]haarchive restore[/] s3://bucket/archive/slide.svs out/\n\n"
        "[bold]haarchive tile[/]    s3://bucket/archive/slide.svs --region 1024,2048,512,512 region.png\n\n"
        "[bold]haarchive tile[/]    s3://bucket/archive/take1.wav --span 00:01:10.5,4.0 span.wav\n\n"
        "Exit codes: 0 all well; 1 some sources failed, or stored bytes are damaged; 2 wrong usage."
    ),
)


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show debug logs, and tracebacks of errors.")] = False,
    log_json: Annotated[
        bool,
        typer.Option(
            "--log-json",
            envvar="HAARCHIVE_LOG_JSON",
            help="Log to the standard error, and on Ray to its log files: a JSON object a line.",
        ),
    ] = False,
) -> None:
    """Take the options that all commands share."""
    if debug or log_json:
        from haarchive.pipeline import logs

        logs.set_up(logs.LogSettings(as_json=log_json, debug=debug))


app.command("archive", no_args_is_help=True)(archive_command)
app.command("inspect", no_args_is_help=True)(inspect_command)
app.command("verify", no_args_is_help=True)(verify_command)
app.command("restore", no_args_is_help=True)(restore_command)
app.command("tile", no_args_is_help=True)(tile_command)
for _name, _command in (
    ("submit", submit_command),
    ("jobs", jobs_command),
    ("status", status_command),
    ("logs", logs_command),
    ("cancel", cancel_command),
    ("resume", resume_command),
    ("report", report_command),
):
    app.command(_name, no_args_is_help=_name != "jobs", rich_help_panel="Jobs on a cluster")(_command)
app.command("tune", no_args_is_help=True)(tune_command)
app.command("train", no_args_is_help=True)(train_command)


def main() -> None:
    """Run the command line; the entry point of ``haarchive``."""
    # What ends a pod or a Ray job is to leave as little behind as Ctrl-C.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        app()
    except Exception as error:
        if logging.getLogger("haarchive").isEnabledFor(logging.DEBUG):
            raise
        _say(f"internal error: {_one_line(error)}; please report it with what --debug shows")
        sys.exit(1)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _say(text: str) -> None:
    from haarchive.pipeline.cli.show import say

    say(text)


def _one_line(error: BaseException) -> str:
    from haarchive.pipeline.jobs.report import explain

    return explain(error)
