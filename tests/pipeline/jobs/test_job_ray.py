"""Archiving on Ray. One Ray serves most of the module; starting one takes longer than all tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import tifffile

from haarchive.codecs import Samples
from haarchive.pipeline import archive, open_archive
from haarchive.pipeline.config import ActorConfig, ArchiveConfig
from haarchive.pipeline.jobs import JobReport, ray_worker
from haarchive.pipeline.jobs.plan import ShardTask
from haarchive.pipeline.jobs.ray_session import ray_session
from haarchive.pipeline.jobs.report import Quiet
from haarchive.pipeline.jobs.stages import Encoder
from haarchive.pipeline.layout import Plane

MARKS = Path("nowhere")

pytestmark = pytest.mark.ray

CONFIG = ArchiveConfig(shard_bytes=1 << 20)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def manifests(url: Path) -> dict[str, bytes]:
    """Each source's manifest, whichever object it lies in."""
    return {name: source.manifest.to_bytes() for name, source in open_archive(url).items()}


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
    """The sources archived on Ray."""
    return archive(folder / "in", folder / "ray", config=CONFIG, engine="ray")


def test_ray_writes_the_same_bytes_as_one_process(folder: Path, on_ray: JobReport) -> None:
    archive(folder / "in", folder / "local", config=CONFIG, engine="local")
    assert tree(folder / "ray") == tree(folder / "local")


def test_another_codec_on_ray_writes_the_same_bytes_as_one_process(
    picture: np.ndarray, tmp_path: Path, ray_running: None
) -> None:
    tifffile.imwrite(tmp_path / "raw.tif", picture[:96, :128], photometric="rgb")
    for engine in ("ray", "local"):
        (one,) = archive(tmp_path / "raw.tif", tmp_path / engine, codec="idf", preset="fast", engine=engine).sources
        assert set(one.models) == {"idf"}, one.error
    assert tree(tmp_path / "ray") == tree(tmp_path / "local")


def test_workers_export_counters_for_prometheus(on_ray: JobReport) -> None:
    import ray

    url = f"http://127.0.0.1:{ray.nodes()[0]['MetricsExportPort']}/metrics"
    missing = {f"ray_haarchive_{name}_total{{" for name in ("raw_bytes", "coded_bytes", "chunks", "stage_seconds")}
    deadline = time.monotonic() + 90
    while missing and time.monotonic() < deadline:  # workers report every few seconds
        time.sleep(0.5)
        with suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
            text = answer.read().decode()
            missing = {name for name in missing if name not in text}
    assert not missing


def test_a_source_that_fails_on_ray_does_not_stop_the_others(folder: Path, on_ray: JobReport) -> None:
    assert [one.source for one in on_ray.failed] == ["in/dangling"]
    assert "no such file" in on_ray.failed[0].error
    assert len(open_archive(folder / "ray")) == 5


def test_what_ray_has_archived_is_unchanged_for_one_process(folder: Path, on_ray: JobReport) -> None:
    again = archive(folder / "in", folder / "ray", config=CONFIG, engine="local")
    assert {one.status for one in again.sources if one.source != "in/dangling"} == {"unchanged"}
    assert [one.archived_bytes for one in again.sources] == [one.archived_bytes for one in on_ray.sources]


class DyingEncoder(Encoder):
    """Kills its process while it encodes, as the out-of-memory killer would: at every source named ``...always``, and
    once at every one whose mark, a file, is there.
    """

    def encode(
        self, task: ShardTask, planes: Sequence[Plane], chunks: Sequence[Samples], advanced: object = None
    ) -> tuple[list, dict]:
        mark = MARKS / task.source.replace("/", "_")
        if mark.exists():
            mark.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        if task.source.endswith("always") and task.index == 1 - task.source.count("small"):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().encode(task, planes, chunks)


@pytest.fixture
def dying(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ray_running: None) -> Path:
    """Has workers take `DyingEncoder`; the folder of its marks."""
    from ray import cloudpickle

    folder = tmp_path / "marks"
    folder.mkdir()
    for module in (ray_worker, sys.modules[__name__]):  # so that workers see what is patched here
        cloudpickle.register_pickle_by_value(module)
    monkeypatch.setattr(sys.modules[__name__], "MARKS", folder)
    monkeypatch.setattr(ray_worker, "Encoder", DyingEncoder)
    return folder


def test_a_worker_that_is_killed_mid_chunk_costs_nothing(sources: Path, tmp_path: Path, dying: Path) -> None:
    for n in range(20):
        (sources / f"clip{n}").write_bytes(b"clip" * n)
    archive(sources, tmp_path / "undisturbed", config=CONFIG, engine="local")
    for name in ("in_noise.bin", "in_slide.tif", "in_clip7"):
        (dying / name).touch()
    archive(sources, tmp_path / "a", config=CONFIG, engine="ray").raise_for_failures()
    assert not list(dying.iterdir())
    assert manifests(tmp_path / "a") == manifests(tmp_path / "undisturbed")


def test_a_shard_that_kills_every_worker_costs_only_its_source(
    sources: Path, tmp_path: Path, dying: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (sources / "noise.bin").rename(sources / "always")
    report = archive(sources, tmp_path / "a", config=CONFIG, engine="ray")
    assert [one.source for one in report.failed] == ["in/always"]
    assert "process died 3 times" in report.failed[0].error
    assert len(open_archive(tmp_path / "a")) == 4
    assert capfd.readouterr() == ("", "")


def test_a_small_source_that_kills_every_worker_fails_alone(tmp_path: Path, dying: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for n in range(20):
        (folder / f"clip{n:02d}").write_bytes(b"clip" * (n + 1))
    (folder / "small always").write_bytes(b"poison")
    report = archive(folder, tmp_path / "a", config=CONFIG, engine="ray")
    assert [one.source for one in report.failed] == ["in/small always"]
    assert len(open_archive(tmp_path / "a")) == 20


class Stopping(Quiet):
    """Stops the job at the first shard that is written."""

    def advanced(self, source: str, raw_bytes: int) -> None:
        raise KeyboardInterrupt


@pytest.mark.usefixtures("ray_running")
def test_a_job_on_ray_goes_on_within_a_slide(sources: Path, tmp_path: Path) -> None:
    noise = sources / "noise.bin"
    with pytest.raises(KeyboardInterrupt):
        archive(noise, tmp_path / "a", config=CONFIG, engine="ray", job="one", progress=Stopping())
    journal = tmp_path / "a" / "jobs" / "one" / "shards"
    kept = {path.name: path.stat().st_mtime_ns for path in journal.glob("*/*")}
    assert kept
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "a" / "shards").iterdir()}
    archive(noise, tmp_path / "a", config=CONFIG, engine="ray", job="one").raise_for_failures()
    assert {path: path.stat().st_mtime_ns for path in written} == written
    archive(noise, tmp_path / "undisturbed", config=CONFIG, engine="local")
    assert manifests(tmp_path / "a") == manifests(tmp_path / "undisturbed")
    assert not list(journal.glob("*/*"))


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
