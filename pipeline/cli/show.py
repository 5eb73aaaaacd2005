"""How results look: JSON lines or sentences on standard output, progress on a terminal's standard error."""

from __future__ import annotations

import json
import logging
import sys
from threading import Lock
from types import TracebackType
from typing import Any, Self, TextIO

import typer

from haarchive.pipeline import logs
from haarchive.pipeline.jobs.proving import is_alarming
from haarchive.pipeline.jobs.report import JobReport, SourceReport

__all__ = ["Screen", "human_bytes", "print_json", "say", "summarise"]

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


def human_bytes(n: float) -> str:
    """A size for people: '1.9 MB', decimal units."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(n) < 999.5:
            return f"{n:.0f} {unit}" if unit == "B" else f"{n:.3g} {unit}"
        n /= 1000
    return f"{n:.4g} TB"


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
    """

    def __init__(self, *, as_json: bool, quiet: bool, verb: str) -> None:
        self._as_json = as_json
        self._verb = verb
        self._bar: Any = None
        self._task: Any = None
        self._planned = 0
        self._done: dict[str, int] = {}
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
        if self._as_json:
            self._print(json.dumps(report.to_dict(), ensure_ascii=False), sys.stdout)
        elif report.status == "failed":
            self._warn(f"{report.source}: failed")
        else:
            self._print(_sentence(report), sys.stdout)
        for reason, count in report.fallbacks.items():
            if is_alarming(reason):
                self._warn(
                    f"{report.source}: {count} chunks are stored without their codec ({reason}); nothing is"
                    " lost, but please report it"
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
