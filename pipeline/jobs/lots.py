"""Lots: small sources that one worker archives together, and that share one pack."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from haarchive.codecs.errors import HaarchiveError
from haarchive.pipeline.archive import ArchiveWriter, Manifest
from haarchive.pipeline.config import ArchiveConfig
from haarchive.pipeline.jobs.outcome import begin, describe, failed
from haarchive.pipeline.jobs.report import SourceReport, explain
from haarchive.pipeline.jobs.stages import Encoder, ScannedSource, proven_manifest, read, write
from haarchive.pipeline.sources import SourceRef

__all__ = ["Lot", "archive_lot", "plan_lots"]

_log = logging.getLogger(__name__)

_SMALL = 1 << 19
"""Bytes of a source up to which it may go into a lot: its bitstreams are likely to fit into its manifest."""
_LOT_BYTES = 1 << 24
_LOT_SOURCES = 256
_FEWEST = 16
"""Fewer small sources than this are archived one by one, side by side."""


@dataclass(frozen=True)
class Lot:
    """Small sources.

    Parameters
    ----------
    sources : tuple of SourceRef
    """

    sources: tuple[SourceRef, ...]


def plan_lots(refs: Sequence[SourceRef]) -> Iterator[Lot | SourceRef]:
    """Put small sources together; the same sources always give the same lots.

    Parameters
    ----------
    refs : sequence of SourceRef

    Yields
    ------
    Lot or SourceRef
        A lot when it is full; what is too large for one as it comes.
    """
    waiting: list[SourceRef] = []
    nbytes = 0
    for ref in refs:
        if ref.size is None or ref.size > _SMALL:
            yield ref
            continue
        if len(waiting) == _LOT_SOURCES or nbytes + ref.size > _LOT_BYTES:
            yield Lot(tuple(waiting))
            waiting, nbytes = [], 0
        waiting.append(ref)
        nbytes += ref.size
    if len(waiting) < _FEWEST:
        yield from waiting
    else:
        yield Lot(tuple(waiting))


def archive_lot(
    lot: Lot,
    writer: ArchiveWriter,
    encoder: Encoder,
    config: ArchiveConfig,
    advanced: Callable[[str, int], None] | None = None,
) -> list[SourceReport]:
    """Archive the sources of a lot from scan to commit; one that fails does not stop the others.

    Parameters
    ----------
    lot : Lot
    writer : ArchiveWriter
    encoder : Encoder
    config : ArchiveConfig
    advanced : callable, optional
        Told each source's name and raw bytes.

    Returns
    -------
    list of SourceReport
    """
    reports: list[SourceReport] = []
    ready: list[tuple[ScannedSource, Manifest]] = []
    try:
        taken = writer.taken(ref.name for ref in lot.sources)
    except HaarchiveError as error:
        return [SourceReport(ref.name, "failed", error=explain(error)) for ref in lot.sources]
    for ref in lot.sources:
        scanned = begin(ref, writer, config, new=ref.name not in taken)
        if isinstance(scanned, SourceReport):
            reports.append(scanned)
            continue
        try:
            manifest = _encoded(scanned, writer, encoder, advanced)
            if manifest.shards:
                reports.append(describe(manifest, writer.commit(manifest), "archived", scanned.started))
            else:
                ready.append((scanned, manifest))
        except Exception as error:
            _log.debug("archiving %s failed", ref.path, exc_info=True)
            reports.append(failed(scanned, explain(error)))
    return reports + _committed(ready, writer)


def _encoded(
    scanned: ScannedSource, writer: ArchiveWriter, encoder: Encoder, advanced: Callable[[str, int], None] | None
) -> Manifest:
    written = []
    for task in scanned.tasks:
        encoded, models = encoder.encode(task, scanned.layout.planes, read(task, scanned), advanced)
        written.append(write(writer, task, scanned.layout, encoded, models))
    return proven_manifest(scanned, written)


def _committed(ready: Sequence[tuple[ScannedSource, Manifest]], writer: ArchiveWriter) -> list[SourceReport]:
    try:
        outcome = writer.commit_pack([manifest for _, manifest in ready]) if ready else {}
    except Exception as error:
        _log.debug("committing %d small sources failed", len(ready), exc_info=True)
        return [failed(scanned, explain(error)) for scanned, _ in ready]
    reports = []
    for scanned, manifest in ready:
        nbytes = outcome[manifest.name]
        if isinstance(nbytes, HaarchiveError):
            reports.append(failed(scanned, explain(nbytes)))
        else:
            reports.append(describe(manifest, nbytes, "archived", scanned.started))
    return reports
