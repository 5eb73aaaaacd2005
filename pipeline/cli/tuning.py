"""``haarchive tune``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from haarchive.pipeline.cli.archiving import GuaranteeName
from haarchive.pipeline.cli.training import resumable_bars

if TYPE_CHECKING:
    from haarchive.pipeline.jobs.train import TrainProgress
    from haarchive.pipeline.jobs.tune import TuneReport

__all__ = ["tune_command"]

_WORTH = 0.002
"""Share of the bytes that a model must save; each archive that uses it holds it."""

_NAMED = 5
"""Sources that were left out, named one by one."""


def tune_command(
    model: Annotated[
        str,
        typer.Argument(
            help="What to start from: idf-small, idf-histology, idf-audio, haar-image, haar-audio, or a model file.",
            metavar="MODEL",
        ),
    ],
    sources: Annotated[
        list[str], typer.Argument(metavar="SOURCES", help="Files, folders, zarr stores, patterns, s3://bucket/prefix/.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The run's folder (default: runs/NAME). A run that is there is resumed."),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Of the new model (default: MODEL-tuned).")] = None,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Of training.")] = 1500,
    guarantee: Annotated[
        GuaranteeName,
        typer.Option(help="That you will archive with: sample-exact gives more sources to flows."),
    ] = GuaranteeName.file_exact,
    device: Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1, ...")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Tune a model to your own slides or recordings, and see what that is worth.

    Learns from the very chunks that archiving would give to the model's codec, but for a fifth of the sources, which
    it measures on. Slides whose tiles are JPEG have no such chunks: they are archived as JPEG, without any model.
    Interrupt it whenever you like: the same command goes on from the last checkpoint.

    [bold]haarchive tune[/] idf-small slides/ --name our-scanner

    [bold]haarchive archive[/] slides/ ./archive --model runs/our-scanner/our-scanner.safetensors
    """
    from haarchive.pipeline.jobs.tune import tune

    with resumable_bars() as bar:
        reading = bar.add_task("reading sources", total=None, loss="")
        training = bar.add_task("training", total=steps, loss="")

        def read(done: int, there: int) -> None:
            bar.update(reading, completed=done, total=there)

        def trained(report: TrainProgress) -> None:
            bar.update(training, completed=report.step, loss=f"{report.loss:.3f} bits/sample")
            if report.step == report.steps:
                bar.add_task("measuring", total=None, loss="")

        report = tune(
            model, sources, out, name=name, steps=steps, guarantee=guarantee.value, device=device, reading=read,
            progress=trained,
        )  # fmt: skip
    if as_json:
        typer.echo(json.dumps(report.to_json()))
    else:
        _show(report)


def _show(report: TuneReport) -> None:
    from haarchive.pipeline.cli.show import say

    for name, reason in list(report.left_out.items())[:_NAMED]:
        say(f"{name}: left out: {reason}")
    if len(report.left_out) > _NAMED:
        say(f"... and {len(report.left_out) - _NAMED} more sources left out; --json names all")
    where = "sources that it did not learn from" if report.apart else "other places of the same sources"
    change = report.after / report.before - 1
    typer.echo(
        f"{report.before:.4f} bits a sample before, {report.after:.4f} after ({change:+.1%}), as preset max codes "
        f"{where}; learned from {report.chunks} chunks of {report.sources} sources"
    )
    if change <= -_WORTH:
        preset = " --preset max" if report.codec.startswith("haar") else ""  # whose networks no other preset has
        typer.echo(f"use it: haarchive archive SOURCES ARCHIVE --model {report.model}{preset}")
    else:
        typer.echo(f"not worth a model of its own: keep the one that you have ({report.model} is there all the same)")
