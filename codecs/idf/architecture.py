"""How flows are laid out: the paper's architecture, and the one made for pictures that ship.

The paper's (section 4, figure 4; appendix D as its authors' published code has it): each level squeezes, applies D
times a random permutation and a coupling, and factors half of the channels out; the last level keeps all of its own.

The one on Haar lifting: each level squeezes, applies the fixed S-transform, then D couplings that change the four
bands in turn (ll first), and factors the three detail bands out one after the other, each given all that is decoded
before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from haarchive.codecs.errors import ConfigError
from haarchive.codecs.idf.steps import Coupling, FactorOut, Haar, Permute, Squeeze, Step
from haarchive.codecs.intnet import ConvSpec
from haarchive.codecs.intnet.spec import layer_widths

__all__ = ["INPUT_LIMIT", "Architecture", "NetworkShape"]

INPUT_LIMIT = 1023
"""Networks see their input clamped to this magnitude: details of 8-bit colour differences need 10 bits and a sign."""

_OUTPUT = 1 << 15
_SHIFT = 8


@dataclass(frozen=True)
class NetworkShape:
    """The networks of couplings and priors.

    Parameters
    ----------
    kind : {'densenet', 'resnet'}
        A DenseNet as in the paper (each layer a pointwise and a 3 x 3 convolution), or 3 x 3 residual layers.
    depth : int
        Layers of the DenseNet, or residual layers.
    channels : int
        Channels that the DenseNet adds in all (the paper's growth), or of each residual layer.
    kernel : tuple of int
        Height and width.
    context : bool
        Whether residual layers see the means of their input.
    high : int
        Largest activation. Wide networks need a smaller one to stay exact (`prove_exact`).
    """

    kind: Literal["densenet", "resnet"]
    depth: int
    channels: int
    kernel: tuple[int, int] = (3, 3)
    context: bool = False
    high: int = 1023

    def layers(self, inputs: int, outputs: int) -> list[ConvSpec]:
        """The layers of a network from `inputs` to `outputs` channels."""
        if self.kind == "resnet":
            hidden = ConvSpec(
                self.channels, self.channels, self.kernel, _SHIFT, 0, self.high, residual=True, context=self.context
            )
            return [
                ConvSpec(inputs, self.channels, self.kernel, _SHIFT, 0, self.high),
                *[hidden] * self.depth,
                ConvSpec(self.channels, outputs, (1, 1), _SHIFT, -_OUTPUT, _OUTPUT - 1),
            ]
        layers: list[ConvSpec] = []
        width, left = inputs, self.channels
        for n in range(self.depth):
            growth = left // (self.depth - n)
            layers.append(ConvSpec(width, width, (1, 1), _SHIFT, 0, self.high))
            layers.append(ConvSpec(width, growth, self.kernel, _SHIFT, 0, self.high, dense=2))
            width, left = width + growth, left - growth
        layers.append(ConvSpec(width, outputs, self.kernel, _SHIFT, -_OUTPUT, _OUTPUT - 1))
        assert layer_widths(layers)[-1] == outputs
        return layers


@dataclass(frozen=True)
class Architecture:
    """A flow without its weights.

    Parameters
    ----------
    planes : int
    colour : str
        Reversible colour transform before the first step.
    levels : int
        L.
    couplings : int
        D, of each level.
    transform : {'none', 'haar'}
        The paper's layout, or the one on Haar lifting.
    rows : int
        Rows of a cell: 2, or 1 for sound.
    triangular : bool
        Lower triangular couplings (appendix B).
    mixture : int
        K, the components of the last prior.
    coupling, prior : NetworkShape
    seed : int
        Of the random permutations.
    """

    planes: int
    colour: str
    levels: int
    couplings: int
    transform: Literal["none", "haar"]
    rows: int
    triangular: bool
    mixture: int
    coupling: NetworkShape
    prior: NetworkShape
    seed: int = 0

    def steps(self, name: str) -> tuple[Step, ...]:
        """The steps, whose networks' names begin with `name`."""
        steps: list[Step] = []
        rng = np.random.Generator(np.random.PCG64(self.seed))
        channels = self.planes
        for level in range(1, self.levels + 1):
            steps.append(Squeeze(self.rows, 2))
            channels *= 2 * self.rows
            if self.transform == "haar":
                steps.append(Haar(2 * self.rows))
            for n in range(self.couplings):
                changed = self.planes if self.transform == "haar" else channels // 4
                if changed < 1:
                    raise ConfigError(f"couplings change a quarter of the channels, and there are only {channels}")
                coupling = Coupling(f"{name}.l{level}.t{n + 1}", channels - changed, changed, self.triangular)
                if self.transform == "none":
                    steps += [Permute(tuple(rng.permutation(channels).tolist())), coupling]
                else:
                    band = np.arange(channels).reshape(-1, changed)[n % (2 * self.rows)].tolist()
                    order = [channel for channel in range(channels) if channel not in band] + band
                    steps += [Permute(tuple(order)), coupling, Permute(tuple(np.argsort(order).tolist()))]
            if self.transform == "none" and level < self.levels:
                taken = channels // 2
                steps.append(FactorOut(f"{name}.l{level}.z", channels - taken, taken, self.triangular))
                channels -= taken
            elif self.transform == "haar":
                for band in reversed(("v", "he", "ho") if self.rows == 2 else ("h",)):
                    channels -= self.planes
                    steps.append(FactorOut(f"{name}.l{level}.{band}", channels, self.planes, self.triangular))
        return tuple(steps)

    def network_layers(self, step: Coupling | FactorOut) -> list[ConvSpec]:
        """The layers of a step's network."""
        shape = self.coupling if isinstance(step, Coupling) else self.prior
        return shape.layers(step.kept, step.outputs)
