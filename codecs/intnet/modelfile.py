"""Model files: integer networks in a safetensors file that proves itself.

The file holds every network's weights (int16) and biases (int32), a *golden input* for each network, and, as
JSON in the file's metadata under the one key ``haarchive``, the layers, the SHA-256 of each network's output
on its golden input, the model card, and the SHA-256 of all this content, so that damage anywhere is noticed.
The SHA-256 of the whole file is the model's identity: archives name their models by it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors import numpy as safetensors_numpy

from haarchive.codecs.errors import InexactDeviceError, ModelError
from haarchive.codecs.intnet.reference import run_reference
from haarchive.codecs.intnet.spec import IntegerNetwork
from haarchive.codecs.intnet.torch_backend import TorchNetwork

__all__ = ["FORMAT", "Golden", "ModelFile", "golden_input", "output_digest"]

FORMAT = 1
"""Version of the model file."""

_GOLDEN_SIDE = 12

_MANY = 24
"""Golden inputs that a device must also compute together."""


@dataclass(frozen=True, eq=False)
class Golden:
    """A golden vector: an input ``(N, C, H, W) int16`` and the SHA-256 of the int32 output."""

    input: NDArray[np.int16]
    sha256: str


@dataclass(frozen=True, eq=False)
class ModelFile:
    """The networks of one model, by name.

    Parameters
    ----------
    codec : str
        The codec that the model belongs to.
    networks : Mapping of str to IntegerNetwork
    card : Mapping
        JSON-able: what the model was trained on, how, and under which licences.
    digest : str
        SHA-256 of the file it was read from, empty before it is written.
    structure : Mapping
        JSON-able: how the codec puts the networks together, where its name alone does not say.
    """

    codec: str
    networks: Mapping[str, IntegerNetwork]
    card: Mapping[str, Any] = field(default_factory=dict)
    digest: str = ""
    structure: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def golden(self) -> dict[str, Golden]:
        """The golden vectors of each network, from the int64 reference."""
        vectors = {}
        for name, network in self.networks.items():
            x = golden_input(network, name)
            vectors[name] = Golden(x, output_digest(run_reference(network, x)))
        return vectors

    def to_bytes(self) -> bytes:
        """The file's content; the same networks and card give the same bytes."""
        tensors: dict[str, NDArray[Any]] = {}
        record: dict[str, Any] = {
            "format": FORMAT,
            "codec": self.codec,
            "card": dict(self.card),
            "networks": {},
        }
        if self.structure:
            record["structure"] = dict(self.structure)
        for name, network in sorted(self.networks.items()):
            for n, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
                if np.abs(weight).max(initial=0) > np.iinfo(np.int16).max:
                    raise ModelError(f"network {name}, layer {n}: a weight does not fit 16 bits")
                tensors[f"{name}.{n}.weight"] = weight.astype(np.int16)
                tensors[f"{name}.{n}.bias"] = bias.astype(np.int32)
                context = network.contexts[n]
                if context is not None:
                    if np.abs(context).max(initial=0) > np.iinfo(np.int16).max:
                        raise ModelError(f"network {name}, layer {n}: a weight of its context does not fit 16 bits")
                    tensors[f"{name}.{n}.context"] = context.astype(np.int16)
            tensors[f"{name}.golden"] = self.golden[name].input
            record["networks"][name] = network.describe() | {"golden_sha256": self.golden[name].sha256}
        record["sha256"] = _content_digest(record, tensors)
        data: bytes = safetensors_numpy.save(tensors, {"haarchive": json.dumps(record, sort_keys=True)})
        return data

    @classmethod
    def from_bytes(cls, data: bytes) -> ModelFile:
        """Read a model file.

        Raises
        ------
        ModelError
            If it is damaged, of a newer format, or a network cannot be proven exact.
        """
        try:
            tensors = safetensors_numpy.load(data)
            header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
            record = json.loads(header["__metadata__"]["haarchive"])
            if record["format"] > FORMAT:
                raise ModelError(f"model file format {record['format']} is newer than {FORMAT}: update haarchive")
            if record.pop("sha256") != _content_digest(record, tensors):
                raise ModelError("the model file's content does not match its digest: it is damaged")
            networks = {}
            for name, description in record["networks"].items():
                layers = range(len(description["layers"]))
                networks[name] = IntegerNetwork.from_description(
                    description,
                    [tensors[f"{name}.{n}.weight"].astype(np.int32) for n in layers],
                    [tensors[f"{name}.{n}.bias"].astype(np.int32) for n in layers],
                    [
                        tensors[f"{name}.{n}.context"].astype(np.int32) if f"{name}.{n}.context" in tensors else None
                        for n in layers
                    ],
                )
            model = cls(
                record["codec"], networks, record["card"], hashlib.sha256(data).hexdigest(), record.get("structure", {})
            )
            for name, description in record["networks"].items():
                same_input = np.array_equal(model.golden[name].input, tensors[f"{name}.golden"])
                if not same_input or model.golden[name].sha256 != description["golden_sha256"]:
                    raise ModelError(f"network {name} does not give its golden output: the file is damaged")
            return model
        except ModelError:
            raise
        except (
            SafetensorError,
            ArithmeticError,
            AttributeError,
            LookupError,
            ValueError,
            TypeError,
        ) as error:
            raise ModelError(f"not a haarchive model file, or a damaged one: {error!r}") from error

    def place(self, device: str) -> dict[str, TorchNetwork]:
        """Put the networks on a torch device, and prove it on the golden vectors, few together and many.

        Libraries choose their algorithms by the shape that they are given; NNPACK, for one, by the batch.

        Raises
        ------
        InexactDeviceError
            If the device's integers differ from the reference's.
        """
        placed = {}
        for name, network in self.networks.items():
            placed[name] = TorchNetwork(network, device)
            golden = self.golden[name]
            few = placed[name].integers(golden.input)
            many = placed[name].integers(np.tile(golden.input, (_MANY, 1, 1, 1))).reshape(_MANY, *few.shape)
            if output_digest(few) != golden.sha256 or (many != few).any():
                raise InexactDeviceError(
                    f"device {device!r} does not reproduce the golden vectors of network {name}: "
                    "its arithmetic is not exact, so it must not touch data; use device 'cpu'"
                )
        return placed


