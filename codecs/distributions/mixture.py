"""Mixtures of discretised logistics on the integers, as integer tables.

Equation 9 of Hoogeboom, Peters, van den Berg and Welling, "Integer Discrete Flows and Lossless Compression",
NeurIPS 2019, the prior of a flow's last level::

    p(z | pi, mu, s) = sum_k pi_k DLogistic(z | mu_k, s_k),   z an integer

Weights, locations and scales are integers, and the tables are computed with integers only, so that every
machine builds the same ones.

No mass can come out negative: the cumulative distribution of each component never falls (`tail_masses` never
rises), a sum of such with weights that are not negative never falls, and rounding it keeps the order. A
symbol's mass is the difference of two values of this one rounded function, so that masses also add up exactly.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

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

__all__ = ["MAX_LOCATION", "MAX_MIXTURE_SCALE", "MAX_SYMBOLS", "WEIGHT_BITS", "WEIGHT_ONE", "mixture_tables"]

WEIGHT_BITS = 16
"""Weights are multiples of ``2**-WEIGHT_BITS``."""

WEIGHT_ONE = 1 << WEIGHT_BITS
"""What the weights of each mixture add up to."""

MAX_LOCATION = 1 << (15 + LOCATION_BITS)
"""The largest magnitude of a location: ``2**15`` symbols, in units of ``2**-LOCATION_BITS``."""

MAX_MIXTURE_SCALE = (8 - SCALE_LOG2_MIN) * SCALES_PER_OCTAVE
"""The largest scale index, which stands for ``2**8``."""

MAX_SYMBOLS = (1 << 12) - 1
"""The most symbols of a table: each takes at least one of its ``2**15`` slots, however unlikely it is."""


def mixture_tables(weights: ArrayLike, locations: ArrayLike, scales: ArrayLike) -> CdfTables:
    """Tables of mixtures, one of each row.

    A table covers the symbols between the lowest and the highest that have at least half of the smallest
    probability; the two below and the two above the location of the heaviest component count as such. Where
    that makes more than `MAX_SYMBOLS`, it covers the stretch of so many that holds the most mass, the lowest of
    equals. Everything else is the escape's.

    Parameters
    ----------
    weights : (T, K) integers
        Shares of the components, in units of ``2**-WEIGHT_BITS``: not negative, `WEIGHT_ONE` in each row.
    locations : (T, K) integers
        In units of ``2**-LOCATION_BITS``, in ``[-MAX_LOCATION, MAX_LOCATION]``.
    scales : (T, K) integers
        In ``[0, MAX_MIXTURE_SCALE]``: i stands for ``2 ** (SCALE_LOG2_MIN + i / SCALES_PER_OCTAVE)``.

    Returns
    -------
    CdfTables
        T tables.

    Raises
    ------
    ValueError
        If the arguments are not such arrays.

    Notes
    -----
    Building takes a few milliseconds a table at most, and up to a second once for the scales: keep the result.
    """
    pi, mu, s = (_matrix(name, a) for name, a in (("weights", weights), ("locations", locations), ("scales", scales)))
    if not pi.shape == mu.shape == s.shape:
        raise ValueError(f"weights {pi.shape}, locations {mu.shape} and scales {s.shape} must be of one shape")
    _check_range("weights", pi, 0, WEIGHT_ONE)
    _check_range("locations", mu, -MAX_LOCATION, MAX_LOCATION)
    _check_range("scales", s, 0, MAX_MIXTURE_SCALE)
    sums = pi.sum(axis=1)
    if np.any(sums != WEIGHT_ONE):
        row = int(np.argmax(sums != WEIGHT_ONE))
        raise ValueError(f"the weights of each row must add up to {WEIGHT_ONE}, not {sums[row]} as those of row {row}")
    lows, masses = zip(*(_masses(*row) for row in zip(pi, mu, s, strict=True)), strict=True)
    return CdfTables.from_frequencies(normalised(list(masses)), lows)


def _masses(
    weights: NDArray[np.int64], locations: NDArray[np.int64], scales: NDArray[np.int64]
) -> tuple[int, NDArray[np.int64]]:
    """The lowest symbol and the masses of one table's entries, the escape's last."""
    heaviest = int(locations[weights.argmax()]) >> LOCATION_BITS
    used = weights > 0
    weights, locations = weights[used], locations[used]
    tails, reaches = zip(*(_tail(int(scale)) for scale in scales[used]), strict=True)

    # A symbol can only be likely enough where one component makes it so. Each stretch ends with a symbol that is
    # there for its lower edge only.
    stretches = [np.arange(heaviest - 1, heaviest + 4)]
    for location, reach in zip(locations, reaches, strict=True):
        centre = int(location) >> LOCATION_BITS
        stretches.append(np.arange(centre - reach, centre + reach + 2))
    edges = np.unique(np.concatenate(stretches))
    mass = np.diff(_below(edges, weights, locations, tails))
    symbols = edges[:-1]
    inside = (mass >= LEAST_MASS) | ((symbols >= heaviest - 1) & (symbols <= heaviest + 2))
    inside &= np.diff(edges) == 1
    symbols, mass = symbols[inside], mass[inside]

    # Of the stretches that begin with each of these symbols, the first that holds the most.
    stop = np.searchsorted(symbols, symbols + MAX_SYMBOLS)
    held = np.append(0, np.cumsum(mass))
    begin = int(np.argmax(held[stop] - held[:-1]))
    low, high = int(symbols[begin]), int(symbols[stop[begin] - 1])
    mass = np.diff(_below(np.arange(low, high + 2), weights, locations, tails))
    return low, np.append(mass, (1 << MASS_BITS) - mass.sum())


def _below(
    symbols: NDArray[np.int64],
    weights: NDArray[np.int64],
    locations: NDArray[np.int64],
    tails: tuple[NDArray[np.int64], ...],
) -> NDArray[np.int64]:
    """The mixture's mass below each symbol's unit interval, in units of 2**-MASS_BITS."""
    total = np.full(symbols.shape, WEIGHT_ONE // 2)
    for weight, location, tail in zip(weights, locations, tails, strict=True):
        total += weight * mass_below(tail, symbols * PHASES - PHASES // 2 - location)  # < 2**47 in all
    return total >> WEIGHT_BITS


@cache  # Those of the large scales take the time of many tables.
def _tail(scale_index: int) -> tuple[NDArray[np.int64], int]:
    """`tail_masses`, and a distance in symbols from which on a symbol has less than `LEAST_MASS`."""
    tail = tail_masses(scale_index)
    next_symbol = np.minimum(np.arange(tail.size) + PHASES, tail.size - 1)
    last = int(np.flatnonzero(tail - tail[next_symbol] >= LEAST_MASS)[-1])
    return tail, last // PHASES + 2


def _matrix(name: str, values: ArrayLike) -> NDArray[np.int64]:
    """A matrix of at least one row and one column, of integers."""
    array = np.asarray(values)
    if array.dtype.kind not in "iu":
        raise ValueError(f"{name} must be integers, not {array.dtype}")
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"{name} must be a matrix, a mixture a row and a component a column, not {array.shape}")
    return array.astype(np.int64)


def _check_range(name: str, array: NDArray[np.int64], low: int, high: int) -> None:
    """Refuse what is outside of [low, high]."""
    if array.min() < low or array.max() > high:
        raise ValueError(f"{name} must lie in [{low}, {high}], not in [{array.min()}, {array.max()}]")
