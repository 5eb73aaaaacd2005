"""Deflate streams made again exactly, from what they hold and a small *recipe*.

zlib's compressor is deterministic: level, strategy, memory level and window decide every byte, and all its
versions since 2003 give the same ones at levels 1 to 9. Most deflate data of this world comes from it. A
recipe is JSON-able: ``{"level", "strategy", "memory", "window", "head"}``, where ``head`` is the zlib header
in hexadecimal. There are two containers: 'zlib' (header, body, Adler-32) and 'gzip-body' (what follows the
ten bytes of a gzip header, which hold a time: body, CRC-32, length).

Forks of zlib (zlib-ng, Intel's, Cloudflare's) choose other matches, and some Pythons are built with one. There zlib's
own compressor takes over that `zlib_matches` and `zlib_blocks` have for that: a source comes back on every machine.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import numpy as np

from haarchive.codecs.errors import SourceFormatError

__all__ = ["deflate", "find_recipes", "inflate"]

_BLOCK = 1 << 16
_TRIED = 1 << 20
"""Of longer data so many bytes are tried first, where nothing stops at the first block that differs."""
_SETTLED = 1024
"""Bytes before the end of data whose matches more data could change, and then some."""
_GZIP_HEAD = bytes.fromhex("1f8b08000000000000ff")
_GOLDEN_SHA256 = "5f138b8cf7f1e53c8909abb17ec72aae2e07ee31875a73f093e023af3b0cb622"


def inflate(data: bytes, expected: int, container: str = "zlib") -> bytes:
    """Decompress a stream.

    Parameters
    ----------
    data : bytes
    expected : int
        How many bytes it should hold; a stream of more is cut one byte after them, whatever it claims.
    container : {'zlib', 'gzip-body'}

    Raises
    ------
    SourceFormatError
        If the stream is damaged, cut short, or followed by anything.
    """
    try:
        stream = zlib.decompressobj(15 if container == "zlib" else 31)
        raw = stream.decompress(data if container == "zlib" else _GZIP_HEAD + data, expected + 1)
        if not stream.eof and len(raw) <= expected:
            raw += stream.flush()
    except zlib.error as error:
        raise SourceFormatError(f"a damaged deflate stream: {error}") from None
    if len(raw) <= expected and (not stream.eof or stream.unused_data):
        raise SourceFormatError("a deflate stream that does not end where its bytes do")
    return raw


def find_recipes(data: bytes, raw: bytes, container: str = "zlib") -> Iterator[dict[str, Any]]:
    """Yield the recipes that make `data` from `raw`; none where it was not made by zlib.

    A wrong guess costs little: it is given up at the first block that differs.
    """
    head, tail = data[: 2 if container == "zlib" else 0], _checksum(raw, container)
    if not data.endswith(tail):
        return
    body = data[len(head) : len(data) - len(tail)]
    for level, strategy, memory, window in _guesses(head):
        if _makes(body, raw, level, strategy, memory, window):
            yield {
                "level": level,
                "strategy": strategy,
                "memory": memory,
                "window": window,
                "head": head.hex(),
            }


def deflate(raw: bytes, recipe: Mapping[str, Any], container: str = "zlib") -> bytes:
    """Compress bytes as the recipe says, on any machine."""
    body = _compress(raw, recipe["level"], recipe["strategy"], recipe["memory"], recipe["window"])
    return bytes.fromhex(recipe["head"]) + body + _checksum(raw, container)


def _compress(raw: bytes, level: int, strategy: int, memory: int, window: int) -> bytes:
    """What zlib makes of data: a raw deflate stream."""
    if _is_zlib_itself():
        stream = zlib.compressobj(level, zlib.DEFLATED, -window, memory, strategy)
        return stream.compress(raw) + stream.flush()
    from haarchive.pipeline.sources.zlib_blocks import write_blocks
    from haarchive.pipeline.sources.zlib_matches import find_symbols

    data = np.frombuffer(raw, np.uint8)
    return bytes(write_blocks(data, *find_symbols(data, level, strategy, memory, window)))


def _checksum(raw: bytes, container: str) -> bytes:
    if container == "gzip-body":
        return struct.pack("<II", zlib.crc32(raw), len(raw) & 0xFFFFFFFF)
    return struct.pack(">I", zlib.adler32(raw))


def _guesses(head: bytes) -> Iterator[tuple[int, int, int, int]]:
    """``(level, strategy, memory, window)``, what the header hints at first."""
    hinted: tuple[int, ...] = (5, 6, 9, 1)
    windows = [15]
    if head:
        hinted = ((1,), (2, 3, 4, 5), (6,), (7, 8, 9))[head[1] >> 6]
        windows = sorted({min(15, max(9, (head[0] >> 4) + 8)), 15})
    for level in (*hinted, *(other for other in range(1, 10) if other not in hinted)):
        for strategy in (zlib.Z_DEFAULT_STRATEGY, zlib.Z_FILTERED, zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE):
            for memory in (8, 9):
                for window in windows:
                    yield level, strategy, memory, window


def _makes(body: bytes, raw: bytes, level: int, strategy: int, memory: int, window: int) -> bool:
    if not _is_zlib_itself():
        begins = len(raw) <= _TRIED or body.startswith(_beginning(raw[:_TRIED], level, strategy, memory, window))
        return begins and body == _compress(raw, level, strategy, memory, window)
    stream = zlib.compressobj(level, zlib.DEFLATED, -window, memory, strategy)
    position = 0
    for start in range(0, len(raw), _BLOCK):
        made = stream.compress(raw[start : start + _BLOCK])
        if body[position : position + len(made)] != made:
            return False
        position += len(made)
    return body[position:] == stream.flush()


def _beginning(raw: bytes, level: int, strategy: int, memory: int, window: int) -> bytes:
    """What a stream begins with if its data begins with `raw`: the blocks that further data cannot change."""
    from haarchive.pipeline.sources.zlib_blocks import write_blocks
    from haarchive.pipeline.sources.zlib_matches import find_symbols

    data = np.frombuffer(raw, np.uint8)
    distances, values, blocks = find_symbols(data, level, strategy, memory, window)
    settled = np.cumsum(blocks[:, 3]) <= len(raw) - _SETTLED
    if not (count := int(settled.sum())):
        return b""
    # The block after these is written too, as only the last one says that it is the last, and cut off.
    whole, certain = (write_blocks(data, distances, values, blocks[:some]) for some in (count + 1, count))
    return bytes(whole[: len(certain) - 1])


@cache
def _is_zlib_itself() -> bool:
    """Whether this Python's zlib makes of fixed data what zlib does."""
    return _golden_digest() == _GOLDEN_SHA256


def _golden_digest() -> str:
    """SHA-256 over the streams that this zlib makes of fixed data, over levels, strategies and memory
    levels.
    """
    state, data = 1, bytearray()
    while len(data) < 150_000:
        state = (state * 1103515245 + 12345) & 0x7FFFFFFF
        if state >> 16 & 3 and len(data) > 400:
            start = len(data) - 1 - (state >> 8) % min(len(data) - 300, 40_000) - 260
            start = max(0, start)
            data += data[start : start + 3 + (state >> 20) % 255]
        else:
            data += state.to_bytes(4, "little")[: 1 + (state >> 24) % 4]
    digest = hashlib.sha256()
    for level, strategy, memory, window in _guesses(b"\x78\x9c"):
        stream = zlib.compressobj(level, zlib.DEFLATED, -window, memory, strategy)
        digest.update(stream.compress(bytes(data)) + stream.flush())
    return digest.hexdigest()