def golden_input(network: IntegerNetwork, name: str) -> NDArray[np.int16]:
    """A small input that exercises a network: extremes, noise and a ramp, the same for the same name.

    Returns
    -------
    ndarray, shape (3, C, 12, 12), int16
    """
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    shape = (network.layers[0].in_channels, _GOLDEN_SIDE, _GOLDEN_SIDE)
    low, high = network.input_low, network.input_high
    noise = np.random.Generator(np.random.PCG64(seed)).integers(low, high, shape, endpoint=True)
    extremes = np.where(noise & 1, low, high)
    ramp = np.broadcast_to(np.arange(-_GOLDEN_SIDE, _GOLDEN_SIDE, 2), shape)
    return np.stack([extremes, noise, ramp]).astype(np.int16)


def output_digest(output: NDArray[np.int32]) -> str:
    """SHA-256 of an output as little-endian int32."""
    return hashlib.sha256(np.ascontiguousarray(output, dtype="<i4").tobytes()).hexdigest()


def _content_digest(record: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 of a record (without its own digest) and the tensors' names, shapes and values."""
    as_read = json.loads(json.dumps(record))  # keys that are not strings become some
    digest = hashlib.sha256(json.dumps(as_read, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        little = tensor.astype(tensor.dtype.newbyteorder("<"))
        digest.update(f"{name}:{tensor.dtype.name}:{tensor.shape};".encode() + little.tobytes())
    return digest.hexdigest()
