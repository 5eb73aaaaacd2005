"""What the tables of logistics are computed with: fixed-point integers, the same on every machine.

Scales s are log-spaced, ``s[i] = 2 ** (SCALE_LOG2_MIN + i / SCALES_PER_OCTAVE)``; distances from a location are
multiples of ``1 / PHASES``; masses are multiples of ``2**-MASS_BITS``.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.distributions.tables import PROBABILITY_BITS, PROBABILITY_ONE

__all__ = [
    "LEAST_MASS",
    "LOCATION_BITS",
    "MASS_BITS",
    "PHASES",
    "SCALES_PER_OCTAVE",
    "SCALE_LOG2_MIN",
    "mass_below",
    "normalised",
    "tail_masses",
]

LOCATION_BITS = 4
"""Locations are multiples of ``2**-LOCATION_BITS``."""

PHASES = 1 << LOCATION_BITS
"""Fractional parts that a location can have."""

SCALES_PER_OCTAVE = 8
SCALE_LOG2_MIN = -5

FIXED_BITS = 96
"""Fraction bits of the fixed-point numbers that the tables are computed with."""

MASS_BITS = 31
"""Probabilities are rounded to multiples of ``2**-MASS_BITS`` before they are normalised."""

LEAST_MASS = 1 << (MASS_BITS - PROBABILITY_BITS - 1)
"""Half of the smallest probability: less likely symbols are better escaped."""


def tail_masses(scale_index: int) -> NDArray[np.int64]:
    """``sigmoid(-k / (PHASES * s))`` for k = 0, 1, ... in units of 2**-MASS_BITS, until it rounds to zero.

    They never rise: each power is the one before it times a ratio below 1, rounded down, and both the quotient
    and its rounding keep the order.
    """
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


def mass_below(tail: NDArray[np.int64], edges: NDArray[np.int64]) -> NDArray[np.int64]:
    """The logistic's cumulative distribution in units of 2**-MASS_BITS, which never falls.

    Parameters
    ----------
    tail : (n,) int64
        Of its scale, by `tail_masses`.
    edges : (m,) int64
        In units of ``1 / PHASES`` from the location.
    """
    below = tail[np.minimum(np.abs(edges), tail.size - 1)]
    return np.where(edges > 0, (1 << MASS_BITS) - below, below)


def normalised(masses: list[NDArray[np.int64]]) -> list[NDArray[np.int64]]:
    """Frequencies >= 1 in proportion to the masses, adding up to `PROBABILITY_ONE` in each table.

    For each table the largest factor is searched with which the rounded-down frequencies do not exceed the
    total; the few units that are left go to the largest entry.

    Parameters
    ----------
    masses : list of (size,) int64
        For each table at most `PROBABILITY_ONE` masses, which add up to ``2**MASS_BITS``.
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
