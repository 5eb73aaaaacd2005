"""A flow with its networks on a device: from samples to latents and back, many chunks at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from haarchive.codecs.errors import ModelError
from haarchive.codecs.idf.flow import Flow
from haarchive.codecs.idf.steps import (
    COEFFICIENT_BITS,
    LOCATION_BITS,
    Coupling,
    FactorOut,
    Squeeze,
    n_coefficients,
)
from haarchive.codecs.intnet.torch_backend import TorchNetwork

__all__ = ["Factored", "PlacedFlow", "to_numpy"]


@dataclass(frozen=True, eq=False)
class Factored:
    """What a factor-out hands to the entropy coder, of N chunks.

    Parameters
    ----------
    step : FactorOut
    level : int
        1 is the finest.
    given : Tensor, shape (N, kept, H, W), int32
        The channels that the prior depends on.
    parameters : Tensor, shape (N, outputs, H, W), int32
        What the step's network gives for them.
    """

    step: FactorOut
    level: int
    given: Tensor
    parameters: Tensor


class PlacedFlow:
    """A flow that can be evaluated.

    Parameters
    ----------
    flow : Flow
    networks : Mapping of str to TorchNetwork
        All on one device.

    Raises
    ------
    ModelError
        If a network is missing, or takes or gives other channels than its step needs.
    """

    def __init__(self, flow: Flow, networks: Mapping[str, TorchNetwork]) -> None:
        for name, wanted in flow.networks.items():
            widths = networks[name].network.widths if name in networks else [0]
            if (widths[0], widths[-1]) != wanted:
                raise ModelError(f"the model has no network {name!r} from {wanted[0]} to {wanted[1]} channels")
        self.flow = flow
        self.tables = flow.prior.tables()
        self._networks = {name: networks[name] for name in flow.networks}
        self.device = next((network.device for network in self._networks.values()), torch.device("cpu"))

    def shapes(self, height: int, width: int) -> list[tuple[int, int]]:
        """Heights and widths before each squeeze, and at the end."""
        shapes = [(height, width)]
        for step in self.flow.steps:
            if isinstance(step, Squeeze):
                height, width = -(-height // step.rows), -(-width // step.columns)
                shapes.append((height, width))
        return shapes

    def analyse(self, x: Tensor, shift: int) -> Iterator[tuple[Factored, Tensor] | Tensor]:
        """Encode: give what each factor-out takes out, finest first, and at last what is left.

        Parameters
        ----------
        x : Tensor, shape (N, planes, H, W), int32
        shift : int
            Amplitude shift of what networks see.

        Yields
        ------
        (Factored, Tensor)
            And the latents ``(N, taken, H, W) int32``.
        Tensor
            The last latents, once.
        """
        level = 0
        for step in self.flow.steps:
            match step:
                case Coupling():
                    x = self._couple(step, x, shift, 1)
                case FactorOut():
                    z, x = x[:, step.kept :], x[:, : step.kept]
                    yield self._factored(step, level, x, shift), z
                case _:
                    x = step.forward(x)
                    level += isinstance(step, Squeeze)
        yield x

    def latents(self, x: Tensor, shift: int) -> tuple[list[tuple[Factored, Tensor]], Tensor]:
        """All that `analyse` yields: what is factored out in decoding order, coarsest first, and what is left."""
        factored: list[tuple[Factored, Tensor]] = []
        for part in self.analyse(x, shift):
            if isinstance(part, Tensor):
                return factored, part
            factored.insert(0, part)
        raise AssertionError("analyse ends with what is left")

    def synthesise(
        self,
        x: Tensor,
        height: int,
        width: int,
        shift: int,
        take: Callable[[Factored], Tensor],
        reduce: int = 0,
    ) -> Tensor:
        """Decode: the inverse of `analyse`.

        Parameters
        ----------
        x : Tensor, shape (N, C, h, w), int32
            The last latents.
        height, width : int
            Of the samples.
        shift : int
        take : callable
            Gives the latents of each factor-out; asked coarsest first.
        reduce : int
            Stop before so many levels; only flows that are a `Flow.pyramid` give a picture there.

        Returns
        -------
        Tensor, shape (N, planes, H, W), int32
        """
        level = self.flow.levels
        shapes = self.shapes(height, width)
        for step in reversed(self.flow.steps):
            if reduce and level == reduce:  # 0: steps before the first squeeze are undone too
                break
            match step:
                case Coupling():
                    x = self._couple(step, x, shift, -1)
                case FactorOut():
                    x = torch.cat([x, take(self._factored(step, level, x, shift))], 1)
                case Squeeze():
                    level -= 1
                    x = step.inverse(x, shapes[level])
                case _:
                    x = step.inverse(x)
        return x

    def _factored(self, step: FactorOut, level: int, given: Tensor, shift: int) -> Factored:
        return Factored(step, level, given, self._evaluate(step.network, given, shift))

    def _evaluate(self, network: str, x: Tensor, shift: int) -> Tensor:
        return self._networks[network](x >> shift).to(torch.int32)

    def _couple(self, step: Coupling, x: Tensor, shift: int, sign: int) -> Tensor:
        """``x_b + sign * round(t(x_a))``."""
        kept, changed = x[:, : step.kept], x[:, step.kept :]
        out = self._evaluate(step.network, kept, shift).to(torch.int64)
        translation = (out[:, : step.changed] << shift) << (COEFFICIENT_BITS - LOCATION_BITS)
        half = 1 << (COEFFICIENT_BITS - 1)
        if not step.triangular:
            return torch.cat([kept, changed + sign * ((translation + half) >> COEFFICIENT_BITS).to(torch.int32)], 1)
        # Channel i moves by the channels before it as they are before the coupling: backwards they come one by one.
        before = changed.to(torch.int64)
        done: list[Tensor] = []
        for i in range(step.changed):
            first = step.changed + n_coefficients(i, True)
            total = translation[:, i] + half
            for j in range(i):
                total = total + out[:, first + j] * (before[:, j] if sign > 0 else done[j])
            # What leaves 32 bits wraps on the way forward: coefficients must meet the same integers backwards.
            done.append((before[:, i] + sign * (total >> COEFFICIENT_BITS)).to(torch.int32).to(torch.int64))
        return torch.cat([kept, torch.stack(done, 1).to(torch.int32)], 1)


def to_numpy(x: Tensor) -> NDArray[np.int32]:
    """An integer tensor as an array on the CPU, row by row."""
    array: NDArray[np.int32] = x.to(torch.int32).contiguous().cpu().numpy()
    return array
