"""The discretised logistic distribution on the integers, as integer tables.

Equation 8 of Hoogeboom, Peters, van den Berg and Welling, "Integer Discrete Flows and Lossless Compression",
NeurIPS 2019::

    DLogistic(x | mu, s) = sigmoid((x + 1/2 - mu) / s) - sigmoid((x - 1/2 - mu) / s),   x an integer

Scales s come from a log-spaced table; locations mu are split into an integer, which the caller subtracts from
the symbol, and one of `PHASES` phases in [0, 1). The tables are computed with integers only, so that every
machine builds the same ones, and their digest is checked.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.distributions.fixed_point import (
    LEAST_MASS,
    LOCATION_BITS,
    MASS_BITS,
    PHASES,
    SCALE_LOG2_MIN,
    SCALES_PER_OCTAVE,
    mass_below,
    normalised,
    tail_masses,
)
from haarchive.codecs.distributions.tables import CdfTables
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

SCALE_LOG2_MAX = 4

SCALES = (SCALE_LOG2_MAX - SCALE_LOG2_MIN) * SCALES_PER_OCTAVE + 1
"""Scales in the table: ``s[i] = 2 ** (SCALE_LOG2_MIN + i / SCALES_PER_OCTAVE)``."""

TABLES_SHA256 = "aabd10fa685374423516c354e3c5531a6cf1f0ae16b5d90222271a5f69ad9af8"
"""`CdfTables.sha256` of the tables. A change of it is a change of the bitstream format."""


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
        tail = tail_masses(scale_index)
        for phase in range(PHASES):
            low, mass = _masses(tail, phase)
            lows.append(low)
            masses.append(mass)
    tables = LogisticTables.from_frequencies(normalised(masses), lows)
    if tables.sha256() != TABLES_SHA256:
        raise ModelError(
            f"the tables of the discretised logistic came out as {tables.sha256()}, not {TABLES_SHA256}: "
            "this machine computes integers wrongly or the installation is damaged; reinstall haarchive"
        )
    return tables


def _masses(tail: NDArray[np.int64], phase: int) -> tuple[int, NDArray[np.int64]]:
    """The lowest symbol and the masses of one table's entries, the escape's last.

    A symbol is in the table if its mass is at least half of the smallest probability; -1, 0, 1 and 2, the
    neighbours of any location, always are.
    """
    reach = -(-tail.size // PHASES) + 1
    symbols = np.arange(-reach, reach + 2)
    # Edges of the symbols' unit intervals, in units of 1 / PHASES from the location.
    edges = (symbols * PHASES) - PHASES // 2 - phase
    mass = np.diff(mass_below(tail, edges))
    symbols = symbols[:-1]
    inside = (mass >= LEAST_MASS) | ((symbols >= -1) & (symbols <= 2))
    escape = (1 << MASS_BITS) - mass[inside].sum()
    return int(symbols[inside][0]), np.append(mass[inside], escape)
