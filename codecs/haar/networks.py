"""The networks of the haar codecs: from what is known around a band to its location and scale.

::

    context (N, (lows + details) * P, H, W)
      -> conv k -> clipped ReLU
      -> residual conv k -> clipped ReLU     (`blocks` times)
      -> conv 1  -> location (N, P, H, W), log-scale (N, P, H, W)

`P` planes are seen and predicted together. Locations are in 1/16 of a sample, log-scales in 1/64 octave; both
refine the adaptive least squares (`haarchive.codecs.haar.adapt`), which knows the source at hand but only
linear rules.
"""

from __future__ import annotations

from haarchive.codecs.haar.taps import BandSpec
from haarchive.codecs.intnet import ConvSpec

__all__ = ["INPUT_LIMIT", "LOCATION_BITS", "SCALE_STEPS", "network_layers"]

INPUT_LIMIT = 511
"""Contexts are clamped to this magnitude: 8-bit colour differences need 9 bits and a sign."""

LOCATION_BITS = 4
"""Fraction bits of a location."""

SCALE_STEPS = 64
"""Log-scale steps an octave that networks and adaptation work in."""

_ACTIVATION_HIGH = 1023
_SHIFT = 8
_OUTPUT = 1 << 15


def network_layers(band: BandSpec, planes: int, channels: int, blocks: int, kernel: tuple[int, int]) -> list[ConvSpec]:
    """The layers of one band's network."""
    inputs = (band.lows + band.details) * planes
    hidden = ConvSpec(channels, channels, kernel, _SHIFT, 0, _ACTIVATION_HIGH, residual=True)
    return [
        ConvSpec(inputs, channels, kernel, _SHIFT, 0, _ACTIVATION_HIGH),
        *[hidden] * blocks,
        ConvSpec(channels, 2 * planes, (1, 1), _SHIFT, -_OUTPUT, _OUTPUT - 1),
    ]
