"""The sources that a job is given, without those that cannot be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from haarchive.codecs.errors import SourceError, StorageError
from haarchive.pipeline.archive import ArchiveWriter
from haarchive.pipeline.jobs.report import SourceReport, explain
from haarchive.pipeline.sources import SourceRef
from haarchive.pipeline.sources.discover import discover_path, distinct

__all__ = ["find_sources"]


def find_sources(paths: Sequence[str], writer: ArchiveWriter) -> tuple[list[SourceRef], list[SourceReport]]:
    """The sources, and failures for what cannot be found.

    Parameters
    ----------
    paths : sequence of str
        As for `discover`. What lies in the archive itself, whose folder may be inside of one that is archived, is no
        source.
    writer : ArchiveWriter

    Raises
    ------
    ConfigError
        If two sources would have the same name.
    """
    failures: list[SourceReport] = []
    found: list[SourceRef] = []
    for path in paths:
        try:
            found += discover_path(path)
        except (SourceError, StorageError) as error:
            failures.append(SourceReport(path, "failed", error=explain(error)))
    return [ref for ref in distinct(found) if not _lies_in_archive(ref, writer)], failures


def _lies_in_archive(ref: SourceRef, writer: ArchiveWriter) -> bool:
    root = writer.store.local_root
    if root is None:
        return ref.path.startswith(writer.url + "/")
    return "://" not in ref.path and Path(ref.path).resolve().is_relative_to(root.resolve())
