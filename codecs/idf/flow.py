"""A flow: its steps, and the prior of what is left at the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.distributions import CdfTables, mixture_tables
from haarchive.codecs.errors import ModelError
from haarchive.codecs.haar import colour
from haarchive.codecs.idf.steps import Coupling, FactorOut, Haar, Permute, Squeeze, Step, step_from_description

__all__ = ["Flow", "MixturePrior"]


@dataclass(frozen=True, eq=False)
class MixturePrior:
    """The prior of the last latents: a mixture of K discretised logistics for each of C channels (equation 9).

    Parameters
    ----------
    weights : ndarray, shape (C, K), int64
        In 2**-16; each row adds up to 2**16.
    locations : ndarray, shape (C, K), int64
        In 1/16.
    scales : ndarray, shape (C, K), int64
        In eighths of an octave from 2**-5.
    """

    weights: NDArray[np.int64]
    locations: NDArray[np.int64]
    scales: NDArray[np.int64]

    def describe(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "weights": self.weights.tolist(),
            "locations": self.locations.tolist(),
            "scales": self.scales.tolist(),
        }

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> MixturePrior:
        """Read what `describe` gave."""
        prior = cls(*(np.array(description[name], np.int64) for name in ("weights", "locations", "scales")))
        if prior.weights.ndim != 2 or not prior.weights.shape == prior.locations.shape == prior.scales.shape:
            raise ModelError("the mixture of the flow's prior needs weights, locations and scales of one shape (C, K)")
        return prior

    def tables(self) -> CdfTables:
        """A table a channel.

        Raises
        ------
        ModelError
            If the parameters are out of range.
        """
        try:
            return mixture_tables(self.weights, self.locations, self.scales)
        except ValueError as error:
            raise ModelError(f"the mixture of the flow's prior: {error}") from error


@dataclass(frozen=True, eq=False)
class Flow:
    """An integer discrete flow.

    Parameters
    ----------
    planes : int
        Channels of the input.
    colour : str
        The reversible colour transform before the first step (`haarchive.codecs.haar.colour.TRANSFORMS`).
    steps : tuple of Step
        In encoding order.
    prior : MixturePrior
        Of the channels that are left.

    Raises
    ------
    ModelError
        If the steps do not fit together.
    """

    planes: int
    colour: str
    steps: tuple[Step, ...]
    prior: MixturePrior

    def __post_init__(self) -> None:
        if self.colour not in colour.TRANSFORMS or (self.colour != "none" and self.planes != 3):
            raise ModelError(f"a flow of {self.planes} planes cannot have the colour transform {self.colour!r}")
        left = _channels(self.planes, self.steps)
        if self.prior.weights.shape[0] != left:
            raise ModelError(f"the flow leaves {left} channels, its prior has {self.prior.weights.shape[0]}")

    @property
    def levels(self) -> int:
        """How often the flow squeezes."""
        return sum(isinstance(step, Squeeze) for step in self.steps)

    @property
    def factored(self) -> set[int]:
        """The levels that factor something out; 1 is the finest."""
        levels, level = set(), 0
        for step in self.steps:
            level += isinstance(step, Squeeze)
            if isinstance(step, FactorOut):
                levels.add(level)
        return levels

    @property
    def left(self) -> int:
        """Channels of the last latents."""
        return int(self.prior.weights.shape[0])

    @property
    def pyramid(self) -> bool:
        """Whether what is left after each level is a picture of half the size: Haar steps and nothing that mixes."""
        kinds = [type(step) for step in self.steps if not isinstance(step, FactorOut)]
        entering = [
            _channels(self.planes, self.steps[:n]) for n, step in enumerate(self.steps) if type(step) is Squeeze
        ]
        whole = all(channels == self.planes for channels in (*entering, self.left))
        return whole and kinds == [Squeeze, Haar] * self.levels

    @property
    def networks(self) -> dict[str, tuple[int, int]]:
        """Channels that each network takes and gives, by name."""
        return {
            step.network: (step.kept, step.outputs) for step in self.steps if isinstance(step, Coupling | FactorOut)
        }

    def describe(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "planes": self.planes,
            "colour": self.colour,
            "steps": [step.describe() for step in self.steps],
            "prior": self.prior.describe(),
        }

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> Flow:
        """Read what `describe` gave.

        Raises
        ------
        ModelError
            If a step is not known, or they do not fit together.
        """
        try:
            return cls(
                int(description["planes"]),
                str(description["colour"]),
                tuple(step_from_description(step) for step in description["steps"]),
                MixturePrior.from_description(description["prior"]),
            )
        except (ArithmeticError, LookupError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, ModelError):
                raise
            raise ModelError(f"the model file's description of its flow is damaged: {error!r}") from error


def _channels(planes: int, steps: tuple[Step, ...]) -> int:
    """Channels that are left after all steps, each of which must fit what it is given."""
    channels = planes
    for n, step in enumerate(steps):
        match step:
            case Squeeze(rows, columns):
                channels *= rows * columns
                fits = rows >= 1 and columns >= 1 and rows * columns > 1
            case Haar(cells):
                fits = channels % cells == 0 and cells in (2, 4)
            case Permute(order):
                fits = sorted(order) == list(range(channels))
            case Coupling(_, kept, changed):
                fits = kept + changed == channels and min(kept, changed) >= 1
            case FactorOut(_, kept, taken):
                fits = kept + taken == channels and min(kept, taken) >= 1
                channels = kept
        if not fits:
            raise ModelError(f"step {n} of the flow does not fit its {channels} channels: {step}")
    return channels
