"""The training objective: bits that the networks leave after the adaptive least squares has done its part.

At coding time a linear predictor is fitted to the source itself, with the network's location among what it sees
(`haarchive.codecs.haar.adapt`).

Pictures: the networks learn to predict by themselves. What they leave of one plane is predicted from what they leave
of the planes before, by a least-squares fit to each training crop, since how planes hang together is the scanner's
and the stain's.

Sound: each crop gets its own least-squares fit first, as a constant, on all that the predictor of the codec sees; the
network adds a location and gives the scale of what remains.

The loss is the code length of what remains, under the discretised logistic of "Integer Discrete Flows", equation 8.
The fitted weights are constants to the gradients.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from haarchive.codecs.haar.lifting import split
from haarchive.codecs.haar.networks import INPUT_LIMIT, LOCATION_BITS, SCALE_STEPS, network_layers
from haarchive.codecs.haar.taps import AUDIO_BANDS, IMAGE_BANDS, BandSpec, band_taps
from haarchive.codecs.intnet import IntegerNetwork
from haarchive.codecs.intnet.training import TrainableConv, TrainableNetwork

__all__ = ["HaarFlow", "logistic_bits"]

_INITIAL_SCALE = 1.5  # octaves


def logistic_bits(distance: Tensor, octaves: Tensor) -> Tensor:
    r"""Code length of integers under discretised logistics.

    Parameters
    ----------
    distance : Tensor
        :math:`|x - \mu|`.
    octaves : Tensor
        :math:`\log_2 s`.

    Returns
    -------
    Tensor
        :math:`-\log_2 [\sigma((d + 1/2) / s) - \sigma((d - 1/2) / s)]`, in bits, stable for any distance.
    """
    inverse = torch.exp2(-octaves)
    outer, inner = (distance + 0.5) * inverse, (distance - 0.5) * inverse
    nats = -torch.log(-torch.expm1(-inverse)) + functional.softplus(-outer) + functional.softplus(inner)
    return nats / math.log(2)


class HaarFlow(nn.Module):
    """The networks of one model in training, and their loss.

    Parameters
    ----------
    kind : {'image', 'audio'}
    planes : int
        Planes that are predicted together.
    channels, blocks : int
        Width and residual layers of each network.
    kernel : tuple of int
    levels : int
        Lifting levels that the loss counts.
    """

    def __init__(
        self, kind: str, planes: int, channels: int, blocks: int, kernel: tuple[int, int], levels: int
    ) -> None:
        super().__init__()
        self.kind, self.planes, self.levels = kind, planes, levels
        self.bands: tuple[BandSpec, ...] = IMAGE_BANDS if kind == "image" else AUDIO_BANDS
        self.networks = nn.ModuleDict(
            {
                band.name: TrainableNetwork(
                    network_layers(band, planes, channels, blocks, kernel), -INPUT_LIMIT, INPUT_LIMIT
                )
                for band in self.bands
            }
        )
        for network in self.networks.values():
            assert isinstance(network, TrainableNetwork)
            head = network.layers[-1]
            assert isinstance(head, TrainableConv)
            nn.init.constant_(head.bias[planes:], 0.0)
            head.bias.data[planes:] = _INITIAL_SCALE * SCALE_STEPS / head.bias_unit

    def forward(self, x: Tensor, shift: Tensor | None = None) -> Tensor:
        """Bits per sample of a batch, the coarsest band left out.

        Parameters
        ----------
        x : Tensor, shape (N, P, H, W), int32
            Centred planes; H and W divisible by ``2 ** levels`` (H is 1 for sound).
        shift : Tensor, shape (N, 1, 1, 1), int32, optional
            Amplitude shift of each example: what the networks see is ``x >> shift``.
        """
        bits = x.new_zeros((), dtype=torch.float32)
        for lows, details, target, band in self._steps(x):
            bits = bits + self._band_bits(band, lows, details, target, shift)
        return bits / x.numel()

    def project(self) -> None:
        """Keep every network inside its accumulator bound."""
        for network in self.networks.values():
            assert isinstance(network, TrainableNetwork)
            network.project()

    def load_integers(self, networks: Mapping[str, IntegerNetwork]) -> None:
        """Start from the networks of a shipped model, by band name, to fine-tune them."""
        for name, network in self.networks.items():
            assert isinstance(network, TrainableNetwork)
            network.load_integers(networks[name])

    def export(self) -> dict[str, IntegerNetwork]:
        """The networks by band name, as integers."""
        return {
            name: network.export() for name, network in self.networks.items() if isinstance(network, TrainableNetwork)
        }

    def _steps(self, x: Tensor) -> Iterator[tuple[list[Tensor], list[Tensor], Tensor, BandSpec]]:
        for _ in range(self.levels):
            low, high = split(x, 3)
            if self.kind == "audio":
                yield [low], [], high, self.bands[0]
                x = low
                continue
            coarse, v = split(low, 2)
            even, odd = low[:, :, 0::2], low[:, :, 1::2]
            he, ho = high[:, :, 0::2], high[:, :, 1::2]
            yield [coarse], [], v, self.bands[0]
            yield [even, odd], [], he, self.bands[1]
            yield [odd, even], [he], ho, self.bands[2]
            x = coarse

    def _band_bits(
        self, band: BandSpec, lows: list[Tensor], details: list[Tensor], target: Tensor, shift: Tensor | None
    ) -> Tensor:
        context = torch.cat([*lows, *details], 1)
        if shift is not None:
            context = context >> shift
        out = self.networks[band.name](context.float().contiguous(memory_format=torch.channels_last))
        location = out[:, : self.planes] * 2.0**-LOCATION_BITS
        octaves = out[:, self.planes :] / SCALE_STEPS
        if shift is not None:
            location = location * torch.exp2(shift.float())
            octaves = octaves + shift
        lows, details, y = [a.float() for a in lows], [a.float() for a in details], target.float()
        if self.kind == "image":
            rest = _decorrelated(y - location)
        else:
            with torch.no_grad():
                rest = torch.stack([_residual(band, plane, lows, details, y) for plane in range(self.planes)], 1)
            rest = rest - location
        return logistic_bits(rest.abs(), octaves.clamp(-5, 16)).sum()


def _decorrelated(error: Tensor) -> Tensor:
    """What is left of each plane's errors ``(N, P, H, W)`` after a linear fit on those of the planes before."""
    rest = [error[:, 0]]
    for plane in range(1, error.shape[1]):
        before, goal = error[:, :plane].detach().flatten(2), error[:, plane].detach().flatten(1)[..., None]
        ridge = torch.eye(plane, device=error.device) * (1.0 + 1e-3 * before.square().sum(dim=(1, 2))[:, None, None])
        weights = torch.linalg.solve(before @ before.transpose(1, 2) + ridge, before @ goal)
        rest.append(error[:, plane] - (weights[..., None] * error[:, :plane]).sum(dim=1))
    return torch.stack(rest, 1)


