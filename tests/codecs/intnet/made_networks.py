"""Integer networks of random weights, for tests."""

from __future__ import annotations

import numpy as np

from haarchive.codecs.intnet import FLOAT32_EXACT, ConvSpec, IntegerNetwork


def hidden_layers(channels_in: int, channels: int, channels_out: int) -> tuple[ConvSpec, ...]:
    """A layer of each sort: convolution, residual, tall kernel, pointwise head."""
    return (
        ConvSpec(channels_in, channels, (3, 3), 6, 0, 255),
        ConvSpec(channels, channels, (3, 3), 6, 0, 255, residual=True),
        ConvSpec(channels, channels, (5, 1), 7, -128, 127),
        ConvSpec(channels, channels_out, (1, 1), 5, -(1 << 15), (1 << 15) - 1),
    )


def random_network(
    layers: tuple[ConvSpec, ...], seed: int = 0, input_low: int = -511, input_high: int = 511
) -> IntegerNetwork:
    """Random weights and biases with which most outputs stay between their clamps and some do not."""
    rng = np.random.default_rng(seed)
    weights, biases = [], []
    bound = max(-input_low, input_high)
    for spec in layers:
        terms = spec.in_channels * spec.kernel[0] * spec.kernel[1]
        reach = min(spec.high, 1 << 12) << spec.shift
        largest = max(1, min(int(2 * reach / (bound * terms**0.5)), FLOAT32_EXACT // (4 * terms * bound)))
        shape = (spec.out_channels, spec.in_channels, *spec.kernel)
        weights.append(rng.integers(-largest, largest, shape, endpoint=True).astype(np.int32))
        biases.append(rng.integers(-reach // 4, reach // 2, spec.out_channels).astype(np.int32))
        bound = max(abs(spec.low), abs(spec.high))
    return IntegerNetwork(layers, tuple(weights), tuple(biases), input_low, input_high)
