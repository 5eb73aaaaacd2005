"""The discretised logistic distribution on the integers, as integer tables.

Equation 8 of Hoogeboom, Peters, van den Berg and Welling, "Integer Discrete Flows and Lossless Compression",
NeurIPS 2019::

    DLogistic(x | mu, s) = sigmoid((x + 1/2 - mu) / s) - sigmoid((x - 1/2 - mu) / s),   x an integer

Scales s come from a log-spaced table; locations mu are split into an integer, which the caller subtracts from
the symbol, and one of `PHASES` phases in [0, 1). The tables are computed with integers only, so that every
machine builds the same ones, and their digest is checked.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.distributions.tables import PROBABILITY_BITS, PROBABILITY_ONE, CdfTables
from haarchive.codecs.errors import ModelError

__all__ = [
    "LOCATION_BITS",
    "PHASES",
    "SCALES",
    "SCALES_PER_OCTAVE",
    "SCALE_LOG2_MAX",
    "SCALE_LOG2_MIN",
    "TABLES_SHA256",
    "LogisticTables",
    "logistic_tables",
]

LOCATION_BITS = 4
"""Locations are multiples of ``2**-LOCATION_BITS``."""

PHASES = 1 << LOCATION_BITS
"""Fractional parts that a location can have."""

SCALES_PER_OCTAVE = 8
SCALE_LOG2_MIN = -5
SCALE_LOG2_MAX = 4

SCALES = (SCALE_LOG2_MAX - SCALE_LOG2_MIN) * SCALES_PER_OCTAVE + 1
"""Scales in the table: ``s[i] = 2 ** (SCALE_LOG2_MIN + i / SCALES_PER_OCTAVE)``."""

TABLES_SHA256 = "aabd10fa685374423516c354e3c5531a6cf1f0ae16b5d90222271a5f69ad9af8"
"""`CdfTables.sha256` of the tables. A change of it is a change of the bitstream format."""

FIXED_BITS = 96
"""Fraction bits of the fixed-point numbers that the tables are computed with."""

MASS_BITS = 31
"""Probabilities are rounded to multiples of ``2**-MASS_BITS`` before they are normalised."""


@dataclass(frozen=True, eq=False)
class LogisticTables(CdfTables):
    """Discretised logistics of `SCALES` scales and `PHASES` phases.

    Table ``i * PHASES + phase`` has the scale ``2 ** (SCALE_LOG2_MIN + i / SCALES_PER_OCTAVE)`` and the
    location ``phase / PHASES``. See `CdfTables` for the arrays. `logistic_tables` gives the one instance.
    """


@lru_cache(maxsize=1)
def logistic_tables() -> LogisticTables:
    """The tables, built at the first call (some 0.2 s) and then kept.

    Raises
    ------
    ModelError
        If this machine builds other tables than those that archives were written with.
    """
    masses: list[NDArray[np.int64]] = []
    lows: list[int] = []
    for scale_index in range(SCALES):
        tail = _tail_masses(scale_index)
        for phase in range(PHASES):
            low, mass = _masses(tail, phase)
            lows.append(low)
            masses.append(mass)
    tables = LogisticTables.from_frequencies(_normalised(masses), lows)
    if tables.sha256() != TABLES_SHA256:
        raise ModelError(
            f"the tables of the discretised logistic came out as {tables.sha256()}, not {TABLES_SHA256}: "
            "this machine computes integers wrongly or the installation is damaged; reinstall haarchive"
        )
    return tables


def _tail_masses(scale_index: int) -> NDArray[np.int64]:
    """``sigmoid(-k / (PHASES * s))`` for k = 0, 1, ... in units of 2**-MASS_BITS, until it rounds to zero."""
    # 2 ** (-i / 8) by square roots: 2 ** (i / 8) = (2 ** i) ** (1 / 8).
    inverse = 1 << (8 * FIXED_BITS)
    exponent = -SCALE_LOG2_MIN * SCALES_PER_OCTAVE - scale_index
    inverse = inverse << exponent if exponent >= 0 else inverse >> -exponent
    for _ in range(3):
        inverse = math.isqrt(inverse)
    ratio = _exp_minus(inverse // PHASES)
    one = 1 << FIXED_BITS
    power = one
    tail = []
    while True:
        mass = ((power << MASS_BITS) + (one + power) // 2) // (one + power)
        tail.append(mass)
        if mass == 0:
            return np.array(tail, dtype=np.int64)
        power = power * ratio >> FIXED_BITS


def _exp_minus(x: int) -> int:
    """``exp(-x)`` for a fixed-point x in [0, 2]: Taylor's series for ``x / 2**8``, squared 8 times."""
    halvings = 8
    term = total = 1 << FIXED_BITS
    for n in range(1, 64):
        term = -(term * x >> FIXED_BITS + halvings) // n
        total += term
    for _ in range(halvings):
        total = total * total >> FIXED_BITS
    return total


def _masses(tail: NDArray[np.int64], phase: int) -> tuple[int, NDArray[np.int64]]:
    """The lowest symbol and the masses of one table's entries, the escape's last.

    A symbol is in the table if its mass is at least half of the smallest probability; -1, 0, 1 and 2, the
    neighbours of any location, always are.
    """
    reach = -(-tail.size // PHASES) + 1
    symbols = np.arange(-reach, reach + 2)
    # Edges of the symbols' unit intervals, in units of 1 / PHASES from the location.
    edges = (symbols * PHASES) - PHASES // 2 - phase
    below = tail[np.minimum(np.abs(edges), tail.size - 1)]
    below = np.where(edges > 0, (1 << MASS_BITS) - below, below)
    mass = np.diff(below)
    symbols = symbols[:-1]
    inside = (mass >= 1 << (MASS_BITS - PROBABILITY_BITS - 1)) | ((symbols >= -1) & (symbols <= 2))
    escape = (1 << MASS_BITS) - mass[inside].sum()
    return int(symbols[inside][0]), np.append(mass[inside], escape)


def _normalised(masses: list[NDArray[np.int64]]) -> list[NDArray[np.int64]]:
    """Frequencies >= 1 in proportion to the masses, adding up to `PROBABILITY_ONE` in each table.

    For each table the largest factor is searched with which the rounded-down frequencies do not exceed the
    total; the few units that are left go to the largest entry.
    """
    mass = np.concatenate(masses)
    sizes = np.array([len(m) for m in masses])
    begins = np.cumsum(sizes) - sizes
    factor = np.zeros(len(masses), dtype=np.int64)  # in units of 2 ** -(62 - MASS_BITS - PROBABILITY_BITS)
    for bit in reversed(range(63 - MASS_BITS)):
        trial = factor + (1 << bit)
        frequency = np.maximum(mass * np.repeat(trial, sizes) >> (62 - PROBABILITY_BITS), 1)
        factor = np.where(np.add.reduceat(frequency, begins) <= PROBABILITY_ONE, trial, factor)
    frequency = np.maximum(mass * np.repeat(factor, sizes) >> (62 - PROBABILITY_BITS), 1)
    rows = np.split(frequency, begins[1:])
    for row in rows:
        row[row.argmax()] += PROBABILITY_ONE - row.sum()
    return rows
