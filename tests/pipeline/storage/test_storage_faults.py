"""A store that is busy, tears, forgets to answer, or stays away: all is well in the end, or one clear error says."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from haarchive.codecs.errors import ObjectExistsError, StorageError
from haarchive.pipeline import archive, open_archive
from haarchive.pipeline.storage import open_store

pytestmark = pytest.mark.s3


@pytest.fixture
def inbox(bucket, tmp_path):
    """The URL of a prefix with a recording and a file of a mebibyte that does not compress; nothing is small."""
    rng = np.random.default_rng(2)
    soundfile.write(tmp_path / "take.wav", rng.integers(-3000, 3000, (120_000, 2)).astype(np.int16), 8000)
    store = open_store(f"{bucket}/in")
    store.put("take.wav", (tmp_path / "take.wav").read_bytes())
    store.put("noise.bin", rng.bytes(1 << 20))
    return f"{bucket}/in"


def archive_all(inbox, outbox):
    return archive([f"{inbox}/"], outbox, preset="fast", engine="local")


def objects(url):
    """Every object of an archive with its content."""
    store = open_store(url)
    return {key: store.get(key) for key, _ in store.list()}


@pytest.fixture
def undisturbed(inbox, bucket):
    """The objects of an archive of the inbox that nothing happened to."""
    archive_all(inbox, f"{bucket}/undisturbed").raise_for_failures()
    return objects(f"{bucket}/undisturbed")


FAULTS = {
    "busy to readers": [("refuse", "GET", {"times": 4})],
    "busy to writers": [("refuse", "PUT", {"times": 4})],
    "busy to all": [("refuse", method, {"times": 3, "status": 500}) for method in ("GET", "PUT", "HEAD")],
    "reads are cut": [("cut", "GET", {"after": 70_000, "times": 3, "part": "noise"})],
    "a shard is torn": [("cut", "PUT", {"after": 30_000, "times": 2, "part": "shards"})],
    "a manifest is torn": [("cut", "PUT", {"after": 100, "times": 2, "part": "manifests"})],
    "no answer to a shard": [("lose", "PUT", {"part": "shards"})],
    "no answer to a manifest": [("lose", "PUT", {"part": "manifests"})],
    "a conflict of conditional puts": [("refuse", "PUT", {"times": 2, "status": 409, "part": "manifests"})],
}


@pytest.mark.parametrize("faults", FAULTS.values(), ids=FAULTS.keys())
def test_what_passes_leaves_the_archive_of_an_undisturbed_run(bucket, inbox, undisturbed, gateway, faults):
    for wrong, method, how in faults:
        getattr(gateway, wrong)(method, **how)
    archive_all(inbox, f"{bucket}/archive").raise_for_failures()
    assert [fault for fault in gateway.faults if fault.times] == []
    assert objects(f"{bucket}/archive") == undisturbed


def test_a_restored_file_is_whole_although_its_reads_were_cut(bucket, inbox, gateway, tmp_path):
    archive_all(inbox, f"{bucket}/archive").raise_for_failures()
    gateway.cut("GET", after=50_000, times=3, part="shards")
    gateway.refuse("GET", times=2)
    for name in ("noise.bin", "take.wav"):
        restored = open_archive(f"{bucket}/archive/in/{name}").restore(tmp_path / "out" / name)
        assert restored.read_bytes() == open_store(inbox).get(name)
    assert [fault for fault in gateway.faults if fault.times] == []


@pytest.mark.parametrize("part", ["shards", "manifests"])
@pytest.mark.parametrize("status", [503, 403])
def test_a_store_that_stays_away_is_one_clear_error_and_the_next_run_goes_on(
    bucket, inbox, undisturbed, gateway, impatient, part, status
):
    gateway.refuse("PUT", times=10**6, status=status, part=part)
    report = archive_all(inbox, f"{bucket}/archive")
    assert [source.status for source in report.sources] == ["failed", "failed"]
    for source in report.sources:
        assert f"cannot write {bucket}/archive/{part}" in source.error
        assert "\n" not in source.error
    assert open_archive(f"{bucket}/archive").sources() == []
    gateway.faults.clear()
    archive_all(inbox, f"{bucket}/archive").raise_for_failures()
    assert objects(f"{bucket}/archive") == undisturbed


def test_a_conditional_put_that_another_writer_won_is_a_conflict_and_changes_nothing(bucket, inbox, gateway):
    open_store(f"{bucket}/other/in").put("noise.bin", b"other content" * 10_000)
    archive([f"{bucket}/other/in/"], f"{bucket}/archive", engine="local").raise_for_failures()
    theirs = objects(f"{bucket}/archive")
    report = archive_all(inbox, f"{bucket}/archive")
    assert [(source.source, source.status) for source in report.sources] == [
        ("in/noise.bin", "failed"),
        ("in/take.wav", "archived"),
    ]
    assert "holds other content under this name" in report.sources[0].error
    assert theirs.items() <= objects(f"{bucket}/archive").items()


def test_a_conditional_put_that_is_refused_for_no_reason_is_told_so(bucket, gateway, monkeypatch):
    monkeypatch.setattr("haarchive.pipeline.storage.store._CONFLICT_WAITS", (0.0, 0.0))
    gateway.refuse("PUT", times=10**6, status=412)
    with pytest.raises(StorageError, match=f"cannot write {bucket}/k: the store refuses it as if it were there"):
        open_store(bucket).put_new("k", b"content")
    gateway.faults.clear()
    open_store(bucket).put_new("k", b"content")
    with pytest.raises(ObjectExistsError):
        open_store(bucket).put_new("k", b"content")
