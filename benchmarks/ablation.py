"""What each part of the picture codec is worth: ``python benchmarks/ablation.py --data DIR``.

The middle of a few validation pictures of each set (``--files N``, else two), coded as one chunk: by the presets, by
`max` with one part taken away or made smaller, by `fast` with one part added or made larger; beside them the peers.
Real bitstreams, each decoded and compared, on one thread, in turns in one process.

bpd: bits a sub-pixel of each set, mean of its files. / base: total bytes in relation to the preset that a row starts
from, mean of the sets. / e9: the same in relation to JPEG XL's effort 9. Speeds: median of each set's files, mean of
the sets. ``--plot FILE.svg`` draws bytes in relation to JPEG XL effort 9 over encoding speed.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from _common import Contender, Item, measure, on_one_thread, options, refuse, summarise, write_json
from _scatter import Point, scatter
from lossless_images import E9, REFERENCES, SETS, find_pictures, libraries, peers, read, warm_up
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from haarchive.codecs import Bitstream
from haarchive.codecs.haar import phases, ycbcr
from haarchive.codecs.haar.image import HaarCodec
from haarchive.codecs.haar.plans import PLANS, Plan
from haarchive.codecs.haar.presets import PRESETS

ALL_SETS = "all sets, mean"


@dataclass(frozen=True)
class Variant:
    """A way to code pictures.

    Parameters
    ----------
    name : str
    base : str
        The preset that it differs from in one part; its own name for a preset.
    plan : Plan
    classes : bool
        Whether phases of a grid may have weights of their own.
    conversions : bool
        Whether pictures that were made from Y, Cb, Cr are taken back to these.
    """

    name: str
    base: str
    plan: Plan
    classes: bool = True
    conversions: bool = True

    @property
    def title(self) -> str:
        """Its name among all others."""
        return self.name if self.name == self.base else f"{self.base} {self.name}"


def main() -> None:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--side", type=int, default=512, metavar="N", help="pixels a side of the crops")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw sizes over speeds into this SVG file")
    chosen = options(__doc__, SETS, parents=[parser])
    if chosen.side < 16:
        refuse(f"--side {chosen.side}: at least 16")
    chosen.limit = chosen.limit or 2
    on_one_thread()
    ways = variants()
    contenders = [*map(contender, ways), *peers()]
    measurements = measure(find_pictures(chosen), partial(read_middle, side=chosen.side), contenders, warm_up())
    rows = summarise(measurements, REFERENCES, {ALL_SETS: chosen.sets})
    by_name = {(row["set"], row["contender"]): row for row in rows}
    summary = [_summary(one.title, one.base, chosen.sets, by_name) for one in ways]
    summary += [_summary(one.name, E9, chosen.sets, by_name) for one in peers()]
    print_parts(summary, {one.title: one for one in ways}, chosen.sets)
    if chosen.json:
        write_json(chosen.json, summary, measurements, libraries())
    if chosen.plot:
        chosen.plot.write_text(plot(summary, {one.title: one for one in ways}), encoding="utf-8")


def variants() -> list[Variant]:
    """The presets, each followed by what differs from it in one part."""
    best, quick = PLANS["max"], PLANS["fast"]
    less = [
        ("without networks", replace(best, networks=False)),
        ("without the long list of taps", replace(best, rich=False)),
        ("without grids", replace(best, grids=False)),
        ("without a trial of colours", replace(best, trial=False)),
        ("without weights of sample values", replace(best, occurrences=math.inf)),
        ("with quick fits", _with_effort(best, quick=True)),
        ("with one fit by likelihood", _with_effort(best, passes=1)),
        ("without fits by likelihood", _with_effort(best, passes=0)),
        ("with fits on 16384 samples", _with_effort(best, samples=16384)),
        ("with fits on 4096 samples", _with_effort(best, samples=4096)),
    ]
    more = [
        ("with networks", replace(quick, networks=True)),
        ("with the long list of taps", replace(quick, rich=True)),
        ("without grids", replace(quick, grids=False)),
        ("with a trial of colours", replace(quick, trial=True)),
        ("with weights of sample values as max", replace(quick, occurrences=best.occurrences)),
        ("with fitted scales, classes of every grid", _with_effort(quick, quick=False)),
        ("with two fits by likelihood", _with_effort(quick, passes=2)),
        ("without fits by likelihood", _with_effort(quick, passes=0)),
        ("with fits on 16384 samples", _with_effort(quick, samples=16384)),
        ("with fits on 4096 samples", _with_effort(quick, samples=4096)),
    ]
    every = [Variant(preset, preset, PLANS[preset]) for preset in PRESETS]
    every += [Variant(name, "max", plan) for name, plan in less]
    every.append(Variant("without weights of classes", "max", best, classes=False))
    every.append(Variant("without Y, Cb, Cr of decoders", "max", best, conversions=False))
    every += [Variant(name, "fast", plan) for name, plan in more]
    return [one for preset in PRESETS for one in every if one.base == preset]


def _with_effort(plan: Plan, **changes: Any) -> Plan:
    return replace(plan, effort=replace(plan.effort, **changes))


def contender(variant: Variant) -> Contender:
    codec = HaarCodec.load(plan=variant.plan)

    def encode(item: Item) -> Bitstream:
        with _classes(variant.classes), _conversions(variant.conversions):
            return codec.encode([item.samples])[0]

    def decode(bitstream: Bitstream, item: Item) -> NDArray[Any]:
        return codec.decode([bitstream])[0]

    return Contender(variant.title, encode, decode, lambda bitstream: int(bitstream.nbytes))


@contextmanager
def _classes(allowed: bool) -> Iterator[None]:
    """Let encoders find grids with classes, or none."""
    if allowed:
        yield
        return
    with mock.patch.object(phases, "_MOST_CLASSES", 1):
        yield


@contextmanager
def _conversions(allowed: bool) -> Iterator[None]:
    """Let encoders take pictures back to Y, Cb, Cr, or not."""
    if allowed:
        yield
        return
    with mock.patch.object(ycbcr, "find", return_value=None):
        yield


def read_middle(name: str, path: Path, side: int) -> Item:
    """The middle of a picture, of at most `side` pixels each way."""
    item = read(name, path)
    first = [max(0, (n - side) // 2) for n in item.samples.shape[:2]]
    middle = np.ascontiguousarray(item.samples[first[0] : first[0] + side, first[1] : first[1] + side])
    return replace(item, samples=middle, raw_bytes=middle.nbytes)


def _summary(
    name: str, base: str, sets: Sequence[str], rows: Mapping[tuple[str, str], Mapping[str, Any]]
) -> dict[str, Any]:
    """One contender over all sets."""
    mine, bases = ([rows[one, contender] for one in sets] for contender in (name, base))
    return {
        "contender": name,
        "base": base,
        "files": sum(row["files"] for row in mine),
        "bits_per_sample": {row["set"]: row["bits_per_sample"] for row in mine},
        "relative_to_base": statistics.fmean(a["bytes"] / b["bytes"] for a, b in zip(mine, bases, strict=True)),
        "relative_to_e9": statistics.fmean(row["relative_bytes"][E9] for row in mine),
        "encode_mb_per_s": statistics.fmean(row["encode_mb_per_s"] for row in mine),
        "decode_mb_per_s": statistics.fmean(row["decode_mb_per_s"] for row in mine),
    }


def print_parts(summary: Sequence[Mapping[str, Any]], ways: Mapping[str, Variant], sets: Sequence[str]) -> None:
    console = Console()
    if not console.is_terminal:
        console.width = 120
    table = Table(title=f"files: {summary[0]['files']}", title_justify="left")
    table.add_column("", no_wrap=True)
    for head in (*sets, "/ base", "/ e9", "enc MB/s", "dec MB/s"):
        table.add_column(head, justify="right")
    for row in summary:
        way = ways.get(row["contender"])
        is_preset = way is not None and way.name == way.base
        table.add_row(
            row["contender"] if way is None or is_preset else f"  {way.name}",
            *(f"{row['bits_per_sample'][name]:.3f}" for name in sets),
            f"{row['relative_to_base']:.4f}" if way else "",
            f"{row['relative_to_e9']:.4f}",
            f"{row['encode_mb_per_s']:.2f}",
            f"{row['decode_mb_per_s']:.2f}",
            style="bold" if is_preset else None,
        )
    console.print(table)


def plot(summary: Sequence[Mapping[str, Any]], ways: Mapping[str, Variant]) -> str:
    """Bytes in relation to JPEG XL effort 9 over encoding speed, as SVG."""
    points = []
    for row in summary:
        way = ways.get(row["contender"])
        kind = "peer" if way is None else "preset" if way.name == way.base else "part"
        name = f"haarchive {row['contender']}" if way else row["contender"]
        points.append(Point(row["encode_mb_per_s"], row["relative_to_e9"], name, kind))
    return scatter(points, "encoding, MB/s on one core", "bytes in relation to JPEG XL effort 9")


if __name__ == "__main__":
    main()
