"""Where JPEG files begin and end among other bytes, of whatever kind they are (ITU-T T.81, annex B)."""

from __future__ import annotations

from haarchive.codecs.jpeg.syntax import EOI, SOI

__all__ = ["OPENING", "end_of_file", "size_of", "split_files"]

OPENING = SOI + b"\xff"
"""What every JPEG file begins with."""
_TEM, _SOS, _EOI, _RESTARTS = 0x01, 0xDA, EOI[1], range(0xD0, 0xD8)
_HAVE_NO_LENGTH = frozenset([_TEM, *_RESTARTS])
_NEVER = frozenset([0x00, SOI[1], *range(0x02, 0xC0)])
"""Of markers in a file: reserved codes, and another SOI."""
_NO_FRAMES = frozenset([0xC4, 0xC8, 0xCC])
"""Of SOF0 to SOF15: DHT, JPG and DAC."""


def end_of_file(data: bytes, begin: int) -> int:
    """Where the JPEG file that begins at `begin` ends, behind its EOI.

    Returns
    -------
    int
        More than the length of `data` where the file goes on behind it; -1 where it is no JPEG file.
    """
    if not data.startswith(SOI, begin):
        return -1
    at = begin + len(SOI)
    while at + 2 <= len(data):
        marker = data[at + 1]
        if data[at] != 0xFF or marker in _NEVER:
            return -1
        at += 2
        if marker == _EOI:
            return at
        if marker == 0xFF:  # a fill byte
            at -= 1
        elif marker not in _HAVE_NO_LENGTH:
            length = int.from_bytes(data[at : at + 2])
            if length < 2 and at + 2 <= len(data):
                return -1
            at += max(length, 2)
            if marker == _SOS:
                at = _behind_scan(data, at)
    return len(data) + 1


def size_of(data: bytes, begin: int = 0) -> tuple[int, int] | None:
    """Height and width in pixels that the JPEG file at `begin` says that it has; None where that is not found."""
    at = begin + len(SOI)
    while at + 9 <= len(data) and data[at] == 0xFF:
        if 0xC0 <= data[at + 1] <= 0xCF and data[at + 1] not in _NO_FRAMES:
            return int.from_bytes(data[at + 5 : at + 7]), int.from_bytes(data[at + 7 : at + 9])
        at += 2 + int.from_bytes(data[at + 2 : at + 4])
    return None


def split_files(data: bytes) -> list[bytes]:
    """Cut JPEG files apart that lie one behind the other; what is between two belongs to the first.

    All stays whole where the first cannot be followed to its end.
    """
    begin = 0
    files: list[bytes] = []
    while begin < len(data):
        end = end_of_file(data, begin)
        if end < 0 and not files:
            return [data]
        following = data.find(OPENING, max(end, begin + len(OPENING)))
        following = len(data) if following < 0 else following
        files.append(data[begin:following])
        begin = following
    return files


def _behind_scan(data: bytes, at: int) -> int:
    """The first marker behind the data of a scan, but for restart markers."""
    while True:
        at = data.find(b"\xff", at)
        if at < 0 or at + 1 >= len(data):
            return len(data)
        if data[at + 1] != 0 and data[at + 1] not in _RESTARTS:
            return at
        at += 2
