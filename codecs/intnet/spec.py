r"""What an integer network is: a chain of convolutions between clamped integers, described completely.

One layer maps an integer array ``x`` to

.. math:: y = \mathrm{clamp}\big((w * x + b + r \, 2^s x + 2^{s-1}) \gg s,\; low,\; high\big)

where :math:`*` is a cross-correlation with zero padding that keeps height and width, :math:`r` is 1 for a
residual layer and 0 otherwise, and :math:`\gg` is an arithmetic shift (floor division by :math:`2^s`). A
clamp from 0 is a clipped ReLU. Two options: a layer may add :math:`g \, \lfloor \mathrm{mean}(x) \rfloor` to its sum,
the mean of each input channel over all places times a matrix (what the whole picture is like), and it may end a
DenseNet block (Huang et al., "Densely connected convolutional networks", 2017), where what entered the block is
put in front of what the layer gives. There is nothing else: no float, no transcendental, no order of summation
that matters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.errors import ModelError

__all__ = ["FLOAT32_EXACT", "ConvSpec", "IntegerNetwork", "layer_widths", "prove_exact"]

FLOAT32_EXACT = 1 << 24
"""Every integer of smaller magnitude is a float32, and so is every partial sum that stays below it."""

_MAX_SHIFT = 24
"""With a larger one the rounding half alone would break the bound."""


@dataclass(frozen=True)
class ConvSpec:
    """One layer.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel : tuple of int
        Height and width, both odd.
    shift : int
        Bits of the right shift, 1 to 24.
    low, high : int
        Bounds of the output.
    residual : bool
        Whether the input is added to the output; needs as many channels in as out.
    context : bool
        Whether the means of the input's channels add to the sum.
    dense : int
        Layers of the DenseNet block that ends with this one, 0 for none. What entered the block goes in front of the
        `out_channels` of this layer.
    """

    in_channels: int
    out_channels: int
    kernel: tuple[int, int]
    shift: int
    low: int
    high: int
    residual: bool = False
    context: bool = False
    dense: int = 0

    def __post_init__(self) -> None:
        if min(self.in_channels, self.out_channels) < 1 or any(k < 1 or k % 2 == 0 for k in self.kernel):
            raise ModelError(f"a layer needs channels and odd kernels, not {self}")
        if not 1 <= self.shift <= _MAX_SHIFT or self.low > self.high:
            raise ModelError(f"a layer needs a shift of 1 to {_MAX_SHIFT} and low <= high, not {self}")
        if self.residual and self.in_channels != self.out_channels:
            raise ModelError(f"a residual layer needs as many channels in as out, not {self}")
        if self.dense < 0:
            raise ModelError(f"a DenseNet block has at least one layer, not {self}")

    def describe(self) -> dict[str, Any]:
        """JSON-able; options that are not used are left out."""
        options = {"context": self.context, "dense": self.dense}
        return {
            **{name: value for name, value in asdict(self).items() if name not in options},
            "kernel": list(self.kernel),
            **{name: value for name, value in options.items() if value},
        }


@dataclass(frozen=True)
class IntegerNetwork:
    """A network with its weights: the value that a model file holds.

    Parameters
    ----------
    layers : tuple of ConvSpec
    weights : tuple of ndarray
        One a layer, ``(out, in, kh, kw) int32``.
    biases : tuple of ndarray
        One a layer, ``(out,) int32``, in units of the sum before the shift.
    input_low, input_high : int
        Bounds that inputs are clamped to.
    contexts : tuple of ndarray or None, optional
        One a layer, ``(out, in) int32`` where it has a `ConvSpec.context`; empty where no layer has one.

    Raises
    ------
    ModelError
        If shapes do not fit, or a sum could leave the integers that float32 holds exactly.
    """

    layers: tuple[ConvSpec, ...]
    weights: tuple[NDArray[np.int32], ...]
    biases: tuple[NDArray[np.int32], ...]
    input_low: int
    input_high: int
    contexts: tuple[NDArray[np.int32] | None, ...] = ()

    def __post_init__(self) -> None:
        if not self.contexts:
            object.__setattr__(self, "contexts", (None,) * len(self.layers))
        if not len(self.layers) == len(self.weights) == len(self.biases) == len(self.contexts) > 0:
            raise ModelError("a network needs one weight and one bias array a layer")
        widths = self.widths
        for n, (spec, weight, bias) in enumerate(zip(self.layers, self.weights, self.biases, strict=True)):
            if weight.shape != (spec.out_channels, spec.in_channels, *spec.kernel) or bias.shape != (
                spec.out_channels,
            ):
                raise ModelError(f"layer {n}: weights {weight.shape} do not fit {spec}")
            context = self.contexts[n]
            if (None if context is None else context.shape) != (
                (spec.out_channels, spec.in_channels) if spec.context else None
            ):
                raise ModelError(f"layer {n}: the weights of its context do not fit {spec}")
            if spec.in_channels != widths[n]:
                raise ModelError(f"layer {n} does not take what layer {n - 1} gives")
        prove_exact(self)

    @property
    def widths(self) -> list[int]:
        """Channels that enter each layer, and those that the last one gives.

        Raises
        ------
        ModelError
            If a DenseNet block begins before the network does.
        """
        return layer_widths(self.layers)

    def folded(self, n: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Weights and bias of layer `n` with the residual and the rounding half folded in.

        Adding :math:`2^s` to the centre tap of each channel's own kernel is the residual; adding
        :math:`2^{s-1}` to the bias is the rounding.
        """
        spec, weight, bias = self.layers[n], self.weights[n], self.biases[n]
        if spec.residual:
            weight = weight.copy()
            own = np.arange(spec.out_channels)
            weight[own, own, spec.kernel[0] // 2, spec.kernel[1] // 2] += 1 << spec.shift
        return weight, bias + np.int32(1 << (spec.shift - 1))

    def describe(self) -> dict[str, Any]:
        """Everything but the weights, JSON-able."""
        return {
            "layers": [spec.describe() for spec in self.layers],
            "input_low": self.input_low,
            "input_high": self.input_high,
        }

    @classmethod
    def from_description(
        cls,
        description: Mapping[str, Any],
        weights: list[NDArray[np.int32]],
        biases: list[NDArray[np.int32]],
        contexts: Sequence[NDArray[np.int32] | None] = (),
    ) -> IntegerNetwork:
        """Put a network back together from `describe` and its arrays."""
        layers = tuple(ConvSpec(**{**layer, "kernel": tuple(layer["kernel"])}) for layer in description["layers"])
        return cls(
            layers,
            tuple(weights),
            tuple(biases),
            int(description["input_low"]),
            int(description["input_high"]),
            tuple(contexts),
        )


def layer_widths(layers: Sequence[ConvSpec]) -> list[int]:
    """Channels that enter each layer, and those that the last one gives.

    Raises
    ------
    ModelError
        If a DenseNet block begins before the network does.
    """
    widths = [layers[0].in_channels]
    for n, spec in enumerate(layers):
        if spec.dense > n + 1:
            raise ModelError(f"layer {n}: a DenseNet block of {spec.dense} layers begins before the network does")
        widths.append(spec.out_channels + (widths[n + 1 - spec.dense] if spec.dense else 0))
    return widths


def prove_exact(network: IntegerNetwork) -> list[int]:
    """Prove that float32 arithmetic computes the network exactly, whatever the order of its sums.

    The worst case of any partial sum of a layer is bounded by the sum of ``|w| * max |x|``, of ``|g| * max |x|`` (a
    mean is no larger than its terms) and of ``|b|`` over one output channel. Where that is below 2**24, every partial
    sum is an integer that float32 represents, so no rounding ever happens. The shift multiplies by a power of two,
    which is exact as well.

    Returns
    -------
    list of int
        The bound of each layer.

    Raises
    ------
    ModelError
        If a layer's bound is 2**24 or more.
    """
    bounds = []
    # Magnitudes of the channels that enter each layer.
    entering = [np.full(network.layers[0].in_channels, max(abs(network.input_low), abs(network.input_high)), np.int64)]
    for n, spec in enumerate(network.layers):
        weight, bias = network.folded(n)
        weights = np.abs(weight.astype(np.int64)).sum(axis=(2, 3))
        context = network.contexts[n]
        if context is not None:
            weights += np.abs(context.astype(np.int64))
        bound = int((weights @ entering[n] + np.abs(bias.astype(np.int64))).max())
        if bound >= FLOAT32_EXACT:
            raise ModelError(
                f"layer {n}: a sum may reach {bound}, past the 2**24 that float32 holds exactly; "
                "train with smaller weights or narrower activations"
            )
        bounds.append(bound)
        given = np.full(spec.out_channels, max(abs(spec.low), abs(spec.high)), np.int64)
        entering.append(np.concatenate([entering[n + 1 - spec.dense], given]) if spec.dense else given)
    return bounds
