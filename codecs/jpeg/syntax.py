"""The marker segments of JPEG files whose scans can be made again from coefficients (ITU-T T.81, annex B)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.dct.transform import ZIGZAG
from haarchive.codecs.errors import UnsupportedSamplesError
from haarchive.codecs.jpeg.huffman import Table

__all__ = ["EOI", "SOI", "Component", "Frame", "read_frame"]

SOI, EOI = b"\xff\xd8", b"\xff\xd9"
_SOF0, _SOF1, _DHT, _SOS, _DQT, _DRI = 0xC0, 0xC1, 0xC4, 0xDA, 0xDB, 0xDD
_SKIPPED = frozenset([*range(0xE0, 0xF0), 0xFE])
"""Application data and comments."""
_AC = 16
"""Of the numbers of Huffman tables: of AC coefficients' (T.81, B.2.4.2)."""
_SEQUENTIAL = bytes([0, 63, 0])
"""First and last frequency and bit positions of a scan."""
_MOST_FACTOR = 4
_MOST_COMPONENTS = 4


@dataclass(frozen=True)
class Component:
    """A component of a frame.

    Parameters
    ----------
    rows, columns : int
        Blocks of it in a minimum coded unit; 1 and 1 where it is alone.
    """

    rows: int
    columns: int


@dataclass(frozen=True, eq=False)
class Frame:
    """What tells the coefficients of a JPEG file from the bytes of its scan, and back.

    Parameters
    ----------
    components : tuple of Component
    units : tuple of int
        Minimum coded units, down and across.
    steps : ndarray, shape (C, 64), int64
        Of each component's quantisation, by frequency ``8 * vertical + horizontal``.
    dc, ac : tuple of Table
        Huffman tables of each component.
    restart : int
        Minimum coded units between restart markers; 0 where there are none.
    """

    components: tuple[Component, ...]
    units: tuple[int, int]
    steps: NDArray[np.int64]
    dc: tuple[Table, ...]
    ac: tuple[Table, ...]
    restart: int

    def grid(self, component: int) -> tuple[int, int]:
        """How many blocks a component has, down and across, those that fill units included."""
        down, across = self.units
        return down * self.components[component].rows, across * self.components[component].columns

    @property
    def blocks(self) -> int:
        """Blocks of all components."""
        return sum(down * across for down, across in map(self.grid, range(len(self.components))))


def read_frame(data: bytes, begin: int = 0, tables: bytes = b"") -> tuple[Frame, int]:
    """Read a JPEG file up to where the data of its first scan begins.

    Parameters
    ----------
    data : bytes
    begin : int
        Where in `data` the file begins.
    tables : bytes
        Marker segments that belong between its SOI and what follows.

    Returns
    -------
    Frame
    int
        Where in `data` the scan's data begins.

    Raises
    ------
    UnsupportedSamplesError
        If it is no JPEG file, or not one of a single scan of 8 bits, sequential, with Huffman codes.
    """
    if not data.startswith(SOI, begin):
        raise UnsupportedSamplesError("it is no JPEG file: it does not begin with SOI")
    found = _Found({}, {})
    at = 0
    while at < len(tables):
        marker, body, at = _segment(tables, at)
        found.take(marker, body)
    at = begin + len(SOI)
    while True:
        marker, body, at = _segment(data, at)
        if marker == _SOS:
            return found.frame(body), at
        found.take(marker, body)


