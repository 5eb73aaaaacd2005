"""``haarchive archive``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from haarchive.pipeline.config import ArchiveConfig

__all__ = ["CodecName", "GuaranteeName", "PresetName", "archive_command", "warn_of_loss"]


class GuaranteeName(StrEnum):
    """What restoration gives back."""

    file_exact = "file-exact"
    sample_exact = "sample-exact"


class CodecName(StrEnum):
    """The family of flows that pictures and sound go to."""

    haar = "haar"
    idf = "idf"


class PresetName(StrEnum):
    """How much time the flows take."""

    fast = "fast"
    balanced = "balanced"
    max = "max"


def archive_command(
    sources: Annotated[
        list[str], typer.Argument(metavar="SOURCES", help="Files, folders, zarr stores, patterns, s3://bucket/prefix/.")
    ],
    url: Annotated[
        str,
        typer.Argument(metavar="ARCHIVE", help="A folder or s3://bucket/prefix; made if it is not there."),
    ],
    config: Annotated[str, typer.Option("--config", "-c", help="A YAML file, or a profile: local, gpu.")] = "local",
    guarantee: Annotated[
        GuaranteeName | None,
        typer.Option(help="file-exact gives back every byte; sample-exact every sample, in a new container."),
    ] = None,
    codec: Annotated[
        CodecName | None,
        typer.Option(
            help="The flows for pictures and sound: haar, made for CPUs; or idf, Integer Discrete Flows: deep "
            "networks, for slides of a kind that you train a model on. idf is slower: give it a GPU (--config gpu)."
        ),
    ] = None,
    model: Annotated[
        list[Path] | None,
        typer.Option("--model", help="A model of your own, from tune or train, with its flows; may be repeated."),
    ] = None,
    preset: Annotated[
        PresetName | None,
        typer.Option(help="How much time to take for fewer bytes; balanced unless the configuration says otherwise."),
    ] = None,
    drop_bands: Annotated[
        int | None,
        typer.Option(
            "--drop-bands",
            metavar="N",
            min=0,
            max=4,
            help="LOSSY: leave the N finest levels of details of pictures out. Their originals cannot come back.",
        ),
    ] = None,
    keep_damaged: Annotated[
        bool,
        typer.Option("--keep-damaged", help="Archive files that were cut short as far as they go, too."),
    ] = False,
    local: Annotated[bool, typer.Option("--local", help="Stay in this process, whatever the size.")] = False,
    ray: Annotated[bool, typer.Option("--ray", help="Run on Ray, whatever the size.")] = False,
    job: Annotated[
        str | None,
        typer.Option("--job", help="Keep the job under this ID in the archive: it can be asked about, and goes on."),
    ] = None,
    device: Annotated[str | None, typer.Option(help="Torch device of the codecs: cpu, cuda.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a source.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Archive files: smaller, proven to come back, nothing half done.

    The last argument is the archive. Whatever is archived already is left as it is, so a job that was stopped
    is resumed by running it again. A file that fails does not stop the others; one that ends before data that its
    headers promise fails too, unless --keep-damaged says that there is no better copy.

    [bold]haarchive archive[/] slide.svs recordings/ s3://bucket/archive

    [bold]haarchive archive[/] 'scans/**/*.tif' ./archive --json > report.jsonl

    [bold]haarchive archive[/] s3://in/slides/ s3://out/archive --config gpu --job slides-2026

    [bold]haarchive archive[/] slides/ s3://out/archive --codec idf --config gpu

    [bold]haarchive archive[/] slides/ ./archive --model runs/our-scanner/our-scanner.safetensors

    [bold]haarchive archive[/] previews/ ./archive --drop-bands 2
    """
    from haarchive.pipeline.cli.show import Screen, summarise, summarise_job
    from haarchive.pipeline.config import load_config
    from haarchive.pipeline.jobs.archive import archive, own_models

    if local and ray:
        raise typer.BadParameter("--local and --ray exclude each other")
    if Path(url).is_file():
        raise typer.BadParameter(f"the last argument is the archive, and {url} is a file", param_hint="ARCHIVE")
    settings = load_config(
        config,
        guarantee=guarantee.value if guarantee else None,
        drop_bands=drop_bands,
        **own_models(model or (), codec.value if codec else None),
        preset=preset.value if preset else None,
        keep_damaged=keep_damaged or None,
        device=device,
    )
    warn_of_loss(settings, guarantee)
    with Screen(as_json=as_json, quiet=quiet, verb="archiving") as screen:
        report = archive(
            sources,
            url,
            config=settings,
            engine="local" if local else "ray" if ray else "auto",
            job=job,
            progress=screen,
        )
    if job:
        summarise_job(report, screen)
    summarise(report, "archived")


def warn_of_loss(settings: ArchiveConfig, guarantee: GuaranteeName | None) -> None:
    """Say that originals will not come back, where they will not.

    Raises
    ------
    typer.BadParameter
        If another guarantee was asked for as well.
    """
    from haarchive.pipeline.cli.show import say

    if not settings.drop_bands:
        return
    if guarantee:
        raise typer.BadParameter("--drop-bands is a guarantee of its own and excludes --guarantee")
    say(f"warning: pictures lose details for good ({settings.promise}): their originals cannot be restored")
