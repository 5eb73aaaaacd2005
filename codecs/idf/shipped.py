"""The models of the codec idf that come with haarchive."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib import resources
from typing import Any

from haarchive.codecs.errors import ModelError, ModelNotFoundError
from haarchive.codecs.haar.presets import Preset
from haarchive.codecs.idf.flow import Flow
from haarchive.codecs.idf.placed import PlacedFlow
from haarchive.codecs.intnet.modelfile import ModelFile

__all__ = ["load_flows", "shipped_model"]

_FILES: dict[str, dict[Preset, str]] = {
    "idf": {"fast": "idf-small", "balanced": "idf-small", "max": "idf-histology"},
    "idf-audio": {"fast": "idf-audio", "balanced": "idf-audio", "max": "idf-audio"},
}


@lru_cache
def shipped_model(codec: str, preset: Preset) -> bytes:
    """The content of the model file that comes with haarchive for a preset of a codec.

    Raises
    ------
    ModelNotFoundError
        If the installation lacks it.
    """
    name = f"{_FILES[codec][preset]}.safetensors"
    try:
        return (resources.files("haarchive.codecs.idf") / "weights" / name).read_bytes()
    except FileNotFoundError:
        raise ModelNotFoundError(f"the shipped model {name} is missing: reinstall haarchive") from None


def load_flows(codec: str, data: bytes, device: str) -> tuple[dict[str, PlacedFlow], str]:
    """Flows on a device, by name, and the model's digest.

    Raises
    ------
    ModelError
        If the model belongs to another codec or lacks a network, or see `ModelFile`.
    """
    return _place(codec, data, hashlib.sha256(data).hexdigest(), device)


@lru_cache(maxsize=8)
def _place(codec: str, data: bytes, digest: str, device: str) -> tuple[dict[str, PlacedFlow], str]:
    parsed = ModelFile.from_bytes(data)
    if parsed.codec != codec:
        raise ModelError(f"model {digest[:12]} belongs to codec {parsed.codec!r}, not {codec!r}")
    described: Any = parsed.structure.get("flows")
    if not isinstance(described, dict) or "p1" not in described:
        raise ModelError(f"model {digest[:12]} has no flow for single planes")
    networks = parsed.place(device)
    flows = {}
    for name, description in described.items():
        flow = Flow.from_description(description)
        if name != f"p{flow.planes}":
            raise ModelError(f"model {digest[:12]} has a flow of {flow.planes} planes under the name {name!r}")
        flows[name] = PlacedFlow(flow, networks)
    return flows, digest
