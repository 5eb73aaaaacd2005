"""What the benchmarks of lossless coding share: contenders, fair timing, means, tables, JSON.

Every file is encoded and decoded by all contenders in turns, on one core, so that whatever else the machine does hits
them alike; times are the processor's, also of tools that are started, so that waiting for it does not count. What comes
out is compared with what went in; real bytes are counted.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

__all__ = [
    "Column",
    "Contender",
    "Item",
    "Measurement",
    "Reference",
    "find_files",
    "measure",
    "on_one_thread",
    "options",
    "print_columns",
    "print_tables",
    "refuse",
    "summarise",
    "write_json",
]


@dataclass(frozen=True)
class Item:
    """One file: its samples, and what a contender must know beside them.

    Parameters
    ----------
    set, name : str
    samples : ndarray
    raw_bytes : int
        Bytes of the samples at their own width: a 24-bit sample has three.
    attrs : Mapping
        Whatever the contenders of a benchmark agree on.
    """

    set: str
    name: str
    samples: NDArray[Any]
    raw_bytes: int
    attrs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Contender:
    """Somebody who encodes and decodes."""

    name: str
    encode: Callable[[Item], Any]
    decode: Callable[[Any, Item], Any]
    nbytes: Callable[[Any], int] = len
    samples: Callable[[Any], NDArray[Any]] = np.asarray
    """What decoding gave, as samples; outside of the timing, for tools that write files."""


@dataclass(frozen=True)
class Measurement:
    """One contender on one file. Sizes in bytes, times in seconds of the processor."""

    set: str
    file: str
    contender: str
    samples: int
    raw_bytes: int
    bytes: int
    encode_seconds: float
    decode_seconds: float
    duration: float = 0.0


@dataclass(frozen=True)
class Reference:
    """A peer that the others' bytes are put in relation to, and the head of that column."""

    contender: str
    head: str


@dataclass(frozen=True)
class Column:
    """A column of a table of `summarise`'s rows: what it says of each.

    Parameters
    ----------
    head : str
    key : str
    peer : str, optional
        The reference that a number is in relation to.
    digits : int
    """

    head: str
    key: str
    peer: str | None = None
    digits: int = 3

    def of(self, row: Mapping[str, Any]) -> str:
        """The number, as text."""
        value = row[self.key] if self.peer is None else row[self.key][self.peer]
        return f"{value:.{self.digits}f}"


def options(
    doc: str | None,
    sets: Sequence[str],
    arguments: Sequence[str] | None = None,
    parents: Sequence[argparse.ArgumentParser] = (),
) -> argparse.Namespace:
    """Parse the command line: ``data`` (Path), ``json`` (Path or None), ``limit`` (int or None), ``sets``.

    A benchmark's own options come from `parents`, which have no help of their own. Exits with status 2 and one line
    where there is no data.
    """
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0], parents=list(parents))
    parser.add_argument("--data", type=Path, help="folder of the validation data; default: $HAARCHIVE_DATA")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to this file")
    parser.add_argument(
        "--files", "--limit", dest="limit", type=int, metavar="N", help="only the first N files of each set"
    )
    parser.add_argument("--sets", nargs="+", default=list(sets), metavar="SET", help=f"of {', '.join(sets)}")
    parsed = parser.parse_args(arguments)
    if parsed.data is None:
        if "HAARCHIVE_DATA" not in os.environ:
            refuse("where is the data? give its folder by --data or HAARCHIVE_DATA")
        parsed.data = Path(os.environ["HAARCHIVE_DATA"])
    if parsed.limit is not None and parsed.limit < 1:
        refuse(f"--files {parsed.limit}: at least one file")
    return parsed


def on_one_thread() -> None:
    """Start this program again with one thread in OpenMP and BLAS, unless that is so: they ask when they are loaded."""
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1")
    if not one.items() <= os.environ.items():
        sys.stdout.flush()
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **one})


def find_files(folder: Path, limit: int | None) -> list[Path]:
    """The files of a set in order, at most `limit`; exits with status 2 where there are none."""
    files = sorted(path for path in folder.glob("*") if path.is_file())
    if not files:
        refuse(f"no files in {folder}; --data names the folder with 'histology' and 'audio' in it")
    return files[:limit]


def refuse(reason: str) -> NoReturn:
    """Leave with one line and status 2."""
    sys.stderr.write(f"{Path(sys.argv[0]).name}: {reason}\n")
    sys.exit(2)


def measure(
    files: Sequence[tuple[str, Path]],
    read: Callable[[str, Path], Item],
    contenders: Sequence[Contender],
    warm_up: Item,
) -> list[Measurement]:
    """Encode and decode every file with every contender on one core, and compare what comes out.

    Exits with status 1 where other samples come out than went in.
    """
    torch.set_num_threads(1)
    for contender in contenders:  # compiles kernels, loads libraries and models
        contender.decode(contender.encode(warm_up), warm_up)
    measurements = []
    screen = Console(stderr=True)
    for name, path in track(files, "measuring", console=screen, disable=not screen.is_terminal):
        item = read(name, path)
        for contender in contenders:
            begin = processor_time()
            encoded = contender.encode(item)
            middle = processor_time()
            decoded = contender.decode(encoded, item)
            end = processor_time()
            if not np.array_equal(contender.samples(decoded), item.samples):
                sys.exit(f"{contender.name}, {path}: other samples came out than went in")
            measurements.append(
                Measurement(
                    item.set,
                    item.name,
                    contender.name,
                    item.samples.size,
                    item.raw_bytes,
                    contender.nbytes(encoded),
                    middle - begin,
                    end - middle,
                    item.attrs.get("duration", 0.0),
                )
            )
    return measurements


