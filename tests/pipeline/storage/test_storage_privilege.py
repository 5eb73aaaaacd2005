"""What users may do who are allowed only what they need."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import soundfile

from haarchive.codecs.errors import JobError, StorageError, StoragePermissionError
from haarchive.pipeline import archive, open_archive
from haarchive.pipeline.archive import ArchiveWriter
from haarchive.pipeline.sources import discover
from haarchive.pipeline.storage import open_store

pytestmark = pytest.mark.s3


@pytest.fixture
def recordings(in_and_out, tmp_path):
    """The content of two recordings and a text that lie in ``recordings/`` of the inbox, by name."""
    rng = np.random.default_rng(1)
    store = open_store(in_and_out[0])
    contents = {"recordings/notes/read me.txt": b"two takes" * 1000}
    for number in range(2):
        path = tmp_path / f"take{number}.wav"
        soundfile.write(path, rng.integers(-3000, 3000, (5000, 2)).astype(np.int16), 8000)
        contents[f"recordings/{path.name}"] = path.read_bytes()
    for name, content in contents.items():
        store.put(name, content)
    return contents


def test_a_user_who_reads_one_bucket_and_writes_another_archives_from_one_to_the_other(
    in_and_out, recordings, become, tmp_path
):
    inbox, outbox = in_and_out
    become("archivist")
    report = archive([f"{inbox}/recordings/"], f"{outbox}/archive", preset="fast", engine="local")
    assert [(source.source, source.status) for source in report.sources] == [
        (name, "archived") for name in sorted(recordings)
    ]
    again = archive([f"{inbox}/recordings/"], f"{outbox}/archive", preset="fast", engine="local")
    assert {source.status for source in again.sources} == {"unchanged"}
    for name, content in recordings.items():
        restored = open_archive(f"{outbox}/archive/{name}").restore(tmp_path / "out" / name)
        assert hashlib.sha256(restored.read_bytes()).digest() == hashlib.sha256(content).digest()
    with pytest.raises(StoragePermissionError, match=f"cannot write {inbox}/x: permission denied"):
        open_store(inbox).put("x", b"x")


def test_a_user_who_may_only_read_restores_and_verifies_and_writes_nothing(in_and_out, recordings, become, tmp_path):
    inbox, outbox = in_and_out
    become("archivist")
    archive([f"{inbox}/recordings/"], f"{outbox}/archive", preset="fast", engine="local").raise_for_failures()
    before = sorted(open_store(outbox).list())
    become("reader")
    archived = open_archive(f"{outbox}/archive")
    assert sorted(archived.sources()) == sorted(recordings)
    for name, content in recordings.items():
        assert archived[name].verify(deep=True).ok
        assert archived[name].restore(tmp_path / "out" / name).read_bytes() == content
    (tmp_path / "new.bin").write_bytes(b"new" * 100)
    report = archive([tmp_path / "new.bin"], f"{outbox}/archive", engine="local")
    assert report.sources[0].status == "failed"
    assert f"cannot write {outbox}/archive" in report.sources[0].error
    assert "permission denied (AccessDenied)" in report.sources[0].error
    with pytest.raises(StoragePermissionError, match="permission denied") as caught:
        ArchiveWriter(f"{outbox}/other").prepare()
    assert "\n" not in str(caught.value)
    with pytest.raises(StoragePermissionError):
        discover([f"{inbox}/recordings/"])
    become("admin")
    assert sorted(open_store(outbox).list()) == before


@pytest.mark.parametrize(
    ("variable", "told"),
    [("AWS_SECRET_ACCESS_KEY", "SignatureDoesNotMatch"), ("AWS_ACCESS_KEY_ID", "InvalidAccessKeyId")],
)
def test_a_wrong_key_is_told_in_one_line_with_the_bucket_and_what_to_check(
    in_and_out, recordings, monkeypatch, variable, told
):
    inbox, outbox = in_and_out
    monkeypatch.setenv(variable, "wrong")
    for url, use in (
        (outbox, lambda: ArchiveWriter(f"{outbox}/archive").prepare()),
        (inbox, lambda: discover([f"{inbox}/recordings/"])),
        (inbox, lambda: archive([f"{inbox}/recordings/"], f"{outbox}/archive", engine="local").raise_for_failures()),
    ):
        with pytest.raises((StoragePermissionError, JobError)) as caught:
            use()
        message = str(caught.value)
        assert url in message
        assert told in message
        assert f"check {variable}" in message
        assert "\n" not in message


def test_a_user_with_no_keys_is_told_so(in_and_out, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(StorageError, match="no credentials; set AWS_ACCESS_KEY_ID"):
        discover([f"{in_and_out[0]}/"])
