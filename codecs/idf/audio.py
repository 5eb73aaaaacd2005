"""The codec `idf-audio`: an integer discrete flow in one dimension, coded with its prior, exact in integers.

::

    samples (frames, channels) -> trailing zero bits dropped, sparse values renumbered
                               -> pairs of channels -> a flow for each
    band 0:    header, value map, last latents of all pairs
    band k:    what was factored out at one level, coarse to fine, of all pairs

After "Integer Discrete Flows and Lossless Compression" (Hoogeboom et al., 2019); its squeeze takes two frames here. The
last coupling before each factor-out adapts to the recording (`sound_adapt`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from haarchive.codecs.base import Bitstream, Codec, Samples
from haarchive.codecs.errors import BitstreamError, ModelError, UnsupportedSamplesError
from haarchive.codecs.haar.presets import DEFAULT_PRESET, Preset
from haarchive.codecs.haar.remap import SampleMap, find_map
from haarchive.codecs.haar.sound_band import amplitude_shift
from haarchive.codecs.idf import sound_adapt
from haarchive.codecs.idf.escape import from_varint, raw_bytes, raw_samples, to_varint
from haarchive.codecs.idf.placed import Factored, PlacedFlow, to_numpy
from haarchive.codecs.idf.shipped import load_flows, shipped_model
from haarchive.codecs.idf.sound_features import SoundCoding
from haarchive.codecs.idf.sound_header import DTYPES, MAX_BITS, MAX_CHANNELS, MAX_FRAMES, SoundHeader
from haarchive.codecs.idf.steps import FactorOut, Squeeze
from haarchive.codecs.idf.streams import ChunkReader, ChunkWriter
from haarchive.codecs.rans.stream import OperationList, WordReader

__all__ = ["IdfAudioCodec"]

_EFFORTS: dict[Preset, tuple[int, ...]] = {"fast": (1,), "balanced": (2,), "max": (1, 2, 3)}
"""What the encoder tries: whichever gives the fewest bytes is kept."""


class IdfAudioCodec(Codec):
    """Sound ``(frames, channels)`` of int16 or int32 with any number of channels.

    Parameters
    ----------
    flows : dict of str to PlacedFlow
        ``p1`` for single channels; ``p2``, where there is one, for pairs.
    model_digest : str
    model : bytes
        The model file, for archives to keep.
    efforts : sequence of int
        How much the last couplings of what is encoded may adapt, 0 to 3; see `SoundHeader`. Decoding reads from the
        bitstream which it was.

    Raises
    ------
    ModelError
        If a flow is one of pictures.
    """

    name: ClassVar[str] = "idf-audio"

    def __init__(self, flows: dict[str, PlacedFlow], model_digest: str, model: bytes, efforts: Sequence[int]) -> None:
        self._flows = {name: placed for name, placed in flows.items() if name in ("p1", "p2")}
        for name, placed in self._flows.items():
            steps = placed.flow.steps
            rows = any(isinstance(step, Squeeze) and step.rows > 1 for step in steps)
            if rows or any(
                isinstance(step, FactorOut) and max(step.kept, step.taken) > placed.flow.planes for step in steps
            ):
                raise ModelError(f"the flow {name!r} is not one of sound")
        self.model_digest = model_digest
        self.model = model
        self._efforts = efforts
        self._device = flows["p1"].device
        self._together = len(self._flows)
        self._tag = bytes.fromhex(model_digest)[:2]

    @classmethod
    def load(
        cls,
        model: bytes | None = None,
        *,
        device: str = "cpu",
        preset: Preset = DEFAULT_PRESET,
        adaptive: bool = True,
    ) -> IdfAudioCodec:
        """Make the codec from a model file, by default the one shipped.

        Parameters
        ----------
        model : bytes, optional
        device : str
        preset : {'fast', 'balanced', 'max'}
            How far the adaptive couplings look; 'max' tries all ways.
        adaptive : bool
            Whether there are any.

        Raises
        ------
        ModelError
            If the file is malformed or of another codec, or the device is not exact.
        """
        data = shipped_model(cls.name, preset) if model is None else model
        flows, digest = load_flows(cls.name, data, device)
        return cls(flows, digest, data, _EFFORTS[preset] if adaptive else (0,))

    def encode(self, chunks: Sequence[Samples]) -> list[Bitstream]:
        """Encode recordings independently of each other; see `Codec.encode`."""
        return [self._encode(chunk) for chunk in chunks]

    def decode(self, bitstreams: Sequence[Bitstream], *, reduce: int = 0) -> list[Samples]:
        """Decode recordings; see `Codec.decode`. Sound has one resolution."""
        if reduce:
            raise BitstreamError("sound has one resolution: reduce must be 0")
        return [self._decode(bitstream) for bitstream in bitstreams]

    def _encode(self, chunk: Samples) -> Bitstream:
        fits = chunk.ndim == 2 and chunk.shape[0] <= MAX_FRAMES and chunk.shape[1] <= MAX_CHANNELS
        if not fits or chunk.dtype not in DTYPES:
            raise UnsupportedSamplesError(
                f"idf-audio takes (frames, channels) int16 or int32, not {chunk.shape} {chunk.dtype}"
            )
        samples = np.ascontiguousarray(chunk.T).astype(np.int64)
        sample_map = find_map(samples)
        samples = sample_map.forward(samples)
        bits = max(1, int(np.abs(samples).max(initial=0)).bit_length() + 1)
        if bits > MAX_BITS:
            raise UnsupportedSamplesError(f"idf-audio takes samples of up to {MAX_BITS} bits, not {bits}")
        x = samples.astype(np.int32)
        header = SoundHeader(
            chunk.dtype, (chunk.shape[0], chunk.shape[1]), bits, mapped=not sample_map.trivial, silent=not x.any()
        )
        bands = self._encode_channels(header, x, sample_map)
        raw = (replace(header, raw=True, mapped=False, silent=False).to_bytes() + raw_bytes(chunk),)
        return Bitstream(_smallest([bands, raw]))

    def _encode_channels(self, header: SoundHeader, x: NDArray[np.int32], sample_map: SampleMap) -> tuple[bytes, ...]:
        mapped = _map_bytes(sample_map) if header.mapped else b""
        if not header.coded:
            return (header.to_bytes() + mapped,)
        units = self._units(len(x))
        shifts = tuple(amplitude_shift(x[part]) for _, part in units)
        efforts = self._efforts if header.bits <= sound_adapt.MAX_BITS else (0,)
        latents = [
            placed.latents(torch.from_numpy(x[part][None, :, None]).to(self._device), shift)
            for (placed, part), shift in zip(units, shifts, strict=True)
        ]
        tried = []
        for effort in efforts:
            chosen = replace(header, effort=effort, shifts=shifts)
            writer = ChunkWriter(self._levels(len(x)))
            for (placed, _), shift, (parts, last) in zip(units, shifts, latents, strict=True):
                items = [
                    (of.step, of.level, to_numpy(of.given)[0], to_numpy(of.parameters)[0], to_numpy(z)[0])
                    for of, z in parts
                ]
                coding = SoundCoding(placed.flow.planes, shift, header.limit, effort)
                writer.add(coding, to_numpy(last)[0], placed.tables, items)
            last_band, *bands = writer.bands()
            tried.append((chosen.to_bytes() + mapped + self._tag + last_band, *bands))
        return _smallest(tried)

    def _decode(self, bitstream: Bitstream) -> Samples:
        header, rest = SoundHeader.from_bytes(bitstream.bands[0] if bitstream.bands else b"", self._together)
        if header.raw:
            return raw_samples(rest, header.shape, header.dtype)
        sample_map = SampleMap()
        if header.mapped:
            sample_map, rest = _read_map(rest)
        x = np.zeros(header.shape[::-1], np.int32)
        if header.coded:
            x = self._decode_channels(header, rest, bitstream.bands[1:])
        samples = sample_map.inverse(x.astype(np.int64)) if x.size else x
        bounds = np.iinfo(header.dtype)
        if samples.min(initial=0) < bounds.min or samples.max(initial=0) > bounds.max:
            raise BitstreamError("decoded samples leave their range: the bitstream is damaged")
        return np.ascontiguousarray(samples.astype(header.dtype).T)

    def _decode_channels(self, header: SoundHeader, rest: memoryview, bands: Sequence[bytes]) -> NDArray[np.int32]:
        frames, channels = header.shape
        levels, tag = self._levels(channels), bytes(rest[: len(self._tag)])
        if tag != self._tag:
            raise BitstreamError(
                f"the idf-audio bitstream needs another model than {(self.model_digest or '')[:12]}: "
                f"its tag is {tag.hex()!r}"
            )
        if len(bands) != len(levels):
            raise BitstreamError(f"{len(bands) + 1} bands do not make a chunk of {len(levels)} levels")
        reader = ChunkReader(rest[len(self._tag) :], dict(zip(levels, bands, strict=True)))
        parts = [
            self._decode_unit(
                placed, SoundCoding(placed.flow.planes, shift, header.limit, header.effort), frames, reader
            )
            for (placed, _), shift in zip(self._units(channels), header.shifts, strict=True)
        ]
        reader.finish()
        return np.concatenate(parts)

    def _decode_unit(
        self, placed: PlacedFlow, coding: SoundCoding, frames: int, reader: ChunkReader
    ) -> NDArray[np.int32]:
        """The channels of one flow, ``(C, frames) int32``."""
        last = np.zeros((placed.flow.left, *placed.shapes(1, frames)[-1]), np.int32)
        reader.last(coding, last, placed.tables)

        def take(of: Factored) -> Tensor:
            given, parameters = to_numpy(of.given)[0], to_numpy(of.parameters)[0]
            z = np.zeros((of.step.taken, *given.shape[1:]), np.int32)
            reader.take(coding, of.step, of.level, given, parameters, z)
            return torch.from_numpy(z[None]).to(self._device)

        x = placed.synthesise(torch.from_numpy(last[None]).to(self._device), 1, frames, coding.shift, take)
        return to_numpy(x)[0, :, 0]

    def _units(self, channels: int) -> list[tuple[PlacedFlow, slice]]:
        """The flows of a recording's channels: in pairs where the model has a flow for them, a last one by itself."""
        parts = [slice(at, min(at + self._together, channels)) for at in range(0, channels, self._together)]
        return [(self._flows[f"p{part.stop - part.start}"], part) for part in parts]

    def _levels(self, channels: int) -> list[int]:
        """The levels that factor something out, coarsest first: a band each."""
        return sorted({level for placed, _ in self._units(channels) for level in placed.flow.factored}, reverse=True)


def _smallest(forms: Sequence[tuple[bytes, ...]]) -> tuple[bytes, ...]:
    return min(forms, key=lambda bands: sum(map(len, bands)))


def _map_bytes(sample_map: SampleMap) -> bytes:
    operations = OperationList()
    sample_map.write(operations)
    data = operations.to_bytes()
    return to_varint(len(data)) + data


def _read_map(data: memoryview) -> tuple[SampleMap, memoryview]:
    size, data = from_varint(data, len(data))
    reader = WordReader(data[:size])
    sample_map = SampleMap.read(reader)
    reader.finish()
    return sample_map, data[size:]
