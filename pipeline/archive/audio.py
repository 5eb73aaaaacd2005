"""The sound of an archived source, from its samples or by decoding its original bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, BinaryIO, Protocol

import numpy as np
import soundfile
from numpy.typing import NDArray

from haarchive.codecs.errors import RegionError
from haarchive.pipeline.layout import Plane

__all__ = ["FileAudio", "PlaneAudio", "Sound"]

_DTYPES = {"PCM_S8": "int16", "PCM_U8": "int16", "PCM_16": "int16", "PCM_24": "int32", "PCM_32": "int32"}
_BITS = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}


class Sound(Protocol):
    """A recording: `samplerate` in Hz, `frames`, `channels`, `bits` of a sample."""

    samplerate: int
    frames: int
    channels: int
    bits: int

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Frames [start, stop) as (frames, channels)."""


class PlaneAudio:
    """Sound whose samples are a plane.

    Parameters
    ----------
    plane : Plane
    read_region : callable
        ``(rows, columns) -> samples`` of the plane.
    """

    def __init__(self, plane: Plane, read_region: Callable[[tuple[slice, ...]], NDArray[Any]]) -> None:
        self._read_region = read_region
        self.frames, self.channels = plane.shape
        self.samplerate = int(plane.attrs.get("samplerate", 0))
        self.bits = int(plane.attrs.get("bits", 8 * np.dtype(plane.dtype).itemsize))

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """See `Sound.read`."""
        return self._read_region((slice(start, stop), slice(0, self.channels)))


class FileAudio:
    """Sound that is archived in its original encoding (FLAC, floating-point WAV, ...), decoded by soundfile.

    Parameters
    ----------
    file : binary file
        The original.
    name : str

    Raises
    ------
    RegionError
        If it is no sound that soundfile knows.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._name = name
        self._file = _Recorder(file)
        try:
            self._sound = soundfile.SoundFile(self._file)
        except (soundfile.SoundFileError, TypeError) as error:
            self._file.raise_recorded()
            raise RegionError(f"{name} holds no sound that can be read") from error
        self.samplerate = int(self._sound.samplerate)
        self.frames = int(self._sound.frames)
        self.channels = int(self._sound.channels)
        self.bits = _BITS.get(self._sound.subtype, 64 if self._sound.subtype == "DOUBLE" else 32)

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """See `Sound.read`."""
        dtype = _DTYPES.get(self._sound.subtype, "float64" if self._sound.subtype == "DOUBLE" else "float32")
        try:
            self._sound.seek(start)
            samples = self._sound.read(stop - start, dtype=dtype, always_2d=True)
        except soundfile.SoundFileError as error:
            self._file.raise_recorded()
            raise RegionError(f"{self._name}: frames {start} to {stop} do not decode: {error}") from error
        self._file.raise_recorded()
        # soundfile puts narrow samples at the top of the word; ours are at the bottom.
        shift = 8 * samples.dtype.itemsize - self.bits
        return np.right_shift(samples, shift) if samples.dtype.kind == "i" else np.asarray(samples)


class _Recorder:
    """A file that keeps the first error it raises: C code that calls back into Python swallows it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._error: Exception | None = None

    def raise_recorded(self) -> None:
        if self._error is not None:
            raise self._error

    def read(self, size: int = -1) -> bytes:
        return self._call(self._file.read, size) or b""

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._call(self._file.seek, offset, whence) or 0

    def tell(self) -> int:
        return self._file.tell()

    def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except Exception as error:
            self._error = self._error or error
            return None