def _shifted(padded: Tensor, margin: tuple[int, int], dy: int, dx: int) -> Tensor:
    my, mx = margin
    return padded[:, my + dy : padded.shape[1] - my + dy, mx + dx : padded.shape[2] - mx + dx]


def _residual(band: BandSpec, plane: int, lows: Sequence[Tensor], details: Sequence[Tensor], target: Tensor) -> Tensor:
    """What robust least squares, fitted to each example on its own, leave of one plane of a band.

    Two solves: plain, then each sample weighted by 1 / (|residual| + 1), which leans towards least absolute
    deviations as the code length does.

    Returns
    -------
    Tensor, shape (N, H, W), float32
    """
    y = target[:, plane]
    taps = band_taps(band, plane)
    mx = max(abs(t.dx) for t in taps)
    my = max(abs(t.dy) for t in taps)

    def pad(a: Tensor, mode: str) -> Tensor:
        return functional.pad(a[:, None], (mx, mx, my, my), mode)[:, 0]

    columns = []
    sources = {("low", i): pad(low[:, plane], "replicate") for i, low in enumerate(lows)}
    sources |= {("detail", i): pad(d[:, plane], "constant") for i, d in enumerate(details)}
    sources |= {("cross", q): pad(target[:, q], "constant") for q in range(max(0, plane - 2), plane)}
    sources["self", 0] = pad(y, "constant")
    centre = lows[0][:, plane]
    for tap in taps:
        column = _shifted(sources[tap.source, tap.index], (my, mx), tap.dy, tap.dx)
        columns.append(column - centre if tap.source == "low" else column)
    n = y.shape[0]
    design = torch.stack(columns, 1).reshape(n, len(taps), -1)
    goal = y.reshape(n, 1, -1)
    power = goal.square().mean(dim=2, keepdim=True) + 1.0
    ridge = torch.eye(len(taps), device=y.device) * power * 4.0
    weight = torch.ones_like(goal) / power.sqrt()
    solution = goal.new_zeros(n, len(taps), 1)
    for attempt in range(2):
        weighted = design * weight
        gram = weighted @ design.transpose(1, 2) + ridge * weight.mean(dim=2, keepdim=True)
        solution = torch.linalg.solve(gram, weighted @ goal.transpose(1, 2))
        if attempt == 0:
            residual = goal - (solution.transpose(1, 2) @ design)
            weight = 1.0 / (residual.abs() + 1.0)
    return (goal - solution.transpose(1, 2) @ design).reshape(y.shape)
