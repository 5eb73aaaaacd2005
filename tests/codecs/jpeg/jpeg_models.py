"""JPEG files for the tests of jpeg, made by Pillow (libjpeg-turbo), and what they are made of."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from haarchive.codecs.base import Bitstream
from haarchive.codecs.errors import UnsupportedSamplesError
from haarchive.codecs.jpeg.codec import JpegCodec

SOI, EOI = b"\xff\xd8", b"\xff\xd9"
SOF0, DHT, SOS, DQT, DRI, APP0 = 0xC0, 0xC4, 0xDA, 0xDB, 0xDD, 0xE0

KINDS: dict[str, dict[str, Any]] = {
    "grey": {"mode": "L"},
    "4:4:4": {"subsampling": 0},
    "4:2:2": {"subsampling": 1},
    "4:2:0": {"subsampling": 2},
    "rgb": {"subsampling": 0, "keep_rgb": True},
    "cmyk": {"mode": "CMYK"},
}
"""How `jpeg_of` is asked for each."""


def scene(height: int, width: int, seed: int = 1) -> NDArray[np.uint8]:
    """A smooth picture with edges and some noise, ``(H, W, 3)``."""
    rng = np.random.Generator(np.random.PCG64(seed))
    y, x, c = np.ogrid[:height, :width, :3]
    waves = 30 * np.sin(x / 17 + c + seed) + 25 * np.cos(y / 23 + x / 40) + 15 * np.sin((x * (c + 1) + 2 * y) / 31)
    blocks = 30 * ((x * x // 700 + y * y // 500 + c) % 3 == 0)
    return (120 + waves + blocks + rng.normal(0, 4, (height, width, 3))).clip(0, 255).astype(np.uint8)


def jpeg_of(picture: NDArray[np.uint8], mode: str = "RGB", **options: Any) -> bytes:
    """A picture as Pillow saves it."""
    file = io.BytesIO()
    Image.fromarray(picture).convert(mode).save(file, "JPEG", **options)
    return file.getvalue()


def made(kind: str = "4:2:0", height: int = 48, width: int = 64, seed: int = 1, **options: Any) -> bytes:
    """A JPEG file of one of `KINDS`."""
    return jpeg_of(scene(height, width, seed), **KINDS[kind], **options)


def as_chunk(data: bytes) -> NDArray[np.uint8]:
    """Bytes as codecs take them."""
    return np.frombuffer(data, np.uint8)


def check(data: bytes, codec: JpegCodec | None = None) -> Bitstream:
    """Code a chunk and hold it against what comes back."""
    codec = codec or JpegCodec()
    (bitstream,) = codec.encode([as_chunk(data)])
    (decoded,) = codec.decode([bitstream])
    assert decoded.dtype == np.uint8
    assert decoded.ndim == 1
    assert decoded.tobytes() == data
    return bitstream


def check_if_taken(data: bytes, codec: JpegCodec | None = None) -> bool:
    """As `check`, unless the chunk is refused; returns whether it was taken."""
    try:
        check(data, codec)
    except UnsupportedSamplesError:
        return False
    return True


def taken_apart(jpeg: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """The marker segments of a file, SOS the last, as marker and parameters; and all behind them."""
    segments, at = [], len(SOI)
    while not segments or segments[-1][0] != SOS:
        length = int.from_bytes(jpeg[at + 2 : at + 4])
        segments.append((jpeg[at + 1], jpeg[at + 4 : at + 2 + length]))
        at += 2 + length
    return segments, jpeg[at:]


def segment(marker: int, body: bytes) -> bytes:
    """A marker segment."""
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2) + body


def put_together(segments: list[tuple[int, bytes]], rest: bytes) -> bytes:
    """Undo `taken_apart`."""
    return SOI + b"".join(segment(*one) for one in segments) + rest


def edited(jpeg: bytes, marker: int, change: Callable[[bytes], bytes | None]) -> bytes:
    """A file with the parameters of all segments of one kind changed; None takes them out."""
    segments, rest = taken_apart(jpeg)
    changed = [(one, change(body) if one == marker else body) for one, body in segments]
    return put_together([(one, body) for one, body in changed if body is not None], rest)


def abbreviated(jpeg: bytes) -> tuple[bytes, bytes]:
    """The tables of a file as TIFF keeps them, and the file without them."""
    segments, rest = taken_apart(jpeg)
    tables = [one for one in segments if one[0] in (DHT, DQT)]
    others = [one for one in segments if one[0] not in (DHT, DQT, APP0)]
    return put_together(tables, EOI), put_together(others, rest)


def intervals_of(jpeg: bytes) -> tuple[bytes, list[bytes]]:
    """The header of a file up to its scan, and its restart intervals, each but the last with the marker behind it."""
    segments, rest = taken_apart(jpeg)
    ends, at = [], 0
    while rest[at : at + 2] != EOI:
        at = rest.index(b"\xff", at)
        if 0xD0 <= rest[at + 1] <= 0xD7:
            ends.append(at + 2)
        at += 0 if rest[at + 1] == EOI[1] else 2
    pieces = [rest[a:b] for a, b in zip([0, *ends], [*ends, at], strict=True)]
    return put_together(segments, b""), pieces
