"""Jobs that are kept in object storage: asked about, cancelled, resumed, run twice at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import tifffile

from haarchive.codecs.errors import ConfigError, IntegrityError, JobCancelledError, JobNotFoundError
from haarchive.pipeline import archive, open_archive
from haarchive.pipeline.archive import ArchiveWriter
from haarchive.pipeline.config import ArchiveConfig
from haarchive.pipeline.jobs import JobReport, SourceReport
from haarchive.pipeline.jobs.durable import recorder, status
from haarchive.pipeline.jobs.durable.inventory import freeze_inventory, load_inventory
from haarchive.pipeline.jobs.durable.journal import load_results
from haarchive.pipeline.jobs.durable.record import list_jobs, load_job
from haarchive.pipeline.jobs.durable.run import run_job
from haarchive.pipeline.jobs.durable.status import cancel_job, job_status, uncancel_job
from haarchive.pipeline.jobs.report import Quiet
from haarchive.pipeline.jobs.shard_journal import ShardJournal
from haarchive.pipeline.jobs.stages import ScannedSource, WrittenShard
from haarchive.pipeline.sources import SourceRef
from haarchive.pipeline.storage import open_store

CONFIG = ArchiveConfig(shard_bytes=1 << 20, preset="fast", threads=1)


def resume(url: Path | str, job: str, **options: object) -> JobReport:
    writer = ArchiveWriter(url)
    return run_job(writer, load_job(writer.store, job), **options)


def manifests(url: Path) -> dict[str, bytes]:
    """Each source's manifest, whichever object it lies in."""
    return {name: source.manifest.to_bytes() for name, source in open_archive(url).items()}


def remembered(url: Path) -> list[str]:
    """Numbers of the shards that the job's journal has."""
    return sorted(path.name for path in (url / "jobs" / "one" / "shards").glob("*/*"))


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    """A slide of four shards."""
    folder = tmp_path / "in"
    folder.mkdir(exist_ok=True)
    y, x = np.mgrid[:1200, :1100]
    picture = (120 + 60 * np.sin(x / 17) + 50 * np.cos(y / 11))[..., None] + [0, 10, 20]
    tifffile.imwrite(folder / "slide.tif", picture.astype(np.uint8), tile=(256, 256))
    return folder


def test_a_job_tells_what_it_has_done(sources: Path, tmp_path: Path) -> None:
    (sources / "dangling").symlink_to(sources / "nowhere")
    report = archive(sources, tmp_path / "a", config=CONFIG, job="first")
    found = job_status(open_store(tmp_path / "a"), "first")
    assert (found.state, found.sources, found.remaining) == ("finished", 6, 1)
    assert found.totals.archived == 5
    assert list(found.failures) == ["in/dangling"]
    assert found.totals.bytes == sum(one.bytes for one in report.sources if one.status == "archived")
    body = json.loads(open_store(tmp_path / "a").get("jobs/first/report.json"))
    assert body["totals"]["archived"] == 5
    assert len(body["sources"]) == 6


def test_a_job_writes_the_same_archive_as_no_job(sources: Path, tmp_path: Path) -> None:
    archive(sources, tmp_path / "a", config=CONFIG)
    archive(sources, tmp_path / "b", config=CONFIG, job="one")
    assert manifests(tmp_path / "a") == manifests(tmp_path / "b")


def test_the_inventory_is_a_parquet_file_of_what_there_was(sources: Path, tmp_path: Path) -> None:
    archive(sources, tmp_path / "a", config=CONFIG, job="one")
    table = pq.read_table(tmp_path / "a" / "jobs" / "one" / "inventory.parquet").to_pylist()
    assert {row["name"]: row["size"] for row in table} == {
        f"in/{path.relative_to(sources)}": path.stat().st_size for path in sources.rglob("*") if path.is_file()
    }


def test_a_path_that_is_no_utf8_survives_the_inventory(tmp_path: Path) -> None:
    ref = SourceRef(os.fsdecode(b"/in/\xff\xfe"), "in/x", size=3, version="v")
    store = open_store(tmp_path / "a")
    freeze_inventory(store, "one", [ref])
    (back,) = load_inventory(store, "one") or []
    assert (back.path, back.name, back.size, back.version) == (ref.path, "in/x", 3, "v")


def test_running_a_finished_job_again_changes_nothing(sources: Path, tmp_path: Path) -> None:
    first = archive(sources, tmp_path / "a", config=CONFIG, job="one")
    before = manifests(tmp_path / "a")
    again = archive(sources, tmp_path / "a", config=CONFIG, job="one")
    assert [one.to_dict() for one in again.sources] == [one.to_dict() for one in first.sources]
    assert manifests(tmp_path / "a") == before


