"""The codec `haar-audio`: Haar lifting over frames, adapted to the recording, exact in integers.

::

    samples (frames, channels) -> trailing zero bits dropped, sparse values renumbered
                               -> pairs of channels as middle and side
                               -> integer Haar lifting along time, up to eight levels or none
    band 0:    header, value map, coarsest band
    band k:    the details of one level, coarse to fine, channel by channel

Sound that is not lifted is predicted by what both sides learn from the samples before (`sound_code`). In lifted sound
every detail is predicted from the low band on both sides of it, the details before it and the channels before it
(`taps`, `sound_adapt`); a small integer network looks at the low band for the scale.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.base import Bitstream, Codec, Samples
from haarchive.codecs.errors import BitstreamError, UnsupportedSamplesError
from haarchive.codecs.haar.lifting import merge, split
from haarchive.codecs.haar.presets import DEFAULT_PRESET, Preset
from haarchive.codecs.haar.remap import SampleMap, find_map
from haarchive.codecs.haar.shipped import load_model
from haarchive.codecs.haar.sound_band import SoundBand, amplitude_shift, code, code_coarsest, decode
from haarchive.codecs.haar.sound_code import MAX_FILTERS, Stages, code_channels
from haarchive.codecs.intnet.torch_backend import TorchNetwork
from haarchive.codecs.rans.stream import OperationList, WordReader

__all__ = ["HaarAudioCodec", "Header", "lifted_form"]

_HEADER = struct.Struct("<BBBBBBBBBBB6BHI")
_VERSION = 2
_DTYPES = (np.dtype(np.int16), np.dtype(np.int32))
_MAX_LEVELS = 8
_SMALLEST_SPLIT = 1024
_MAX_FRAMES = 1 << 26
_TRIAL_FRAMES = 1 << 15
_MAX_BITS = 27
"""Samples of more bits could leave int32 in the differences of differences."""

_STAGES: dict[Preset, tuple[tuple[Stages, ...], tuple[Stages, ...]]] = {
    "fast": ((Stages(16, 5, 4, 0, 4, (6, 4)),), (Stages(16, 6, 3, 0, 4, (7, 4)),)),
    "balanced": ((Stages(20, 5, 5, 12, 3, (8, 5, 4)),), (Stages(16, 6, 3, 0, 4, (9, 5, 4)),)),
    "max": (
        (Stages(20, 4, 6, 12, 4, (8, 5, 4)), Stages(20, 4, 7, 12, 4, (11, 9, 5, 4))),
        (Stages(32, 4, 7, 24, 5, (11, 10, 9, 8, 5, 4)),),
    ),
}
"""What is tried for one channel, and for several: one costs less, so that it may have more."""

_PLAIN, _MIDDLE_SIDE, _SWAPPED = range(3)


@dataclass(frozen=True)
class Header:
    """What a bitstream begins with.

    Parameters
    ----------
    dtype : numpy.dtype
    bits : int
        One more than the largest magnitude has, after the value map.
    stereo : int
        0 for channels as they are, 1 for the first two as middle and side, 2 for pairs of channels swapped.
    mapped : bool
        Whether there is a value map.
    levels : int
        How often the sound is lifted; 0 where it is not, and only then `stages` count.
    stages : Stages
    shape : tuple of int
        Frames and channels.
    """

    dtype: np.dtype
    bits: int
    stereo: int
    mapped: bool
    levels: int
    stages: Stages
    shape: tuple[int, int]

    @property
    def limit(self) -> int:
        """Bound of locations, in 1/16."""
        return 1 << (self.bits + 2 + 4)

    def to_bytes(self) -> bytes:
        """Lay it out."""
        return _HEADER.pack(
            _VERSION, _DTYPES.index(self.dtype), self.bits, self.stereo, self.mapped, self.levels,
            self.stages.order, self.stages.block_bits, self.stages.decay, self.stages.second_order,
            self.stages.second_decay, *self.stages.filters,
            *[0] * (MAX_FILTERS - len(self.stages.filters)), self.shape[1], self.shape[0],
        )  # fmt: skip

    @classmethod
    def from_bytes(cls, data: bytes) -> Header:
        """Read what `to_bytes` made.

        Raises
        ------
        BitstreamError
            If it is damaged, or of another version.
        """
        try:
            version, dtype, bits, stereo, mapped, levels, *predictors, channels, frames = _HEADER.unpack_from(data)
            order, block_bits, decay, second_order, second_decay, *filters = predictors
            used = tuple(taps for taps in filters if taps)
            stages = Stages(order, block_bits, decay, second_order, second_decay, used)
            header = cls(_DTYPES[dtype], bits, stereo, bool(mapped), levels, stages, (frames, channels))
        except (struct.error, IndexError) as error:
            raise BitstreamError(f"the header of a haar-audio bitstream is damaged: {error}") from None
        if version != _VERSION:
            raise BitstreamError(f"haar-audio bitstream version {version} is not {_VERSION}: update haarchive")
        sane = frames <= _MAX_FRAMES and frames * channels <= 1 << 32 and levels <= _most_levels(frames)
        sane = sane and stereo <= _SWAPPED and (stereo == _PLAIN or channels >= 2)
        if not sane or not stages.valid or not 1 <= bits <= _MAX_BITS:
            raise BitstreamError("the header of a haar-audio bitstream is damaged")
        return header


class HaarAudioCodec(Codec):
    """Sound ``(frames, channels)`` of int16 or int32 with any number of channels.

    Parameters
    ----------
    networks : dict of str to TorchNetwork
        ``p1.h``.
    model_digest : str
    model : bytes
        The model file, for archives to keep.
    """

    name: ClassVar[str] = "haar-audio"

    def __init__(
        self, networks: dict[str, TorchNetwork], model_digest: str, model: bytes, preset: Preset = DEFAULT_PRESET
    ) -> None:
        self._network = networks["p1.h"]
        self.model_digest = model_digest
        self.model = model
        self._preset = preset

    @classmethod
    def load(
        cls, model: bytes | None = None, *, device: str = "cpu", preset: Preset = DEFAULT_PRESET
    ) -> HaarAudioCodec:
        """Make the codec from a model file, by default the one shipped.

        Raises
        ------
        ModelError
            If the file is malformed or of another codec, or the device is not exact.
        """
        return cls(*load_model(cls.name, model, device), preset)

    def encode(self, chunks: Sequence[Samples]) -> list[Bitstream]:
        """Encode recordings independently of each other; see `Codec.encode`."""
        return [self._encode(chunk) for chunk in chunks]

    def decode(self, bitstreams: Sequence[Bitstream], *, reduce: int = 0) -> list[Samples]:
        """Decode recordings; see `Codec.decode`. Sound has one resolution."""
        if reduce:
            raise BitstreamError("sound has one resolution: reduce must be 0")
        return [self._decode(bitstream) for bitstream in bitstreams]

    def _encode(self, chunk: Samples) -> Bitstream:
        fits = chunk.ndim == 2 and chunk.shape[0] <= _MAX_FRAMES and chunk.shape[1] < 1 << 16
        if not fits or chunk.dtype not in _DTYPES:
            raise UnsupportedSamplesError(
                f"haar-audio takes (frames, channels) int16 or int32, not {chunk.shape} {chunk.dtype}"
            )
        samples = np.ascontiguousarray(chunk.T).astype(np.int64)
        sample_map = find_map(samples)
        samples = sample_map.forward(samples)
        bits = max(1, int(np.abs(samples).max(initial=0)).bit_length() + 1)
        if bits > _MAX_BITS:
            raise UnsupportedSamplesError(f"haar-audio takes samples of up to {_MAX_BITS} bits, not {bits}")
        x = samples.astype(np.int32)
        stages = _STAGES[self._preset][len(x) > 1][0]
        shape = (chunk.shape[0], chunk.shape[1])
        header = Header(chunk.dtype, bits, _PLAIN, not sample_map.trivial, 0, stages, shape)
        if not x.size:
            return Bitstream((header.to_bytes(),))
        if self._preset == "max":
            header = self._with_best_form(header, x)
        return Bitstream(self._encode_channels(header, x, sample_map))

    def _with_best_form(self, header: Header, x: NDArray[np.int32]) -> Header:
        """Plain, by other stages, in swapped pairs, or lifted: whichever codes the chunk's middle in fewest bytes."""
        begin = max(0, (x.shape[1] - _TRIAL_FRAMES) // 2)
        trial = np.ascontiguousarray(x[:, begin : begin + _TRIAL_FRAMES])
        forms = [replace(header, stages=stages) for stages in _STAGES[self._preset][len(x) > 1]]
        if len(x) > 1:
            forms.append(replace(header, stereo=_SWAPPED))
        if header.shape[0] >= _SMALLEST_SPLIT:
            forms.append(lifted_form(header, x))

        def cost(form: Header) -> int:
            levels = min(form.levels, _most_levels(trial.shape[1]))
            form = replace(form, levels=levels, mapped=False, shape=(trial.shape[1], trial.shape[0]))
            return sum(len(band) for band in self._encode_channels(form, trial))

        return min(forms, key=cost)

    def _encode_channels(
        self, header: Header, x: NDArray[np.int32], sample_map: SampleMap | None = None
    ) -> tuple[bytes, ...]:
        x = _arranged(x, header.stereo)
        highs = []
        for _ in range(header.levels):
            x, high = split(x, 1)
            highs.append(high)
        operations = OperationList()
        if header.mapped and sample_map is not None:
            sample_map.write(operations)
        _code_coarsest(header, x, operations)
        bands = [header.to_bytes() + operations.to_bytes()]
        for high in reversed(highs):
            operations = OperationList()
            if high.any():
                done: list[NDArray[np.int32]] = []
                for channel, values in enumerate(high):
                    code(self._band(x, channel, high.shape[1], done, header.limit), values, operations)
                    done.append(values)
            bands.append(operations.to_bytes())
            x = merge(x, high, 1)
        return tuple(bands)

    def _decode(self, bitstream: Bitstream) -> Samples:
        header = Header.from_bytes(bitstream.bands[0] if bitstream.bands else b"")
        frames, channels = header.shape
        if not frames * channels:
            return np.zeros(header.shape, header.dtype)
        if len(bitstream.bands) != header.levels + 1:
            raise BitstreamError(f"{len(bitstream.bands)} bands do not make {header.levels} levels")
        sizes = [frames]
        for _ in range(header.levels):
            sizes.append(-(-sizes[-1] // 2))
        reader = WordReader(bitstream.bands[0][_HEADER.size :])
        sample_map = SampleMap.read(reader) if header.mapped else SampleMap()
        x = _code_coarsest(header, np.zeros((channels, sizes[-1]), np.int32), reader)
        reader.finish()
        for size, data in zip(reversed(sizes[:-1]), bitstream.bands[1:], strict=True):
            high = np.zeros((channels, size // 2), np.int32)
            if data:
                reader = WordReader(data)
                for channel in range(channels):
                    band = self._band(x, channel, size // 2, list(high[:channel]), header.limit)
                    high[channel] = decode(band, reader)
                reader.finish()
            x = merge(x, high, 1)
        x = _rearranged(x, header.stereo)
        samples = sample_map.inverse(x.astype(np.int64))
        bounds = np.iinfo(header.dtype)
        if samples.min() < bounds.min or samples.max() > bounds.max:
            raise BitstreamError("decoded samples leave their range: the bitstream is damaged")
        return np.ascontiguousarray(samples.astype(header.dtype).T)

    def _band(
        self, low: NDArray[np.int32], channel: int, size: int, done: list[NDArray[np.int32]], limit: int
    ) -> SoundBand:
        shift = amplitude_shift(low[channel])
        location, prior = self._network.integers((low[channel] >> shift)[None, None, None])[0, :, 0, :size]
        return SoundBand(channel, size, low[channel], done, location << shift, prior, shift, limit)


def lifted_form(header: Header, x: NDArray[np.int32]) -> Header:
    """Lifted as often as it can be, the first two channels as middle and side where they differ little."""
    stereo = _MIDDLE_SIDE if _prefers_middle_side(x) else _PLAIN
    return replace(header, stereo=stereo, levels=_most_levels(header.shape[0]))


def _code_coarsest(header: Header, x: NDArray[np.int32], coder: OperationList | WordReader) -> NDArray[np.int32]:
    """Code or decode the coarsest band, or sound that is not lifted: channels in pairs."""
    if header.levels:
        return code_coarsest(x, header.limit, coder)
    pairs = [code_channels(x[c : c + 2], header.stages, header.limit, coder) for c in range(0, len(x), 2)]
    return np.concatenate(pairs)


def _most_levels(frames: int) -> int:
    """How often sound can be split: while 1024 frames are left, at most eight times."""
    levels = 0
    while frames >= _SMALLEST_SPLIT and levels < _MAX_LEVELS:
        frames, levels = -(-frames // 2), levels + 1
    return levels


def _prefers_middle_side(x: NDArray[np.int32]) -> bool:
    """Whether the first two channels differ less than they vary."""
    if len(x) < 2 or x.shape[1] < 3:
        return False
    left, right = np.diff(x[:2].astype(np.int64), 2)
    apart = np.log2(np.abs(left).mean() + 1) + np.log2(np.abs(right).mean() + 1)
    together = np.log2(np.abs(left + right).mean() / 2 + 1) + np.log2(np.abs(right - left).mean() + 1)
    return bool(together < apart)


def _arranged(x: NDArray[np.int32], stereo: int) -> NDArray[np.int32]:
    """The first two channels as middle and side, or all pairs of channels swapped."""
    match stereo:
        case 1:
            side = x[1] - x[0]
            return np.concatenate([[x[0] + (side >> 1), side], x[2:]])
        case 2:
            return x[_swapped(len(x))]
        case _:
            return x


def _rearranged(x: NDArray[np.int32], stereo: int) -> NDArray[np.int32]:
    """Undo `_arranged`."""
    match stereo:
        case 1:
            left = x[0] - (x[1] >> 1)
            return np.concatenate([[left, left + x[1]], x[2:]])
        case 2:
            return x[_swapped(len(x))]
        case _:
            return x


def _swapped(channels: int) -> list[int]:
    """1, 0, 3, 2 ...; a last channel without a partner stays."""
    return [min(c ^ 1, channels - 1) for c in range(channels)]
