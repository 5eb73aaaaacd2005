"""How fast the entropy coder is, beside constriction: ``python benchmarks/rans.py [--json]``.

All contenders run in one process on one core, in turns, so that whatever else the machine does hits them
alike; figures are medians over the rounds, in millions of symbols a second, and their ratios to
constriction's.

Workloads, all of discretised logistic samples:

``one table``
    One table for all symbols. constriction: `AnsCoder` with a `Categorical` model of the same probabilities.
``all tables``
    Another one of all 1168 tables for each symbol. constriction has no static tables by index: it is given a
    location and scale a symbol (`QuantizedLaplace`), the closest that it offers, and works out the intervals
    as it goes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import constriction
import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.distributions import PROBABILITY_ONE, logistic_tables
from haarchive.codecs.distributions.logistic import PHASES
from haarchive.codecs.rans import decode_symbols, encode_symbols

ONE_TABLE = 40 * PHASES  # scale 1, location 0


@dataclass(frozen=True)
class Contender:
    """Somebody who encodes and decodes one workload."""

    name: str
    encode: Callable[[], Any]
    decode: Callable[[Any], NDArray[np.int32]]
    nbytes: Callable[[Any], int]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--symbols", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--json", action="store_true", help="one JSON object a line and contender")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    one = np.full(options.symbols, ONE_TABLE, np.int32)
    every = rng.integers(0, len(logistic_tables()), options.symbols).astype(np.int32)
    rows = []
    for workload, index, peer in (("one table", one, categorical), ("all tables", every, laplace)):
        symbols, ideal = sample(index, rng)
        rows += measure(workload, symbols, ideal, [ours(symbols, index), peer(symbols, index)], options.rounds)
    write(rows, as_json=options.json)


def sample(index: NDArray[np.int32], rng: np.random.Generator) -> tuple[NDArray[np.int32], float]:
    """Symbols as likely as their tables say, and the bytes that they ideally take.

    No escapes, which constriction's models do not have.
    """
    tables = logistic_tables()
    slots = rng.integers(0, PROBABILITY_ONE, index.size)
    symbols = np.empty(index.size, np.int32)
    bits = 0.0
    for table in np.unique(index):
        here = np.flatnonzero(index == table)
        frequencies = tables.frequencies(int(table))
        last = int(tables.size[table]) - 1
        entry = np.searchsorted(np.cumsum(frequencies), slots[here], side="right")
        entry = np.where(entry == last, frequencies.argmax(), entry)
        symbols[here] = tables.low[table] + entry
        bits -= np.log2(frequencies[entry] / PROBABILITY_ONE).sum()
    return symbols, bits / 8


def ours(symbols: NDArray[np.int32], index: NDArray[np.int32]) -> Contender:
    tables = logistic_tables()
    return Contender(
        "haarchive",
        lambda: encode_symbols(symbols, index, tables),
        lambda data: decode_symbols(data, index, tables),
        len,
    )


def categorical(symbols: NDArray[np.int32], index: NDArray[np.int32]) -> Contender:
    tables = logistic_tables()
    low = int(tables.low[ONE_TABLE])
    probabilities = tables.frequencies(ONE_TABLE)[:-1].astype(np.float32)
    model = constriction.stream.model.Categorical(probabilities / probabilities.sum(), perfect=False)
    entries = symbols - np.int32(low)

    def encode() -> Any:
        coder = constriction.stream.stack.AnsCoder()
        coder.encode_reverse(entries, model)
        return coder.get_compressed()

    def decode(data: Any) -> NDArray[np.int32]:
        return constriction.stream.stack.AnsCoder(data).decode(model, index.size) + np.int32(low)  # type: ignore[no-any-return]

    return Contender("constriction", encode, decode, lambda data: int(data.nbytes))


def laplace(symbols: NDArray[np.int32], index: NDArray[np.int32]) -> Contender:
    scale = 2.0 ** (index // PHASES / 8 - 5)
    location = index % PHASES / PHASES
    family = constriction.stream.model.QuantizedLaplace(-300, 300)

    def encode() -> Any:
        coder = constriction.stream.stack.AnsCoder()
        coder.encode_reverse(symbols, family, location, scale)
        return coder.get_compressed()

    def decode(data: Any) -> NDArray[np.int32]:
        return constriction.stream.stack.AnsCoder(data).decode(family, location, scale)  # type: ignore[no-any-return]

    return Contender("constriction", encode, decode, lambda data: int(data.nbytes))


def measure(
    workload: str, symbols: NDArray[np.int32], ideal: float, contenders: list[Contender], rounds: int
) -> list[dict[str, Any]]:
    """Time all contenders in turns; the last one is the peer that ratios refer to."""
    seconds: dict[tuple[str, str], list[float]] = {}
    sizes = {}
    for turn in range(rounds + 1):
        for contender in contenders:
            begin = time.perf_counter()
            data = contender.encode()
            middle = time.perf_counter()
            decoded = contender.decode(data)
            end = time.perf_counter()
            if not np.array_equal(decoded, symbols):
                sys.exit(f"{contender.name}, {workload}: other symbols came out than went in")
            sizes[contender.name] = contender.nbytes(data)
            if turn:  # the first warms up
                seconds.setdefault((contender.name, "encode"), []).append(middle - begin)
                seconds.setdefault((contender.name, "decode"), []).append(end - middle)
    medians = {key: statistics.median(times) for key, times in seconds.items()}
    peer = contenders[-1].name
    return [
        {
            "workload": workload,
            "coder": contender.name,
            "symbols": symbols.size,
            "bytes": sizes[contender.name],
            "overhead_percent": round(100 * (sizes[contender.name] / ideal - 1), 4),
            **{
                f"{way}_msymbols_per_s": round(symbols.size / medians[contender.name, way] / 1e6, 1)
                for way in ("encode", "decode")
            },
            **{
                f"{way}_ratio": round(medians[peer, way] / medians[contender.name, way], 2)
                for way in ("encode", "decode")
            },
        }
        for contender in contenders
    ]


def write(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        for row in rows:
            sys.stdout.write(json.dumps(row) + "\n")
        return
    speeds = f"{'encode M/s':>12}{'ratio':>8}{'decode M/s':>12}{'ratio':>8}"
    sys.stdout.write(f"{'workload':12}{'coder':14}{'over ideal':>12}{speeds}\n")
    for row in rows:
        sys.stdout.write(
            f"{row['workload']:12}{row['coder']:14}{row['overhead_percent']:>11.3f}%"
            f"{row['encode_msymbols_per_s']:>12}{row['encode_ratio']:>8}"
            f"{row['decode_msymbols_per_s']:>12}{row['decode_ratio']:>8}\n"
        )


if __name__ == "__main__":
    main()
