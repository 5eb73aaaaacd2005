"""Restoring that is cut off and begun again, as on a worker that died."""

from __future__ import annotations

from pathlib import Path

import pytest

from haarchive.codecs.errors import ObjectExistsError, StorageError
from haarchive.pipeline import archive, open_archive
from haarchive.pipeline.archive import ArchivedSource
from haarchive.pipeline.jobs.retrieval import Restoring
from haarchive.pipeline.jobs.staging import StagedRestoring, staging_folder

CONTENT = bytes(range(256)) * 20_000


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> ArchivedSource:
    folder = tmp_path_factory.mktemp("staging")
    (folder / "take").write_bytes(CONTENT)
    archive(folder / "take", folder / "archive").raise_for_failures()
    return open_archive(folder / "archive")["take"]


def staged(out: Path, *, overwrite: bool = False) -> StagedRestoring:
    return StagedRestoring(Restoring(out, whole=True, overwrite=overwrite), out / "stage" / "0")


def die(nbytes: int) -> None:
    raise Killed


def ignore(nbytes: int) -> None:
    pass


def test_an_attempt_that_died_while_writing_is_made_again(source: ArchivedSource, tmp_path: Path) -> None:
    with pytest.raises(Killed):
        staged(tmp_path).do(source, die)
    assert not (tmp_path / "take").exists()
    assert staged(tmp_path).do(source, ignore) == tmp_path / "take"
    assert (tmp_path / "take").read_bytes() == CONTENT


def test_an_attempt_that_died_before_its_file_had_its_place_is_not_made_again(
    source: ArchivedSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    move = Path.replace

    def die_at_the_last_step(path: Path, target: Path) -> Path:
        return die(0) if target == tmp_path / "take" else move(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", die_at_the_last_step)
        with pytest.raises(Killed):
            staged(tmp_path).do(source, ignore)
    assert staged(tmp_path).do(source, die) == tmp_path / "take"
    assert (tmp_path / "take").read_bytes() == CONTENT


def test_what_an_attempt_has_restored_is_no_file_of_somebody_elses(source: ArchivedSource, tmp_path: Path) -> None:
    staged(tmp_path).do(source, ignore)
    assert staged(tmp_path).do(source, die) == tmp_path / "take"


def test_somebody_elses_file_stays_unless_it_is_to_be_replaced(source: ArchivedSource, tmp_path: Path) -> None:
    (tmp_path / "take").write_text("mine")
    with pytest.raises(ObjectExistsError, match="take exists already"):
        staged(tmp_path).do(source, ignore)
    assert (tmp_path / "take").read_text() == "mine"
    staged(tmp_path, overwrite=True).do(source, ignore)
    assert (tmp_path / "take").read_bytes() == CONTENT


def test_the_staging_folder_goes_away_with_what_is_in_it(tmp_path: Path) -> None:
    with staging_folder(tmp_path / "out") as stage:
        (stage / "0").mkdir()
        (stage / "0" / "half").write_bytes(b"half")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot write to "), staging_folder(tmp_path / "file"):
        pass
