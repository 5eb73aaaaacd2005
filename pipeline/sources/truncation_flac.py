"""FLAC files that were cut short: their first block says how many samples there are, their last frame which.

RFC 9639, sections 8 (metadata blocks) and 9.1 (frame header).
"""

from __future__ import annotations

from collections.abc import Iterator

from haarchive.pipeline.sources.files import SourceBytes

__all__ = ["missing_in_flac"]

_STREAMINFO = 34
_TAIL = 1 << 17
"""Bytes at the end of the file among which the last frame begins: frames have some 16 KiB, at most 64 KiB."""
_LONGEST_HEADER = 16


def missing_in_flac(files: SourceBytes) -> str:
    """What is missing at the end of a FLAC file; see `what_is_missing`.

    Every frame's header says where its samples belong. Where none near the end of the file reaches the last sample,
    or the one that does is not followed by its checksum, the rest was cut. A metadata block that is longer than the
    file is a cut only where the last sample is missing too.
    """
    position, info, missing = _metadata(files)
    if len(info) != _STREAMINFO:
        return missing
    total = int.from_bytes(info[10:18], "big") & (1 << 36) - 1
    start = max(position, files.size - _TAIL)
    tail = files.read(start, files.size - start)
    ends = dict(_frames(tail, int.from_bytes(info[2:4], "big")))
    reached = max(ends.values(), default=0 if len(tail) < _TAIL else total)
    if reached < total or (missing and not ends):
        return missing or f"the sound has {total} samples a channel, and is there up to sample {reached}"
    last = [at for at, end in ends.items() if end == total]
    if reached == total and last and not any(_is_whole(tail[at:]) for at in last):
        return f"the last frame, at byte {start + last[-1]}, has no end"
    return ""


def _metadata(files: SourceBytes) -> tuple[int, bytes, str]:
    """Where the metadata blocks end as far as they are there, what STREAMINFO holds, and what is missing."""
    position, last, info = 4, False, b""
    while not last:
        head = files.peek(position, 4)
        if len(head) < 4:
            return position, info, f"there must be another metadata block at byte {position}"
        last, end = bool(head[0] & 0x80), position + 4 + int.from_bytes(head[1:], "big")
        if end > files.size:
            return position, info, f"the metadata block at byte {position} reaches to byte {end}"
        info = info or (files.read(position + 4, end - position - 4) if not head[0] & 0x7F else b"")
        position = end
    return position, info, ""


def _frames(tail: bytes, block: int) -> Iterator[tuple[int, int]]:
    """``(position, number of the sample behind its last)`` of what are frame headers, by their CRC-8."""
    at = tail.find(b"\xff")
    while at >= 0:
        end = _end_of_frame(tail[at : at + _LONGEST_HEADER], block)
        if end:
            yield at, end
        at = tail.find(b"\xff", at + 1)


def _end_of_frame(head: bytes, block: int) -> int:
    """The number of the sample behind a frame's last, 0 where `head` begins no frame."""
    if len(head) < 6 or head[1] & 0xFE != 0xF8 or head[2] < 0x10 or head[2] & 15 == 15 or head[3] & 1:
        return 0
    more = next((n for n in range(8) if not head[4] & 0x80 >> n), 8)  # as UTF-8: ones before the first zero
    if more in (1, 8) or len(head) < 5 + more:
        return 0
    number = head[4] & (0x7F >> more)
    for byte in head[5 : 4 + max(1, more)]:
        number = number << 6 | byte & 0x3F
    at = 4 + max(1, more)
    code, rate = head[2] >> 4, head[2] & 15
    of_size = {6: 1, 7: 2}.get(code, 0)
    size = int.from_bytes(head[at : at + of_size], "big") + 1
    if not of_size:
        size = 192 if code == 1 else 576 << code - 2 if code < 6 else 256 << code - 8
    at += of_size + {12: 1, 13: 2, 14: 2}.get(rate, 0)
    if at >= len(head) or _crc(head[: at + 1], 8, 0x07):
        return 0
    return (number if head[1] & 1 else number * block) + size


def _is_whole(data: bytes) -> bool:
    """Whether a frame that `data` begins with is there to its end: its checksum makes the CRC zero there."""
    crc = 0
    for byte in data:
        crc = _CRC16[crc >> 8 ^ byte] ^ crc << 8 & 0xFFFF
        if not crc:
            return True
    return False


def _crc(data: bytes, bits: int, polynomial: int) -> int:
    """The CRC of `data`, most significant bit first, beginning with 0."""
    top, mask, crc = 1 << bits - 1, (1 << bits) - 1, 0
    for byte in data:
        crc ^= byte << bits - 8
        for _ in range(8):
            crc = (crc << 1 ^ (polynomial if crc & top else 0)) & mask
    return crc


_CRC16 = [_crc(bytes([byte]), 16, 0x8005) for byte in range(256)]
