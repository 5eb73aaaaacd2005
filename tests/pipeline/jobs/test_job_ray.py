"""Archiving on Ray Data. One Ray serves most of the module; starting one takes longer than all tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from haarchive.codecs import Samples
from haarchive.pipeline import archive, open_archive
from haarchive.pipeline.config import ActorConfig, ArchiveConfig
from haarchive.pipeline.jobs import JobReport, ray_job
from haarchive.pipeline.jobs.plan import ShardTask
from haarchive.pipeline.jobs.ray_session import ray_session
from haarchive.pipeline.jobs.stages import Encoder
from haarchive.pipeline.layout import Plane

pytestmark = pytest.mark.ray

CONFIG = ArchiveConfig(shard_bytes=1 << 20, wave_bytes=2_000_000)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def ray_running() -> Iterator[None]:
    with ray_session(ActorConfig()):
        yield


@pytest.fixture(scope="module")
def folder(make_sources: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with sources, one of which cannot be opened."""
    made = make_sources(tmp_path_factory.mktemp("ray"))
    (made / "dangling").symlink_to(made / "nowhere")
    return made.parent


@pytest.fixture(scope="module")
def on_ray(folder: Path, ray_running: None) -> JobReport:
    """The sources archived on Ray, in more than one wave."""
    return archive(folder / "in", folder / "ray", config=CONFIG, engine="ray")


def test_ray_writes_the_same_bytes_as_one_process(folder: Path, on_ray: JobReport) -> None:
    archive(folder / "in", folder / "local", config=CONFIG, engine="local")
    assert tree(folder / "ray") == tree(folder / "local")


def test_a_source_that_fails_on_ray_does_not_stop_the_others(folder: Path, on_ray: JobReport) -> None:
    assert [one.source for one in on_ray.failed] == ["in/dangling"]
    assert "no such file" in on_ray.failed[0].error
    assert len(open_archive(folder / "ray")) == 5


def test_what_ray_has_archived_is_unchanged_for_one_process(folder: Path, on_ray: JobReport) -> None:
    again = archive(folder / "in", folder / "ray", config=CONFIG, engine="local")
    assert {one.status for one in again.sources if one.source != "in/dangling"} == {"unchanged"}
    assert [one.archived_bytes for one in again.sources] == [one.archived_bytes for one in on_ray.sources]


class DyingEncoder(Encoder):
    """Takes its process down for one shard, as a C library or the out-of-memory killer would."""

    def encode(
        self, task: ShardTask, planes: Sequence[Plane], chunks: Sequence[Samples], advanced: object = None
    ) -> tuple[list, Mapping[str, str]]:
        if task.source == "in/noise.bin" and task.index == 1:
            os._exit(1)
        return super().encode(task, planes, chunks)


@pytest.mark.usefixtures("ray_running")
def test_a_shard_that_kills_its_worker_costs_only_its_source(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from ray import cloudpickle

    for module in (ray_job, sys.modules[__name__]):  # so that workers see what is patched here
        cloudpickle.register_pickle_by_value(module)
    monkeypatch.setattr(ray_job, "Encoder", DyingEncoder)
    config = CONFIG.model_copy(update={"wave_bytes": 1 << 30})
    report = archive(sources, tmp_path / "a", config=config, engine="ray")
    assert [one.source for one in report.failed] == ["in/noise.bin"]
    assert "process died 3 times" in report.failed[0].error
    assert len(open_archive(tmp_path / "a")) == 4
    assert capfd.readouterr() == ("", "")


def test_a_ray_that_starts_by_itself_is_quiet_and_goes_away(sources: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from haarchive.pipeline.cli import main; main()", "archive", "--ray"]
    command += ["--json", str(sources / "slide.tif"), str(sources / "missing"), str(tmp_path / "a")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert {row["source"]: row["status"] for row in rows} == {
        str(sources / "missing"): "failed",
        "slide.tif": "archived",
    }
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 2, done.stderr
