"""The main job: sources in, an archive out, a report of each."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from haarchive.codecs.errors import (
    ConfigError,
    ModelNotFoundError,
    SourceNotFoundError,
    SourceUnreadableError,
)
from haarchive.codecs.haar.presets import Preset
from haarchive.pipeline.archive import ArchiveWriter
from haarchive.pipeline.archive.keys import model_key
from haarchive.pipeline.config import ArchiveConfig, override
from haarchive.pipeline.jobs.local import archive_in_process
from haarchive.pipeline.jobs.report import JobReport, Progress, Quiet, SourceReport, explain
from haarchive.pipeline.sources import SourceRef, discover

__all__ = ["Engine", "archive"]

Engine = Literal["auto", "local", "ray"]

_FLOWS = {"haar", "haar-audio"}
"""The codecs that a preset is for."""


def archive(
    sources: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    url: str | os.PathLike[str],
    *,
    config: ArchiveConfig | None = None,
    preset: Preset | None = None,
    keep_damaged: bool | None = None,
    engine: Engine = "auto",
    progress: Progress | None = None,
) -> JobReport:
    """Archive slides, recordings, arrays and any other files.

    Every chunk is decoded again before it is written, and a source appears in the archive only when all of it
    is there. Doing the same again changes nothing: sources that the archive has are left as they are.

    Parameters
    ----------
    sources : path or sequence of paths
        Files, folders (recursively; a zarr store is one source) and glob patterns.
    url : str or path
        Where the archive is or will be: a folder, ``s3://bucket/prefix``, ``memory://name``.
    config : ArchiveConfig, optional
        See `haarchive.pipeline.config.load_config`.
    preset : {'fast', 'balanced', 'max'}, optional
        How much time the flows may take for fewer bytes; replaces ``config.preset``.
    keep_damaged : bool, optional
        Whether files that were cut short are archived as far as they go, rather than reported as failed; replaces
        ``config.keep_damaged``.
    engine : {'auto', 'local', 'ray'}
        'local' works in this process, 'ray' on Ray Data; 'auto' takes Ray from ``config.ray_from_bytes`` on.
        Both write the same bytes.
    progress : Progress, optional
        Who is told how it goes.

    Returns
    -------
    JobReport
        A source that fails is reported there and does not stop the others; ``report.raise_for_failures()``
        raises for it.

    Raises
    ------
    ConfigError
        If two sources would have the same name, the engine cannot be used here, or there is no such preset.
    StorageError, IntegrityError, SchemaVersionError
        If the archive itself cannot be opened or written to.
    ModelNotFoundError
        If the configuration names a model file that is not there.

    Examples
    --------
    >>> report = archive(["slide.svs", "recordings"], "s3://bucket/archive")  # doctest: +SKIP
    >>> report.raise_for_failures().sources[0].archived_bytes  # doctest: +SKIP
    """
    started = time.monotonic()
    config = override(config or ArchiveConfig(), preset=preset, keep_damaged=keep_damaged)
    progress = progress or Quiet()
    models = _read_models(config)
    writer = ArchiveWriter(url)
    refs, reports = _find([sources] if isinstance(sources, str | os.PathLike) else sources)
    refs = [ref for ref in refs if not _lies_in_archive(ref, writer)]
    for report in reports:
        progress.finished(report)
    if refs:
        writer.prepare()
    run = archive_in_process
    if _wants_ray(engine, refs, writer, config):
        from haarchive.pipeline.jobs.ray_job import archive_on_ray

        run = archive_on_ray
    seen: set[str] = set()
    for report in run(refs, writer, config, models, progress):
        new = sorted(set(report.models.values()) - seen)
        seen.update(new)
        report = replace(
            report,
            model_bytes={sha256: writer.store.head(model_key(sha256)) or 0 for sha256 in new},
            preset=config.preset if report.status == "archived" and _FLOWS & report.codecs.keys() else "",
        )
        progress.finished(report)
        reports.append(report)
    order = {ref.name: number for number, ref in enumerate(refs)}
    reports.sort(key=lambda report: order.get(report.source, -1))
    return JobReport(tuple(reports), time.monotonic() - started)


def _find(paths: Sequence[str | os.PathLike[str]]) -> tuple[list[SourceRef], list[SourceReport]]:
    """The sources, with absolute paths, and failures for what cannot be found."""
    given = [os.fspath(path) for path in paths]
    failures: list[SourceReport] = []
    try:
        refs = discover(given)
    except (SourceNotFoundError, SourceUnreadableError):
        found = []
        for path in given:
            try:
                discover([path])
                found.append(path)
            except (SourceNotFoundError, SourceUnreadableError) as error:
                failures.append(SourceReport(path, "failed", error=explain(error)))
        refs = discover(found)
    return [SourceRef(str(Path(ref.path).absolute()), ref.name) for ref in refs], failures


def _lies_in_archive(ref: SourceRef, writer: ArchiveWriter) -> bool:
    """Whether a source is part of the archive itself, which may lie in a folder that is archived."""
    root = writer.store.local_root
    return root is not None and Path(ref.path).resolve().is_relative_to(root.resolve())


def _wants_ray(engine: Engine, refs: Sequence[SourceRef], writer: ArchiveWriter, config: ArchiveConfig) -> bool:
    in_memory = writer.url.startswith("memory://")
    if engine == "ray" and in_memory:
        raise ConfigError(f"{writer.url}: other processes cannot see this memory; archive to a folder or a bucket")
    if engine != "auto":
        return engine == "ray"
    return not in_memory and sum(_size(ref.path) for ref in refs) >= config.ray_from_bytes


def _size(path: str) -> int:
    """Bytes of a file, or of all files of a zarr store."""
    try:
        if not Path(path).is_dir():
            return Path(path).stat().st_size
        return sum(file.stat().st_size for file in Path(path).rglob("*") if file.is_file())
    except OSError:
        return 0  # the scan will say what is wrong


def _read_models(config: ArchiveConfig) -> dict[str, bytes]:
    models: dict[str, bytes] = {}
    for name, path in config.models.items():
        try:
            models[name] = path.read_bytes()
        except OSError as error:
            raise ModelNotFoundError(f"{path}: the model for {name!r} cannot be read: {error.strerror}") from error
    return models
