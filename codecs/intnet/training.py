"""Training layers whose forward pass is the integer network itself.

Weights are kept in float and rounded on the way forward; gradients pass through the rounding unchanged
(straight-through, as in "Integer Discrete Flows", section 4.3). What a training step evaluates is therefore
bit for bit what the exported network computes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
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


class _Requantise(torch.autograd.Function):
    """Round to the nearest integer, halves up, and clamp; the gradient passes where nothing was clamped.

    One function, and in place, because training on CPUs is a matter of memory traffic.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, low: int, high: int) -> Tensor:
        ctx.mark_dirty(x)
        x.add_(0.5).floor_()
        ctx.save_for_backward((x >= low) & (x <= high))
        return x.clamp_(low, high)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (inside,) = ctx.saved_tensors
        return grads[0] * inside, None, None


def _floor_through(x: Tensor) -> Tensor:
    """Round down; the gradient passes unchanged."""
    return round_through(x - 0.5)


def round_through(x: Tensor) -> Tensor:
    """Round to the nearest integer, halves up; the gradient passes unchanged."""
    return _RoundThrough.apply(x)  # type: ignore[no-any-return, no-untyped-call]


class TrainableConv(nn.Module):
    """A layer of an integer network, with float master weights.

    Parameters
    ----------
    spec : ConvSpec
    input_bounds : sequence of int
        Largest magnitude of each input channel, for the bound on the weights.
    gain : float
        Factor on the initial weights.
    bias_unit : float
        What one unit of the bias parameter adds to the output, so that one learning rate serves both.
    """

    def __init__(self, spec: ConvSpec, input_bounds: Sequence[int], gain: float = 1.0, bias_unit: float = 16.0) -> None:
        super().__init__()
        self.spec = spec
        self.bias_unit = bias_unit
        fan_in = spec.in_channels * math.prod(spec.kernel)
        weight = torch.randn(spec.out_channels, spec.in_channels, *spec.kernel) * gain / math.sqrt(fan_in)
        self.weight = nn.Parameter(weight)
        self.context: nn.Parameter | None = None
        self.identity: Tensor
        self.input_bounds: Tensor
        if spec.context:
            self.context = nn.Parameter(
                torch.randn(spec.out_channels, spec.in_channels) * 0.3 * gain / math.sqrt(spec.in_channels)
            )
        self.bias = nn.Parameter(torch.zeros(spec.out_channels))
        if spec.residual:
            own = torch.arange(spec.out_channels)
            identity = torch.zeros_like(weight)
            identity[own, own, spec.kernel[0] // 2, spec.kernel[1] // 2] = 1.0
            self.register_buffer("identity", identity, persistent=False)
        # Half of what float32 can hold, the rest is for bias, residual and rounding.
        self.norm_bound = FLOAT32_EXACT / 2 / 2**spec.shift
        self.register_buffer("input_bounds", torch.tensor(input_bounds, dtype=torch.float32), persistent=False)

    def integers(self) -> tuple[Tensor, Tensor]:
        """The rounded weights and bias, as float tensors with integer values."""
        scale = float(1 << self.spec.shift)
        return round_through(self.weight * scale), round_through(self.bias * self.bias_unit * scale)

    def context_integers(self) -> Tensor:
        """The rounded weights of the context, as a float tensor ``(out, in)`` with integer values."""
        assert self.context is not None
        return round_through(self.context * float(1 << self.spec.shift))

    def forward(self, x: Tensor) -> Tensor:
        """Evaluate the layer on integer-valued float32 ``(N, C, H, W)``."""
        # Residual and shift are folded into the weights, which is exact, to spare passes over the activations.
        scale = 2.0**-self.spec.shift
        weight, bias = (tensor * scale for tensor in self.integers())
        if self.spec.residual:
            weight = weight + self.identity
        padding = (self.spec.kernel[0] // 2, self.spec.kernel[1] // 2)
        y = functional.conv2d(x, weight, bias, padding=padding)
        if self.context is not None:
            means = _floor_through(x.mean(dim=(2, 3), keepdim=True))  # exact for the few samples of a training crop
            y = y + functional.conv2d(means, self.context_integers()[..., None, None] * scale)
        return _Requantise.apply(y, self.spec.low, self.spec.high)  # type: ignore[no-any-return, no-untyped-call]

    @torch.no_grad()
    def project(self) -> None:
        """Shrink output channels whose weights would break the accumulator bound."""
        magnitudes = self.weight.abs().sum(dim=(2, 3))
        if self.context is not None:
            magnitudes = magnitudes + self.context.abs()
        norm = magnitudes @ self.input_bounds
        shrink = (self.norm_bound / norm.clamp(min=1e-9)).clamp(max=1.0)
        self.weight.mul_(shrink[:, None, None, None])
        if self.context is not None:
            self.context.mul_(shrink[:, None])


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
        bounds = [[max(abs(input_low), abs(input_high))] * layers[0].in_channels]
        for n, spec in enumerate(layers[:-1]):
            given = [max(abs(spec.low), abs(spec.high))] * spec.out_channels
            bounds.append(bounds[n + 1 - spec.dense] + given if spec.dense else given)
        gains = [1.0 if not s.residual else 0.3 for s in layers[:-1]] + [0.02]
        self.layers = nn.ModuleList(
            TrainableConv(spec, bound, gain) for spec, bound, gain in zip(layers, bounds, gains, strict=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Evaluate the network on integer-valued float32 ``(N, C, H, W)``."""
        x = x.clamp(self.input_low, self.input_high)
        entered = []
        for layer in self.layers:
            assert isinstance(layer, TrainableConv)
            entered.append(x)
            x = layer(x)
            if layer.spec.dense:
                x = torch.cat([entered[-layer.spec.dense], x], dim=1)
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
        for layer, weight, bias, context in zip(
            self.layers, network.weights, network.biases, network.contexts, strict=True
        ):
            assert isinstance(layer, TrainableConv)
            scale = float(1 << layer.spec.shift)
            layer.weight.copy_(torch.from_numpy(weight.astype(np.float32)) / scale)
            layer.bias.copy_(torch.from_numpy(bias.astype(np.float32)) / scale / layer.bias_unit)
            if layer.context is not None and context is not None:
                layer.context.copy_(torch.from_numpy(context.astype(np.float32)) / scale)

    @torch.no_grad()
    def export(self) -> IntegerNetwork:
        """Freeze the network into integers; making the value proves the accumulator bound."""
        specs, weights, biases, contexts = [], [], [], []
        for layer in self.layers:
            assert isinstance(layer, TrainableConv)
            weight, bias = layer.integers()
            specs.append(layer.spec)
            weights.append(weight.cpu().numpy().astype(np.int32))
            biases.append(bias.cpu().numpy().astype(np.int32))
            context = None if layer.context is None else layer.context_integers().cpu().numpy().astype(np.int32)
            contexts.append(context)
        return IntegerNetwork(
            tuple(specs), tuple(weights), tuple(biases), self.input_low, self.input_high, tuple(contexts)
        )
