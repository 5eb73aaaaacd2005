"""Small flows of sound with made-up weights, and made sound, the same for ever."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from idf_models import made_flow
from numpy.typing import NDArray

from haarchive.codecs.idf.architecture import Architecture, NetworkShape
from haarchive.codecs.idf.audio import IdfAudioCodec
from haarchive.codecs.intnet.modelfile import ModelFile

NETWORK = NetworkShape("resnet", 1, 4, (1, 5))

KINDS = ("pyramid", "paper")
"""Haar lifting with lower triangular priors, as what ships; the paper's layout with couplings."""


def architecture(kind: str, planes: int) -> Architecture:
    """A small flow of one of `KINDS`."""
    if kind == "pyramid":
        return Architecture(planes, "none", 4, 0, "haar", 1, planes == 2, 3, NETWORK, NETWORK)
    return Architecture(planes, "none", 3, 2 * (planes - 1), "none", 1, planes == 2, 2, NETWORK, NETWORK, seed=3)


@lru_cache
def made_sound_model(kind: str = "pyramid", most: int = 2) -> bytes:
    """A model file with flows of single channels and, up to `most`, of pairs."""
    flows, networks = {}, {}
    for planes in range(1, most + 1):
        flow, of_flow = made_flow(f"p{planes}", architecture(kind, planes))
        flows[f"p{planes}"] = flow.describe()
        networks |= of_flow
    return ModelFile("idf-audio", networks, {"made": "in a test"}, structure={"flows": flows}).to_bytes()


@lru_cache
def made_sound_codec(kind: str = "pyramid", effort: int = 2, most: int = 2) -> IdfAudioCodec:
    """The codec with a small model."""
    made = IdfAudioCodec.load(made_sound_model(kind, most))
    return IdfAudioCodec(made._flows, str(made.model_digest), made.model or b"", (effort,))


def recording(frames: int, channels: int, seed: int = 1) -> NDArray[np.int16]:
    """Waves that beat, and some noise; integers only, so that it is the same everywhere."""
    rng = np.random.Generator(np.random.PCG64(seed))
    t, c = np.ogrid[:frames, :channels]
    waves = np.abs((t * (31 + c)) % 400 - 200) * 20 + np.abs((t * 7 + 50 * c) % 1000 - 500) * 9
    loud = 1 + np.abs(t % 3000 - 1500) // 300
    return (waves * loud // 3 - 4000 + rng.integers(-90, 91, (frames, channels))).astype(np.int16)
