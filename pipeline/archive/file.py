"""The original bytes of an archived source as a file, of which only what is read is fetched."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["ArchivedFile"]


class ArchivedFile(io.RawIOBase):
    """A seekable read-only binary file over a function that makes ranges of bytes.

    Parameters
    ----------
    read_range : callable
        ``(start, stop) -> iterator of bytes``.
    size : int
        Bytes of the file.
    name : str
    """

    def __init__(self, read_range: Callable[[int, int], Iterator[bytes]], size: int, name: str) -> None:
        self._read_range = read_range
        self._size = size
        self._position = 0
        self.name = name
        self.mode = "rb"

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """The position in bytes from the start."""
        self._checkClosed()
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move the position; see `io.IOBase.seek`."""
        self._checkClosed()
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"cannot seek to {base + offset}, before the start of {self.name}")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer from the position on; fewer bytes only at the end.

        Raises
        ------
        HaarchiveError
            If the archive is damaged; wrong bytes are never given.
        """
        self._checkClosed()
        view = memoryview(buffer).cast("B")
        stop = min(self._position + len(view), self._size)
        filled = 0
        if self._position < stop:
            for block in self._read_range(self._position, stop):
                view[filled : filled + len(block)] = block
                filled += len(block)
        self._position += filled
        return filled
