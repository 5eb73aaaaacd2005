r"""The analytic code length: what a flow's model says that a picture takes, beside what its bitstream does take.

Equations 4, 8 and 9 of "Integer Discrete Flows" (Hoogeboom et al., 2019), with float64 and the integers that the coder
works with: locations in 1/16, log-scales in 1/64 octave, the mixture's weights in 2**-16. What real bits have in excess
is the coder's: probabilities and log-scales rounded to tables, heads of streams, the header. Adaptive couplings are no
part of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from haarchive.codecs.distributions.logistic import SCALES_PER_OCTAVE
from haarchive.codecs.distributions.mixture import WEIGHT_ONE
from haarchive.codecs.errors import UnsupportedSamplesError
from haarchive.codecs.haar.objective import logistic_bits
from haarchive.codecs.idf.entropy import SCALE_OFFSET
from haarchive.codecs.idf.flow import MixturePrior
from haarchive.codecs.idf.pictures import prepare
from haarchive.codecs.idf.placed import PlacedFlow
from haarchive.codecs.idf.planes import centred, flow_units
from haarchive.codecs.idf.steps import COEFFICIENT_BITS, LOCATION_BITS, FactorOut, n_coefficients
from haarchive.codecs.rans.stream import OperationList
from haarchive.codecs.rans.values import MAX_SCALE

__all__ = ["analytic_bits", "analytic_picture_bits"]

_OCTAVE = 64
_STATE_BITS = 32
_LOG_SCALES = (-SCALE_OFFSET / SCALES_PER_OCTAVE, (MAX_SCALE - SCALE_OFFSET) / SCALES_PER_OCTAVE)
"""What the coder clamps logarithms of scales to."""


def analytic_picture_bits(flows: Mapping[str, PlacedFlow], pictures: NDArray[np.uint8]) -> float:
    """The analytic code length of pictures of one size, with the flows that the codec would take.

    Parameters
    ----------
    flows : Mapping of str to PlacedFlow
        Of a model (`haarchive.codecs.idf.shipped.load_flows`).
    pictures : ndarray, shape (N, H, W, C), uint8

    Returns
    -------
    float
        Bits of all pictures together.

    Raises
    ------
    UnsupportedSamplesError
        If the pictures are no such array.
    """
    if pictures.ndim != 4 or pictures.dtype != np.uint8:
        raise UnsupportedSamplesError(f"(N, H, W, C) uint8 is wanted, not {pictures.shape} {pictures.dtype}")
    prepared = prepare(list(pictures), flows, adaptive=False)
    total = float(sum(_listed_bits(one.outliers) for one in prepared))
    for placed, part in flow_units(flows, pictures.shape[3]):
        x = np.stack([centred(one, placed, part) for one in prepared])
        total += analytic_bits(placed, torch.from_numpy(x).to(placed.device))
    return total


@torch.no_grad()
def analytic_bits(placed: PlacedFlow, x: Tensor, shift: int = 0) -> float:
    """The analytic code length of what a flow is given.

    Parameters
    ----------
    placed : PlacedFlow
    x : Tensor, shape (N, planes, H, W), int32
        After the colour transform, centred on zero, on the flow's device.
    shift : int
        Amplitude shift: bits above 8 of the samples.

    Returns
    -------
    float
        Bits of all N together.
    """
    total = 0.0
    for part in placed.analyse(x, shift):
        if isinstance(part, Tensor):
            total += _mixture_bits(placed.flow.prior, part, shift)
        else:
            factored, z = part
            total += _factored_bits(factored.step, factored.parameters.long(), z.long(), shift)
    return total


def _listed_bits(outliers: OperationList) -> int:
    """What pixels that are listed as they are add to a stream, which has its coder's state anyway."""
    return 8 * len(outliers.to_bytes()) - _STATE_BITS if outliers.n else 0


def _factored_bits(step: FactorOut, parameters: Tensor, z: Tensor, shift: int) -> float:
    """Under discretised logistics (equation 8), whose locations and log-scales are the integers that are coded with."""
    down = COEFFICIENT_BITS - LOCATION_BITS
    total = 0.0
    for channel in range(step.taken):
        location = (parameters[:, channel] << shift) << down
        first = 2 * step.taken + n_coefficients(channel, True)
        for before in range(channel if step.triangular else 0):
            location = location + parameters[:, first + before] * z[:, before]
        location = (location + (1 << (down - 1))) >> down
        octaves = (parameters[:, step.taken + channel] + shift * _OCTAVE).double() / _OCTAVE
        distance = (z[:, channel].double() - location.double() / (1 << LOCATION_BITS)).abs()
        total += float(logistic_bits(distance, octaves.clamp(*_LOG_SCALES)).sum())
    return total


def _mixture_bits(prior: MixturePrior, z: Tensor, shift: int) -> float:
    """Under the mixture of its channel (equation 9); low bits go as they are."""
    weights, locations, octaves = (
        torch.from_numpy(of).to(z.device)[None, :, None, None]
        for of in (
            prior.weights / WEIGHT_ONE,
            prior.locations / (1 << LOCATION_BITS),
            (prior.scales - SCALE_OFFSET) / SCALES_PER_OCTAVE,
        )
    )
    bits = logistic_bits(((z >> shift).double()[..., None] - locations).abs(), octaves)
    nats = torch.logsumexp(torch.log(weights) - bits * math.log(2), -1)
    return float(-nats.sum() / math.log(2)) + shift * z.numel()
