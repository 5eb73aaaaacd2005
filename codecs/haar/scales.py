"""Integer tables of the scale adaptation: logarithms, and the gradient of the code length.

Both are computed with `decimal`, whose arithmetic is specified to the last digit, so every machine builds the
same integers; a digest guards them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from decimal import Decimal, localcontext
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.distributions.jit import leaf
from haarchive.codecs.errors import ModelError

__all__ = [
    "DISTANCE_BITS",
    "GRADIENT_ONE",
    "GRADIENT_ROWS",
    "LOG_STEPS",
    "ScaleTables",
    "gradient_row",
    "half_octaves",
    "log64",
    "scale_tables",
]

DISTANCE_BITS = 4
"""Distances from a location are in units of ``2**-4`` sample."""

GRADIENT_ONE = 256
"""Gradients are in units of 1/256."""

GRADIENT_ROWS = 48
"""Scales ``2 ** (-5 + row / 8)`` below 2: larger ones share rows by halving the distance."""

_COLUMNS = 512
_LOG_TABLE = 4096
LOG_STEPS = 2
"""Steps an octave of `half_octaves`."""

_SHA256 = "8f56afb34be6ca4a69defd57cdbd072e13631db9dd7aaa1b9bd277614123a4b7"


@dataclass(frozen=True, eq=False)
class ScaleTables:
    """The tables.

    Parameters
    ----------
    gradient : ndarray, shape (48, 512), int16
        For scale row and distance in 1/16 sample: the derivative of the code length (in nats) with respect to
        the logarithm of the scale, negated, in units of 1/256, clipped to [-1, 4].
    log : ndarray, shape (4096,), uint8
        ``floor(2 * log2(v + 1))``.
    rate : ndarray, shape (256,), int32
        Step size after n visits, ``max(1 / (n + 1.5), 1 / 40)``, in units of 2**-16.
    fine : ndarray, shape (1024,), uint8
        ``floor(64 * log2(1 + m / 1024))``.
    """

    gradient: NDArray[np.int16]
    log: NDArray[np.uint8]
    rate: NDArray[np.int32]
    fine: NDArray[np.uint8]


@leaf
def half_octaves(value, log):  # type: ignore[no-untyped-def]
    """``floor(2 * log2(value + 1))`` for value >= 0, by table; approximate above 4095."""
    steps = 0
    while value >= 4096:
        value >>= 4
        steps += 8
    return np.int64(log[value]) + steps


@leaf
def log64(value, fine):  # type: ignore[no-untyped-def]
    """``64 * log2(value)`` for value >= 1, by table, rounded down."""
    octaves = 10
    while value >= 1 << 19:
        value >>= 8
        octaves += 8
    while value >= 2048:
        value >>= 1
        octaves += 1
    while value < 1024:
        value <<= 1
        octaves -= 1
    return (octaves << 6) + np.int64(fine[value - 1024])


@leaf
def gradient_row(scale, distance, gradient):  # type: ignore[no-untyped-def]
    """Look the gradient up.

    Parameters
    ----------
    scale : int
        Index into eighths of an octave from 2**-5.
    distance : int
        In 1/16 sample.
    gradient : (48, 512) int16
    """
    if scale >= 48:
        octaves = (scale - 40) >> 3
        scale -= octaves << 3
        distance >>= octaves
    return np.int64(gradient[scale, min(distance, 511)])


@lru_cache(maxsize=1)
def scale_tables() -> ScaleTables:
    """The tables, built at the first call and then kept.

    Raises
    ------
    ModelError
        If this machine builds other tables than those that archives were written with.
    """
    log = np.array([((v + 1) ** 2).bit_length() - 1 for v in range(_LOG_TABLE)], np.uint8)
    rate = np.array([max((1 << 17) // (2 * n + 3), (1 << 16) // 40) for n in range(256)], np.int32)
    fine = np.array([_fine_log(1024 + m) for m in range(1024)], np.uint8)
    tables = ScaleTables(_gradient(), log, rate, fine)
    digest = hashlib.sha256()
    for array in (tables.gradient, tables.log, tables.rate, tables.fine):
        digest.update(array.astype(array.dtype.newbyteorder("<")).tobytes())
    if digest.hexdigest() != _SHA256:
        raise ModelError(f"scale tables came out as {digest.hexdigest()}, not {_SHA256}: reinstall haarchive")
    return tables


def _fine_log(v: int) -> int:
    """``floor(64 * log2(v / 1024))`` for 1024 <= v < 2048, exactly: the bit length of the 64th power."""
    return (v**64).bit_length() - 1 - 640


def _gradient() -> NDArray[np.int16]:
    r""":math:`(A \sigma'(A) - B \sigma'(B)) / (\sigma(A) - \sigma(B))` negated; A, B = (d +- 1/2) / s."""
    table = np.empty((GRADIENT_ROWS, _COLUMNS), np.int16)
    with localcontext() as context:
        context.prec = 40
        for row in range(GRADIENT_ROWS):
            inverse = Decimal(2) ** (5 - Decimal(row) / 8)
            step = (-inverse / 16).exp()
            # power[k] = e ** (-k / (16 s)); distances of half a sample are 8 such steps.
            power = [Decimal(1)]
            for _ in range(_COLUMNS + 8):
                power.append(power[-1] * step)
            for column in range(_COLUMNS):
                table[row, column] = _one_gradient(column, inverse, power)
    return table


def _one_gradient(column: int, inverse: Decimal, power: list[Decimal]) -> int:
    def parts(k: int) -> tuple[Decimal, Decimal]:
        """sigma(-|x|) and x * sigma'(x) for x = k / (16 s)."""
        e = power[abs(k)]
        return e / (1 + e), Decimal(k) / 16 * inverse * e / (1 + e) ** 2

    (tail_a, slope_a), (tail_b, slope_b) = parts(column + 8), parts(column - 8)
    mass = tail_b - tail_a if column >= 8 else 1 - tail_a - tail_b
    if mass <= Decimal(10) ** -30:
        return 4 * GRADIENT_ONE
    value = (slope_b - slope_a) / mass * GRADIENT_ONE
    return int(min(max(value, Decimal(-GRADIENT_ONE)), Decimal(4 * GRADIENT_ONE)).to_integral_value())
