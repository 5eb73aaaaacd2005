"""How integer discrete flows do on histology: ``python benchmarks/idf.py --data DIR``.

Patches of 80 x 80 coded each for itself, as in table 2 of "Integer Discrete Flows and Lossless Compression" (2019):
twelve of every validation file, on a regular grid of three rows and four columns from edge to edge. Then chunks of
256 x 256, the complete ones of each file's grid. Real bitstreams, each decoded and compared, on one core, in turns in
one process. Beside the presets stands `max` without its adaptive couplings; `fast` never has them. Last, for models
without adaptive couplings, the analytic code length beside the real one.

bpd: bits a sub-pixel, mean over a set's files. / JPEG 2000, / e9: all of a set's bytes in relation to theirs. Speeds:
raw MB/s, medians over files; networks of ours see several pieces at once. The sets are never averaged together: glas
and breakhis are raw-like, monuseg was made from JPEG and JPEG 2000 slides, breakhis is from a scanner that no training
picture came from. FLIF takes part where an executable of this name is found.

``--depth`` trains flows of different depth instead, as figure 5 of the paper: see `_depth.py`.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _common import (
    Column,
    Contender,
    Item,
    Measurement,
    Reference,
    measure,
    on_one_thread,
    options,
    print_columns,
    refuse,
    summarise,
    write_json,
)
from _depth import depth_options, measure_depths
from _pieces import analytic_rows, chunks, coder, each, flif, patches
from lossless_images import E9, SETS, find_pictures, libraries, peers, read
from rich.console import Console
from rich.table import Table

from haarchive.codecs import get_codec
from haarchive.codecs.haar.presets import Preset
from haarchive.codecs.idf.codec import IdfCodec

J2K = "JPEG 2000"
REFERENCES = (Reference(J2K, "/ JPEG 2000"), Reference(E9, "/ e9"))
COLUMNS = (
    Column("bpd", "bits_per_sample"),
    Column("/ JPEG 2000", "relative_bytes", J2K),
    Column("/ e9", "relative_bytes", E9),
    Column("enc MB/s", "encode_mb_per_s", digits=2),
    Column("dec MB/s", "decode_mb_per_s", digits=2),
)
ADAPTIVE: tuple[Preset, ...] = ("balanced", "max")
KINDS = {"patches": (patches, ("PNG", "WebP", J2K, E9)), "chunks": (chunks, (J2K, E9))}


def main() -> None:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--model", type=Path, metavar="FILE", help="a model file, instead of those that ship")
    parser.add_argument("--pieces", nargs="+", choices=KINDS, default=list(KINDS), help="default: both")
    depth_options(parser)
    chosen = options(__doc__, SETS, parents=[parser])
    on_one_thread()
    if chosen.depth:
        measure_depths(chosen)
        return
    adaptive, plain = find_codecs(chosen.model)
    measurements: list[Measurement] = []
    items: list[Item] = []
    for kind in chosen.pieces:
        cut, names = KINDS[kind]

        def cut_pieces(name: str, path: Path, cut: Any = cut) -> Item:
            item: Item = cut(read(name, path))
            items.append(item)
            return item

        contenders = [coder(name, codec) for name, codec in {**adaptive, **plain}.items()]
        contenders.append(coder("haarchive haar max", get_codec("haar", preset="max")))
        contenders += map(each, _peers(names))
        measurements += measure(find_pictures(chosen), cut_pieces, contenders, warm_up())
    rows = summarise(measurements, REFERENCES, {})
    print_columns(rows, COLUMNS)
    lengths = analytic_rows(items, plain, measurements)
    print_lengths(lengths)
    if chosen.json:
        write_json(chosen.json, [*rows, *lengths], measurements, libraries())


def find_codecs(model: Path | None) -> tuple[dict[str, IdfCodec], dict[str, IdfCodec]]:
    """The codec by name, of each preset or of one model: with adaptive couplings and without.

    Exits with status 2 where there is no such model.
    """
    if model is None:
        plain = {
            "haarchive idf fast": IdfCodec.load(preset="fast"),
            "haarchive idf max, not adaptive": IdfCodec.load(preset="max", adaptive=False),
        }
        return {f"haarchive idf {preset}": IdfCodec.load(preset=preset) for preset in ADAPTIVE}, plain
    if not model.is_file():
        refuse(f"there is no model {model}")
    content = model.read_bytes()
    return (
        {f"haarchive idf {model.stem}": IdfCodec.load(content, adaptive=True)},
        {f"haarchive idf {model.stem}, not adaptive": IdfCodec.load(content, adaptive=False)},
    )


def _peers(names: Sequence[str]) -> list[Contender]:
    return [*(peer for peer in peers() if peer.name in names), *flif()]


def warm_up() -> Item:
    smooth = np.random.default_rng(0).integers(0, 256, (2, 10, 10, 3)).repeat(8, 1).repeat(8, 2).astype(np.uint8)
    return Item("", "", smooth, smooth.nbytes)


def print_lengths(rows: Sequence[Mapping[str, Any]]) -> None:
    """The analytic code lengths beside the real ones."""
    console = Console()
    if not console.is_terminal:
        console.width = 120
    table = Table(title="without adaptive couplings, bits a sub-pixel of all pieces", title_justify="left")
    table.add_column("set", no_wrap=True)
    table.add_column("codec", no_wrap=True)
    for head in ("analytic", "real", "excess"):
        table.add_column(head, justify="right")
    for row in rows:
        values = (f"{row[f'{way}_bits_per_sample']:.4f}" for way in ("analytic", "real"))
        table.add_row(row["set"], row["contender"], *values, f"{row['excess']:+.2%}")
    console.print(table)


if __name__ == "__main__":
    main()
