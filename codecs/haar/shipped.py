"""The models that come with haarchive."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib import resources

from haarchive.codecs.errors import ModelError, ModelNotFoundError
from haarchive.codecs.haar.taps import AUDIO_BANDS, IMAGE_BANDS
from haarchive.codecs.intnet.modelfile import ModelFile
from haarchive.codecs.intnet.torch_backend import TorchNetwork

__all__ = ["load_model", "shipped_model"]

_FILES = {"haar": "haar-image.safetensors", "haar-audio": "haar-audio.safetensors"}

_NETWORKS = {
    "haar": [(planes, band) for planes in (1, 3) for band in IMAGE_BANDS],
    "haar-audio": [(1, band) for band in AUDIO_BANDS],
}
"""The networks that each codec needs: how many planes they see together, and for which band."""


@lru_cache
def shipped_model(codec: str) -> bytes:
    """The content of the model file that comes with haarchive for a codec.

    Raises
    ------
    ModelNotFoundError
        If the installation lacks it.
    """
    path = resources.files("haarchive.codecs.haar") / "weights" / _FILES[codec]
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ModelNotFoundError(f"the shipped model {_FILES[codec]} is missing: reinstall haarchive") from None


def load_model(codec: str, model: bytes | None, device: str) -> tuple[dict[str, TorchNetwork], str, bytes]:
    """Networks on a device, the model's digest, and its file.

    Raises
    ------
    ModelError
        If the model belongs to another codec or lacks a network, or see `ModelFile`.
    """
    data = shipped_model(codec) if model is None else model
    return _place(codec, data, hashlib.sha256(data).hexdigest(), device)


@lru_cache(maxsize=8)
def _place(codec: str, data: bytes, digest: str, device: str) -> tuple[dict[str, TorchNetwork], str, bytes]:
    parsed = ModelFile.from_bytes(data)
    if parsed.codec != codec:
        raise ModelError(f"model {digest[:12]} belongs to codec {parsed.codec!r}, not {codec!r}")
    for planes, band in _NETWORKS[codec]:
        network = parsed.networks.get(f"p{planes}.{band.name}")
        fits = network is not None and (
            network.layers[0].in_channels == (band.lows + band.details) * planes
            and network.layers[-1].out_channels == 2 * planes
        )
        if not fits:
            raise ModelError(f"model {digest[:12]} has no network p{planes}.{band.name} for codec {codec!r}")
    return parsed.place(device), digest, data
