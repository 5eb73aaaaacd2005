"""The main job: sources in, an archive out, a report of each."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from haarchive.codecs.errors import ConfigError, ModelNotFoundError
from haarchive.codecs.haar.presets import Preset
from haarchive.pipeline.archive import ArchiveWriter
from haarchive.pipeline.config import ArchiveConfig, override
from haarchive.pipeline.flows import FlowFamily
from haarchive.pipeline.jobs.engines import Engine, archive_sources
from haarchive.pipeline.jobs.finding import find_sources
from haarchive.pipeline.jobs.report import JobReport, Progress, Quiet

__all__ = ["Engine", "archive", "own_models", "read_models"]


def archive(
    sources: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    url: str | os.PathLike[str],
    *,
    config: ArchiveConfig | None = None,
    codec: FlowFamily | None = None,
    preset: Preset | None = None,
    models: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
    keep_damaged: bool | None = None,
    engine: Engine = "auto",
    job: str | None = None,
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
    codec : {'haar', 'idf'}, optional
        The family of learned flows that pictures and sound go to; replaces ``config.codec``.
    preset : {'fast', 'balanced', 'max'}, optional
        How much time the flows may take for fewer bytes; replaces ``config.preset``.
    models : path or sequence of paths
        Model files of one's own, from `tune` or training; their flows are taken. Replaces ``config.models``.
    keep_damaged : bool, optional
        Whether files that were cut short are archived as far as they go, rather than reported as failed; replaces
        ``config.keep_damaged``.
    engine : {'auto', 'local', 'ray'}
        'local' works in this process, 'ray' on Ray; 'auto' takes Ray from ``config.ray_from_bytes`` on.
        Both write the same objects.
    job : str, optional
        An ID under which the job is kept in the archive's storage: what it is to do, the sources as they are now, and
        what has become of them. The same call with the same ID goes on where the job stopped, on any machine.
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
        If two sources would have the same name, the engine cannot be used here, there is no such codec or preset,
        or the archive has another job of this ID.
    JobCancelledError
        If somebody cancels the job meanwhile.
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
    config = override(
        config or ArchiveConfig(), **own_models(models, codec), preset=preset, keep_damaged=keep_damaged
    )  # fmt: skip
    paths = [os.fspath(path) for path in ([sources] if isinstance(sources, str | os.PathLike) else sources)]
    content = read_models(config)
    writer = ArchiveWriter(url)
    if job is not None:
        from haarchive.pipeline.jobs.durable.run import create_job, run_job

        record = create_job(writer, paths, config, content, engine=engine, job=job)
        return run_job(writer, record, progress=progress)
    progress = progress or Quiet()
    refs, reports = find_sources(paths, writer)
    for report in reports:
        progress.finished(report)
    for report in archive_sources(refs, writer, config, content, engine=engine, progress=progress):
        progress.finished(report)
        reports.append(report)
    order = {ref.name: number for number, ref in enumerate(refs)}
    reports.sort(key=lambda report: order.get(report.source, -1))
    return JobReport(tuple(reports), time.monotonic() - started)


def own_models(models: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], codec: str | None) -> dict[str, Any]:
    """Fields of a configuration for the flows that were asked for by name, or by models of them.

    Raises
    ------
    ConfigError
        If both were, and do not agree; or see `models_of`.
    ModelError
        If a file cannot be read, or is no model.
    """
    if not models:
        return {"codec": codec}
    from haarchive.pipeline.jobs.models import models_of  # and with it torch

    paths = [Path(path) for path in ([models] if isinstance(models, str | os.PathLike) else models)]
    family, by_codec = models_of(paths)
    if codec and codec != family:
        raise ConfigError(f"{', '.join(map(str, paths))}: of {family}, but {codec!r} was asked for: leave one out")
    return {"codec": family, "models": by_codec}


def read_models(config: ArchiveConfig) -> dict[str, bytes]:
    """The content of the model files that a configuration names.

    Raises
    ------
    ModelNotFoundError
    """
    models: dict[str, bytes] = {}
    for name, path in config.models.items():
        try:
            models[name] = path.read_bytes()
        except OSError as error:
            raise ModelNotFoundError(f"{path}: the model for {name!r} cannot be read: {error.strerror}") from error
    return models