def processor_time() -> float:
    """Seconds of processor time that this process and those that it waited for have taken."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def summarise(
    measurements: Iterable[Measurement], references: Sequence[Reference], groups: Mapping[str, Sequence[str]]
) -> list[dict[str, Any]]:
    """One row a set and contender, then one a group of sets and contender.

    Of a set: bits a sample as the mean and the median over files; size in relation to each reference as total bytes
    by total bytes, and as the mean and the median of the files' ratios; speeds as medians over files, and in relation
    to each reference as the median of the files' ratios. Of a group: means of its sets.
    """
    cells: dict[tuple[str, str], list[Measurement]] = {}
    for one in measurements:
        cells.setdefault((one.set, one.contender), []).append(one)
    totals = {key: sum(m.bytes for m in cell) for key, cell in cells.items()}
    rows = []
    for (name, contender), cell in cells.items():
        row: dict[str, Any] = {
            "set": name,
            "contender": contender,
            "files": len(cell),
            "raw_bytes": sum(m.raw_bytes for m in cell),
            "bytes": totals[name, contender],
            "bits_per_sample": statistics.fmean(8 * m.bytes / m.samples for m in cell),
            "bits_per_sample_median": statistics.median(8 * m.bytes / m.samples for m in cell),
        }
        # Files come in the same order for all contenders.
        peers = {r.contender: cells[name, r.contender] for r in references}
        row["relative_bytes"] = {peer: totals[name, contender] / totals[name, peer] for peer in peers}
        ratios = {peer: _ratios(cell, theirs, lambda m: m.bytes) for peer, theirs in peers.items()}
        row["relative_mean"] = {peer: statistics.fmean(values) for peer, values in ratios.items()}
        row["relative_median"] = {peer: statistics.median(values) for peer, values in ratios.items()}
        for way in ("encode", "decode"):
            seconds = _SECONDS[way]
            row[f"{way}_mb_per_s"] = statistics.median(m.raw_bytes / 1e6 / seconds(m) for m in cell)
            row[f"{way}_relative_speed"] = {
                peer: statistics.median(_ratios(theirs, cell, seconds)) for peer, theirs in peers.items()
            }
            if cell[0].duration:
                row[f"{way}_times_real_time"] = statistics.median(m.duration / seconds(m) for m in cell)
        rows.append(row)
    for group, members in groups.items():
        parts = [row for row in rows if row["set"] in members]
        if len({row["set"] for row in parts}) > 1:
            rows += _means(group, parts)
    return rows


_SECONDS: Mapping[str, Callable[[Measurement], float]] = {
    "encode": lambda m: m.encode_seconds,
    "decode": lambda m: m.decode_seconds,
}


def _ratios(
    ours: Sequence[Measurement], theirs: Sequence[Measurement], of: Callable[[Measurement], float]
) -> list[float]:
    return [of(a) / of(b) for a, b in zip(ours, theirs, strict=True)]


def _means(group: str, parts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    means = []
    for contender in dict.fromkeys(row["contender"] for row in parts):
        mine = [row for row in parts if row["contender"] == contender]
        row: dict[str, Any] = {"set": group, "contender": contender}
        for key in (key for key in mine[0] if key not in row):
            values = [one[key] for one in mine]
            if isinstance(values[0], Mapping):
                row[key] = {peer: statistics.fmean(value[peer] for value in values) for peer in values[0]}
            else:
                row[key] = (sum if key in ("files", "raw_bytes", "bytes") else statistics.fmean)(values)
        means.append(row)
    return means


def print_tables(rows: Sequence[Mapping[str, Any]], references: Sequence[Reference], unit: str) -> None:
    """One table a set or group: bits, total bytes in relation to each reference, speeds."""
    columns = [Column(unit, "bits_per_sample")]
    columns += [Column(reference.head, "relative_bytes", reference.contender) for reference in references]
    columns += [Column("enc MB/s", "encode_mb_per_s", digits=2), Column("dec MB/s", "decode_mb_per_s", digits=2)]
    if rows and "encode_times_real_time" in rows[0]:
        columns.append(Column("enc x time", "encode_times_real_time", digits=0))
        columns.append(Column("dec x time", "decode_times_real_time", digits=0))
    print_columns(rows, columns)


def _is_ours(contender: str) -> bool:
    return contender.startswith("haarchive")


def print_columns(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[Column], ours: Callable[[str], bool] = _is_ours
) -> None:
    """One table a set or group of `summarise`'s rows, with a row a contender; ours in bold."""
    console = Console()
    if not console.is_terminal:
        console.width = 120
    for name in dict.fromkeys(row["set"] for row in rows):
        mine = [row for row in rows if row["set"] == name]
        table = Table(title=f"{name}, files: {mine[0]['files']}", title_justify="left")
        table.add_column("codec", no_wrap=True)
        for column in columns:
            table.add_column(column.head, justify="right")
        for row in mine:
            cells = [column.of(row) for column in columns]
            table.add_row(row["contender"], *cells, style="bold" if ours(row["contender"]) else None)
        console.print(table)


def write_json(
    path: Path,
    rows: Sequence[Mapping[str, Any]],
    measurements: Sequence[Measurement],
    libraries: Mapping[str, str],
) -> None:
    """Write everything that was measured, and with what."""
    environment = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        **{name: metadata.version(name) for name in ("haarchive", "numpy", "numba", "torch")},
        **libraries,
    }
    record = {
        "environment": environment,
        "summary": list(rows),
        "files": [asdict(one) for one in measurements],
    }
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
