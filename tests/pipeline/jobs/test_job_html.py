"""The report of a job: the page, its plots, the table, the command."""

from __future__ import annotations

import json
import logging
import os
import re
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner, Result

from haarchive.pipeline import archive
from haarchive.pipeline.archive import CodecTotals
from haarchive.pipeline.cli import app
from haarchive.pipeline.cli.show import Screen, print_job, summarise_job
from haarchive.pipeline.config import ArchiveConfig
from haarchive.pipeline.jobs import JobReport, SourceReport
from haarchive.pipeline.jobs.durable import html
from haarchive.pipeline.jobs.durable.axes import linear, logarithmic
from haarchive.pipeline.jobs.durable.html import job_html
from haarchive.pipeline.jobs.durable.journal import Journal, load_entries, load_results
from haarchive.pipeline.jobs.durable.markup import element, text
from haarchive.pipeline.jobs.durable.plots import Amount, Dot, Span, bars, histogram, rate_over_time, scatter
from haarchive.pipeline.jobs.durable.record import JobRecord, job_key, store_job
from haarchive.pipeline.storage import ObjectStore, open_store
from haarchive.pipeline.units import human_seconds

EVIL = "<script>alert('x')</script>&\"\u202egpj.exe"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def parsed(page: str) -> ElementTree.Element:
    """The page is XML, too, so that a parser notices every tag that is not closed and every stray '<'."""
    return ElementTree.fromstring(page.removeprefix("<!DOCTYPE html>\n"))


def words(tree: ElementTree.Element) -> str:
    return " ".join(" ".join(tree.itertext()).split())


def tables(tree: ElementTree.Element, title: str) -> list[list[str]]:
    """Rows of the table in the section of this title."""
    (section,) = [one for one in tree.iter("section") if one.findtext("h2") == title]
    return [["".join(cell.itertext()) for cell in row] for row in section.iter("tr")]


