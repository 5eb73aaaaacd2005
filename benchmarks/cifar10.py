"""What idf makes of CIFAR-10: ``python benchmarks/cifar10.py --data DIR --model FILE``.

DIR holds ``cifar-10-python.tar.gz`` or the folder ``cifar-10-batches-py``; FILE is a model, as ``haarchive train
idf-cifar10`` gives one. The test pictures, each coded for itself, as in table 1 of "Integer Discrete Flows and Lossless
Compression" (2019): the analytic code length, in float64 from the integers that are coded with; real bitstreams, all of
their bytes counted, each decoded and compared; beside them what the paper reports of its model, and peers.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from _common import Contender, Item, Measurement, measure, on_one_thread, refuse, summarise, write_json
from _pieces import analytic_rows, coder, each, flif
from lossless_images import libraries, peers
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from haarchive.codecs.errors import HaarchiveError
from haarchive.codecs.idf.codec import IdfCodec
from haarchive.pipeline.jobs.cifar10 import read_cifar10

TOGETHER = 50
"""Pictures that networks are given at once."""

REAL, ADAPTIVE = "haarchive idf, real", "haarchive idf with adaptive couplings, real"
PAPER = {"analytic": "3.32", REAL: "3.34", "FLIF": "4.37"}
PEERS = ("PNG", "JPEG 2000", "JPEG XL e9")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="where CIFAR-10 is")
    parser.add_argument("--model", type=Path, required=True, metavar="FILE", help="the model file")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N test pictures")
    parser.add_argument("--device", default="cpu", help="of the networks: cpu, cuda, ...")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to this file")
    chosen = parser.parse_args()
    if chosen.limit is not None and chosen.limit < 1:
        refuse(f"--limit {chosen.limit}: at least one picture")
    on_one_thread()
    try:
        pictures = read_cifar10(chosen.data, "test")[: chosen.limit]
        plain, adaptive = find_codecs(chosen.model, chosen.device)
    except HaarchiveError as error:
        refuse(str(error))
    items = {Path(f"pictures from {at}"): batch(pictures, at) for at in range(0, len(pictures), TOGETHER)}
    contenders = [coder(REAL, plain), coder(ADAPTIVE, adaptive), *map(each, find_peers())]
    files = [("CIFAR-10", path) for path in items]
    measurements = measure(files, lambda _, path: items[path], contenders, batch(pictures[:2], 0))
    rows = summarise(measurements, (), {})
    (lengths,) = analytic_rows(list(items.values()), {REAL: plain}, measurements, chosen.device)
    print_table(measurements, lengths["analytic_bits_per_sample"], len(pictures))
    if chosen.json:
        write_json(chosen.json, [*rows, lengths], measurements, libraries())


def find_codecs(model: Path, device: str) -> tuple[IdfCodec, IdfCodec]:
    """Without adaptive couplings and with; exits with status 2 where there is no such file."""
    if not model.is_file():
        refuse(f"there is no model {model}")
    content = model.read_bytes()
    return (
        IdfCodec.load(content, device=device, adaptive=False),
        IdfCodec.load(content, device=device, adaptive=True),
    )


def find_peers() -> list[Contender]:
    return [*(peer for peer in peers() if peer.name in PEERS), *flif()]


def batch(pictures: NDArray[np.uint8], first: int) -> Item:
    samples = pictures[first : first + TOGETHER]
    return Item("CIFAR-10", f"pictures from {first}", samples, samples.nbytes)


def print_table(measurements: Sequence[Measurement], analytic: float, count: int) -> None:
    table = Table(title=f"CIFAR-10, test pictures: {count}, bits a dimension", title_justify="left")
    table.add_column("", no_wrap=True)
    for head in ("here", "in the paper"):
        table.add_column(head, justify="right")
    table.add_row("haarchive idf, analytic", f"{analytic:.4f}", PAPER["analytic"], style="bold")
    for name in dict.fromkeys(m.contender for m in measurements):
        mine = [m for m in measurements if m.contender == name]
        bits = 8 * sum(m.bytes for m in mine) / sum(m.samples for m in mine)
        table.add_row(name, f"{bits:.4f}", PAPER.get(name, ""), style="bold" if name.startswith("haarchive") else None)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
