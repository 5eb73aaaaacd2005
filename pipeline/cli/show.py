"""How results look: JSON lines or sentences on standard output, progress on a terminal's standard error."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence
from threading import Lock
from types import TracebackType
from typing import Any, Self, TextIO

import typer

from haarchive.pipeline import logs
from haarchive.pipeline.jobs.durable.totals import Totals
from haarchive.pipeline.jobs.proving import is_alarming
from haarchive.pipeline.jobs.report import JobReport, SourceReport
from haarchive.pipeline.units import human_bytes

__all__ = ["Screen", "human_bytes", "print_job", "print_json", "say", "summarise", "summarise_job"]

_log = logging.getLogger(__name__)

_MOST_FAILURES = 20


def print_json(record: Any, stream: TextIO | None = None) -> None:
    """Print a value as one line of JSON."""
    print(json.dumps(record, ensure_ascii=False), file=stream or sys.stdout, flush=True)


def say(text: str) -> None:
    """Tell the user on the standard error; as a record of the log, where that is what the standard error is for."""
    if logs.is_json():
        _log.error("%s", text)
    else:
        typer.echo(f"haarchive: {text}", err=True)


class Screen:
    """A `Progress` that shows each source when it is done, and a bar meanwhile where there is a terminal.

    Parameters
    ----------
    as_json : bool
        One JSON object a source rather than a sentence.
    quiet : bool
        No bar.
    verb : str
        What the bar is about, such as 'archiving'.

    Attributes
    ----------
    as_json : bool
    archived_bytes : int
        Bytes of the sources that it saw being archived.
    """

    def __init__(self, *, as_json: bool, quiet: bool, verb: str) -> None:
        self.as_json = as_json
        self._verb = verb
        self._bar: Any = None
        self._task: Any = None
        self._planned = 0
        self.archived_bytes = 0
        self._lock = Lock()
        if not quiet and sys.stderr.isatty() and not logs.is_json():
            self._bar, self._task = _bar(verb)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def planned(self, source: str, raw_bytes: int) -> None:
        """Make the bar longer."""
        with self._lock:
            self._planned += raw_bytes
            if self._bar is not None:
                self._bar.update(self._task, total=self._planned, description=f"{self._verb} {source}")

    def advanced(self, source: str, raw_bytes: int) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.update(self._task, advance=raw_bytes, description=f"{self._verb} {source}")

    def finished(self, report: SourceReport) -> None:
        """Print what became of a source."""
        if report.status == "archived":
            self.archived_bytes += report.bytes
        if self.as_json:
            self._print(json.dumps(report.to_dict(), ensure_ascii=False), sys.stdout)
        elif report.status == "failed":
            self._warn(f"{report.source}: failed")
        else:
            self._print(_sentence(report), sys.stdout)
        for reason, count in report.fallbacks.items():
            if is_alarming(reason):
                self._warn(
                    f"{report.source}: a codec failed on {count} chunks ({reason}); nothing is lost, but please"
                    " report it"
                )

    def _warn(self, text: str) -> None:
        if not logs.is_json():  # the log has a record of it
            self._print(text, sys.stderr)

    def _print(self, text: str, stream: TextIO) -> None:
        if self._bar is not None and stream.isatty():
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, file=stream, flush=True)


def summarise(report: JobReport, verb: str) -> None:
    """Say what failed, on the standard error; raises `typer.Exit` with 1 where anything did."""
    if report.ok:
        return
    failed = report.failed
    lines = [f"{len(failed)} of {len(report.sources)} sources not {verb}:"]
    lines += [f"  {one.source}: {one.error}" for one in failed[:_MOST_FAILURES]]
    if len(failed) > _MOST_FAILURES:
        lines.append(f"  and {len(failed) - _MOST_FAILURES} more; --json has them all")
    say("\n".join(lines))
    raise typer.Exit(1)


def summarise_job(report: JobReport, screen: Screen) -> None:
    """Print a table of a job, earlier runs included, where the standard output is for people."""
    if not screen.as_json:
        print_job(report.sources, screen.archived_bytes / report.seconds if report.seconds else 0.0)


def print_job(reports: Sequence[SourceReport], speed: float) -> None:
    """Print a table of what became of a job's sources; `speed` is in bytes a second, 0 where it is not known."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("sources")
    for name in ("", "bytes", "archived", "ratio"):
        table.add_column(name, justify="right")
    for status in ("archived", "unchanged", "failed"):
        mine = [one for one in reports if one.status == status]
        if mine:
            table.add_row(status, *_sums(mine, sizes=status != "failed"))
    table.add_row("all", *_sums([one for one in reports if one.status != "failed"], count=len(reports)))
    totals = Totals.of(reports)
    console = Console(file=sys.stdout, highlight=False)
    console.print(table)
    if speed:
        console.print(f"{human_bytes(speed)}/s of sources")
    for reason, count in totals.fallbacks.items():
        console.print(f"{count} chunks are stored without their codec: {reason}", markup=False, soft_wrap=True)


def _sums(reports: Sequence[SourceReport], *, count: int | None = None, sizes: bool = True) -> list[str]:
    """Cells of a table: sources, bytes, archived bytes, ratio."""
    raw, coded = sum(one.bytes for one in reports), sum(one.archived_bytes for one in reports)
    known = [human_bytes(raw), human_bytes(coded), f"{coded / raw:.1%}" if raw else ""] if sizes else []
    return [str(len(reports) if count is None else count), *known]


def _sentence(report: SourceReport) -> str:
    match report.status:
        case "archived":
            percent = f" ({report.archived_bytes / report.bytes:.1%})" if report.bytes else ""
            codecs = ", ".join(f"{name} {totals.chunks}" for name, totals in report.codecs.items())
            text = f"{human_bytes(report.bytes)} -> {human_bytes(report.archived_bytes)}{percent}"
            text += f", {report.guarantee}, {codecs or 'empty'}, {report.seconds:.1f} s"
            if report.model_bytes:
                text += f" (and once for the archive: models, {human_bytes(sum(report.model_bytes.values()))})"
        case "restored":
            text = f"{human_bytes(report.bytes)} restored to {report.path}, {report.seconds:.1f} s"
        case "verified":
            text = f"verified, {human_bytes(report.bytes)}, {report.seconds:.1f} s"
        case _:
            text = f"{report.status}, {human_bytes(report.bytes)} -> {human_bytes(report.archived_bytes)}"
            text += f", {report.guarantee}" if report.guarantee else ""
    return f"{report.source}: {text}" + (f" [{report.note}]" if report.note else "")


def _bar(verb: str) -> tuple[Any, Any]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    return bar, bar.add_task(verb, total=None)
