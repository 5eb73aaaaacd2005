"""Training layers whose forward pass is the integer network itself.

Weights are kept in float and rounded on the way forward; gradients pass through the rounding unchanged
(straight-through, as in "Integer Discrete Flows", section 4.3). What a training step evaluates is therefore
bit for bit what the exported network computes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from haarchive.codecs.errors import ModelError
from haarchive.codecs.intnet.spec import FLOAT32_EXACT, ConvSpec, IntegerNetwork

__all__ = ["TrainableConv", "TrainableNetwork", "round_through"]


class _RoundThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.floor(x + 0.5)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return grads[0]


def round_through(x: Tensor) -> Tensor:
    """Round to the nearest integer, halves up; the gradient passes unchanged."""
    return _RoundThrough.apply(x)  # type: ignore[no-any-return, no-untyped-call]


class TrainableConv(nn.Module):
    """A layer of an integer network, with float master weights.

    Parameters
    ----------
    spec : ConvSpec
    input_bound : int
        Largest magnitude of an input, for the bound on the weights.
    gain : float
        Factor on the initial weights.
    bias_unit : float
        What one unit of the bias parameter adds to the output, so that one learning rate serves both.
    """

    def __init__(self, spec: ConvSpec, input_bound: int, gain: float = 1.0, bias_unit: float = 16.0) -> None:
        super().__init__()
        self.spec = spec
        self.bias_unit = bias_unit
        fan_in = spec.in_channels * math.prod(spec.kernel)
        weight = torch.randn(spec.out_channels, spec.in_channels, *spec.kernel) * gain / math.sqrt(fan_in)
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(spec.out_channels))
        # Half of what float32 can hold, the rest is for bias, residual and rounding.
        self.norm_bound = FLOAT32_EXACT / 2 / input_bound / 2**spec.shift

    def integers(self) -> tuple[Tensor, Tensor]:
        """The rounded weights and bias, as float tensors with integer values."""
        scale = float(1 << self.spec.shift)
        return round_through(self.weight * scale), round_through(self.bias * self.bias_unit * scale)

    def forward(self, x: Tensor) -> Tensor:
        """Evaluate the layer on integer-valued float32 ``(N, C, H, W)``."""
        weight, bias = self.integers()
        padding = (self.spec.kernel[0] // 2, self.spec.kernel[1] // 2)
        y = functional.conv2d(x, weight, bias, padding=padding) * 2.0**-self.spec.shift
        if self.spec.residual:
            y = y + x
        return round_through(y).clamp(self.spec.low, self.spec.high)

    @torch.no_grad()
    def project(self) -> None:
        """Shrink output channels whose weights would break the accumulator bound."""
        norm = self.weight.abs().sum(dim=(1, 2, 3), keepdim=True)
        self.weight.mul_((self.norm_bound / norm.clamp(min=1e-9)).clamp(max=1.0))


class TrainableNetwork(nn.Module):
    """A chain of trainable layers.

    Parameters
    ----------
    layers : list of ConvSpec
    input_low, input_high : int
    """

    def __init__(self, layers: list[ConvSpec], input_low: int, input_high: int) -> None:
        super().__init__()
        self.input_low, self.input_high = input_low, input_high
        bounds = [max(abs(input_low), abs(input_high))] + [max(abs(s.low), abs(s.high)) for s in layers[:-1]]
        gains = [1.0 if not s.residual else 0.3 for s in layers[:-1]] + [0.02]
        self.layers = nn.ModuleList(
            TrainableConv(spec, bound, gain) for spec, bound, gain in zip(layers, bounds, gains, strict=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Evaluate the network on integer-valued float32 ``(N, C, H, W)``."""
        x = x.clamp(self.input_low, self.input_high)
        for layer in self.layers:
            x = layer(x)
        return x

    def project(self) -> None:
        """Keep every layer inside the accumulator bound; call it after each optimiser step."""
        for layer in self.layers:
            assert isinstance(layer, TrainableConv)
            layer.project()

    @torch.no_grad()
    def load_integers(self, network: IntegerNetwork) -> None:
        """Start from an exported network of the same layers, to fine-tune it.

        Raises
        ------
        ModelError
            If its layers are others.
        """
        own = tuple(layer.spec for layer in self.layers if isinstance(layer, TrainableConv))
        if own != network.layers:
            raise ModelError("the model to start from has other layers than the configuration asks for")
        for layer, weight, bias in zip(self.layers, network.weights, network.biases, strict=True):
            assert isinstance(layer, TrainableConv)
            scale = float(1 << layer.spec.shift)
            layer.weight.copy_(torch.from_numpy(weight.astype(np.float32)) / scale)
            layer.bias.copy_(torch.from_numpy(bias.astype(np.float32)) / scale / layer.bias_unit)

    @torch.no_grad()
    def export(self) -> IntegerNetwork:
        """Freeze the network into integers; making the value proves the accumulator bound."""
        specs, weights, biases = [], [], []
        for layer in self.layers:
            assert isinstance(layer, TrainableConv)
            weight, bias = layer.integers()
            specs.append(layer.spec)
            weights.append(weight.cpu().numpy().astype(np.int32))
            biases.append(bias.cpu().numpy().astype(np.int32))
        return IntegerNetwork(tuple(specs), tuple(weights), tuple(biases), self.input_low, self.input_high)
