"""The bytes of a source: one file, or the members of a folder laid end to end."""

from __future__ import annotations

import hashlib
import os
import stat
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from haarchive.codecs.errors import SourceChangedError, SourceNotFoundError, SourceUnreadableError
from haarchive.pipeline.layout import Member

__all__ = ["SourceBytes", "open_bytes"]

_BLOCK = 1 << 20


def open_bytes(path: str) -> BinaryIO:
    """Open a source's file for reading; every byte of every source comes through here.

    Parameters
    ----------
    path : str
        A local path.

    Returns
    -------
    BinaryIO
        Seekable, unbuffered by us, at position 0.

    Raises
    ------
    SourceNotFoundError
    SourceUnreadableError
        If permissions, the disk, or the kind of the file (a pipe, a socket, a folder) forbid it.
    """
    try:
        if not stat.S_ISREG(Path(path).stat().st_mode):
            raise SourceUnreadableError(f"{path}: not a regular file; archive the files it stands for instead")
        return Path(path).open("rb")
    except FileNotFoundError:
        raise SourceNotFoundError(f"{path}: no such file") from None
    except SourceUnreadableError:
        raise
    except OSError as error:
        raise SourceUnreadableError(f"{path}: cannot be opened: {error.strerror or error}") from error


class SourceBytes:
    """Random access to the bytes of files laid end to end.

    Parameters
    ----------
    root : str
        The file, or the folder that `paths` are relative to.
    paths : sequence of str
        Members, relative to `root` with '/', sorted; ``[""]`` where `root` is the file itself.

    Raises
    ------
    SourceNotFoundError, SourceUnreadableError
        If a member is not there or cannot be looked at.
    """

    def __init__(self, root: str, paths: Sequence[str]) -> None:
        self.paths = tuple(paths)
        self._files = [f"{root}/{path}" if path else root for path in self.paths]
        self._stats = [_stat(file) for file in self._files]
        self.sizes = tuple(size for size, _, _ in self._stats)
        self.starts = (0, *accumulate(self.sizes))
        """Where each member begins in the source, and where the last one ends."""
        self._open: tuple[int, BinaryIO] | None = None

    @property
    def size(self) -> int:
        """Bytes of all members."""
        return self.starts[-1]

    def read(self, start: int, length: int) -> bytes:
        """Read exactly `length` bytes at `start`.

        Raises
        ------
        SourceChangedError
            If the bytes are no longer there.
        SourceUnreadableError
            If the disk fails.
        """
        parts: list[bytes] = []
        while length:
            member = bisect_right(self.starts, start) - 1
            if member >= len(self._files):
                raise SourceChangedError(f"{self._files[-1]}: ends before byte {start}; it was cut while being read")
            take = min(length, self.starts[member + 1] - start)
            parts.append(self._read_member(member, start - self.starts[member], take))
            start, length = start + take, length - take
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def peek(self, start: int, length: int) -> bytes:
        """Read up to `length` bytes at `start`: what is there of them."""
        return self.read(start, max(0, min(length, self.size - start)))

    def file(self, member: int = 0) -> BinaryIO:
        """One member as an open file at position 0; shared, and open until another member is read or
        `close`.
        """
        if self._open is None or self._open[0] != member:
            self.close()
            self._open = (member, open_bytes(self._files[member]))
        self._open[1].seek(0)
        return self._open[1]

    def members(self) -> tuple[Member, ...]:
        """Read everything once and digest it."""
        return tuple(
            Member(path, size, self._sha256(index))
            for index, (path, size) in enumerate(zip(self.paths, self.sizes, strict=True))
        )

    def check_unchanged(self, members: Sequence[Member]) -> None:
        """Compare every member with what it was: by its metadata first, then by its SHA-256.

        Raises
        ------
        SourceChangedError
            Naming the first member that differs.
        """
        for index, (file, was) in enumerate(zip(self._files, self._stats, strict=True)):
            if _stat(file) != was:
                raise SourceChangedError(f"{file}: changed while it was being archived; archive it again at rest")
            if (was[0], self._sha256(index)) != (members[index].size, members[index].sha256):
                raise SourceChangedError(f"{file}: its content is no longer what was archived; archive it again")

    def close(self) -> None:
        """Close the open member, if any."""
        if self._open is not None:
            self._open[1].close()
            self._open = None

    def __enter__(self) -> SourceBytes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read_member(self, member: int, start: int, length: int) -> bytes:
        file = self.file(member)
        try:
            file.seek(start)
            data = file.read(length)
        except OSError as error:
            raise SourceUnreadableError(f"{self._files[member]}: cannot be read at byte {start}: {error}") from error
        if len(data) != length:
            raise SourceChangedError(
                f"{self._files[member]}: ends at byte {start + len(data)} where it had {self.sizes[member]};"
                " it was cut while being read"
            )
        return data

    def _sha256(self, member: int) -> str:
        digest = hashlib.sha256()
        for start, length in _blocks(self.sizes[member]):
            digest.update(self._read_member(member, start, length))
        return digest.hexdigest()


def _blocks(size: int) -> Iterator[tuple[int, int]]:
    for start in range(0, size, _BLOCK):
        yield start, min(_BLOCK, size - start)


def _stat(file: str) -> tuple[int, int, int]:
    try:
        found = os.stat(file)  # noqa: PTH116 - a plain string path is what we have
    except FileNotFoundError:
        raise SourceNotFoundError(f"{file}: no such file") from None
    except OSError as error:
        raise SourceUnreadableError(f"{file}: cannot be looked at: {error.strerror or error}") from error
    return found.st_size, found.st_mtime_ns, found.st_ino
