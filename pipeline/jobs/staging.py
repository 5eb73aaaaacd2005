"""Restoring on workers that may die: each source is made beside its place, and moved there once it is proven."""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from haarchive.codecs.errors import ObjectExistsError, StorageError
from haarchive.pipeline.archive import ArchivedSource
from haarchive.pipeline.jobs.report import Status
from haarchive.pipeline.jobs.retrieval import Restoring

__all__ = ["StagedRestoring", "staging_folder"]

_MADE, _PROVEN = "made", "proven"
_TRIES = 20
_WAIT = 0.25


@contextmanager
def staging_folder(folder: Path) -> Iterator[Path]:
    """A hidden folder in `folder`, which is made where it is not there; gone afterwards, whoever has died in it.

    Raises
    ------
    StorageError
        If it cannot be made.
    """
    stage = folder / f".haarchive-{secrets.token_hex(8)}.partial"
    try:
        stage.mkdir(parents=True)
    except OSError as error:
        raise StorageError(f"cannot write to {folder}: {error.strerror or error}") from error
    try:
        yield stage
    finally:
        # A worker that was told to end a moment ago may still be writing.
        for _ in range(_TRIES):
            shutil.rmtree(stage, ignore_errors=True)
            if not stage.exists():
                break
            time.sleep(_WAIT)


@dataclass(frozen=True)
class StagedRestoring:
    """`Restoring` that may be begun again wherever it was cut off, and then takes up what is there.

    A source that was moved to its place by an attempt that nobody heard the end of is not mistaken for a file of
    somebody else's.

    Parameters
    ----------
    restoring : Restoring
    place : Path
        A folder of this source's own, in the file system that it goes to.
    """

    restoring: Restoring
    place: Path
    status: ClassVar[Status] = "restored"

    def nbytes(self, size: int, archived_bytes: int) -> int:
        """Bytes of the original."""
        return size

    def do(self, source: ArchivedSource, advanced: Callable[[int], None]) -> Path:
        """Write the original; the file or folder that it is now.

        Raises
        ------
        ObjectExistsError
            If something else is there.
        """
        target = self.restoring.target(source)
        made, proven = self.place / _MADE, self.place / _PROVEN
        try:
            if not proven.exists():
                self._check_vacant(source, target)
                shutil.rmtree(self.place, ignore_errors=True)
                source.restore(made, progress=advanced)
                proven.touch()
            if made.exists():
                self._check_vacant(source, target)
                target.parent.mkdir(parents=True, exist_ok=True)
                made.replace(target)
        except StorageError:
            raise
        except OSError as error:
            raise StorageError(f"cannot write {target}: {error.strerror or error}") from error
        return target

    def _check_vacant(self, source: ArchivedSource, target: Path) -> None:
        members = source.manifest.layout.members
        a_file = len(members) == 1 and not members[0].path
        if target.exists() and (not self.restoring.overwrite or not a_file or target.is_dir()):
            raise ObjectExistsError(f"{target} exists already; move it away first")
