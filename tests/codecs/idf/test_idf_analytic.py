"""The analytic code length, beside real bytes and beside the formulas as SciPy has them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from idf_models import KINDS, converted, made_codec, made_model, picture
from numpy.typing import NDArray
from scipy.stats import logistic
from torch import Tensor

from haarchive.codecs.errors import UnsupportedSamplesError
from haarchive.codecs.idf.analytic import analytic_bits, analytic_picture_bits
from haarchive.codecs.idf.factored import _located
from haarchive.codecs.idf.flow import MixturePrior
from haarchive.codecs.idf.placed import Factored, PlacedFlow
from haarchive.codecs.idf.shipped import load_flows
from haarchive.codecs.idf.streams import ChunkWriter, Coding


def flows_of(kind: str) -> dict[str, PlacedFlow]:
    return load_flows("idf", made_model(kind), "cpu")[0]


def mass(z: NDArray[np.int64], location: NDArray[np.float64], scale: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probability of integers, by differences from the nearer end, so that tails keep their digits."""
    distance = np.abs(z - location)
    below: NDArray[np.float64] = logistic.cdf((0.5 - distance) / scale) - logistic.cdf((-0.5 - distance) / scale)
    return below


def scipy_bits(placed: PlacedFlow, x: Tensor, shift: int) -> float:
    total = 0.0
    for part in placed.analyse(x, shift):
        if isinstance(part, Tensor):
            prior, z = placed.flow.prior, part.numpy()[..., None] >> shift
            own = (slice(None), None, None)
            each = mass(z, prior.locations[own] / 16, 2.0 ** (prior.scales[own] / 8 - 5))
            total += part.numel() * shift - float(np.log2((each * prior.weights[own] / 65536).sum(-1)).sum())
            continue
        of, latents = part
        for parameters, z in zip(of.parameters.numpy(), latents.numpy(), strict=True):
            for channel in range(of.step.taken):
                location = _located(of.step, parameters, z, channel, shift) / 16
                octaves = np.clip(parameters[of.step.taken + channel] / 64 + shift, -5, 24)
                total -= float(np.log2(mass(z[channel], location, 2.0**octaves)).sum())
    return total


