"""Restoring and verifying on Ray. One Ray serves the module; starting one takes longer than all tests."""

from __future__ import annotations

import importlib
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from shutil import copytree

import pytest
from typer.testing import CliRunner, Result

from haarchive.codecs.errors import ConfigError
from haarchive.pipeline import archive, logs, open_archive
from haarchive.pipeline.archive import ArchivedSource
from haarchive.pipeline.archive.keys import shard_key
from haarchive.pipeline.cli import app
from haarchive.pipeline.config import ActorConfig
from haarchive.pipeline.jobs import JobReport, ray_restore, restore, verify
from haarchive.pipeline.jobs.ray_restore import ReadWorker, plan_batches
from haarchive.pipeline.jobs.ray_session import ray_session
from haarchive.pipeline.jobs.retrieval import Restoring, Verifying
from haarchive.pipeline.storage import open_store

RESTORE = importlib.import_module("haarchive.pipeline.jobs.restore")  # the function has the module's name
N_CLIPS = 20
LARGE = "in/noise.bin"


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def without_times(report: JobReport) -> list[dict]:
    return [{k: v for k, v in one.to_dict().items() if k not in ("seconds", "path")} for one in report.sources]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def ray_running() -> Iterator[None]:
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # so that workers see what is defined here
    with ray_session(ActorConfig()):
        yield


