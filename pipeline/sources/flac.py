"""FLAC files in a new container: WAV. File-exactly they stay what they are, small already."""

from __future__ import annotations

import hashlib
from typing import Any, BinaryIO

import numpy as np
import soundfile
from numpy.typing import NDArray

from haarchive.codecs.errors import HaarchiveError, SourceChangedError, SourceFormatError
from haarchive.pipeline.layout import Plane
from haarchive.pipeline.sources.containers import Conversion, wav
from haarchive.pipeline.sources.files import SourceBytes
from haarchive.pipeline.sources.grid import audio_chunk
from haarchive.pipeline.sources.packers import PcmPacker
from haarchive.pipeline.sources.ref import SourceRef

__all__ = ["convert_flac"]

_STREAMINFO = 4 + 4 + 34


def convert_flac(ref: SourceRef, files: SourceBytes) -> Conversion | None:
    """Put the samples of a FLAC file into a WAV file.

    Returns
    -------
    Conversion or None
        None where the file is damaged (its MD5 of all samples is checked), or has a sample size that is no
        whole number of bytes: a WAV file would hold the same samples, but libFLAC's readers scale them.
    """
    head = files.peek(0, _STREAMINFO)
    if len(head) < _STREAMINFO or head[4] & 0x7F:
        raise SourceFormatError("it does not begin with its stream info")
    packed = int.from_bytes(head[18:26], "big")
    rate, frames = packed >> 44, packed & (1 << 36) - 1
    channels, bits = (packed >> 41 & 7) + 1, (packed >> 36 & 31) + 1
    if bits not in (8, 16, 24) or not rate:
        return None
    chunk = audio_chunk(channels)
    plane = Plane(
        kind="audio",
        shape=(frames, channels),
        dtype="int16" if bits <= 16 else "int32",
        chunk_shape=chunk,
        codec="haar-audio",
        packer={"name": "pcm", "width": bits // 8, "order": "<", "unsigned": bits == 8, "frames": chunk[0]},
        attrs={"samplerate": rate, "bits": bits},
    )

    def read(_: int, region: tuple[slice, ...]) -> NDArray[Any]:
        return _read_frames(ref, files, plane, region[0].start, region[0].stop)[:, region[1]]

    return Conversion(".wav", wav(plane, bits), read, {}) if _is_sound(ref, files, plane, head[26:42]) else None


def _is_sound(ref: SourceRef, files: SourceBytes, plane: Plane, md5: bytes) -> bool:
    """Whether every frame can be read and, where the file says, the MD5 of the samples is right."""
    signed = PcmPacker(Plane(plane.kind, plane.shape, plane.dtype, plane.chunk_shape, plane.codec,
                             {**plane.packer, "unsigned": False}))  # fmt: skip
    digest = hashlib.md5(usedforsecurity=False)
    try:
        for start in range(0, plane.shape[0], plane.chunk_shape[0]):
            stop = min(start + plane.chunk_shape[0], plane.shape[0])
            digest.update(signed.pack(_read_frames(ref, files, plane, start, stop), 0))
    except SourceChangedError:
        return False
    return md5 in (bytes(16), digest.digest())


def _read_frames(ref: SourceRef, files: SourceBytes, plane: Plane, start: int, stop: int) -> NDArray[Any]:
    bits = plane.attrs["bits"]
    try:
        with soundfile.SoundFile(_Quiet(files.file())) as sound:
            sound.seek(start)
            samples = sound.read(stop - start, dtype="int16" if bits <= 16 else "int32", always_2d=True)
        files.check_reads()
    except soundfile.LibsndfileError as error:
        files.check_reads()
        raise SourceChangedError(f"{ref.path}: frames {start} to {stop} cannot be read: {error}") from None
    if samples.shape != (stop - start, plane.shape[1]):
        raise SourceChangedError(f"{ref.path}: frames {start} to {stop} are not there any more")
    return np.asarray(samples >> ((16 if bits <= 16 else 32) - bits))


class _Quiet:
    """A file for libsndfile, which prints exceptions and goes on: it ends where it cannot be read."""

    def __init__(self, file: BinaryIO) -> None:
        self.seek, self.tell, self._file = file.seek, file.tell, file

    def readinto(self, buffer: memoryview) -> int:
        try:
            return self._file.readinto(buffer)  # type: ignore[attr-defined, no-any-return]
        except HaarchiveError:  # `SourceBytes.check_reads` has it
            return 0