@dataclass
class _Found:
    """What was read of a file so far: its tables, by number; SOF's parameters; the restart interval."""

    quantisation: dict[int, NDArray[np.int64]]
    tables: dict[int, Table]
    sof: bytes | None = None
    restart: int = 0

    def take(self, marker: int, body: bytes) -> None:
        """Read a segment."""
        if marker in (_SOF0, _SOF1) and self.sof is None:
            self.sof = body
        elif marker == _DQT:
            self.quantisation |= _quantisation(body)
        elif marker == _DHT:
            self.tables |= _huffman(body)
        elif marker == _DRI and len(body) == 2:
            self.restart = int.from_bytes(body)
        elif marker not in _SKIPPED:
            raise UnsupportedSamplesError(f"a JPEG file with marker {marker:#x}, which is not sequential or not valid")

    def frame(self, sos: bytes) -> Frame:
        """Put a frame together from the parameters of SOF and SOS (T.81, B.2.2 and B.2.3)."""
        sof = self.sof or b""
        count = sof[5] if len(sof) > 5 else 0
        if len(sof) != 6 + 3 * count or len(sos) != 4 + 2 * count or sof[0] != 8 or sos[0] != count:
            raise UnsupportedSamplesError("a JPEG file that is not of 8 bits and one scan")
        height, width = int.from_bytes(sof[1:3]), int.from_bytes(sof[3:5])
        if not (height and width and 1 <= count <= _MOST_COMPONENTS) or sos[-3:] != _SEQUENTIAL:
            raise UnsupportedSamplesError("a JPEG file without a size, or not of one sequential scan")
        components, steps, dc, ac = [], [], [], []
        for n in range(count):
            identifier, factors, number = sof[6 + 3 * n : 9 + 3 * n]
            columns, rows = (factors >> 4, factors & 15) if count > 1 else (1, 1)
            if sos[1 + 2 * n] != identifier or not (1 <= rows <= _MOST_FACTOR and 1 <= columns <= _MOST_FACTOR):
                raise UnsupportedSamplesError("a JPEG file whose scan has its components in another order")
            coding = sos[2 + 2 * n]
            wanted = number in self.quantisation, coding >> 4 in self.tables, _AC + (coding & 15) in self.tables
            if not all(wanted) or not self.quantisation[number].all():
                raise UnsupportedSamplesError("a JPEG file that lacks a table, or has a quantisation step of 0")
            components.append(Component(rows, columns))
            steps.append(self.quantisation[number])
            dc.append(self.tables[coding >> 4])
            ac.append(self.tables[_AC + (coding & 15)])
        tallest, widest = max(c.rows for c in components), max(c.columns for c in components)
        units = -(-height // (8 * tallest)), -(-width // (8 * widest))
        return Frame(tuple(components), units, np.stack(steps), tuple(dc), tuple(ac), self.restart)


def _segment(data: bytes, at: int) -> tuple[int, bytes, int]:
    """The marker at `at`, its parameters, and where they end."""
    length = int.from_bytes(data[at + 2 : at + 4])
    end = at + 2 + length
    if len(data) < at + 4 or data[at] != 0xFF or length < 2 or end > len(data):
        raise UnsupportedSamplesError("a JPEG file that is cut short or damaged before its scan")
    return data[at + 1], data[at + 4 : end], end


def _quantisation(body: bytes) -> dict[int, NDArray[np.int64]]:
    tables = {}
    if len(body) % 65 or any(body[at] > 3 for at in range(0, len(body), 65)):
        raise UnsupportedSamplesError("a JPEG file whose quantisation tables are not of 8 bits")
    for at in range(0, len(body), 65):
        table = np.zeros(64, np.int64)
        table[ZIGZAG] = np.frombuffer(body, np.uint8, 64, at + 1)
        tables[body[at]] = table
    return tables


def _huffman(body: bytes) -> dict[int, Table]:
    """Huffman tables by 16 * class + number."""
    tables, at = {}, 0
    while at < len(body):
        lengths = body[at + 1 : at + 17]
        symbols = body[at + 17 : at + 17 + sum(lengths)]
        if len(lengths) < 16 or len(symbols) < sum(lengths):
            raise UnsupportedSamplesError("a JPEG file whose Huffman tables are cut short")
        tables[body[at]] = Table.of(lengths, symbols)
        at += 17 + len(symbols)
    return tables