@pytest.fixture(scope="module")
def folder(make_sources: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``in`` with sources of several kinds and sizes, ``archive`` with most of them in one pack."""
    made = make_sources(tmp_path_factory.mktemp("way-back"))
    (made / "clips").mkdir()
    for number in range(N_CLIPS):
        (made / "clips" / f"{number:02d}.txt").write_text(f"clip {number}\n" * 40)
    archive(made, made.parent / "archive", engine="local").raise_for_failures()
    return made.parent


@dataclass(frozen=True)
class Deadly(Restoring):
    """Takes its process down at one source, as the out-of-memory killer would; once, where a mark is given."""

    at: str = ""
    mark: Path | None = None

    def target(self, source: ArchivedSource) -> Path:
        if source.name == self.at and not (self.mark and self.mark.exists()):
            if self.mark:
                self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().target(source)


def test_the_sources_of_a_pack_are_one_call_and_large_ones_come_first(folder: Path) -> None:
    batches = plan_batches(open_store(folder / "archive"))
    assert [wanted.name for wanted in batches[0].sources] == [LARGE]
    assert len(batches[-1].sources) >= N_CLIPS
    names = [wanted.name for batch in batches for wanted in batch.sources]
    assert sorted(names) == open_archive(folder / "archive").sources()
    assert plan_batches(open_store(folder / "archive"), LARGE)[0].sources[0].entry is None
    assert sorted(wanted.number for batch in batches for wanted in batch.sources) == list(range(len(names)))


def test_a_pack_is_fetched_at_once(folder: Path, bucket: str, gateway) -> None:
    archive(folder / "in" / "clips", bucket, engine="local").raise_for_failures()
    (batch,) = plan_batches(open_store(bucket))
    assert len(batch.sources) == N_CLIPS
    worker = ReadWorker(bucket, Verifying(deep=True), "cpu", None)
    before = gateway.count("GET")
    assert {report.status for report in worker.read(batch)} == {"verified"}
    assert gateway.count("GET") - before == 1


@pytest.mark.ray
@pytest.mark.usefixtures("ray_running")
def test_ray_restores_the_same_bytes_with_the_same_reports_as_one_process(folder: Path, tmp_path: Path) -> None:
    here = restore(folder / "archive", tmp_path / "here")
    there = restore(folder / "archive", tmp_path / "there", engine="ray")
    assert tree(tmp_path / "there") == tree(tmp_path / "here") == {f"in/{k}": v for k, v in tree(folder / "in").items()}
    assert without_times(there) == without_times(here)
    assert {Path(one.path) for one in there.sources} == {p for p in (tmp_path / "there").rglob("*") if p.is_file()}


@pytest.mark.ray
@pytest.mark.usefixtures("ray_running")
def test_one_source_goes_under_its_base_name(folder: Path, tmp_path: Path) -> None:
    name = "in/clips/07.txt"
    report = restore(folder / "archive" / name, tmp_path / "out", engine="ray")
    assert [one.source for one in report.raise_for_failures().sources] == [name]
    assert tree(tmp_path / "out") == {"07.txt": (folder / name).read_bytes()}


@pytest.mark.ray
@pytest.mark.usefixtures("ray_running")
def test_files_that_are_there_are_kept(folder: Path, tmp_path: Path) -> None:
    for name in (LARGE, "in/clips/03.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("mine")
    report = restore(folder / "archive", tmp_path, engine="ray")
    assert {one.source for one in report.failed} == {LARGE, "in/clips/03.txt"}
    assert all("exists already" in one.error for one in report.failed)
    assert (tmp_path / LARGE).read_text() == "mine"
    assert set(tree(tmp_path)) == {f"in/{name}" for name in tree(folder / "in")}


@pytest.mark.ray
@pytest.mark.usefixtures("ray_running")
def test_damage_is_reported_by_name_as_in_one_process(folder: Path, tmp_path: Path) -> None:
    damaged = Path(copytree(folder / "archive", tmp_path / "archive"))
    (shard,) = open_archive(damaged / LARGE).manifest.shards
    with (damaged / shard_key(shard.sha256)).open("r+b") as file:
        file.seek(shard.nbytes // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    here, there = verify(damaged, deep=True), verify(damaged, deep=True, engine="ray")
    assert [one.source for one in there.failed] == [LARGE]
    assert "SHA-256 does not match" in there.failed[0].error
    assert without_times(there) == without_times(here)
    assert verify(folder / "archive", deep=True, engine="ray").ok


@pytest.mark.ray
@pytest.mark.usefixtures("ray_running")
@pytest.mark.parametrize("at", [LARGE, "in/clips/11.txt"])
def test_a_killed_actor_costs_nothing(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    mark = tmp_path / "mark"
    monkeypatch.setattr(RESTORE, "Restoring", partial(Deadly, at=at, mark=mark))
    report = restore(folder / "archive", tmp_path / "out", engine="ray")
    assert mark.exists()
    assert report.failed == ()
    assert tree(tmp_path / "out") == {f"in/{k}": v for k, v in tree(folder / "in").items()}


@pytest.mark.ray
@pytest.mark.usefixtures("ray_running")
def test_a_source_that_kills_every_actor_fails_alone(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = "in/clips/11.txt"
    monkeypatch.setattr(RESTORE, "Restoring", partial(Deadly, at=at))
    report = restore(folder / "archive", tmp_path / "out", engine="ray")
    assert [(one.source, "process died 3 times" in one.error) for one in report.failed] == [(at, True)]
    expected = {f"in/{k}": v for k, v in tree(folder / "in").items()}
    del expected[at]
    assert tree(tmp_path / "out") == expected


@pytest.mark.ray
@pytest.mark.usefixtures("ray_running")
def test_a_node_that_does_not_share_the_folder_is_told(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def elsewhere(folder: Path) -> Iterator[Path]:
        yield folder / "made-on-another-disk"

    monkeypatch.setattr(ray_restore, "staging_folder", elsewhere)
    with pytest.raises(ConfigError, match="not the same folder on every node"):
        restore(folder / "archive", tmp_path / "out", engine="ray")
    assert not (tmp_path / "out").exists()


@pytest.mark.ray
@pytest.mark.usefixtures("ray_running")
def test_the_commands_take_ray_and_exit_alike(folder: Path, tmp_path: Path) -> None:
    done = run("verify", folder / "archive", "--ray", "--json")
    assert done.exit_code == 0
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert {row["source"] for row in rows} == set(open_archive(folder / "archive").sources())
    assert {row["status"] for row in rows} == {"verified"}
    (tmp_path / "out" / "in").mkdir(parents=True)
    (tmp_path / "out" / "in" / "empty").touch()
    done = run("restore", folder / "archive", tmp_path / "out", "--ray")
    assert done.exit_code == 1
    assert "in/empty: " in done.stderr
    assert "1 of 25 sources not restored" in done.stderr


def test_wrong_usage_is_told_before_ray_starts(folder: Path, tmp_path: Path) -> None:
    done = run("verify", folder / "archive", "--ray", "--local")
    assert done.exit_code == 2
    archive(folder / "in" / "empty", "memory://way-back")
    with pytest.raises(ConfigError, match="other processes cannot see this memory"):
        verify("memory://way-back", engine="ray")
    with pytest.raises(ConfigError, match="give 'cuda' as the device"):
        verify(folder / "archive", engine="ray", device="cuda:1")


@pytest.mark.ray
@pytest.mark.usefixtures("ray_running")
def test_workers_log_as_their_driver_does(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    monkeypatch.setattr(logs, "_settings", logs.LogSettings(as_json=True))
    with logs.about(job="logged-job"), caplog.at_level(logging.INFO, "haarchive"):
        archive(folder / "in", tmp_path / "a", engine="ray").raise_for_failures()
        verify(tmp_path / "a", engine="ray").raise_for_failures()
    verified = {record.source for record in caplog.records if getattr(record, "status", "") == "verified"}
    assert verified == set(open_archive(tmp_path / "a").sources())
    place = Path(os.environ.get("RAY_TMPDIR", "/tmp"), "ray", ray.get_runtime_context().get_session_name(), "logs")
    lines = [line for file in place.glob("worker-*.err") for line in file.read_text().splitlines()]
    records = [json.loads(line) for line in lines if "logged-job" in line]
    assert {record["job"] for record in records} == {"logged-job"}
    statuses = {(record["source"], record["status"]) for record in records if "status" in record}
    assert {(LARGE, "archived"), (LARGE, "verified"), ("in/clips/00.txt", "archived")} <= statuses
    (shard,) = [record for record in records if "shard" in record and "written" in record["message"]]
    assert (shard["source"], shard["shard"], shard["raw_bytes"]) == (LARGE, 0, (folder / LARGE).stat().st_size)
