"""Axes of plots: where a value is, and which values are named."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

__all__ = ["Axis", "linear", "logarithmic"]

_TICKS = 5


@dataclass(frozen=True)
class Axis:
    """A span of values.

    Parameters
    ----------
    low, high : float
        `low` is below `high`, and above 0 where the axis is logarithmic.
    ticks : tuple of (float, str)
        Values within that are named, and their names.
    log : bool
    """

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    log: bool = False

    def at(self, value: float) -> float:
        """Where a value is, from 0 at `low` to 1 at `high`; values outside are at the end that is nearer."""
        value = min(max(value, self.low), self.high)
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


def linear(high: float, name: Callable[[float], str]) -> Axis:
    """From 0 to a round number at or above `high`."""
    high = high if high > 0 else 1.0
    step = _round_up(high / _TICKS)
    count = math.ceil(high / step - 1e-9)
    return Axis(0.0, step * count, tuple((step * n, name(step * n)) for n in range(count + 1)))


def logarithmic(values: Iterable[float], name: Callable[[float], str]) -> Axis:
    """Powers of ten around positive values."""
    inside = [value for value in values if value > 0] or [1.0]
    low, high = math.floor(math.log10(min(inside))), math.ceil(math.log10(max(inside)))
    high = max(high, low + 1)
    every = -(-(high - low) // (2 * _TICKS))
    ticks = tuple((10.0**power, name(10.0**power)) for power in range(low, high + 1, every))
    return Axis(10.0**low, 10.0**high, ticks, log=True)


def _round_up(value: float) -> float:
    """The smallest of 1, 2 and 5 times a power of ten that is not below `value`."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(digit * power for digit in (1, 2, 5, 10) if digit * power >= value * (1 - 1e-9))
