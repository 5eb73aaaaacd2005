"""What is done with one archived source, wherever it is done: it is restored, or verified."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, Protocol

from haarchive.codecs.errors import IntegrityError
from haarchive.pipeline.archive import ArchivedSource
from haarchive.pipeline.guarantees import dropped_bands
from haarchive.pipeline.jobs.report import Progress, SourceReport, Status, explain

__all__ = ["Restoring", "Verifying", "Work", "attempt"]

_log = logging.getLogger(__name__)

_SHOWN_PROBLEMS = 20


class Work(Protocol):
    """Something to do with a source; a value that other processes can be given."""

    @property
    def status(self) -> Status:
        """What a source is when it is done."""

    def nbytes(self, size: int, archived_bytes: int) -> int:
        """Bytes that `do` counts for a source of this size that takes so many bytes in the archive."""

    def do(self, source: ArchivedSource, advanced: Callable[[int], None]) -> Path | None:
        """Do it, or raise; the path that came of it."""


@dataclass(frozen=True)
class Restoring:
    """Write originals to a folder.

    Parameters
    ----------
    folder : Path
    whole : bool
        Whether sources keep their relative names, as a whole archive does, rather than only their base names.
    overwrite : bool
        Whether to replace files that are there.
    """

    folder: Path
    whole: bool
    overwrite: bool
    status: ClassVar[Status] = "restored"

    def nbytes(self, size: int, archived_bytes: int) -> int:
        """Bytes of the original."""
        return size

    def target(self, source: ArchivedSource) -> Path:
        """Where a source goes."""
        name = source.name if self.whole else source.name.rpartition("/")[2]
        path = self.folder / f"{name}{source.manifest.layout.attrs.get('restored_suffix', '')}"
        levels = dropped_bands(source.manifest.guarantee)
        # What is not the original must not look like it.
        return path.with_name(f"{path.stem}.drop-bands-{levels}{path.suffix}") if levels else path

    def do(self, source: ArchivedSource, advanced: Callable[[int], None]) -> Path:
        """Write the original; the file or folder that it is now."""
        return source.restore(self.target(source), overwrite=self.overwrite, progress=advanced)


@dataclass(frozen=True)
class Verifying:
    """Check that a source is there, undamaged, and (deep) decodes to the original."""

    deep: bool
    status: ClassVar[Status] = "verified"

    def nbytes(self, size: int, archived_bytes: int) -> int:
        """Bytes of its objects; deep: and of the original."""
        return archived_bytes + (size if self.deep else 0)

    def do(self, source: ArchivedSource, advanced: Callable[[int], None]) -> None:
        """Check a source.

        Raises
        ------
        IntegrityError
            Naming what is damaged or missing.
        """
        found = source.verify(deep=self.deep, progress=advanced)
        if not found.ok:
            more = len(found.problems) - _SHOWN_PROBLEMS
            problems = [*found.problems[:_SHOWN_PROBLEMS], *([f"and {more} more"] if more > 0 else [])]
            raise IntegrityError("; ".join(problems))


def attempt(name: str, find: Callable[[], ArchivedSource], work: Work, progress: Progress) -> SourceReport:
    """Do `work` with a source; whatever goes wrong becomes its report.

    Parameters
    ----------
    name : str
    find : callable
        Opens the source.
    work : Work
    progress : Progress
        Told `planned` and `advanced`.
    """
    started = time.monotonic()
    try:
        source = find()
        progress.planned(name, work.nbytes(source.size, source.archived_bytes))
        path = work.do(source, partial(progress.advanced, name))
    except Exception as error:  # whatever is wrong with one source, the others go on
        _log.debug("%s failed", name, exc_info=True, extra={"source": name})
        return SourceReport(name, "failed", seconds=time.monotonic() - started, error=explain(error))
    return SourceReport(
        name,
        work.status,
        bytes=source.size,
        archived_bytes=source.archived_bytes,
        guarantee=source.manifest.guarantee,
        codecs=source.manifest.codec_totals(),
        seconds=time.monotonic() - started,
        path=str(path or ""),
    )
