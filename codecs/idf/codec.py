"""The codec `idf` for pictures: an integer discrete flow, coded with its prior, exact in integers.

::

    samples (H, W, C) -> groups of planes -> a flow for each group
    band 0:    header, last latents of all groups
    band k:    what was factored out at one level, coarse to fine, of all groups
    last band: then the pixels that are no Y, Cb, Cr, of a picture that was made from such

After "Integer Discrete Flows and Lossless Compression" (Hoogeboom et al., 2019).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from haarchive.codecs.base import Bitstream, Codec, Samples
from haarchive.codecs.errors import BitstreamError
from haarchive.codecs.haar.presets import DEFAULT_PRESET, Preset
from haarchive.codecs.idf.encoding import batches, coding_of, levels_of, write
from haarchive.codecs.idf.escape import raw_bytes
from haarchive.codecs.idf.factored import expect
from haarchive.codecs.idf.header import IdfHeader
from haarchive.codecs.idf.pictures import halved, prepare, restore, uncoded
from haarchive.codecs.idf.placed import Factored, PlacedFlow, to_numpy
from haarchive.codecs.idf.planes import flow_units, uncentred
from haarchive.codecs.idf.sampling import cut_streams
from haarchive.codecs.idf.schedule import Schedule
from haarchive.codecs.idf.shipped import load_flows, shipped_model
from haarchive.codecs.idf.streams import ChunkReader, ChunkWriter

__all__ = ["IdfCodec"]

_SMALL = 1 << 15
"""Samples of pictures of which nobody needs a lower resolution: 80 x 80 pixels in colour have 19200."""


class IdfCodec(Codec):
    """Pictures ``(H, W, C)`` of uint8 or uint16 with any number of channels.

    Parameters
    ----------
    flows : dict of str to PlacedFlow
        ``p1`` for single planes; ``p3``, where there is one, for the first three.
    model_digest : str
    model : bytes
        The model file, for archives to keep.
    adaptive : bool
        Whether the last couplings of pictures that are encoded adapt to them. Decoding reads it from the bitstream.
    """

    name: ClassVar[str] = "idf"

    def __init__(self, flows: dict[str, PlacedFlow], model_digest: str, model: bytes, adaptive: bool = True) -> None:
        self._flows = flows
        self.model_digest = model_digest
        self.model = model
        self._adaptive = adaptive
        self._device = flows["p1"].device
        self._schedule = Schedule(self._device)
        self._tag = bytes.fromhex(model_digest)[:2]

    @classmethod
    def load(
        cls,
        model: bytes | None = None,
        *,
        device: str = "cpu",
        preset: Preset = DEFAULT_PRESET,
        adaptive: bool | None = None,
    ) -> IdfCodec:
        """Make the codec from a model file, by default the one shipped for a preset.

        Parameters
        ----------
        model : bytes, optional
        device : str
        preset : {'fast', 'balanced', 'max'}
            'fast' has no adaptive couplings; 'max' the larger model.
        adaptive : bool, optional
            Instead of what the preset says.

        Raises
        ------
        ModelError
            If the file is malformed or of another codec, or the device is not exact.
        """
        data = shipped_model(cls.name, preset) if model is None else model
        flows, digest = load_flows(cls.name, data, device)
        return cls(flows, digest, data, preset != "fast" if adaptive is None else adaptive)

    def encode(self, chunks: Sequence[Samples]) -> list[Bitstream]:
        """Encode pictures; see `Codec.encode`."""
        prepared = prepare(chunks, self._flows, adaptive=self._adaptive, each=self._schedule.each)
        result: dict[int, Bitstream] = {}

        def encode(batch: list[int]) -> None:
            encoded = write(self._flows, [prepared[n] for n in batch], self._schedule.each)
            for n, writer in zip(batch, encoded, strict=True):
                result[n] = self._finished(chunks[n], prepared[n].header, writer)

        self._schedule.overlap(encode, batches([one.header for one in prepared], self._device))
        return [result[n] for n in range(len(chunks))]

    def decode(self, bitstreams: Sequence[Bitstream], *, reduce: int = 0) -> list[Samples]:
        """Decode pictures, each halved `reduce` times; see `Codec.decode`."""
        parsed = [IdfHeader.from_bytes(one.bands[0] if one.bands else b"") for one in bitstreams]
        result: dict[int, Samples] = {}
        coded = []
        for n, (header, rest) in enumerate(parsed):
            if header.raw or 0 in header.shape:
                result[n] = halved(uncoded(header, rest), reduce)
            else:
                coded.append(n)

        def decode(batch: list[int]) -> None:
            numbers = [coded[n] for n in batch]
            headers = [parsed[n][0] for n in numbers]
            readers = [self._reader(parsed[n][1], bitstreams[n].bands[1:], parsed[n][0], reduce) for n in numbers]
            planes = self._decode_batch(headers, readers, reduce)
            for n, header, reader, x in zip(numbers, headers, readers, planes, strict=True):
                result[n] = self._samples(header, x, reduce)
                if header.outliers and reduce == 0:
                    reader.outliers(result[n])
                reader.finish()

        self._schedule.overlap(decode, batches([parsed[n][0] for n in coded], self._device))
        return [result[n] for n in range(len(bitstreams))]

    def preview(self, bitstream: Bitstream, nbytes: int, *, seed: int = 0) -> Samples:
        """A picture from the first bytes of a bitstream; what lacks is drawn from the prior (section 6.3, figure 8).

        Parameters
        ----------
        bitstream : Bitstream
            All of it, or its leading bands.
        nbytes : int
            How many of its bytes to look at, band after band.
        seed : int
            Of the drawing.

        Returns
        -------
        ndarray, shape (H, W, C)

        Raises
        ------
        BitstreamError
            If the header or what is listed behind the samples is damaged, the model is another, or the samples are raw
            and not all there.
        """
        bands = bitstream.bands
        header, rest = IdfHeader.from_bytes(bands[0] if bands else b"")
        if header.raw or 0 in header.shape:
            return uncoded(header, rest)
        self._check_tag(rest)
        levels = levels_of(self._flows, header.shape[2])
        lacking = [] if header.together else [b""] * (len(levels) + 1 - len(bands))
        streams: list[bytes | memoryview] = [rest[len(self._tag) :], *bands[1:], *lacking]
        left = nbytes - (len(bands[0]) - len(streams[0]))
        last, *cut = cut_streams(streams, max(0, left), math.prod(header.shape), seed)
        # An empty band holds zeros where it was reached; one that was not is drawn.
        reached = np.cumsum([len(stream) for stream in streams])[:-1] <= left
        content = [
            b"" if here and n + 1 < len(bands) and not streams[n + 1] else stream
            for n, (here, stream) in enumerate(zip(reached, cut, strict=True))
        ]
        held = levels if header.together else dict(zip(levels, content, strict=True))
        reader = ChunkReader(last, held, whole=False)
        planes = self._decode_batch([header], [reader], 0)[0]
        samples = self._samples(header, planes, 0, exact=False)
        if header.outliers and nbytes >= bitstream.nbytes and not lacking:
            reader.outliers(samples)
        return samples

    def sample(self, shape: tuple[int, int, int], *, seed: int = 0) -> Samples:
        """Draw a picture from the model (section 6.4): what decoding random bits gives.

        Parameters
        ----------
        shape : tuple of int
            ``(H, W, C)``.
        seed : int

        Returns
        -------
        ndarray of that shape, uint8
        """
        header = IdfHeader(np.dtype(np.uint8), shape).to_bytes()
        return self.preview(Bitstream((header + self._tag,)), len(header), seed=seed)

    def _finished(self, chunk: Samples, header: IdfHeader, writer: ChunkWriter) -> Bitstream:
        """The smallest of what a chunk may be written as: bands, one stream where it is small, or raw."""
        first, *bands = writer.bands()
        raw = IdfHeader(header.dtype, header.shape, header.bits, header.divisor, raw=True)
        choices = [(header.to_bytes() + self._tag + first, *bands), (raw.to_bytes() + raw_bytes(chunk),)]
        if chunk.size <= _SMALL and (stream := writer.together()) is not None:
            choices.append((replace(header, together=True).to_bytes() + self._tag + stream,))
        return Bitstream(min(choices, key=lambda bands: sum(map(len, bands))))

    def _reader(self, rest: memoryview, bands: Sequence[bytes], header: IdfHeader, reduce: int) -> ChunkReader:
        self._check_tag(rest)
        levels = levels_of(self._flows, header.shape[2])
        if not 0 <= reduce <= len(levels):
            raise BitstreamError(f"a chunk of {len(levels)} levels cannot be reduced {reduce} times")
        if header.together:
            return ChunkReader(rest[len(self._tag) :], levels, whole=reduce == 0)
        if len(bands) < len(levels) - reduce:
            raise BitstreamError(f"{len(bands) + 1} bands are too few for a chunk of {len(levels)} levels")
        return ChunkReader(rest[len(self._tag) :], dict(zip(levels, bands[: len(levels) - reduce], strict=False)))

    def _check_tag(self, rest: memoryview) -> None:
        tag = bytes(rest[: len(self._tag)])
        if tag != self._tag:
            raise BitstreamError(
                f"the idf bitstream needs another model than {(self.model_digest or '')[:12]}: its tag is {tag.hex()!r}"
            )

    def _decode_batch(
        self, headers: Sequence[IdfHeader], readers: Sequence[ChunkReader], reduce: int
    ) -> list[NDArray[np.int32]]:
        """Planes of chunks of one shape and number of bits, each ``(C, H, W)``, at the resolution that flows give."""
        outputs = [
            self._decode_unit(placed, part, headers, readers, reduce)
            for placed, part in flow_units(self._flows, headers[0].shape[2])
        ]
        return [np.concatenate(parts) for parts in zip(*outputs, strict=True)]

    def _decode_unit(
        self,
        placed: PlacedFlow,
        part: slice,
        headers: Sequence[IdfHeader],
        readers: Sequence[ChunkReader],
        reduce: int,
    ) -> list[NDArray[np.int32]]:
        """Decode planes that went through one flow."""
        height, width, planes = headers[0].shape
        shift = headers[0].shift
        codings = [coding_of(placed, header) for header in headers]
        last = np.zeros((len(readers), placed.flow.left, *placed.shapes(height, width)[-1]), np.int32)

        def begin(n: int) -> None:
            readers[n].last(codings[n], last[n], placed.tables)

        def take(of: Factored) -> Tensor:
            given, parameters = to_numpy(of.given), to_numpy(of.parameters)
            z = np.zeros((len(readers), of.step.taken, *given.shape[2:]), np.int32)

            def read(n: int) -> None:
                if readers[n].has(of.level):
                    readers[n].take(codings[n], of.step, of.level, given[n], parameters[n], z[n])
                else:
                    expect(of.step, parameters[n], shift, z[n])

            self._schedule.each(read, len(readers))
            return torch.from_numpy(z).to(self._device)

        self._schedule.each(begin, len(readers))
        stop = reduce if self._pyramid(planes) else 0
        x = placed.synthesise(torch.from_numpy(last).to(self._device), height, width, shift, take, stop)
        return [uncentred(one, header, placed, part) for one, header in zip(to_numpy(x), headers, strict=True)]

    def _pyramid(self, planes: int) -> bool:
        """Whether all flows of a picture leave a smaller picture after each of the same levels."""
        flows = [placed.flow for placed, _ in flow_units(self._flows, planes)]
        return all(flow.pyramid and flow.levels == flows[0].levels for flow in flows)

    def _samples(self, header: IdfHeader, planes: NDArray[np.int32], reduce: int, exact: bool = True) -> Samples:
        done = reduce if self._pyramid(header.shape[2]) else 0
        return halved(restore(header, planes, done, exact=exact and reduce == 0), reduce - done)
