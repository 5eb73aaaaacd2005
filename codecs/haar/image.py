"""The codec `haar` for pictures: learned Haar lifting, adapted to the source, exact in integers.

::

    samples (H, W, C) -> colour transform -> integer Haar lifting, up to five levels
    band 0:    header, coarsest band
    band k:    the details of one level, coarse to fine: v, he, ho (see `taps`), plane by plane
    last band: then the pixels that the colour transform does not reproduce, if there are such

Every detail gets its location and scale from linear predictors that were fitted to this chunk, on what is decoded
already and (where the preset has them) on the outputs of integer networks, and from scale corrections that adapt
while coding (see `adapt`). After "Learning Wavelets for Compression" (Lamacraft, 2019), which proposes lifting with
learned parts as an integer flow.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.base import Bitstream, Codec, Samples
from haarchive.codecs.errors import BitstreamError, UnsupportedSamplesError
from haarchive.codecs.haar import colour, ycbcr
from haarchive.codecs.haar.band import Band
from haarchive.codecs.haar.band_code import code_plane, decode_plane
from haarchive.codecs.haar.band_fit import Effort, fit_band, log_residuals
from haarchive.codecs.haar.image_header import DTYPES, MAX_SIDE, ImageHeader, most_levels
from haarchive.codecs.haar.lifting import merge, split
from haarchive.codecs.haar.occurrences import Occurrences, RareValues, find_rare_values
from haarchive.codecs.haar.outliers import read_outliers, write_outliers
from haarchive.codecs.haar.packing import find_maps, pack
from haarchive.codecs.haar.phases import NO_GRID, Grid, find_grid
from haarchive.codecs.haar.picture_planes import SideInformation, centred, uncentred
from haarchive.codecs.haar.plans import PLANS, Plan
from haarchive.codecs.haar.presets import DEFAULT_PRESET, Preset
from haarchive.codecs.haar.remap import SampleMap
from haarchive.codecs.haar.shipped import load_model
from haarchive.codecs.haar.taps import COARSEST, IMAGE_BANDS, BandSpec
from haarchive.codecs.intnet.torch_backend import TorchNetwork
from haarchive.codecs.planes import common_divisor, histogram, plane_groups
from haarchive.codecs.rans.stream import OperationList, WordReader

__all__ = ["HaarCodec"]

_MAX_PLANES = (1 << 16) - 1
_SMALL = 1 << 16
_PRIOR_LIMIT = 2047
_TRIAL = Effort(4096, 0)
_TRIAL_SIDE = 128


class _Direction(Protocol):
    """Codes or decodes one plane of a band."""

    def __call__(self, band: Band, plane: int) -> None: ...


class HaarCodec(Codec):
    """Pictures ``(H, W, C)`` of uint8 or uint16 with any number of channels.

    Parameters
    ----------
    networks : dict of str to TorchNetwork
        ``p3.v``, ``p3.he``, ``p3.ho`` predict three planes together, ``p1.*`` one.
    model_digest : str
    model : bytes
        The model file, for archives to keep.
    preset : {'fast', 'balanced', 'max'}
        How much time to take for fewer bytes.
    plan : Plan, optional
        Replaces what the preset means.
    """

    name: ClassVar[str] = "haar"

    def __init__(
        self,
        networks: dict[str, TorchNetwork],
        model_digest: str,
        model: bytes,
        preset: Preset = DEFAULT_PRESET,
        plan: Plan | None = None,
    ) -> None:
        self._networks = networks
        self.model_digest = model_digest
        self.model = model
        self._plan = PLANS[preset] if plan is None else plan

    @classmethod
    def load(
        cls,
        model: bytes | None = None,
        *,
        device: str = "cpu",
        preset: Preset = DEFAULT_PRESET,
        plan: Plan | None = None,
    ) -> HaarCodec:
        """Make the codec from a model file, by default the one shipped.

        Raises
        ------
        ModelError
            If the file is malformed or of another codec, or the device is not exact.
        """
        return cls(*load_model(cls.name, model, device), preset, plan)

    def encode(self, chunks: Sequence[Samples]) -> list[Bitstream]:
        """Encode pictures; see `Codec.encode`."""
        return [self._encode(chunk) for chunk in chunks]

    def decode(self, bitstreams: Sequence[Bitstream], *, reduce: int = 0) -> list[Samples]:
        """Decode pictures, each halved `reduce` times; see `Codec.decode`."""
        return [self._decode(bitstream, reduce) for bitstream in bitstreams]

    def _encode(self, chunk: Samples) -> Bitstream:
        fits = chunk.ndim == 3 and max(chunk.shape[:2]) <= MAX_SIDE and chunk.shape[2] <= _MAX_PLANES
        if not fits or chunk.dtype not in DTYPES:
            raise UnsupportedSamplesError(
                f"haar takes (H, W, C) uint8 or uint16 up to {MAX_SIDE} a side with up to {_MAX_PLANES} "
                f"planes, not {chunk.shape} {chunk.dtype}"
            )
        shape = (chunk.shape[0], chunk.shape[1], chunk.shape[2])
        planes = np.ascontiguousarray(np.moveaxis(chunk, 2, 0)).astype(np.int32)
        divisor = common_divisor(planes)
        if divisor > 1:
            planes //= divisor
        plan, side = self._plan, SideInformation()
        found = ycbcr.find(planes[:3]) if chunk.dtype == np.uint8 and divisor == 1 and shape[2] >= 3 else None
        counts = [histogram(plane) for plane in ((found.ycc[0], *planes[3:]) if found else planes)]
        if not found and planes.size and (maps := find_maps(counts)):
            planes, side = pack(planes, maps), replace(side, maps=maps)
            counts = [histogram(plane) for plane in planes]
        bits = max(8, int(planes.max(initial=0)).bit_length())
        header = ImageHeader(
            chunk.dtype, "none", most_levels(shape), bits, shape, divisor, plan.networks, plan.rich,
            packed=bool(side.maps),
        )  # fmt: skip
        colours = found.ycc if found else planes[:3]
        rare = RareValues({}, {})
        if bits == 8 and header.levels:
            told = (0, *range(3, shape[2])) if found else range(shape[2])
            rare = find_rare_values(dict(zip(told, counts, strict=True)))
        if found:
            if found.missed.any():
                write_outliers(found.missed, planes[:3], side.outliers)
            header = replace(header, transform=found.name, outliers=side.outliers.n > 0)
        elif shape[2] >= 3 and planes.size:
            header = replace(header, transform=self._choose_transform(planes, bits, rare))
            colours = colour.forward(header.transform, colours)
        shifted = centred(planes, colours, bits)
        if plan.grids and header.levels:
            header = replace(header, grids=_find_grids(shifted, header))
        if rare.gain(header.transform, shape[2]) > plan.occurrences * planes.size:
            header = replace(header, weighed=True)
            side = replace(side, occurrences=rare.occurrences(header.transform, 1 << (bits - 1), shape[2]))
        coded = self._encode_planes(header, shifted, side, plan.effort)
        if plan.networks and plan.choose and shape[0] * shape[1] <= _SMALL:
            # Of few samples what the networks add to the fits may cost more than it saves.
            plain = self._encode_planes(replace(header, networks=False), shifted, side, plan.effort)
            coded = min(coded, plain, key=lambda bands: sum(map(len, bands)))
        return Bitstream(coded)

    def _encode_planes(
        self, header: ImageHeader, planes: NDArray[np.int32], side: SideInformation, effort: Effort
    ) -> tuple[bytes, ...]:
        if not planes.size:
            return (header.to_bytes(),)
        coarse, pyramid = planes, []
        for _ in range(header.levels):
            low, high = split(coarse, 2)
            shape = coarse.shape
            coarse, v = split(low, 1)
            pyramid.append((shape, coarse, v, high))
        operations = OperationList(coarse.size)
        for one in side.maps:
            one.write(operations)
        self._coarsest(header, coarse.shape, _coding([coarse], operations, effort))
        bands = []
        for level, (shape, coarse, v, high) in reversed(list(enumerate(pyramid, 1))):
            bands.append(operations.to_bytes())
            operations = OperationList(v.size + high.size)
            if v.any() or high.any() or (level == 1 and header.outliers):
                details = [v, high[:, 0::2], high[:, 1::2]]
                of_samples = side.occurrences if level == 1 else None
                if of_samples:
                    of_samples.write(len(planes), operations)
                self._level(header, level, coarse, shape, _coding(details, operations, effort), of_samples)
        operations.extend(side.outliers)
        bands.append(operations.to_bytes())
        return (header.to_bytes() + bands[0], *bands[1:])

    def _decode(self, bitstream: Bitstream, reduce: int) -> Samples:
        header = ImageHeader.from_bytes(bitstream.bands[0] if bitstream.bands else b"")
        height, width, n_planes = header.shape
        if not 0 <= reduce <= header.levels:
            raise BitstreamError(f"a chunk of {header.levels} levels cannot be reduced {reduce} times")
        shapes = [(n_planes, height, width)]
        for _ in range(header.levels):
            shapes.append((n_planes, -(-shapes[-1][1] // 2), -(-shapes[-1][2] // 2)))
        if height * width * n_planes == 0:
            reduced = (-(-height >> reduce), -(-width >> reduce), n_planes)
            return np.zeros(reduced if reduce else header.shape, header.dtype)
        if len(bitstream.bands) < header.levels + 1 - max(reduce, header.dropped):
            raise BitstreamError(f"{len(bitstream.bands)} bands are too few for a chunk of {header.levels} levels")
        reader = WordReader(bitstream.bands[0][ImageHeader.SIZE :])
        maps = [SampleMap.read(reader) for _ in range(n_planes)] if header.packed else []
        x = self._coarsest(header, shapes[-1], _decoding(reader))
        for level in range(header.levels, reduce, -1):
            shape = shapes[level - 1]
            v = np.zeros((n_planes, shape[1] // 2, x.shape[2]), np.int32)
            high = np.zeros((n_planes, shape[1], shape[2] // 2), np.int32)
            if level <= header.dropped:
                v, high[:, 0::2], high[:, 1::2] = self._level(
                    replace(header, networks=True), level, x, shape, _expecting
                )
            elif (data := bitstream.bands[header.levels + 1 - level]) or (level == 1 and header.outliers):
                reader.finish()
                reader = WordReader(data)
                of_samples = None
                if header.weighed and level == 1:
                    of_samples = Occurrences.read(header.transform, 1 << (header.bits - 1), n_planes, reader)
                v, high[:, 0::2], high[:, 1::2] = self._level(header, level, x, shape, _decoding(reader), of_samples)
            x = merge(merge(x, v, 1), high, 2)
        chunk = uncentred(x, header, reduce, maps)
        if header.outliers and reduce == 0:
            read_outliers(reader, chunk)
        reader.finish()
        return chunk

    def _coarsest(self, header: ImageHeader, shape: tuple[int, ...], direction: _Direction) -> NDArray[np.int32]:
        """Code or decode the coarsest band of all planes."""
        size = (shape[0], shape[1], shape[2])
        band = Band(COARSEST, header.levels + 1, size, [], [], shift=header.shift, limit=header.limit, rich=False)
        for plane in range(shape[0]):
            direction(band, plane)
        return band.values

    def _level(
        self,
        header: ImageHeader,
        level: int,
        coarse: NDArray[np.int32],
        shape: tuple[int, ...],
        direction: _Direction,
        occurrences: Occurrences | None = None,
    ) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
        """Code or decode the three detail bands of one level, whose input had `shape`."""
        planes, height, width = shape
        down, across = height // 2, width // 2
        v_spec, he_spec, ho_spec = IMAGE_BANDS
        v = self._band(header, v_spec, level, [coarse], [], (planes, down, coarse.shape[2]), direction)
        low = merge(coarse, v.values, 1)
        even, odd = low[:, 0::2], low[:, 1::2]
        wide, narrow = (planes, coarse.shape[1], across), (planes, down, across)
        he = self._band(header, he_spec, level, [even, odd], [v], wide, direction, occurrences)
        ho = self._band(header, ho_spec, level, [odd, even], [he, v], narrow, direction, occurrences)
        return v.values, he.values, ho.values

    def _band(
        self,
        header: ImageHeader,
        spec: BandSpec,
        level: int,
        lows: list[NDArray[np.int32]],
        before: list[Band],
        shape: tuple[int, int, int],
        direction: _Direction,
        occurrences: Occurrences | None = None,
    ) -> Band:
        """Code or decode one band of all planes."""
        band = Band(
            spec, level, shape, lows, before, shift=header.shift, limit=header.limit, rich=header.rich,
            grids=header.grids, networks=self._predict(header, spec, lows, before, shape) if header.networks else None,
            occurrences=occurrences,
        )  # fmt: skip
        for plane in range(shape[0]):
            direction(band, plane)
        return band

    def _predict(
        self,
        header: ImageHeader,
        spec: BandSpec,
        lows: list[NDArray[np.int32]],
        before: list[Band],
        shape: tuple[int, int, int],
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Locations and log-scales of the networks, each ``(P, H, W)``."""
        grid = (max(low.shape[1] for low in lows), lows[0].shape[2])
        context = [_onto(low, grid, "edge") for low in lows]
        context += [_onto(band.values, grid, "constant") for band in before[: spec.details]]
        location, prior = np.zeros((2, *shape), np.int32)
        for group in plane_groups(shape[0]):
            inputs = np.concatenate([c[group] for c in context])[None] >> header.shift
            out = self._networks[f"p{group.stop - group.start}.{spec.name}"].integers(inputs)[0]
            location[group], prior[group] = np.split(out[:, : shape[1], : shape[2]], 2)
        return location << header.shift, np.clip(prior, -_PRIOR_LIMIT, _PRIOR_LIMIT)

    def _choose_transform(self, planes: NDArray[np.int32], bits: int, rare: RareValues) -> str:
        """The colour transform that codes the middle of a picture in the fewest bytes."""
        middle = tuple(
            slice(max(0, (n - _TRIAL_SIDE) // 2), max(0, (n - _TRIAL_SIDE) // 2) + _TRIAL_SIDE)
            for n in planes.shape[1:]
        )
        trial = np.ascontiguousarray(planes[(slice(0, 3), *middle)])

        def saved(name: str) -> float:
            """Bits a pixel by weights of values, which a trial is without."""
            gain = rare.gain(name, len(planes))
            return gain / planes[0].size if gain > self._plan.occurrences * planes.size else 0.0

        if not self._plan.trial:
            return min(
                colour.TRANSFORMS[1:],
                key=lambda name: colour.roughness(colour.forward(name, trial)) - saved(name),
            )
        shape = (trial.shape[1], trial.shape[2], 3)
        dtype = DTYPES[bits > 8]

        def cost(name: str) -> float:
            header = ImageHeader(dtype, name, most_levels(shape), bits, shape, rich=True)
            shifted = centred(trial, colour.forward(name, trial), bits)
            coded = self._encode_planes(header, shifted, SideInformation(), _TRIAL)
            return float(8 * sum(map(len, coded)) - saved(name) * trial[0].size)

        return min(colour.TRANSFORMS[1:], key=cost)


def _coding(bands: list[NDArray[np.int32]], operations: OperationList, effort: Effort) -> _Direction:
    """The encoder's direction: takes the bands' planes one after the other."""
    planes: Iterator[NDArray[np.int32]] = (plane for band in bands for plane in band)

    def code(band: Band, plane: int) -> None:
        band.values[plane] = next(planes)
        code_plane(band, plane, *fit_band(band, plane, effort), operations)

    return code


def _decoding(reader: WordReader) -> _Direction:
    return lambda band, plane: decode_plane(band, plane, reader)


def _expecting(band: Band, plane: int) -> None:
    """The direction of details that were dropped: as the networks expect them."""
    assert band.networks is not None
    band.values[plane] = (band.networks[0][plane] + 8) >> 4


def _find_grids(planes: NDArray[np.int32], header: ImageHeader) -> tuple[Grid, Grid]:
    """Look for grids in what a quick predictor leaves of the finest details of the first plane."""
    low, high = split(planes[:1], 2)
    coarse, v = split(low, 1)
    even, odd = low[:, 0::2], low[:, 1::2]
    magnitudes = []
    for spec, lows, values in (
        (IMAGE_BANDS[0], [coarse], v),
        (IMAGE_BANDS[1], [even, odd], high[:, 0::2]),
    ):
        band = Band(spec, 1, values.shape, lows, [], shift=header.shift, limit=header.limit, rich=False)
        if not band.fitted:
            return NO_GRID, NO_GRID
        band.values[:] = values
        magnitudes.append(log_residuals(band, 0))
    return find_grid(magnitudes, 0), find_grid(magnitudes, 1)


def _onto(x: NDArray[np.int32], grid: tuple[int, int], mode: str) -> NDArray[np.int32]:
    rows, columns = grid[0] - x.shape[1], grid[1] - x.shape[2]
    if rows == columns == 0:
        return x
    padding = ((0, 0), (0, rows), (0, columns))
    return np.pad(x, padding, mode="edge") if mode == "edge" else np.pad(x, padding)
