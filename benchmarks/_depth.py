"""How flows do with more couplings a level: figure 5 of "Integer Discrete Flows and Lossless Compression" (2019).

``python benchmarks/idf.py --data DIR --depth``: small flows, whose networks have three convolutions as those of the
figure, are trained alike but for D and their layout, the paper's or that on Haar lifting which ships, on the training
pictures that the shipped models saw. What they are compared by is the analytic code length of twelve patches of 80 x 80
of every validation file. The figure's point is that discrete flows, whose gradients pass roundings unchanged, do not
simply gain by depth.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from _common import Item, refuse
from _pieces import patches
from _scatter import Point, scatter
from lossless_images import find_pictures, read
from rich.console import Console
from rich.progress import track
from rich.table import Table

from haarchive.codecs.idf.analytic import analytic_picture_bits
from haarchive.codecs.idf.flow import Flow
from haarchive.codecs.idf.placed import PlacedFlow
from haarchive.codecs.intnet.modelfile import ModelFile
from haarchive.pipeline.jobs.train import train
from haarchive.pipeline.jobs.train_config import IdfFlowConfig, NetworkConfig, TrainConfig, load_train_config

__all__ = ["depth_options", "measure_depths"]

_LAYOUTS: Mapping[str, Mapping[str, Any]] = {
    "paper": {},
    "haar": {"transform": "haar", "triangular": True, "colour": "ycocg-r"},
}
"""What flows of each layout have besides."""


def depth_options(parser: argparse.ArgumentParser) -> None:
    """Add what the measurement of depths may be told."""
    parser.add_argument("--depth", action="store_true", help="train flows of different depth instead")
    parser.add_argument(
        "--couplings", nargs="+", type=int, default=[0, 1, 2, 4, 8], metavar="D", help="with --depth: couplings a level"
    )
    parser.add_argument(
        "--layouts", nargs="+", choices=_LAYOUTS, default=list(_LAYOUTS), help="with --depth: what couplings act on"
    )
    parser.add_argument(
        "--steps", type=int, default=1500, metavar="N", help="with --depth: training steps of each flow"
    )
    parser.add_argument("--plot", type=Path, metavar="FILE", help="with --depth: draw bpd over D into this SVG file")


def measure_depths(chosen: argparse.Namespace) -> None:
    """Train and compare; prints a table, and writes what else was asked for."""
    if chosen.plot and not max(chosen.couplings):
        refuse("--plot needs flows that have couplings")
    if min(chosen.couplings) < 0 or chosen.steps < 1:
        refuse("--couplings are at least 0, and --steps 1")
    torch.set_num_threads(1)
    pictures = [patches(read(name, path)) for name, path in find_pictures(chosen)]
    screen = Console(stderr=True)
    wanted = [(layout, depth) for layout in dict.fromkeys(chosen.layouts) for depth in sorted(set(chosen.couplings))]
    rows = [
        _of_depth(layout, depth, chosen.steps, chosen.data, pictures)
        for layout, depth in track(wanted, "training", console=screen, disable=not screen.is_terminal)
    ]
    _print(rows)
    if chosen.json:
        chosen.json.write_text(json.dumps({"steps": chosen.steps, "depths": rows}, indent=1) + "\n", encoding="utf-8")
    if chosen.plot:
        chosen.plot.write_text(_plot(rows), encoding="utf-8")


def _config(layout: str, couplings: int, steps: int) -> TrainConfig:
    network = NetworkConfig(kind="densenet", depth=1, channels=24)
    flow = IdfFlowConfig(planes=3, levels=2, couplings=couplings, coupling=network, prior=network, **_LAYOUTS[layout])
    return TrainConfig(
        name=f"depth-{layout}-{couplings}",
        codec="idf",
        train=load_train_config("idf-histology").train,
        flows=(flow,),
        crop=(32, 32),
        batch=16,
        steps=steps,
        learning_rate=0.003,
        validate_every=steps,
    )


def _of_depth(layout: str, couplings: int, steps: int, data: Path, pictures: Sequence[Item]) -> dict[str, Any]:
    with TemporaryDirectory() as folder:
        begin = time.process_time()
        path = train(_config(layout, couplings, steps), data, Path(folder))
        seconds = time.process_time() - begin
        model = ModelFile.from_bytes(path.read_bytes())
    flows = {
        name: PlacedFlow(Flow.from_description(description), model.place("cpu"))
        for name, description in model.structure["flows"].items()
    }
    bits: dict[str, list[float]] = {}
    for item in pictures:
        name, _, _ = item.set.partition(",")
        bits.setdefault(name, []).append(analytic_picture_bits(flows, item.samples) / item.samples.size)
    return {
        "layout": layout,
        "couplings": couplings,
        "weights": sum(weight.size for network in model.networks.values() for weight in network.weights),
        "training_seconds": seconds,
        "analytic_bits_per_sample": {name: sum(of) / len(of) for name, of in bits.items()},
    }


def _print(rows: Sequence[Mapping[str, Any]]) -> None:
    console = Console()
    if not console.is_terminal:
        console.width = 120
    table = Table(title="analytic bits a sub-pixel, mean over files", title_justify="left")
    for head in ("layout", "D", "weights", "training, s", *rows[0]["analytic_bits_per_sample"]):
        table.add_column(head, justify="right")
    for row in rows:
        bits = (f"{value:.3f}" for value in row["analytic_bits_per_sample"].values())
        table.add_row(
            row["layout"], str(row["couplings"]), str(row["weights"]), f"{row['training_seconds']:.0f}", *bits
        )
    console.print(table)


def _plot(rows: Sequence[Mapping[str, Any]]) -> str:
    """Bits over couplings a level, a line a set and layout, as SVG; its axis is logarithmic and has no zero."""
    points = []
    rows = [row for row in rows if row["couplings"]]
    for n, row in enumerate(rows):
        last = n + 1 == len(rows) or rows[n + 1]["layout"] != row["layout"]
        for name, bits in row["analytic_bits_per_sample"].items():
            label = f"{name}, {row['layout']}"
            points.append(Point(row["couplings"], bits, label if last else "", "preset", label))
    return scatter(points, "couplings a level", "analytic bits a sub-pixel", "couplings a level")