@pytest.mark.parametrize("shift", [0, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_the_code_length_is_that_of_the_paper_s_formulas(kind: str, shift: int) -> None:
    placed = flows_of(kind)["p3"]
    rng = np.random.default_rng(1)
    smooth = np.add.outer(np.arange(12) * 5, np.arange(20) * 3)
    x = (smooth + rng.integers(-4, 5, (2, 3, 12, 20)) - 40) << shift
    given = torch.from_numpy(x.astype(np.int32))
    assert analytic_bits(placed, given, shift) == pytest.approx(scipy_bits(placed, given, shift), rel=1e-9)


def drawn(placed: PlacedFlow, height: int, width: int) -> Tensor:
    """What the model itself holds for likely: latents drawn from its prior, then the flow backwards."""
    rng = np.random.default_rng(2)
    prior = placed.flow.prior
    last = np.empty((1, placed.flow.left, *placed.shapes(height, width)[-1]), np.int32)
    for c in range(placed.flow.left):
        k = rng.choice(prior.weights.shape[1], last[0, c].shape, p=prior.weights[c] / 65536)
        last[0, c] = np.rint(rng.logistic(prior.locations[c, k] / 16, 2.0 ** (prior.scales[c, k] / 8 - 5)))

    def take(of: Factored) -> Tensor:
        parameters = of.parameters[0].numpy()
        z = np.zeros((1, of.step.taken, *parameters.shape[1:]), np.int32)
        for c in range(of.step.taken):
            scale = 2.0 ** np.clip(parameters[of.step.taken + c] / 64, -5, 24)
            z[0, c] = np.rint(rng.logistic(_located(of.step, parameters, z[0], c, 0) / 16, scale))
        return torch.from_numpy(z)

    return placed.synthesise(torch.from_numpy(last), height, width, 0, take)


@pytest.mark.parametrize("kind", KINDS)
def test_real_bytes_of_what_the_model_draws_are_those_of_the_code_length(kind: str) -> None:
    placed = flows_of(kind)["p3"]
    x = drawn(placed, 64, 96)
    *parts, last = placed.analyse(x, 0)
    writer = ChunkWriter(sorted(placed.flow.factored, reverse=True))
    items = [(of.step, of.level, of.given[0].numpy(), of.parameters[0].numpy(), z[0].numpy()) for of, z in parts]
    writer.add(Coding(3, 0, 0, adaptive=False), last[0].numpy(), placed.tables, items[::-1])
    real, analytic = 8 * sum(map(len, writer.bands())), analytic_bits(placed, x)
    assert analytic < real < 1.005 * analytic


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_pictures_of_any_number_of_planes_go_through_the_flows_that_the_codec_takes(kind: str, channels: int) -> None:
    """Models of random weights know no pictures, and escapes take some per cent more than the formula's tails."""
    pixels = picture(128, 112, channels)
    (bitstream,) = made_codec(kind, adaptive=False).encode([pixels])
    assert 8 * bitstream.nbytes == pytest.approx(analytic_picture_bits(flows_of(kind), pixels[None]), rel=0.06)


def test_pictures_from_luma_and_chroma_go_through_the_flows_as_such() -> None:
    pixels = converted(128, 112, foreign=9)
    (bitstream,) = made_codec("pyramid", adaptive=False).encode([pixels])
    analytic = analytic_picture_bits(flows_of("pyramid"), pixels[None])
    assert 8 * bitstream.nbytes == pytest.approx(analytic, rel=0.06)
    # Nine pixels, listed: 24 bits each, and a gap of some ten bits, coded as twice as many.
    assert 9 * 24 < analytic - analytic_picture_bits(flows_of("pyramid"), converted(128, 112)[None]) < 9 * 24 + 9 * 120


def test_flows_of_three_planes_alone_are_enough_for_colour() -> None:
    both = flows_of("pyramid")
    pixels = np.stack([converted(40, 44), picture(40, 44)])
    assert analytic_picture_bits({"p3": both["p3"]}, pixels) == analytic_picture_bits(both, pixels)


def test_the_code_lengths_of_pictures_add_up() -> None:
    flows = flows_of("pyramid")
    pixels = np.stack([picture(20, 24, seed=n) for n in range(3)])
    apart = [analytic_picture_bits(flows, one[None]) for one in pixels]
    assert analytic_picture_bits(flows, pixels) == pytest.approx(sum(apart), rel=1e-12)


def test_a_component_without_weight_takes_no_part() -> None:
    """Its logarithm is minus infinity, which must not spread."""
    placed = flows_of("paper")["p1"]
    before = placed.flow.prior
    empty = before.weights.copy()
    empty[:, 0] += empty[:, 1]
    empty[:, 1] = 0
    moved = before.locations.copy()
    moved[:, 1] = 12345
    x = torch.from_numpy(picture(16, 16, 1).astype(np.int32).transpose(2, 0, 1)[None] - 128)
    lengths = []
    for locations in (before.locations, moved):
        object.__setattr__(placed.flow, "prior", MixturePrior(empty, locations, before.scales))
        lengths.append(analytic_bits(placed, x))
    object.__setattr__(placed.flow, "prior", before)
    assert np.isfinite(lengths[0])
    assert lengths[0] == lengths[1]


def test_only_pictures_of_bytes_are_taken() -> None:
    flows = flows_of("pyramid")
    with pytest.raises(UnsupportedSamplesError, match="uint16"):
        analytic_picture_bits(flows, np.zeros((1, 8, 8, 3), np.uint16))
    with pytest.raises(UnsupportedSamplesError, match=r"\(8, 8, 3\)"):
        analytic_picture_bits(flows, np.zeros((8, 8, 3), np.uint8))
