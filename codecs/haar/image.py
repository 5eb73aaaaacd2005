"""The codec `haar` for pictures: learned Haar lifting, adapted to the source, exact in integers.

::

    samples (H, W, C) -> reversible colour transform -> integer Haar lifting, up to five levels
    band 0:    header, coarsest band
    band k:    the details of one level, coarse to fine: v, he, ho (see `taps`), plane by plane

Every detail gets its location and scale from an integer network on what is decoded already, a linear
predictor that was fitted to this chunk, and scale corrections that adapt while coding (see `adapt`). After
"Learning Wavelets for Compression" (Lamacraft, 2019), which proposes lifting with learned parts as an integer
flow.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.base import Bitstream, Codec, Samples
from haarchive.codecs.errors import BitstreamError, UnsupportedSamplesError
from haarchive.codecs.haar import colour
from haarchive.codecs.haar.adapt import PRIOR_CENTRE
from haarchive.codecs.haar.band import CodedBand, Neighbourhood, code, decode
from haarchive.codecs.haar.lifting import merge, split
from haarchive.codecs.haar.shipped import load_model
from haarchive.codecs.haar.stream import OperationList, WordReader
from haarchive.codecs.haar.taps import COARSEST, IMAGE_BANDS, BandSpec
from haarchive.codecs.intnet.torch_backend import TorchNetwork

__all__ = ["HaarCodec"]

_HEADER = struct.Struct("<BBBBBxHHII")
_VERSION = 1
_DTYPES = (np.dtype(np.uint8), np.dtype(np.uint16))
_MAX_LEVELS = 5
_SMALLEST_SPLIT = 16
_MAX_SIDE = 1 << 16
_MAX_PLANES = (1 << 16) - 1
_TRIAL_SIDE = 128


class _Direction(Protocol):
    """Codes or decodes one band of one plane."""

    def __call__(self, near: Neighbourhood) -> CodedBand: ...


@dataclass(frozen=True)
class _Header:
    dtype: np.dtype
    transform: str
    levels: int
    bits: int
    shape: tuple[int, int, int]
    divisor: int = 1

    @property
    def shift(self) -> int:
        """Amplitude shift: what the networks know are 8-bit pictures."""
        return max(0, self.bits - 8)

    @property
    def limit(self) -> int:
        """Bound of locations, in 1/16: differences of colour differences have two bits more than samples."""
        return 1 << (self.bits + 2 + 4)

    def to_bytes(self) -> bytes:
        height, width, planes = self.shape
        dtype, transform = _DTYPES.index(self.dtype), colour.TRANSFORMS.index(self.transform)
        return _HEADER.pack(
            _VERSION, dtype, transform, self.levels, self.bits, self.divisor, planes, height, width
        )  # fmt: skip

    @classmethod
    def from_bytes(cls, data: bytes) -> _Header:
        try:
            version, dtype, transform, levels, bits, divisor, planes, height, width = _HEADER.unpack_from(data)
            shape = (height, width, planes)
            header = cls(_DTYPES[dtype], colour.TRANSFORMS[transform], levels, bits, shape, divisor)
        except (struct.error, IndexError) as error:
            raise BitstreamError(f"the header of a haar bitstream is damaged: {error}") from None
        if version != _VERSION:
            raise BitstreamError(f"haar bitstream version {version} is not {_VERSION}: update haarchive")
        sane = max(height, width) <= _MAX_SIDE and 1 <= bits <= 8 * header.dtype.itemsize and divisor >= 1
        if not sane or levels != _levels(header.shape) or (header.transform != "none" and planes < 3):
            raise BitstreamError("the header of a haar bitstream is damaged")
        return header


class HaarCodec(Codec):
    """Pictures ``(H, W, C)`` of uint8 or uint16 with any number of channels.

    Parameters
    ----------
    networks : dict of str to TorchNetwork
        ``p3.v``, ``p3.he``, ``p3.ho`` predict three planes together, ``p1.*`` one.
    model_digest : str
    model : bytes
        The model file, for archives to keep.
    """

    name: ClassVar[str] = "haar"

    def __init__(self, networks: dict[str, TorchNetwork], model_digest: str, model: bytes) -> None:
        self._networks = networks
        self.model_digest = model_digest
        self.model = model

    @classmethod
    def load(cls, model: bytes | None = None, *, device: str = "cpu") -> HaarCodec:
        """Make the codec from a model file, by default the one shipped.

        Raises
        ------
        ModelError
            If the file is malformed or of another codec, or the device is not exact.
        """
        return cls(*load_model(cls.name, model, device))

    def encode(self, chunks: Sequence[Samples]) -> list[Bitstream]:
        """Encode pictures; see `Codec.encode`."""
        return [self._encode(chunk) for chunk in chunks]

    def decode(self, bitstreams: Sequence[Bitstream], *, reduce: int = 0) -> list[Samples]:
        """Decode pictures, each halved `reduce` times; see `Codec.decode`."""
        return [self._decode(bitstream, reduce) for bitstream in bitstreams]

    def _encode(self, chunk: Samples) -> Bitstream:
        fits = chunk.ndim == 3 and max(chunk.shape[:2]) <= _MAX_SIDE and chunk.shape[2] <= _MAX_PLANES
        if not fits or chunk.dtype not in _DTYPES:
            raise UnsupportedSamplesError(
                f"haar takes (H, W, C) uint8 or uint16 up to {_MAX_SIDE} a side with up to {_MAX_PLANES} "
                f"planes, not {chunk.shape} {chunk.dtype}"
            )
        shape = (chunk.shape[0], chunk.shape[1], chunk.shape[2])
        planes = np.ascontiguousarray(np.moveaxis(chunk, 2, 0)).astype(np.int32)
        # Cameras of 12 bits fill 16 by a shift, converters scale 8 bits by 257, masks are 0 and 255.
        divisor = max(1, int(np.gcd.reduce(planes, axis=None)))
        planes //= divisor
        bits = max(8, int(planes.max(initial=0)).bit_length())
        transform = self._choose_transform(planes, bits) if planes.shape[0] >= 3 and planes.size else "none"
        header = _Header(chunk.dtype, transform, _levels(shape), bits, shape, divisor)
        return Bitstream(self._encode_planes(header, planes))

    def _encode_planes(self, header: _Header, planes: NDArray[np.int32]) -> tuple[bytes, ...]:
        coarse = _centred(planes, header)
        if not coarse.size:
            return (header.to_bytes(),)
        pyramid = []
        for _ in range(header.levels):
            pyramid.append(coarse)
            coarse = split(split(coarse, 2)[0], 1)[0]
        operations = OperationList()
        self._coarsest(header, coarse.shape, _coding([coarse], operations))
        bands = [header.to_bytes() + operations.to_bytes()]
        for x in reversed(pyramid):
            low, high = split(x, 2)
            coarse, v = split(low, 1)
            he, ho = high[:, 0::2], high[:, 1::2]
            operations = OperationList()
            if v.any() or high.any():
                self._level(header, coarse, x.shape, _coding([v, he, ho], operations))
            bands.append(operations.to_bytes())
        return tuple(bands)

    def _decode(self, bitstream: Bitstream, reduce: int) -> Samples:
        header = _Header.from_bytes(bitstream.bands[0] if bitstream.bands else b"")
        height, width, n_planes = header.shape
        if not 0 <= reduce <= header.levels:
            raise BitstreamError(f"a chunk of {header.levels} levels cannot be reduced {reduce} times")
        shapes = [(n_planes, height, width)]
        for _ in range(header.levels):
            shapes.append((n_planes, -(-shapes[-1][1] // 2), -(-shapes[-1][2] // 2)))
        if height * width * n_planes == 0:
            reduced = (-(-height >> reduce), -(-width >> reduce), n_planes)
            return np.zeros(reduced if reduce else header.shape, header.dtype)
        if len(bitstream.bands) < header.levels + 1 - reduce:
            raise BitstreamError(f"{len(bitstream.bands)} bands are too few for a chunk of {header.levels} levels")
        reader = WordReader(bitstream.bands[0][_HEADER.size :])
        x = self._coarsest(header, shapes[-1], _decoding(reader))
        reader.finish()
        for n in range(header.levels - reduce):
            shape, data = shapes[header.levels - 1 - n], bitstream.bands[n + 1]
            low_shape = (n_planes, shape[1], x.shape[2])
            v = np.zeros((n_planes, shape[1] // 2, x.shape[2]), np.int32)
            high = np.zeros((n_planes, shape[1], shape[2] // 2), np.int32)
            if data:
                reader = WordReader(data)
                details = self._level(header, x, shape, _decoding(reader))
                reader.finish()
                v, high[:, 0::2], high[:, 1::2] = details
            low = merge(x, v, 1)
            assert low.shape == low_shape
            x = merge(low, high, 2)
        return _uncentred(x, header, exact=reduce == 0)

    def _coarsest(self, header: _Header, shape: tuple[int, ...], direction: _Direction) -> NDArray[np.int32]:
        """Code or decode the coarsest band of all planes."""
        done: list[CodedBand] = []
        location, prior = np.zeros(shape[1:], np.int32), np.full(shape[1:], PRIOR_CENTRE, np.int32)
        for plane in range(shape[0]):
            near = Neighbourhood(
                COARSEST, plane, (shape[1], shape[2]), [], [], done, [(c, 0) for c in done[-2:]],
                location, prior, header.shift, header.limit,
            )  # fmt: skip
            done.append(direction(near))
        return np.stack([coded.values for coded in done])

    def _level(
        self, header: _Header, coarse: NDArray[np.int32], shape: tuple[int, ...], direction: _Direction
    ) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
        """Code or decode the three detail bands of one level, whose input had `shape`."""
        _, height, width = shape
        odd_rows, odd_columns = height // 2, width // 2
        v_spec, he_spec, ho_spec = IMAGE_BANDS
        no_bands: list[list[CodedBand]] = [[]] * shape[0]
        v = self._band(header, v_spec, [coarse], no_bands, no_bands, (odd_rows, coarse.shape[2]), direction)
        low = merge(coarse, np.stack([b.values for b in v]), 1)
        even, odd = low[:, 0::2], low[:, 1::2]
        beside = [[b] for b in v]
        he = self._band(header, he_spec, [even, odd], no_bands, beside, (coarse.shape[1], odd_columns), direction)
        above = [[b] for b in he]
        ho = self._band(header, ho_spec, [odd, even], above, above, (odd_rows, odd_columns), direction)
        return tuple(np.stack([b.values for b in band]) for band in (v, he, ho))  # type: ignore[return-value]

    def _band(
        self,
        header: _Header,
        spec: BandSpec,
        lows: list[NDArray[np.int32]],
        details: Sequence[Sequence[CodedBand]],
        before: Sequence[Sequence[CodedBand]],
        shape: tuple[int, int],
        direction: _Direction,
    ) -> list[CodedBand]:
        """Code or decode one band of all planes."""
        grid = (max(low.shape[1] for low in lows), lows[0].shape[2])
        context = [_onto(low, grid, "edge") for low in lows]
        for n in range(spec.details):
            context.append(_onto(np.stack([d[n].values for d in details]), grid, "constant"))
        done: list[CodedBand] = []
        ring = 1 if spec.details else 0
        for planes in _groups(lows[0].shape[0]):
            inputs = np.concatenate([c[planes] for c in context])[None] >> header.shift
            out = self._networks[f"p{planes.stop - planes.start}.{spec.name}"].integers(inputs)[0]
            locations, priors = np.split(out[:, : shape[0], : shape[1]], 2)
            for plane in range(planes.start, planes.stop):
                energies = [(c, 0) for c in done[-2:]] + [(c, ring) for c in before[plane]]
                near = Neighbourhood(
                    spec, plane, shape, [low[plane] for low in lows], details[plane], done, energies,
                    locations[plane - planes.start], priors[plane - planes.start], header.shift, header.limit,
                )  # fmt: skip
                done.append(direction(near))
        return done

    def _choose_transform(self, planes: NDArray[np.int32], bits: int) -> str:
        """The colour transform that codes the middle of a picture in the fewest bytes."""
        middle = tuple(
            slice(max(0, (n - _TRIAL_SIDE) // 2), max(0, (n - _TRIAL_SIDE) // 2) + _TRIAL_SIDE)
            for n in planes.shape[1:]
        )
        trial = np.ascontiguousarray(planes[(slice(0, 3), *middle)])
        shape = (trial.shape[1], trial.shape[2], 3)
        dtype = _DTYPES[bits > 8]

        def cost(name: str) -> int:
            header = _Header(dtype, name, _levels(shape), bits, shape)
            return sum(len(band) for band in self._encode_planes(header, trial))

        return min(colour.TRANSFORMS[1:], key=cost)


def _coding(bands: list[NDArray[np.int32]], operations: OperationList) -> _Direction:
    """The encoder's direction: takes the bands' planes one after the other."""
    planes: Iterator[NDArray[np.int32]] = (plane for band in bands for plane in band)
    return lambda near: code(near, next(planes), operations)


def _decoding(reader: WordReader) -> _Direction:
    return lambda near: decode(near, reader)


def _levels(shape: tuple[int, int, int]) -> int:
    """How often a picture is split: while both sides have 16 samples, at most five times."""
    side, levels = min(shape[:2]), 0
    while side >= _SMALLEST_SPLIT and levels < _MAX_LEVELS:
        side, levels = -(-side // 2), levels + 1
    return levels


def _groups(planes: int) -> list[slice]:
    """Planes that networks predict together: the first three, then one by one."""
    together = 3 if planes >= 3 else 0
    first = [slice(0, 3)] if together else []
    return first + [slice(n, n + 1) for n in range(together, planes)]


def _onto(x: NDArray[np.int32], grid: tuple[int, int], mode: str) -> NDArray[np.int32]:
    rows, columns = grid[0] - x.shape[1], grid[1] - x.shape[2]
    if rows == columns == 0:
        return x
    padding = ((0, 0), (0, rows), (0, columns))
    return np.pad(x, padding, mode="edge") if mode == "edge" else np.pad(x, padding)


def _centred(planes: NDArray[np.int32], header: _Header) -> NDArray[np.int32]:
    """Colour transform, then the first of every group of planes centred on zero."""
    x = planes.copy()
    if header.transform != "none":
        x[:3] = colour.forward(header.transform, planes[:3])
    for group in _groups(len(x)):
        x[group.start] -= 1 << (header.bits - 1)
    return x


def _uncentred(x: NDArray[np.int32], header: _Header, exact: bool) -> Samples:
    """Undo `_centred`; averages of a reduced picture may leave the range by rounding and are clipped."""
    x = x.copy()
    for group in _groups(len(x)):
        x[group.start] += 1 << (header.bits - 1)
    if header.transform != "none":
        x[:3] = colour.inverse(header.transform, x[:3])
    top = np.iinfo(header.dtype).max // header.divisor
    if exact and x.size and (x.min() < 0 or x.max() > top):
        raise BitstreamError("decoded samples leave their range: the bitstream is damaged")
    return np.ascontiguousarray(np.moveaxis(x.clip(0, top) * header.divisor, 0, 2).astype(header.dtype))
