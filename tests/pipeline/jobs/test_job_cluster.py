"""Clusters of several nodes: one goes away in the middle of a job; one is submitted to, and dies with the job."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest

from haarchive.codecs.errors import ClusterError
from haarchive.pipeline import archive, open_archive
from haarchive.pipeline.archive import ArchiveWriter
from haarchive.pipeline.config import ActorConfig, ArchiveConfig
from haarchive.pipeline.jobs import JobReport
from haarchive.pipeline.jobs.durable import status
from haarchive.pipeline.jobs.durable.record import load_job
from haarchive.pipeline.jobs.durable.run import run_job
from haarchive.pipeline.jobs.durable.status import job_status
from haarchive.pipeline.jobs.durable.submit import submit_job
from haarchive.pipeline.jobs.ray_session import ray_session
from haarchive.pipeline.storage import open_store

pytestmark = pytest.mark.ray

CONFIG = ArchiveConfig(shard_bytes=1 << 20)
ROUNDS = int(os.environ.get("HAARCHIVE_CLUSTER_ROUNDS", "1"))
"""How many nodes go away; `make test-cluster` takes more."""


def manifests(url: Path) -> dict[str, bytes]:
    return {name: source.manifest.to_bytes() for name, source in open_archive(url).items()}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Slides of several shards, and small files enough for a lot."""
    folder = tmp_path / "in"
    folder.mkdir()
    for n in range(2 + 2 * ROUNDS):
        (folder / f"noise{n}").write_bytes(os.urandom(3_000_000 + n))
    for n in range(20):
        (folder / f"clip{n:02d}").write_bytes(b"clip" * (n + 1))
    return folder


def test_nodes_that_go_away_cost_nothing(corpus: Path, tmp_path: Path) -> None:
    from ray.cluster_utils import Cluster

    archive(corpus, tmp_path / "undisturbed", config=CONFIG, engine="local")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    before = os.environ.get("RAY_ADDRESS")
    reports: list[JobReport] = []
    try:
        os.environ["RAY_ADDRESS"] = cluster.address
        nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]

        def job() -> None:
            reports.append(archive(corpus, tmp_path / "a", config=CONFIG, engine="ray", job="one"))

        with ray_session(ActorConfig()):
            thread = Thread(target=job)
            thread.start()
            for done in range(1, ROUNDS + 1):
                _wait_for(lambda done=done: len(list((tmp_path / "a").glob("shards/*"))) >= 3 * done or reports)
                cluster.remove_node(nodes.pop(0), allow_graceful=False)
                nodes.append(cluster.add_node(num_cpus=1))
            thread.join(300)
    finally:
        cluster.shutdown()
        os.environ.pop("RAY_ADDRESS")
        if before is not None:
            os.environ["RAY_ADDRESS"] = before
    assert reports
    assert reports[0].ok, reports[0].failed
    assert manifests(tmp_path / "a") == manifests(tmp_path / "undisturbed")


def _wait_for(condition, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture
def head() -> Iterator[tuple[str, subprocess.Popen]]:
    """The address of a real Ray head's job server, and the process that it ends with."""
    ports = []
    for _ in range(3):
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            ports.append(one.getsockname()[1])
    ray = str(Path(sys.executable).with_name("ray"))
    command = [ray, "start", "--head", "--block", "--num-cpus=2", "--disable-usage-stats"]
    command += [f"--port={ports[0]}", f"--dashboard-port={ports[1]}", "--include-dashboard=true"]
    # Its own default is the same for every cluster of a machine, and tests beside this one have some.
    command += [f"--dashboard-agent-listen-port={ports[2]}"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "PATH": path},
    )
    try:
        yield f"http://127.0.0.1:{ports[1]}", process
    finally:
        _end(process)


def _end(process: subprocess.Popen) -> None:
    """Kill a Ray with all of its processes, some of which have sessions of their own."""
    family = _descendants(process.pid)
    process.kill()
    process.wait()
    for pid in family:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _descendants(pid: int) -> list[int]:
    lines = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout.splitlines()
    parents = {int(line.split()[0]): int(line.split()[1]) for line in lines}
    found, new = [], {pid}
    while new:
        new = {child for child, parent in parents.items() if parent in new}
        found += new
    return found


def haarchive(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", "from haarchive.pipeline.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_a_job_outlives_the_cluster_that_it_was_submitted_to(
    corpus: Path, tmp_path: Path, head: tuple[str, subprocess.Popen], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, process = head
    url, store = tmp_path / "a", open_store(tmp_path / "a")
    config = tmp_path / "job.yaml"
    config.write_text("shard_bytes: 1MiB\n")
    submit = ["submit", "--address", address, "--job", "one", "--config", str(config), str(corpus), str(url)]
    submitted = haarchive(*submit)
    deadline = time.monotonic() + 60
    while "no Ray job server answers" in submitted.stderr and time.monotonic() < deadline:
        submitted = haarchive(*submit)
    assert submitted.returncode == 0, submitted.stderr
    _wait_for(lambda: (url / "jobs/one/runs").is_dir() and job_status(store, "one").totals.archived >= 2)
    printed = haarchive("logs", f"{url}/jobs/one").stdout.splitlines()
    _end(process)

    found = job_status(store, "one")
    assert found.state in ("running", "finished")
    monkeypatch.setattr(status, "_SILENCE", -1.0)
    assert job_status(store, "one").state in ("lost", "finished")
    logs = haarchive("logs", f"{url}/jobs/one")
    assert "no Ray job server answers" in logs.stderr
    known = {json.loads(line)["source"] for line in logs.stdout.splitlines()}
    assert {json.loads(line)["source"] for line in printed if line.startswith("{")} <= known | set(_names(corpus))
    writer = ArchiveWriter(url)
    report = run_job(writer, load_job(writer.store, "one"), engine="local").raise_for_failures()
    assert len(report.sources) == len(list(corpus.iterdir()))
    archive(corpus, tmp_path / "undisturbed", config=CONFIG, engine="local")
    assert manifests(url) == manifests(tmp_path / "undisturbed")


def _names(corpus: Path) -> list[str]:
    return [f"in/{path.name}" for path in corpus.iterdir()]


def test_a_cluster_that_is_not_there_is_told_in_one_line(corpus: Path, tmp_path: Path) -> None:
    archive(corpus / "clip01", tmp_path / "a", job="one")
    store = open_store(tmp_path / "a")
    with pytest.raises(ClusterError, match=r"no Ray job server answers at http://127\.0\.0\.1:9"):
        submit_job(store, load_job(store, "one"), "127.0.0.1:9")
