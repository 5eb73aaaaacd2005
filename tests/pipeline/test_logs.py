"""Logs for machines."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from haarchive.pipeline import archive, logs

COMMAND = [sys.executable, "-c", "from haarchive.pipeline.cli import main; main()"]
LOG = logging.getLogger("haarchive.pipeline.test")


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """Gives what was written to the standard error; logging is left as it was found."""
    root, ours = logging.getLogger(), logging.getLogger("haarchive")
    before = list(root.handlers), root.level, ours.level
    monkeypatch.setattr(logs, "_settings", None)
    yield lambda: capsys.readouterr().err
    logging.captureWarnings(False)
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])


@pytest.fixture(scope="module")
def archived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive with one source that is well and one that is damaged."""
    folder = tmp_path_factory.mktemp("logs")
    (folder / "well").write_bytes(b"well" * 1000)
    (folder / "damaged").write_bytes(np.random.default_rng(1).bytes(1_000_000))
    archive([folder / "well", folder / "damaged"], folder / "archive").raise_for_failures()
    for shard in (folder / "archive" / "shards").iterdir():
        shard.write_bytes(shard.read_bytes()[:-1])
    return folder / "archive"


def test_a_record_says_when_where_and_what_it_is_about(written: Callable[[], str]) -> None:
    logs.set_up(logs.LogSettings(as_json=True))
    with logs.about(job="slides-2026"):
        LOG.info("%s: shard %d written", "a.svs", 7, extra={"source": "a.svs", "shard": 7, "bytes": 12})
    record = json.loads(written())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record.pop("time"))
    assert record == {
        "level": "INFO",
        "logger": LOG.name,
        "message": "a.svs: shard 7 written",
        "job": "slides-2026",
        "source": "a.svs",
        "shard": 7,
        "bytes": 12,
    }


def test_what_json_cannot_say_does_not_lose_the_record() -> None:
    # Formatted here: pytest's own capture, sent between its processes, could not say it either.
    extra = {"msg": "two\nlines, \udcff", "source": "\udcff\u202e", "path": Path("/a")}
    line = logs.JsonFormatter().format(logging.makeLogRecord(extra))
    assert line.isascii()
    assert line.count("\n") == 0
    record = json.loads(line)
    assert (record["message"], record["source"], record["path"]) == ("two\nlines, \udcff", "\udcff\u202e", "/a")


def test_a_traceback_stays_in_its_record(written: Callable[[], str]) -> None:
    logs.set_up(logs.LogSettings(as_json=True))
    try:
        raise ValueError("no")
    except ValueError:
        LOG.exception("failed")
    assert json.loads(written())["traceback"].endswith("ValueError: no")


def test_debug_records_come_only_when_they_are_asked_for(written: Callable[[], str]) -> None:
    for debug in (False, True):
        logs.set_up(logs.LogSettings(as_json=True, debug=debug))
        LOG.debug("detail")
        assert bool(written()) == debug


def test_setting_up_again_does_not_write_twice(written: Callable[[], str]) -> None:
    for _ in range(3):
        logs.set_up(logs.LogSettings(as_json=True))
    LOG.info("once")
    assert len(written().splitlines()) == 1


def test_what_records_are_about_holds_in_other_threads_and_processes_and_ends(written: Callable[[], str]) -> None:
    logs.set_up(logs.LogSettings(as_json=True))
    with logs.about(job="one"), ThreadPoolExecutor(1) as pool:
        pool.submit(LOG.info, "in a thread").result()
        settings = logs.current()
    LOG.info("behind")
    assert settings == logs.LogSettings(as_json=True, fields={"job": "one"})
    logs.set_up(settings)  # as another process does
    LOG.info("elsewhere")
    assert [json.loads(line).get("job") for line in written().splitlines()] == ["one", None, "one"]


def test_a_process_that_was_not_set_up_has_nothing_to_pass_on(written: Callable[[], str]) -> None:
    assert logs.current() is None
    assert not logs.is_json()


def test_the_library_is_quiet_unless_asked(archived: Path) -> None:
    code = "import sys; from haarchive.pipeline.jobs import verify; print(len(verify(sys.argv[1]).failed))"
    done = subprocess.run([sys.executable, "-c", code, archived], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("1\n", "")


def test_the_commands_standard_error_is_json_lines_alone(archived: Path) -> None:
    done = command("--log-json", "verify", archived)
    assert done.returncode == 1
    assert done.stdout.startswith("well: verified")
    records = [json.loads(line) for line in done.stderr.splitlines()]
    about = {record["source"]: record for record in records if "source" in record}
    assert (about["well"]["level"], about["well"]["status"]) == ("INFO", "verified")
    assert about["well"]["bytes"] == 4000
    assert (about["damaged"]["level"], about["damaged"]["status"]) == ("WARNING", "failed")
    assert "SHA-256 does not match" in about["damaged"]["reason"]
    assert records[-1]["level"] == "ERROR"
    assert "1 of 2 sources not verified" in records[-1]["message"]


def test_errors_of_commands_are_records_too(tmp_path: Path) -> None:
    done = command("--log-json", "verify", tmp_path)
    (record,) = [json.loads(line) for line in done.stderr.splitlines()]
    assert done.returncode == 1
    assert (record["level"], record["logger"]) == ("ERROR", "haarchive.pipeline.cli.show")
    assert "there is no archive at or above" in record["message"]