def done(name: str, size: int = 1000, **more: object) -> SourceReport:
    codecs = {"haar": CodecTotals(2, 3 * size, size // 2)}
    return SourceReport(name, "archived", size, size // 2 + 7, "file-exact", codecs, seconds=1.5, **more)


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    """An archive with a job ``j`` that has begun twice, a day apart, and has no results."""
    store = open_store(tmp_path / "archive")
    config = ArchiveConfig().model_dump(mode="json")
    store_job(store, JobRecord("j", ("s3://in/slides/",), config, "ray"))
    for name, started, updated in (
        ("20261121-080000", "2026-11-21T08:00:00Z", "2026-11-21T08:01:00Z"),
        ("20261122-080000", "2026-11-22T08:00:00Z", "2026-11-22T08:00:30Z"),
    ):
        counts = dict.fromkeys(("sources", "finished", "failed", "bytes", "archived_bytes", "coded_bytes"), 0)
        body = {"run": name, "state": "finished", "started": started, "updated": updated, **counts}
        store.put(job_key("j", f"runs/{name}.json"), json.dumps(body).encode())
    return store


@pytest.fixture
def archived(sources: Path, tmp_path: Path) -> Path:
    """The archive of a job ``real`` of which one source failed and another has a name that looks like markup."""
    (sources / "dangling").symlink_to(sources / "nowhere")
    (sources / EVIL.replace("/", "∕")).write_bytes(b"evil" * 100)
    with open(os.fsencode(sources) + b"/latin-\xe9", "wb") as file:  # noqa: PTH123 - no str path names it
        file.write(b"old" * 100)
    archive(sources, tmp_path / "archive", job="real")
    return tmp_path / "archive"


def test_a_job_leaves_a_page_beside_its_report(archived: Path) -> None:
    page = (archived / "jobs" / "real" / "report.html").read_text("utf-8")
    tree = parsed(page)
    report = json.loads((archived / "jobs" / "real" / "report.json").read_text())
    totals = dict(tables(tree, "Totals")[1:])
    assert totals["sources archived"] == totals["archived as file-exact"] == str(report["totals"]["archived"]) == "7"
    assert totals["bytes of sources"].endswith(f"({report['totals']['bytes']:,})".replace(",", " "))
    assert ["preset", "balanced"] in tables(tree, "Settings")
    assert [row[0] for row in tables(tree, "Sources, the largest first")[1:3]] == ["in/noise.bin", "in/sub/deep.tif"]
    assert len(list(tree.iter("svg"))) == 4


def test_a_page_asks_for_nothing_and_runs_nothing(archived: Path) -> None:
    page = job_html(open_store(archived), "real")
    tree = parsed(page)
    assert {element.tag for element in tree.iter()}.isdisjoint({"script", "link", "img", "iframe", "object", "a"})
    names = {name for element in tree.iter() for name in element.attrib}
    assert not [name for name in names if name in ("src", "href", "style") or name.startswith("on")]
    assert "url(" not in page
    assert "@import" not in page
    policy = [one.get("content") for one in tree.iter("meta") if one.get("http-equiv") == "Content-Security-Policy"]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'"]


def test_names_are_no_markup_and_can_be_seen(archived: Path) -> None:
    page = job_html(open_store(archived), "real")
    page.encode()
    shown = [row[0] for row in tables(parsed(page), "Sources, the largest first")]
    assert "in/" + EVIL.replace("/", "∕").replace("\u202e", "\\u202e") in shown
    assert "in/latin-\\xe9" in shown
    assert "<script" not in page


def test_failures_and_fallbacks_come_with_their_reasons(store: ObjectStore) -> None:
    Journal(store, "j", "20261122-080000").write([
        done("a.svs", fallbacks={"larger": 3, "error: ValueError: <no>": 1}),
        done("b.svs", fallbacks={"larger": 2}),
        SourceReport("c.svs", "failed", error="is cut short: <tile 5>"),
    ])  # fmt: skip
    tree = parsed(job_html(store, "j"))
    assert tables(tree, "Failures")[1:] == [["c.svs", "is cut short: <tile 5>"]]
    assert tables(tree, "Stored without their codec")[1:] == [
        ["larger", "5", "2", "a.svs"],
        ["error: ValueError: <no>", "1", "1", "a.svs"],
    ]
    assert "1 sources failed" in words(tree)


def test_a_job_without_results_has_a_page(store: ObjectStore) -> None:
    tree = parsed(job_html(store, "j"))
    assert dict(tables(tree, "Totals")[1:])["sources archived"] == "0"
    assert not list(tree.iter("svg"))


def test_of_many_sources_the_largest_are_listed_and_the_rest_is_said(store: ObjectStore) -> None:
    Journal(store, "j", "20261122-080000").write([done(f"{size}.svs", size) for size in range(1, 703)])
    tree = parsed(job_html(store, "j"))
    rows = tables(tree, "Sources, the largest first")[1:]
    assert (rows[0][0], rows[-1][0], len(rows)) == ("702.svs", "203.svs", 500)
    assert "and 202 more" in words(tree)


def test_the_time_between_two_runs_is_not_in_the_plot(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for run_id, seconds in (("20261121-080000", 1795248030.0), ("20261122-080000", 1795334410.0)):
        monkeypatch.setattr(time, "time", lambda seconds=seconds: seconds)
        Journal(store, "j", run_id).write([done(run_id, 10_000_000)])
    (plot,) = [svg for svg in parsed(job_html(store, "j")).iter("svg") if "over time" in svg.get("aria-label", "")]
    assert "seconds of running" in words(plot)
    assert max(int(one) for one in re.findall(r"(?<!\S)(\d+)(?!\S)(?! \w?B)", words(plot))) == 80
    assert len([path for path in plot.iter("path") if path.get("class") == "limit"]) == 1


def test_a_page_that_cannot_be_made_does_not_fail_the_job(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(html, "render", lambda *_: 1 / 0)
    with caplog.at_level(logging.WARNING):
        assert archive(sources / "empty", tmp_path / "a", job="j").ok
    assert "report.html cannot be written" in caplog.text
    assert (tmp_path / "a" / "jobs" / "j" / "report.json").exists()


def test_the_journal_knows_run_and_time_and_reports_stay_as_they_were(store: ObjectStore) -> None:
    before = time.time()
    Journal(store, "j", "20261121-080000").write([SourceReport("a", "failed", error="no"), done("b")])
    Journal(store, "j", "20261122-080000").write([done("a")])
    entries = load_entries(store, "j")
    assert {name: entry.run for name, entry in entries.items()} == {"a": "20261122-080000", "b": "20261121-080000"}
    assert all(before - 1 <= entry.written <= time.time() for entry in entries.values())
    assert load_results(store, "j") == {"a": done("a"), "b": done("b")}


def test_the_area_under_the_throughput_is_what_was_archived() -> None:
    spans = [Span(0.0, 40.0, 9_000_000), Span(20.0, 100.0, 4_000_000), Span(99.9, 99.9, 1_000_000)]
    tree = parsed(rate_over_time(spans, 100.0))
    (path,) = [one for one in tree.iter("path") if one.get("class") == "mark"]
    steps = [(float(x), float(y), float(to)) for x, y, to in re.findall(r"L([\d.]+) ([\d.]+)H([\d.]+)", path.get("d"))]
    labels = {one.text: float(one.get("y")) for one in tree.iter("text") if one.get("class") == "end"}
    (top, foot) = (labels[name] - 4 for name in ("800 kB/s", "0 B/s"))
    left, right = steps[0][0], steps[-1][2]
    area = sum((foot - y) / (foot - top) * 8e5 * (to - x) / (right - left) * 100 for x, y, to in steps)
    assert area == pytest.approx(14_000_000, rel=0.01)


def test_dots_at_one_place_are_one_and_say_how_many(store: ObjectStore) -> None:
    tree = parsed(scatter([Dot(10_000 + n, 0.5, f"{n}.svs") for n in range(50)] + [Dot(10**9, 12.0, "far")]))
    titles = [one.findtext("title") for one in tree.iter("circle")]
    assert titles == ["0.svs: 10 kB, 50.0% and 49 more like it", "far: 1 GB, 1200.0%"]


def test_every_value_is_in_one_bar_of_the_histogram() -> None:
    values = [0.0, 0.001, 0.5, 1.0, 3.1, 99.0, 100.0]
    titles = [one.findtext("title") for one in parsed(histogram(values, "s")).iter("rect")]
    assert sum(int(title.split()[-2]) for title in titles) == len(values)


def test_bars_are_as_long_as_their_bytes() -> None:
    pale, mark = parsed(bars([Amount("haar", 4_000_000, 1_000_000)])).iter("rect")
    assert float(pale.get("width")) == pytest.approx(4 * float(mark.get("width")), abs=0.5)


@pytest.mark.parametrize("plot", [scatter([]), histogram([], "s"), bars([]), rate_over_time([], 0.0)])
def test_plots_of_nothing_are_plots(plot: str) -> None:
    assert parsed(plot).tag == "svg"


@pytest.mark.parametrize("high", [0.0, 0.9, 1.0, 7.3, 1e12])
def test_axes_reach_from_end_to_end(high: float) -> None:
    for axis in (linear(high, str), logarithmic([high, 3.0], str)):
        assert axis.at(axis.low) == 0
        assert axis.at(axis.high) == 1
        assert 0 <= axis.at(high) <= 1
        assert axis.at(10 * axis.high) == 1
        assert 2 <= len(axis.ticks) <= 12


def test_markup_escapes_text_and_attributes() -> None:
    assert text("a<b>&\"'\x1b\n\udce9") == "a&lt;b&gt;&amp;&quot;&#x27;\\x1b\\n\\udce9"
    assert element("p", text("<"), class_="x", title='"') == '<p class="x" title="&quot;">&lt;</p>'


def test_spans_of_time_are_for_people() -> None:
    assert [human_seconds(s) for s in (0.44, 59.9, 60, 3599.6, 7325)] == [
        "0.4 s", "59.9 s", "1 min 0 s", "1 h 0 min", "2 h 2 min",
    ]  # fmt: skip


def test_the_table_counts_sources_by_status(capsys: pytest.CaptureFixture[str]) -> None:
    reports = [
        done("a", 2_000_000, fallbacks={"larger": 3}),
        SourceReport("b", "unchanged", 1_000_000, 250_000),
        SourceReport("c", "failed", 5, error="no"),
    ]
    print_job(reports, 3_500_000)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[1:] == [
        ["archived", "1", "2", "MB", "1", "MB", "50.0%"],
        ["unchanged", "1", "1", "MB", "250", "kB", "25.0%"],
        ["failed", "1"],
        ["all", "3", "3", "MB", "1.25", "MB", "41.7%"],
        ["3.5", "MB/s", "of", "sources"],
        ["3", "chunks", "are", "stored", "without", "their", "codec:", "larger"],
    ]


def test_the_table_has_the_speed_of_this_run_and_json_has_no_table(capsys: pytest.CaptureFixture[str]) -> None:
    for as_json in (False, True):
        screen = Screen(as_json=as_json, quiet=True, verb="archiving")
        screen.finished(done("a", 8_000_000))
        capsys.readouterr()
        summarise_job(JobReport((done("a", 8_000_000), done("earlier", 10**9)), 2.0), screen)
        out = capsys.readouterr().out
        assert ("4 MB/s of sources" in out) != as_json
        assert bool(out) != as_json


def test_the_command_reports_from_storage(archived: Path, tmp_path: Path) -> None:
    job = archived / "jobs" / "real"
    table = run("report", job)
    assert table.exit_code == 1  # a source has failed
    assert re.search(r"^archived +7 ", table.stdout, re.MULTILINE)
    assert run("report", "real", "--archive", archived, "--html", tmp_path / "page.html").stdout == ""
    assert parsed((tmp_path / "page.html").read_text("utf-8")).tag == "html"
    record = json.loads(run("report", job, "--json").stdout)
    assert record["totals"]["archived"] == 7
    assert len(record["reports"]) == 8
    assert record["failures"].keys() == {"in/dangling"}


def test_help_shows_an_example() -> None:
    assert "haarchive report s3://out/archive/jobs/" in run("report", "--help").stdout


def test_a_job_that_is_not_there_is_one_line(archived: Path) -> None:
    result = run("report", archived / "jobs" / "other")
    assert result.exit_code == 1
    assert "has no job 'other'" in result.stderr
