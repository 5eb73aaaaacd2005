"""Whether a device gives a CPU's bytes, and how fast it is: ``python benchmarks/devices.py --data DIR --device cuda``.

Chunks of 256 x 256, the complete ones of every validation picture, again and again until there are enough. Of each
codec with networks the first chunks are encoded on one CPU core, chunk by chunk, and on the device, all together: the
bitstreams must be equal, and what the device decodes of all chunks must be what went in. Exits with status 1 otherwise.

Throughput is by the clock, of raw samples, entropy coding on CPU threads included; it is how fast the machine is, not
its device alone. ``networks`` is the device alone: samples to latents and all locations and scales, for idf.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from typing import Any, TypeVar

import numpy as np
import torch
from _common import options, refuse, write_json
from _pieces import chunks
from lossless_images import SETS, find_pictures, libraries, read
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from haarchive.codecs import Codec, get_codec
from haarchive.codecs.haar.presets import Preset
from haarchive.codecs.idf.pictures import prepare
from haarchive.codecs.idf.planes import centred, flow_units
from haarchive.codecs.idf.shipped import load_flows

CODECS: tuple[tuple[str, Preset], ...] = (("idf", "fast"), ("idf", "balanced"), ("idf", "max"), ("haar", "max"))
COMPARED = 24
"""Chunks whose bitstreams are compared with those of one core."""

_Of = TypeVar("_Of")
_Result = TypeVar("_Result")


def main() -> int:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--device", default="cpu", help="torch device; default: cpu")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of the CPU; default: one a core")
    parser.add_argument("--megabytes", type=float, default=24, help="of samples; default: 24")
    chosen = options(__doc__, SETS, parents=[parser])
    if chosen.device.startswith("cuda") and not torch.cuda.is_available():
        refuse("torch sees no GPU here")
    pieces = [piece for item in find_pictures(chosen) for piece in chunks(read(*item)).samples]
    wanted = list(islice(cycle(pieces), max(COMPARED, int(chosen.megabytes * 1e6 / pieces[0].nbytes))))
    rows = [
        measure(name, preset, wanted, chosen.device, chosen.threads)
        for name, preset in track(CODECS, console=Console(stderr=True))
    ]
    show(rows, chosen.device, chosen.threads)
    if chosen.json:
        write_json(chosen.json, rows, [], libraries())
    return 0 if all(row["same_bytes"] and row["same_samples"] for row in rows) else 1


def measure(
    name: str, preset: Preset, pieces: Sequence[NDArray[np.uint8]], device: str, threads: int
) -> dict[str, Any]:
    """One codec under one preset."""
    torch.set_num_threads(1)
    few = list(pieces[:COMPARED])
    expected = [get_codec(name, preset=preset).encode([piece])[0] for piece in few]
    codec = get_codec(name, preset=preset, device=device)
    codec.decode(codec.encode(few))  # compiles kernels
    # Beside a device idf sees to its threads; else pieces are handed to some.
    together = name == "idf" and device != "cpu"
    torch.set_num_threads(threads if together else 1)
    megabytes = sum(piece.nbytes for piece in pieces) / 1e6
    with ThreadPoolExecutor(threads) as pool:
        encode, decode = (_handed(pool, one, together) for one in (codec.encode, codec.decode))
        encoded, encoding = _timed(lambda: encode(list(pieces)))
        decoded, decoding = _timed(lambda: decode(encoded))
    return {
        "codec": name,
        "preset": preset,
        "device": device,
        "threads": threads,
        "megabytes": megabytes,
        "encode_mb_per_s": megabytes / encoding,
        "decode_mb_per_s": megabytes / decoding,
        "network_mb_per_s": megabytes / _networks(codec, pieces, device) if name == "idf" else None,
        "same_bytes": encoded[:COMPARED] == expected,
        "same_samples": all(map(np.array_equal, decoded, pieces)),
    }


def _handed(
    pool: ThreadPoolExecutor, work: Callable[[list[_Of]], list[_Result]], together: bool
) -> Callable[[list[_Of]], list[_Result]]:
    if together:
        return work
    return lambda items: [result for one in pool.map(lambda item: work([item]), items) for result in one]


def _timed(work: Callable[[], _Result]) -> tuple[_Result, float]:
    began = time.perf_counter()
    return work(), time.perf_counter() - began


def _networks(codec: Codec, pieces: Sequence[NDArray[np.uint8]], device: str) -> float:
    """Seconds that flows take for all pieces, 64 at a time, whatever colours they are coded in."""
    assert codec.model is not None
    flows, _ = load_flows(codec.name, codec.model, device)
    prepared = prepare(list(pieces), flows, adaptive=True)
    ((placed, part),) = flow_units(flows, 3)
    batches = [
        torch.from_numpy(np.stack([centred(one, placed, part) for one in prepared[at : at + 64]])).to(device)
        for at in range(0, len(prepared), 64)
    ]

    def evaluate() -> None:
        for batch in batches:
            placed.latents(batch, 0)
        if device.startswith("cuda"):
            torch.cuda.synchronize()

    evaluate()
    return _timed(evaluate)[1]


def show(rows: Sequence[dict[str, Any]], device: str, threads: int) -> None:
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else device
    table = Table(title=f"{name}, {threads} CPU threads; MB/s of raw samples")
    for column in ("", "encode", "decode", "networks", "bytes of a CPU core", "samples"):
        table.add_column(column, justify="left" if not column else "right")
    for row in rows:
        speeds = [row[f"{what}_mb_per_s"] for what in ("encode", "decode", "network")]
        table.add_row(
            f"{row['codec']} {row['preset']}",
            *("" if speed is None else f"{speed:.1f}" for speed in speeds),
            *("the same" if row[what] else "OTHERS" for what in ("same_bytes", "same_samples")),
        )
    Console().print(table)


if __name__ == "__main__":
    raise SystemExit(main())
