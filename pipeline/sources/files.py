"""The bytes of a source: one file, or the members of a folder laid end to end."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from types import TracebackType
from typing import BinaryIO, cast

from haarchive.codecs.errors import HaarchiveError, SourceChangedError, SourceUnreadableError
from haarchive.pipeline.layout import Member
from haarchive.pipeline.sources.places import Place, find_place
from haarchive.pipeline.sources.ref import SourceRef
from haarchive.pipeline.sources.remote_file import RemoteFile

__all__ = ["SourceBytes", "open_bytes"]

_BLOCK = 1 << 20


def open_bytes(path: str) -> BinaryIO:
    """Open a file or an object for reading.

    Parameters
    ----------
    path : str
        A local path, or the URL of an object (``s3://bucket/key``).

    Returns
    -------
    BinaryIO
        Seekable, at position 0. An object is read in ranges as they are needed.

    Raises
    ------
    SourceNotFoundError
    SourceUnreadableError
        If permissions, the disk, or the kind of the file (a pipe, a socket, a folder) forbid it.
    """
    return cast("BinaryIO", find_place(SourceRef(path, path)).open(0))


class SourceBytes:
    """Random access to the bytes of files laid end to end.

    Parameters
    ----------
    place : Place
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self.paths = place.paths
        self.sizes = tuple(version.size for version in place.versions)
        self.starts = (0, *accumulate(self.sizes))
        """Where each member begins in the source, and where the last one ends."""
        self._open: tuple[int, BinaryIO | RemoteFile] | None = None

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
            if member >= len(self.paths):
                raise SourceChangedError(
                    f"{self._place.where(len(self.paths) - 1)}: ends before byte {start}; it was cut while being read"
                )
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
            self._open = (member, self._place.open(member))
        self._open[1].seek(0)
        return cast("BinaryIO", self._open[1])

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
        self.close()  # what was read before says nothing about now
        for index, (was, now) in enumerate(zip(self._place.versions, self._place.look(), strict=True)):
            where = self._place.where(index)
            if was.size != now.size or was.mark not in ("", now.mark):
                raise SourceChangedError(f"{where}: changed while it was being archived; archive it again at rest")
            if (now.size, self._sha256(index)) != (members[index].size, members[index].sha256):
                raise SourceChangedError(f"{where}: its content is no longer what was archived; archive it again")

    def check_reads(self) -> None:
        """Raise what a store answered to a reader that went on as if the file were damaged.

        Raises
        ------
        SourceNotFoundError, SourceChangedError, SourceUnreadableError, StoragePermissionError
        """
        file = self._open[1] if self._open else None
        if isinstance(file, RemoteFile) and file.failure is not None:
            raise file.failure

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
        except HaarchiveError:
            raise
        except OSError as error:
            where = self._place.where(member)
            raise SourceUnreadableError(f"{where}: cannot be read at byte {start}: {error}") from error
        if len(data) != length:
            raise SourceChangedError(
                f"{self._place.where(member)}: ends at byte {start + len(data)} where it had {self.sizes[member]};"
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
