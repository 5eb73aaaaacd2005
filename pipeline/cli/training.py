"""``haarchive train``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.progress import Progress

    from haarchive.pipeline.jobs.train import TrainProgress

__all__ = ["resumable_bars", "train_command"]


def train_command(
    config: Annotated[
        str,
        typer.Argument(
            help="A YAML file, or a shipped preset: haar-image, haar-audio, idf-histology, idf-small, idf-audio, "
            "idf-paper, idf-cifar10.",
            metavar="CONFIG",
        ),
    ],
    data: Annotated[Path, typer.Option("--data", help="The folder that the configuration's folders are relative to.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The run's folder (default: runs/NAME). A run that is there is resumed."),
    ] = None,
    start_from: Annotated[
        str | None,
        typer.Option("--from", help="What to start from: a model file, or a shipped model's name. See also: tune."),
    ] = None,
    device: Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1, ...")] = "cpu",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a validation, and the model's path last.")
    ] = False,
) -> None:
    """Train the networks of a codec by a configuration. (To adapt a model to your own sources: tune.)

    Interrupt it whenever you like: the same command goes on from the last checkpoint.

    [bold]haarchive train[/] haar-image --data DIR --out runs/haar-image

    The model file that comes out is used by [bold]haarchive archive --model FILE[/].
    """
    from haarchive.pipeline.jobs.train import train
    from haarchive.pipeline.jobs.train_config import load_train_config

    parsed = load_train_config(config)
    with resumable_bars() as bar:
        task = bar.add_task(parsed.name, total=parsed.steps, loss="")

        def show(report: TrainProgress) -> None:
            bar.update(task, completed=report.step, loss=f"{report.loss:.3f} bits/sample")
            if report.validation and as_json:
                typer.echo(json.dumps({"step": report.step, "validation": report.validation}))
            elif report.validation:
                values = ", ".join(f"{name} {bits:.4f}" for name, bits in report.validation.items())
                bar.console.print(f"step {report.step}: validation bits/sample {values}")

        path = train(
            parsed, data, out or Path("runs") / parsed.name, start_from=start_from, device=device, progress=show
        )
    typer.echo(json.dumps({"model": str(path)}) if as_json else f"{path}")


@contextmanager
def resumable_bars() -> Iterator[Progress]:
    """Bars with a field ``loss`` for a run that Ctrl-C stops and the same command goes on with."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[loss]}"),
        TimeRemainingColumn(),
    )  # fmt: skip
    try:
        with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
            yield bar
    except KeyboardInterrupt:
        from haarchive.pipeline.cli.show import say

        say("stopped; the same command goes on from the last checkpoint")
        raise typer.Exit(130) from None
