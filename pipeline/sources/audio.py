"""WAV, RF64, BW64, RIFX, AIFF and AIFF-C, by their chunks.

We read the chunks ourselves since what matters is where the samples lie, byte for byte, also in files whose
sizes lie, which libraries either refuse or silently repair.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from haarchive.codecs.errors import SourceFormatError
from haarchive.pipeline.layout import Plane
from haarchive.pipeline.sources.files import SourceBytes
from haarchive.pipeline.sources.grid import audio_chunk
from haarchive.pipeline.sources.scan import PlaneScan, Scan
from haarchive.pipeline.sources.verbatim import scan_verbatim

__all__ = ["scan_aiff", "scan_wav"]

_MAX_CHANNELS = 256
_PCM, _EXTENSIBLE = 1, 0xFFFE
_GUID_TAILS = (
    bytes.fromhex("000000001000800000aa00389b71"),  # KSDATAFORMAT_SUBTYPE_*
    bytes.fromhex("000021070711d38644c8c1ca000000")[1:],  # SUBTYPE_AMBISONIC_B_FORMAT_*
)
_UNKNOWN_SIZE = 0xFFFFFFFF
_AIFC_ORDERS = {b"NONE": ">", b"twos": ">", b"in24": ">", b"in32": ">", b"sowt": "<", b"raw ": ">"}


@dataclass(frozen=True)
class _Pcm:
    """How samples are stored: `width` bytes each, of which `bits` count."""

    channels: int
    samplerate: int
    bits: int
    width: int
    order: str
    unsigned: bool


def scan_wav(files: SourceBytes) -> Scan:
    """Find the samples of a RIFF, RIFX, RF64 or BW64 file.

    A data chunk that is cut short, or whose size is unknown (0 or 0xFFFFFFFF, as streaming writers leave it),
    is taken as far as it has whole frames.

    Raises
    ------
    SourceFormatError
        If there is no usable format or data chunk.
    """
    order = ">" if files.peek(0, 4) == b"RIFX" else "<"
    pcm: _Pcm | str | None = None
    long_size = 0
    for name, start, size in _chunks(files, order):
        if name == b"ds64" and start + 16 <= files.size:
            long_size = struct.unpack("<Q", files.peek(start + 8, 8))[0]
        elif name == b"fmt " and pcm is None:
            pcm = _wav_format(files.peek(start, min(size, 40)), order)
        elif name == b"data":
            if pcm is None:
                raise SourceFormatError("the data chunk comes before any format chunk")
            if isinstance(pcm, str):
                return scan_verbatim(pcm, "wav")
            if size == _UNKNOWN_SIZE and long_size:
                size = long_size
            elif size == _UNKNOWN_SIZE or (size == 0 and not _chunks_follow(files, start, order)):
                size = files.size - start
            return _scan_pcm(files, "wav", pcm, start, size)
    raise SourceFormatError("it has no data chunk")


def scan_aiff(files: SourceBytes) -> Scan:
    """Find the samples of an AIFF or AIFF-C file.

    Raises
    ------
    SourceFormatError
        If there is no usable common or sound data chunk.
    """
    compressed = files.peek(8, 4) == b"AIFC"
    pcm: _Pcm | str | None = None
    data: tuple[int, int] | None = None
    for name, start, size in _chunks(files, ">"):
        if name == b"COMM" and pcm is None:
            pcm = _aiff_format(files.peek(start, min(size, 22)), compressed)
        elif name == b"SSND" and data is None and size >= 8 and start + 8 <= files.size:
            skip = 8 + struct.unpack(">I", files.peek(start, 4))[0]
            data = (start + skip, max(0, size - skip))
    if pcm is None or data is None:
        raise SourceFormatError("it has no COMM or no SSND chunk")
    return scan_verbatim(pcm, "aiff") if isinstance(pcm, str) else _scan_pcm(files, "aiff", pcm, *data)


def _chunks(files: SourceBytes, order: str, start: int = 12) -> Iterator[tuple[bytes, int, int]]:
    """``(name, start of its content, claimed size)`` of each chunk; a claim that reaches too far ends the
    walk.
    """
    while start + 8 <= files.size:
        name, size = struct.unpack(f"{order}4sI", files.peek(start, 8))
        yield name, start + 8, size
        start += 8 + size + size % 2


def _chunks_follow(files: SourceBytes, start: int, order: str) -> bool:
    """Whether what begins at `start` is a run of chunks that ends with the file."""
    end = start
    for name, begin, size in _chunks(files, order, start):
        if not all(32 <= byte < 127 for byte in name):
            return False
        end = begin + size
    return end in (files.size, files.size - 1) or start == files.size


def _wav_format(data: bytes, order: str) -> _Pcm | str:
    if len(data) < 16:
        raise SourceFormatError(f"its format chunk has {len(data)} bytes; 16 are the least")
    tag, channels, rate, _, align, bits = struct.unpack(f"{order}HHIIHH", data[:16])
    valid = bits
    if tag == _EXTENSIBLE and len(data) >= 40:
        valid = struct.unpack(f"{order}H", data[18:20])[0] or bits
        tag = struct.unpack(f"{order}H", data[24:26])[0] if data[26:40] in _GUID_TAILS else tag
    if tag != _PCM:
        return f"WAV format tag {tag:#06x} is not integer PCM"
    width = align // channels if channels and align % channels == 0 else math.ceil(bits / 8)
    return _checked(_Pcm(channels, rate, min(valid, 8 * width), width, order, unsigned=width == 1))


def _aiff_format(data: bytes, compressed: bool) -> _Pcm | str:
    if len(data) < (22 if compressed else 18):
        raise SourceFormatError(f"its COMM chunk has only {len(data)} bytes")
    channels, _, bits, exponent, mantissa = struct.unpack(">hIhHQ", data[:18])
    kind = data[18:22] if compressed else b"NONE"
    if kind not in _AIFC_ORDERS:
        return f"AIFF-C compression {kind!r} is not integer PCM"
    rate = math.ldexp(mantissa, (exponent & 0x7FFF) - 16383 - 63) if exponent & 0x7FFF != 0x7FFF else 0.0
    width = math.ceil(bits / 8)
    return _checked(
        _Pcm(channels, round(rate), bits, width, _AIFC_ORDERS[kind], unsigned=kind == b"raw " and width == 1)
    )


def _checked(pcm: _Pcm) -> _Pcm | str:
    if not 1 <= pcm.channels <= _MAX_CHANNELS:
        return f"{pcm.channels} channels are not 1 to {_MAX_CHANNELS}"
    if not 1 <= pcm.width <= 4:
        return f"samples of {pcm.bits} bits in {pcm.width} bytes are not 1 to 4 bytes wide"
    return pcm


def _scan_pcm(files: SourceBytes, kind: str, pcm: _Pcm, start: int, size: int) -> Scan:
    align = pcm.channels * pcm.width
    frames = max(0, min(size, files.size - start)) // align
    chunk = audio_chunk(pcm.channels)
    plane = Plane(
        kind="audio",
        shape=(frames, pcm.channels),
        dtype="int16" if pcm.width <= 2 else "int32",
        chunk_shape=chunk,
        codec="haar-audio",
        packer={
            "name": "pcm",
            "width": pcm.width,
            "order": pcm.order,
            "unsigned": pcm.unsigned,
            "frames": chunk[0],
        },
        attrs={"samplerate": pcm.samplerate, "bits": pcm.bits},
    )
    segment = np.arange(math.ceil(frames / chunk[0]), dtype=np.int64)
    offset = start + segment * chunk[0] * align
    length = np.minimum(offset + chunk[0] * align, np.int64(start + frames * align)) - offset
    return Scan(kind, (PlaneScan(plane, segment, offset, length),))
