"""The report of a job as a page: one file that asks for nothing else, made from what object storage knows."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from haarchive.pipeline.jobs.durable.journal import Entry, load_entries
from haarchive.pipeline.jobs.durable.markup import element, table, text
from haarchive.pipeline.jobs.durable.page_style import STYLE
from haarchive.pipeline.jobs.durable.plots import Amount, Dot, Span, bars, histogram, rate_over_time, scatter
from haarchive.pipeline.jobs.durable.record import job_key
from haarchive.pipeline.jobs.durable.status import JobStatus, job_status
from haarchive.pipeline.jobs.report import SourceReport
from haarchive.pipeline.storage import ObjectStore
from haarchive.pipeline.units import human_bytes, human_seconds

__all__ = ["PAGE", "job_html", "render", "store_html"]

PAGE = "report.html"
_ROWS = 500
_GIVEN = 20
_log = logging.getLogger(__name__)

# With this a browser fetches nothing, whatever a name smuggled in.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def store_html(store: ObjectStore, job: str) -> None:
    """Write the page of a job beside its report.json; a page that cannot be made is no reason to fail."""
    try:
        store.put(job_key(job, PAGE), job_html(store, job).encode())
    except Exception:
        _log.warning("job %s: its %s cannot be written", job, PAGE, exc_info=True, extra={"job": job})


def job_html(store: ObjectStore, job: str) -> str:
    """The page of a job as it stands.

    Raises
    ------
    JobNotFoundError
        If the archive has no such job.
    """
    status = job_status(store, job)
    keys = sorted(key for key, _ in store.list(job_key(job, "runs")))
    runs = [json.loads(store.get(key)) for key in keys]
    return render(store.url, status, runs, load_entries(store, job))


def render(url: str, status: JobStatus, runs: Sequence[Mapping[str, Any]], entries: Mapping[str, Entry]) -> str:
    """Write the page.

    Parameters
    ----------
    url : str
        The archive.
    status : JobStatus
    runs : sequence of Mapping
        Records of the job's runs, in their order.
    entries : Mapping of str to Entry
        What became of each source.

    Returns
    -------
    str
        HTML that is XML as well, and ASCII where names are.
    """
    reports = [entry.report for entry in entries.values()]
    title = f"Archive job {status.job.id}"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", **{"http-equiv": "Content-Security-Policy", "content": _POLICY}),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", text(title)),
        element("style", STYLE),
    )
    body = element(
        "body",
        element("h1", text(title)),
        _summary(url, status),
        element(
            "div",
            _section("Totals", _totals(status, reports)),
            _section("Job", _facts(url, status, runs)),
            class_="side",
        ),
        *_plots(runs, entries),
        *_failures(status),
        *_fallbacks(reports),
        *_sources(reports),
        _section("Settings", table(("setting", "value"), _flat(status.job.config))),
    )
    return "<!DOCTYPE html>\n" + element("html", head, body, lang="en") + "\n"


def _section(title: str, *content: str) -> str:
    return element("section", element("h2", text(title)), *content)


def _summary(url: str, status: JobStatus) -> str:
    totals = status.totals
    done = totals.archived + totals.unchanged
    of = "" if status.sources is None else f" of {status.sources}"
    saved = f"{human_bytes(totals.bytes)} became {human_bytes(totals.archived_bytes)}{_percent(totals)}"
    line = f"{status.state}: {done}{of} sources are in {url}; {saved}."
    parts = [element("p", text(line), class_="soft")]
    if totals.failed:
        parts.append(element("p", text(f"{totals.failed} sources failed; they are listed below."), class_="bad"))
    return "".join(parts)


def _totals(status: JobStatus, reports: Sequence[SourceReport]) -> str:
    totals = status.totals
    promises = Counter(report.guarantee for report in reports if report.status != "failed" and report.guarantee)
    chunks = sum(counts["chunks"] for counts in totals.codecs.values())
    rows = [
        ("sources archived", _spaced(totals.archived)),
        ("sources that were there already", _spaced(totals.unchanged)),
        ("sources failed", _spaced(totals.failed)),
        ("sources remaining", _spaced(status.remaining)),
        *((f"archived as {promise}", _spaced(count)) for promise, count in sorted(promises.items())),
        ("bytes of sources", _exact(totals.bytes)),
        ("bytes in the archive", _exact(totals.archived_bytes)),
        ("archived / source", _ratio(totals.archived_bytes, totals.bytes)),
        ("bytes of models, shared", _exact(totals.model_bytes)),
        ("chunks", _spaced(chunks)),
        ("chunks stored without their codec", _spaced(sum(totals.fallbacks.values()))),
    ]
    return table(("", ""), rows, numbers=(1,))


def _facts(url: str, status: JobStatus, runs: Sequence[Mapping[str, Any]]) -> str:
    job = status.job
    given = [*job.sources[:_GIVEN], *([f"and {len(job.sources) - _GIVEN} more"] if len(job.sources) > _GIVEN else [])]
    rows = [("archive", url), ("sources", ", ".join(given)), ("state", status.state), ("written down", job.created)]
    for number, run in enumerate(runs, 1):
        took = human_seconds(_epoch(run["updated"]) - _epoch(run["started"]))
        rows.append((f"run {number}", f"{run['run']}: {run['started']} to {run['updated']}, {took}, {run['state']}"))
    if status.rate:
        rows.append(("speed of the last run", f"{human_bytes(status.rate)}/s of raw samples"))
    return table(("", ""), rows)


def _plots(runs: Sequence[Mapping[str, Any]], entries: Mapping[str, Entry]) -> Iterator[str]:
    there = [entry for entry in entries.values() if entry.report.status != "failed"]
    if not there:
        return
    dots = [_dot(entry.report) for entry in there if entry.report.bytes]
    clock = _Clock.of(runs)
    new = [entry for entry in there if entry.report.status == "archived"]
    amounts: dict[str, Counter[str]] = {}
    for entry in there:
        for name, totals in entry.report.codecs.items():
            amounts.setdefault(name, Counter()).update(raw=totals.raw_bytes, coded=totals.bytes)
    by_codec = [Amount(name, counts["raw"], counts["coded"]) for name, counts in sorted(amounts.items())]
    figures = [
        ("Ratio by source", scatter(dots)),
        ("Throughput", rate_over_time([clock.span(entry) for entry in new], clock.seconds, clock.breaks)),
        ("Bytes by codec: samples, and bitstreams", bars(by_codec)),
        ("Time by source", histogram([entry.report.seconds for entry in new], "seconds from scan to commit")),
    ]
    made = [element("figure", element("figcaption", text(title)), plot) for title, plot in figures]
    yield element("section", element("h2", "Plots"), element("div", *made, class_="plots"))


def _failures(status: JobStatus) -> Iterator[str]:
    if status.failures:
        rows = list(status.failures.items())
        yield _section("Failures", table(("source", "reason"), rows[:_ROWS]), _more(len(rows)))


def _fallbacks(reports: Sequence[SourceReport]) -> Iterator[str]:
    chunks: Counter[str] = Counter()
    where: dict[str, list[str]] = {}
    for report in reports:
        for reason, count in report.fallbacks.items():
            chunks[reason] += count
            where.setdefault(reason, []).append(report.source)
    if chunks:
        rows = [(reason, count, len(where[reason]), where[reason][0]) for reason, count in chunks.most_common()]
        head = ("reason", "chunks", "sources", "such as")
        yield _section("Stored without their codec", table(head, rows[:_ROWS], numbers=(1, 2)), _more(len(rows)))


def _sources(reports: Sequence[SourceReport]) -> Iterator[str]:
    largest = sorted(reports, key=lambda report: (-report.bytes, report.source))[:_ROWS]
    rows = [
        (
            report.source,
            report.status,
            human_bytes(report.bytes),
            human_bytes(report.archived_bytes) if report.status != "failed" else "",
            _ratio(report.archived_bytes, report.bytes) if report.status != "failed" else "",
            f"{report.seconds:.1f}",
            report.guarantee,
            ", ".join(report.codecs) + (f" ({report.note})" if report.note else ""),
        )
        for report in largest
    ]
    head = ("source", "state", "bytes", "archived", "ratio", "seconds", "guarantee", "codecs and notes")
    if rows:
        yield _section("Sources, the largest first", table(head, rows, numbers=(2, 3, 4, 5)), _more(len(reports)))


@dataclass(frozen=True)
class _Clock:
    """Time that runs only while a run of the job does: a job that was resumed the next day has no gap."""

    starts: Mapping[str, float]
    before: Mapping[str, float]
    seconds: float
    breaks: tuple[float, ...]

    @classmethod
    def of(cls, runs: Sequence[Mapping[str, Any]]) -> _Clock:
        starts: dict[str, float] = {}
        before: dict[str, float] = {}
        seconds = 0.0
        for run in runs:
            starts[run["run"]], before[run["run"]] = _epoch(run["started"]), seconds
            seconds += max(0.0, _epoch(run["updated"]) - _epoch(run["started"]))
        return cls(starts, before, seconds, tuple(before.values())[1:])

    def span(self, entry: Entry) -> Span:
        """When a source was worked on."""
        before = self.before.get(entry.run, 0.0)
        stop = before + max(0.0, entry.written - self.starts.get(entry.run, entry.written))
        return Span(max(before, stop - entry.report.seconds), stop, entry.report.bytes)


def _dot(report: SourceReport) -> Dot:
    return Dot(report.bytes, report.archived_bytes / report.bytes, report.source)


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", "" if value is None else str(value)


def _more(there: int) -> str:
    note = f"and {there - _ROWS} more, which 'haarchive report --json' lists"
    return element("p", text(note), class_="soft") if there > _ROWS else ""


def _exact(nbytes: int) -> str:
    return f"{human_bytes(nbytes)} ({_spaced(nbytes)})" if nbytes >= 1000 else human_bytes(nbytes)


def _spaced(number: int) -> str:
    return f"{number:,}".replace(",", " ")


def _ratio(coded: int, raw: int) -> str:
    return f"{coded / raw:.1%}" if raw else ""


def _percent(totals: Any) -> str:
    return f" ({_ratio(totals.archived_bytes, totals.bytes)})" if totals.bytes else ""


def _epoch(moment: str) -> float:
    return datetime.strptime(moment, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