def test_an_id_with_other_sources_or_settings_is_another_job(sources: Path, tmp_path: Path) -> None:
    archive(sources, tmp_path / "a", config=CONFIG, job="one")
    with pytest.raises(ConfigError, match=r"another job 'one', with other sources"):
        archive(sources / "sub", tmp_path / "a", config=CONFIG, job="one")
    with pytest.raises(ConfigError, match=r"another job 'one', with other config"):
        archive(sources, tmp_path / "a", config=CONFIG, preset="max", job="one")


@pytest.mark.parametrize("job", ["", "../x", "a/b", ".hidden", "x" * 101])
def test_what_cannot_be_an_id_is_refused(sources: Path, tmp_path: Path, job: str) -> None:
    with pytest.raises(ConfigError, match="cannot name a job"):
        archive(sources, tmp_path / "a", config=CONFIG, job=job)


def test_a_job_that_is_not_there_is_named(tmp_path: Path) -> None:
    ArchiveWriter(tmp_path / "a").prepare()
    with pytest.raises(JobNotFoundError, match="no job 'one'"):
        job_status(open_store(tmp_path / "a"), "one")


def test_a_damaged_record_or_inventory_is_noticed(sources: Path, tmp_path: Path) -> None:
    archive(sources, tmp_path / "a", config=CONFIG, job="one")
    folder = tmp_path / "a" / "jobs" / "one"
    (folder / "inventory.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(IntegrityError, match=r"inventory\.parquet"):
        resume(tmp_path / "a", "one")
    (folder / "job.json").write_text("{")
    with pytest.raises(IntegrityError, match=r"job\.json"):
        resume(tmp_path / "a", "one")


class Counting(Quiet):
    """Raises behind so many finished sources, or so many shards, as a crash would."""

    def __init__(self, *, sources: float = float("inf"), shards: float = float("inf")) -> None:
        self.sources, self.shards = sources, shards
        self.finished_names: list[str] = []
        self.raw_bytes = 0

    def advanced(self, source: str, raw_bytes: int) -> None:
        self.raw_bytes += raw_bytes
        self.shards -= 1
        if self.shards < 0:
            raise KeyboardInterrupt

    def finished(self, report: SourceReport) -> None:
        self.finished_names.append(report.source)
        if len(self.finished_names) > self.sources:
            raise KeyboardInterrupt


def test_a_stopped_job_goes_on_with_the_rest(sources: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        archive(sources, tmp_path / "a", config=CONFIG, job="one", progress=Counting(sources=2))
    found = job_status(open_store(tmp_path / "a"), "one")
    assert found.state == "stopped"
    assert found.totals.archived == 3
    rest = Counting()
    report = resume(tmp_path / "a", "one", progress=rest)
    assert len(rest.finished_names) == 2
    assert len(report.sources) == 5
    assert {one.status for one in report.sources} == {"archived"}
    archive(sources, tmp_path / "b", config=CONFIG)
    assert manifests(tmp_path / "a") == manifests(tmp_path / "b")


def test_a_job_goes_on_within_a_slide(slide: Path, tmp_path: Path) -> None:
    script = f"""
import os
from haarchive.pipeline import archive
from haarchive.pipeline.config import ArchiveConfig
from haarchive.pipeline.jobs import local

class Dying(local.ShardJournal):
    def keep(self, scanned, written):
        super().keep(scanned, written)
        if written.task == 1:
            os.kill(os.getpid(), 9)

from haarchive.pipeline.jobs.durable import run
run.ShardJournal = Dying
config = ArchiveConfig.model_validate_json({CONFIG.model_dump_json()!r})
archive({str(slide)!r}, {str(tmp_path / "a")!r}, config=config, job="one")
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -signal.SIGKILL
    assert len(remembered(tmp_path / "a")) == 2
    progress = Counting()
    writer = ArchiveWriter(tmp_path / "a")
    report = run_job(writer, load_job(writer.store, "one"), progress=progress).raise_for_failures()
    assert [one.status for one in report.sources] == ["archived"]
    archive(slide, tmp_path / "b", config=CONFIG)
    assert manifests(tmp_path / "a") == manifests(tmp_path / "b")
    assert not remembered(tmp_path / "a")


def test_a_remembered_shard_that_is_gone_is_made_again(
    slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = ShardJournal.keep

    def keep_and_stop(journal: ShardJournal, scanned: ScannedSource, written: WrittenShard) -> None:
        keep(journal, scanned, written)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ShardJournal, "keep", keep_and_stop)
        with pytest.raises(KeyboardInterrupt):
            archive(slide, tmp_path / "a", config=CONFIG, job="one")
    assert remembered(tmp_path / "a")
    for shard in (tmp_path / "a" / "shards").iterdir():
        shard.unlink()
    resume(tmp_path / "a", "one").raise_for_failures()
    archive(slide, tmp_path / "b", config=CONFIG)
    assert manifests(tmp_path / "a") == manifests(tmp_path / "b")


def test_a_job_that_is_cancelled_stops_and_goes_on_when_it_is_resumed(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(tmp_path / "a")

    class Cancelling(Counting):
        def finished(self, report: SourceReport) -> None:
            super().finished(report)
            if len(self.finished_names) == 2:
                cancel_job(store, "one")
                deadline = time.monotonic() + 30
                while job_status(store, "one").run["finished"] < 2 and time.monotonic() < deadline:
                    time.sleep(0.05)
                time.sleep(0.2)

    monkeypatch.setattr(recorder.Recorder.__init__, "__kwdefaults__", {"every": 0.05})
    with pytest.raises(JobCancelledError, match="haarchive resume"):
        archive(sources, tmp_path / "a", config=CONFIG, job="one", progress=Cancelling())
    found = job_status(store, "one")
    assert found.state == "cancelled"
    assert 2 <= found.totals.archived < 5
    assert not found.failures
    with pytest.raises(JobCancelledError):
        archive(sources, tmp_path / "a", config=CONFIG, job="one")
    uncancel_job(store, "one")
    assert len(resume(tmp_path / "a", "one").raise_for_failures().sources) == 5
    assert job_status(store, "one").state == "finished"


def test_a_source_that_changed_since_the_inventory_fails_by_name(sources: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        archive(sources, tmp_path / "a", config=CONFIG, job="one", progress=Counting(sources=0))
    (sources / "sub" / "notes.txt").write_text("other notes")
    report = resume(tmp_path / "a", "one")
    assert [one.source for one in report.failed] == ["in/sub/notes.txt"]
    assert "changed" in report.failed[0].error


def test_a_job_whose_run_gives_no_sign_of_life_is_lost(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive(sources, tmp_path / "a", config=CONFIG, job="one")
    (run,) = (tmp_path / "a" / "jobs" / "one" / "runs").iterdir()
    record = json.loads(run.read_text())
    run.write_text(json.dumps({**record, "state": "running"}))
    assert job_status(open_store(tmp_path / "a"), "one").state == "running"
    monkeypatch.setattr(status, "_SILENCE", -1.0)
    assert job_status(open_store(tmp_path / "a"), "one").state == "lost"


def test_the_same_job_twice_at_once_writes_one_archive(sources: Path, tmp_path: Path) -> None:
    for n in range(30):
        (sources / f"clip {n}").write_bytes(b"clip" * n)
    command = [sys.executable, "-c", "from haarchive.pipeline.cli import main; main()", "archive", "--json", "--local"]
    command += ["--preset", "fast", "--job", "one", str(sources), str(tmp_path / "a")]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    ends = [one.communicate(timeout=300) for one in both]
    assert [one.returncode for one in both] == [0, 0], ends
    archive(sources, tmp_path / "b", preset="fast", engine="local")
    assert manifests(tmp_path / "a") == manifests(tmp_path / "b")
    results = load_results(open_store(tmp_path / "a"), "one")
    assert len(results) == 35
    assert {one.status for one in results.values()} <= {"archived", "unchanged"}


def test_jobs_of_an_archive_are_listed(sources: Path, tmp_path: Path) -> None:
    archive(sources, tmp_path / "a", config=CONFIG, job="one")
    archive(sources / "sub", tmp_path / "a", config=CONFIG, job="two")
    assert list(list_jobs(open_store(tmp_path / "a"))) == ["one", "two"]
    assert len(open_archive(tmp_path / "a")) == 7


def test_a_models_content_goes_with_the_job(sources: Path, tmp_path: Path) -> None:
    from haarchive.codecs.haar import shipped

    model = tmp_path / "mine.safetensors"
    model.write_bytes((Path(shipped.__file__).parent / "weights" / "haar-image.safetensors").read_bytes())
    config = CONFIG.model_copy(update={"models": {"haar": model}})
    archive(sources, tmp_path / "a", config=config, job="one")
    model.unlink()
    record = load_job(open_store(tmp_path / "a"), "one")
    assert not record.config["models"]
    assert resume(tmp_path / "a", "one").ok
    (tmp_path / "a" / "models" / f"{record.models['haar']}.safetensors").unlink()
    from haarchive.codecs.errors import ModelNotFoundError

    with pytest.raises(ModelNotFoundError, match="not in the archive any more"):
        resume(tmp_path / "a", "one")
