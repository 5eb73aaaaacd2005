"""Where sources are archived: in this process, or on Ray."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from haarchive.codecs.errors import ConfigError
from haarchive.pipeline.archive import ArchiveWriter
from haarchive.pipeline.archive.keys import model_key
from haarchive.pipeline.config import ArchiveConfig
from haarchive.pipeline.flows import FLOWS
from haarchive.pipeline.jobs import events
from haarchive.pipeline.jobs.local import archive_in_process
from haarchive.pipeline.jobs.report import Progress, SourceReport
from haarchive.pipeline.jobs.shard_journal import ShardJournal
from haarchive.pipeline.sources import SourceRef

__all__ = ["Engine", "archive_sources"]

Engine = Literal["auto", "local", "ray"]

_WITH_PRESET = FLOWS | {"jpeg-xl-pixels"}
"""The codecs that a preset is for."""


def archive_sources(
    refs: Sequence[SourceRef],
    writer: ArchiveWriter,
    config: ArchiveConfig,
    models: Mapping[str, bytes],
    *,
    engine: Engine,
    progress: Progress,
    journal: ShardJournal | None = None,
) -> Iterator[SourceReport]:
    """Archive sources that were found.

    Parameters
    ----------
    refs : sequence of SourceRef
    writer : ArchiveWriter
    config : ArchiveConfig
    models : Mapping of str to bytes
        Content of the model files that replace shipped ones, by codec name.
    engine : {'auto', 'local', 'ray'}
    progress : Progress
    journal : ShardJournal, optional
        Remembers shards of sources that are not committed yet.

    Yields
    ------
    SourceReport
        As each source is committed, or fails.

    Raises
    ------
    ConfigError
        If the engine cannot be used here.
    """
    if refs:
        writer.prepare()
    run = archive_in_process
    if _wants_ray(engine, refs, writer, config):
        from haarchive.pipeline.jobs.ray_job import archive_on_ray

        run = archive_on_ray
    seen: set[str] = set()
    for report in run(refs, writer, config, models, progress, journal):
        events.settled(report)
        new = sorted(set(report.models.values()) - seen)
        seen.update(new)
        yield replace(
            report,
            model_bytes={sha256: writer.store.head(model_key(sha256)) or 0 for sha256 in new},
            preset=config.preset if report.status == "archived" and _WITH_PRESET & report.codecs.keys() else "",
        )


def _wants_ray(engine: Engine, refs: Sequence[SourceRef], writer: ArchiveWriter, config: ArchiveConfig) -> bool:
    in_memory = next((url for url in (writer.url, *(ref.path for ref in refs)) if url.startswith("memory://")), "")
    if engine == "ray" and in_memory:
        raise ConfigError(f"{in_memory}: other processes cannot see this memory; use a folder or a bucket")
    if engine != "auto":
        return engine == "ray"
    return not in_memory and sum(ref.size or 0 for ref in refs) >= config.ray_from_bytes
