"""The models that come with haarchive."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib import resources

from haarchive.codecs.errors import ModelError, ModelNotFoundError
from haarchive.codecs.intnet.modelfile import ModelFile
from haarchive.codecs.intnet.torch_backend import TorchNetwork

__all__ = ["load_model", "shipped_model"]

_FILES = {"haar": "haar-image.safetensors", "haar-audio": "haar-audio.safetensors"}


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
        If the model belongs to another codec, or see `ModelFile`.
    """
    data = shipped_model(codec) if model is None else model
    return _place(codec, data, hashlib.sha256(data).hexdigest(), device)


@lru_cache(maxsize=8)
def _place(codec: str, data: bytes, digest: str, device: str) -> tuple[dict[str, TorchNetwork], str, bytes]:
    parsed = ModelFile.from_bytes(data)
    if parsed.codec != codec:
        raise ModelError(f"model {digest[:12]} belongs to codec {parsed.codec!r}, not {codec!r}")
    return parsed.place(device), digest, data
