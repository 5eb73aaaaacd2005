"""Small flows of made-up weights, and made inputs, the same for ever: goldens and most tests code with them."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.haar.ycbcr import to_rgb
from haarchive.codecs.idf.architecture import INPUT_LIMIT, Architecture, NetworkShape
from haarchive.codecs.idf.codec import IdfCodec
from haarchive.codecs.idf.flow import Flow, MixturePrior
from haarchive.codecs.idf.placed import PlacedFlow
from haarchive.codecs.idf.steps import Coupling, FactorOut
from haarchive.codecs.intnet import ConvSpec, IntegerNetwork
from haarchive.codecs.intnet.modelfile import ModelFile
from haarchive.codecs.intnet.torch_backend import TorchNetwork

RESNET = NetworkShape("resnet", 1, 4, context=True)
DENSENET = NetworkShape("densenet", 2, 4, high=255)

FOREIGN = (182, 98, 65)
"""A colour that neither conversion to RGB gives."""

KINDS = ("pyramid", "paper", "coupled")
"""Haar lifting alone, as what ships; the paper's layout; Haar lifting with lower triangular couplings."""


def architecture(kind: str, planes: int) -> Architecture:
    """A small flow of one of `KINDS`."""
    match kind:
        case "pyramid":
            colour = "ycocg-r" if planes == 3 else "none"
            return Architecture(planes, colour, 3, 0, "haar", 2, planes == 3, 3, RESNET, RESNET)
        case "paper":
            return Architecture(planes, "none", 3, 2, "none", 2, False, 5, DENSENET, DENSENET, seed=planes)
        case "coupled":
            return Architecture(planes, "none", 2, 4, "haar", 2, True, 2, RESNET, DENSENET)
    raise ValueError(kind)


def made_network(
    layers: list[ConvSpec], rng: np.random.Generator, scales: slice = slice(0), octaves: int = 0
) -> IntegerNetwork:
    """Random weights with which outputs are some samples wide; log-scales about `octaves` at the channels `scales`."""
    weights, biases, contexts = [], [], []
    for n, spec in enumerate(layers):
        last = n == len(layers) - 1
        largest = 7 if last else 60
        weights.append(
            rng.integers(-largest, largest + 1, (spec.out_channels, spec.in_channels, *spec.kernel)).astype(np.int32)
        )
        biases.append(rng.integers(-3000, 6000, spec.out_channels).astype(np.int32) // (4 if last else 1))
        contexts.append(
            rng.integers(-30, 31, (spec.out_channels, spec.in_channels)).astype(np.int32) if spec.context else None
        )
    biases[-1][scales] += octaves * 64 << layers[-1].shift
    return IntegerNetwork(tuple(layers), tuple(weights), tuple(biases), -INPUT_LIMIT, INPUT_LIMIT, tuple(contexts))


def made_flow(name: str, of: Architecture, seed: int = 2024) -> tuple[Flow, dict[str, IntegerNetwork]]:
    """A flow with random networks and a random mixture."""
    rng = np.random.Generator(np.random.PCG64(seed))
    networks, left = {}, of.planes
    steps = of.steps(name)
    for step in steps:
        if isinstance(step, Coupling | FactorOut):
            scales = slice(step.taken, 2 * step.taken) if isinstance(step, FactorOut) else slice(0)
            octaves = 2 if of.transform == "haar" else 4
            networks[step.network] = made_network(of.network_layers(step), rng, scales, octaves)
        left = channels_after(step, left)
    shares = rng.integers(1, 100, (left, of.mixture))
    weights = shares * (1 << 16) // shares.sum(axis=1, keepdims=True)
    weights[:, 0] += (1 << 16) - weights.sum(axis=1)
    locations = rng.integers(-30 * 16, 30 * 16, (left, of.mixture))
    scales_of = rng.integers(64, 76, (left, of.mixture))
    return Flow(of.planes, of.colour, steps, MixturePrior(weights, locations, scales_of)), networks


def channels_after(step: object, channels: int) -> int:
    """How many of so many channels there are after a step."""
    if isinstance(step, FactorOut):
        return step.kept
    return channels * getattr(step, "rows", 1) * getattr(step, "columns", 1)


@lru_cache
def made_model(kind: str) -> bytes:
    """A model file with flows of single planes and of three."""
    flows, networks = {}, {}
    for planes in (1, 3):
        flow, of_flow = made_flow(f"p{planes}", architecture(kind, planes))
        flows[f"p{planes}"] = flow.describe()
        networks |= of_flow
    return ModelFile("idf", networks, {"made": "in a test"}, structure={"flows": flows}).to_bytes()


def made_codec(kind: str, adaptive: bool = True) -> IdfCodec:
    """The codec with a small model."""
    return IdfCodec.load(made_model(kind), adaptive=adaptive)


def placed(flow: Flow, networks: dict[str, IntegerNetwork]) -> PlacedFlow:
    """A flow on the CPU."""
    return PlacedFlow(flow, {name: TorchNetwork(network) for name, network in networks.items()})


def picture(
    height: int, width: int, channels: int = 3, bits: int = 8, seed: int = 1, edges: int = 60
) -> NDArray[np.integer]:
    """A smooth picture with edges and some noise; integers only, so that it is the same everywhere."""
    rng = np.random.Generator(np.random.PCG64(seed))
    y, x, c = np.ogrid[:height, :width, :channels]
    top = (1 << bits) - 1
    waves = np.abs((3 * x + 5 * y + 40 * c) % 256 - 128) + np.abs((7 * x - 4 * y) % 256 - 128)
    blocks = ((x // 11 + y // 13) % 3 == 0) * edges
    noise = rng.integers(-6, 7, (height, width, channels))
    # Half of the range, so that even a flow that predicts nothing makes something smaller than the samples.
    level = np.clip((waves + blocks) * 127 // 330 + noise + 64, 0, 255) * top // 255
    if bits > 8:
        level = np.clip(level + rng.integers(0, 1 << (bits - 8), level.shape), 0, top)
    return level.astype(np.uint8 if bits <= 8 else np.uint16)


def converted(
    height: int, width: int, channels: int = 3, name: str = "ycbcr", seed: int = 1, foreign: int = 0
) -> NDArray[np.uint8]:
    """Colours that were computed from integers Y, Cb, Cr; but for so many pixels, from the first to the last."""
    image = picture(height, width, max(3, channels), seed=seed)[..., :channels].astype(np.int32)
    luma, cb, cr = np.moveaxis(image[..., :3], 2, 0)
    rgb = to_rgb(name, np.stack([luma, (cb - 128) // 3, (cr - 128) // 3]))
    image[..., :3] = np.moveaxis(rgb, 0, 2)
    places = np.linspace(0, height * width - 1, foreign).astype(int)
    image.reshape(-1, channels)[places, :3] = FOREIGN
    return image.astype(np.uint8)
