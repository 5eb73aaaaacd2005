"""The training objective: the code length of a flow's latents, through networks that are integers on the way forward.

Equations 6, 8 and 9 of "Integer Discrete Flows" (Hoogeboom et al., 2019). Gradients pass each rounding unchanged
(equation 7), so what a step evaluates is what the exported flow computes, but for scales and mixture weights, which
are rounded to their tables at export.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from haarchive.codecs.errors import ModelError
from haarchive.codecs.haar.objective import logistic_bits
from haarchive.codecs.idf.architecture import INPUT_LIMIT, Architecture
from haarchive.codecs.idf.flow import Flow, MixturePrior
from haarchive.codecs.idf.steps import COEFFICIENT_BITS, LOCATION_BITS, Coupling, FactorOut, n_coefficients
from haarchive.codecs.intnet import IntegerNetwork
from haarchive.codecs.intnet.training import TrainableConv, TrainableNetwork, round_through

__all__ = ["TrainableFlow"]

_SCALE_STEPS = 64
_INITIAL_OCTAVES = 1.5
_OCTAVES = (-5.0, 8.0)
_WEIGHT_ONE = 1 << 16
_LOCATION_UNIT = 32.0
"""Samples in a unit of the mixture's locations, so that one learning rate serves them as well."""


class TrainableFlow(nn.Module):
    """A flow in training, and its loss.

    Parameters
    ----------
    name : str
        Begins the networks' names.
    architecture : Architecture
    """

    def __init__(self, name: str, architecture: Architecture) -> None:
        super().__init__()
        self.name, self.architecture = name, architecture
        self.steps = architecture.steps(name)
        self.networks = nn.ModuleDict()
        for step in self.steps:
            if isinstance(step, Coupling | FactorOut):
                network = TrainableNetwork(architecture.network_layers(step), -INPUT_LIMIT, INPUT_LIMIT)
                head = network.layers[-1]
                assert isinstance(head, TrainableConv)
                nn.init.zeros_(head.bias)
                if isinstance(step, FactorOut):
                    head.bias.data[step.taken : 2 * step.taken] = _INITIAL_OCTAVES * _SCALE_STEPS / head.bias_unit
                else:  # a flow begins as the identity
                    nn.init.zeros_(head.weight)
                self.networks[_key(step.network)] = network
        left, components = self._left(), architecture.mixture
        spread = torch.linspace(-1, 1, components) if components > 1 else torch.zeros(1)
        self.logits = nn.Parameter(torch.zeros(left, components))
        self.locations = nn.Parameter((spread * 2.0).repeat(left, 1))
        self.octaves = nn.Parameter(torch.full((left, components), 5.0))

    @property
    def planes(self) -> int:
        """Planes that the flow takes."""
        return self.architecture.planes

    def forward(self, x: Tensor, shift: Tensor | None = None) -> Tensor:
        """Bits per sample of a batch.

        Parameters
        ----------
        x : Tensor, shape (N, P, H, W), int32
            Centred planes after the colour transform.
        shift : Tensor, shape (N, 1, 1, 1), int32, optional
            Amplitude shift of each example: what the networks see is shifted right by so much.
        """
        y = x.float()
        octave = y.new_zeros(len(y), 1, 1, 1) if shift is None else shift.float()
        bits = y.new_zeros(())
        for step in self.steps:
            match step:
                case Coupling(network, kept, changed):
                    out = self._evaluate(network, y[:, :kept], octave)
                    translation = out[:, :changed] * torch.exp2(octave)
                    moved = _located(translation, out[:, changed:], y[:, kept:], step.triangular)
                    y = torch.cat([y[:, :kept], y[:, kept:] + round_through(moved)], 1)
                case FactorOut(network, kept, taken):
                    out = self._evaluate(network, y[:, :kept], octave)
                    z, y = y[:, kept:], y[:, :kept]
                    location = _located(out[:, :taken] * torch.exp2(octave), out[:, 2 * taken :], z, step.triangular)
                    octaves = (out[:, taken : 2 * taken] / _SCALE_STEPS).clamp(*_OCTAVES) + octave
                    bits = bits + logistic_bits((z - location).abs(), octaves).sum()
                case _:
                    y = step.forward(y)
        return (bits + self._mixture_bits(y, octave)) / x.numel()

    def project(self) -> None:
        """Keep every network inside its accumulator bound."""
        for network in self.networks.values():
            assert isinstance(network, TrainableNetwork)
            network.project()

    @torch.no_grad()
    def load(self, flow: Flow, networks: Mapping[str, IntegerNetwork]) -> None:
        """Start from a trained flow, to fine-tune it.

        Raises
        ------
        ModelError
            If it is laid out otherwise.
        """
        if flow.steps != self.steps or flow.colour != self.architecture.colour:
            raise ModelError(f"the flow {self.name!r} to start from is laid out otherwise than the configuration asks")
        for name in flow.networks:
            network = self.networks[_key(name)]
            assert isinstance(network, TrainableNetwork)
            network.load_integers(networks[name])
        prior = flow.prior
        if prior.weights.shape != tuple(self.logits.shape):
            raise ModelError(
                f"the flow {self.name!r} to start from has another mixture than the configuration asks for"
            )
        self.logits.copy_(torch.from_numpy(np.log(np.maximum(prior.weights, 1) / _WEIGHT_ONE)))
        self.locations.copy_(torch.from_numpy(prior.locations / (1 << LOCATION_BITS) / _LOCATION_UNIT))
        self.octaves.copy_(torch.from_numpy(prior.scales / 8 - 5))

    @torch.no_grad()
    def export(self) -> tuple[Flow, dict[str, IntegerNetwork]]:
        """The flow and its networks, as integers."""
        weights = torch.softmax(self.logits.double(), 1).cpu().numpy()
        exact = np.floor(weights * _WEIGHT_ONE).astype(np.int64)
        exact[np.arange(len(exact)), exact.argmax(1)] += _WEIGHT_ONE - exact.sum(1)
        locations = torch.floor(self.locations * _LOCATION_UNIT * (1 << LOCATION_BITS) + 0.5).long().cpu().numpy()
        octaves = self.octaves.clamp(*_OCTAVES)
        scales = torch.floor((octaves + 5) * 8 + 0.5).long().cpu().numpy()
        networks = {}
        for step in self.steps:
            if isinstance(step, Coupling | FactorOut):
                network = self.networks[_key(step.network)]
                assert isinstance(network, TrainableNetwork)
                networks[step.network] = network.export()
        prior = MixturePrior(exact, locations, scales)
        return Flow(self.architecture.planes, self.architecture.colour, self.steps, prior), networks

    def _left(self) -> int:
        last = next((step for step in reversed(self.steps) if isinstance(step, FactorOut)), None)
        channels = self.architecture.planes
        cells = 2 * self.architecture.rows
        if self.architecture.transform == "haar" and last is not None:
            return channels
        for level in range(self.architecture.levels):
            channels *= cells
            if level < self.architecture.levels - 1:
                channels -= channels // 2
        return channels

    def _evaluate(self, network: str, x: Tensor, octave: Tensor) -> Tensor:
        seen = round_through(x * torch.exp2(-octave) - 0.5 * (octave > 0))
        out: Tensor = self.networks[_key(network)](seen.contiguous(memory_format=torch.channels_last))
        return out

    def _mixture_bits(self, z: Tensor, octave: Tensor) -> Tensor:
        """Code length of the last latents ``(N, C, H, W)`` in all (equation 9): low bits go as they are."""
        low = octave.sum() * z[0].numel()
        z = round_through(z * torch.exp2(-octave) - 0.5 * (octave > 0))
        locations = (self.locations * _LOCATION_UNIT)[None, :, None, None]
        octaves = self.octaves.clamp(*_OCTAVES)[None, :, None, None]
        bits = logistic_bits((z[..., None] - locations).abs(), octaves)
        nats = torch.log_softmax(self.logits, 1)[None, :, None, None] - bits * math.log(2)
        return low - torch.logsumexp(nats, -1).sum() / math.log(2)


def _key(network: str) -> str:
    """A network's name, as torch's dictionaries want it: without dots."""
    return network.replace(".", "_")


def _located(translation: Tensor, coefficients: Tensor, x: Tensor, triangular: bool) -> Tensor:
    """Translations in samples: what a network gives and (lower triangular) what the channels before add."""
    location = translation * 2.0**-LOCATION_BITS
    if not triangular:
        return location
    rows = [location[:, 0]]
    for i in range(1, x.shape[1]):
        first = n_coefficients(i, True)
        of_row = coefficients[:, first : first + i] * 2.0**-COEFFICIENT_BITS
        rows.append(location[:, i] + (of_row * x[:, :i]).sum(1))
    return torch.stack(rows, 1)
