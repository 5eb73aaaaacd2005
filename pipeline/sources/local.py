"""Sources on a disk: the files of a folder, and a file or zarr store as the place of one source."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from haarchive.codecs.errors import SourceNotFoundError, SourceUnreadableError
from haarchive.pipeline.sources.ref import Version, combined

__all__ = ["ZARR_MARKERS", "LocalPlace", "as_name", "is_zarr_store", "open_file", "version_of", "walk"]

ZARR_MARKERS = frozenset({"zarr.json", ".zarray", ".zgroup"})
"""What lies in the folder of every zarr group and array, version 2 or 3."""


class LocalPlace:
    """The file, or the files of the zarr store, that a source is made of. See `places.Place`.

    Raises
    ------
    SourceNotFoundError, SourceUnreadableError
        If a file is not there or cannot be looked at, or a folder is no zarr store.
    """

    def __init__(self, path: str) -> None:
        if not Path(path).is_dir():
            self.paths: tuple[str, ...] = ("",)
            self._files = [path]
        elif is_zarr_store(path):
            members = _members(path)
            self.paths = tuple(name for name, _, _ in members)
            self._files = [file for _, file, _ in members]
        else:
            raise SourceUnreadableError(f"{path}: is a folder, and no zarr store; archive the files in it")
        self.versions = self.look()

    @property
    def mark(self) -> str:
        """The version of the whole source, as `discover` gives it."""
        if self.paths == ("",):
            return self.versions[0].mark
        return combined(zip(self.paths, self.versions, strict=True)).mark

    def look(self) -> list[Version]:
        """What the files are now."""
        return [_look(file) for file in self._files]

    def where(self, member: int) -> str:
        """The path of a file."""
        return self._files[member]

    def open(self, member: int) -> BinaryIO:
        """Open a file."""
        return open_file(self._files[member])


def open_file(path: str) -> BinaryIO:
    """Open a file, at position 0 and unbuffered by us.

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


def is_zarr_store(path: str) -> bool:
    """Whether a folder is the root of a zarr group or array, version 2 or 3."""
    return any(Path(path, marker).is_file() for marker in ZARR_MARKERS)


def version_of(path: str) -> Version | None:
    """The version of a file, or of all files of a zarr store; None where there is none (a pipe, a dangling link)."""
    if Path(path).is_dir():
        return combined((name, version) for name, _, version in _members(path))
    return _regular(path)


def walk(folder: str, *, stop_at_zarr: bool) -> Iterator[tuple[str, Version | None]]:
    """Files under `folder`, and their versions as the listing gave them; a zarr store counts as a file, and a
    folder reached again through a link to one of its parents is not entered.
    """
    pending: list[tuple[str, frozenset[tuple[int, int]]]] = [(folder, frozenset())]
    while pending:
        current, parents = pending.pop()
        try:
            here = Path(current).stat()
            identity = (here.st_dev, here.st_ino)
            if identity in parents:
                continue
            entries = sorted(os.scandir(current), key=lambda entry: entry.name)
        except OSError as error:
            raise SourceUnreadableError(f"{current}: cannot be listed: {error.strerror or error}") from error
        for entry in entries:
            if not entry.is_dir():
                yield entry.path, _regular(entry)
            elif stop_at_zarr and is_zarr_store(entry.path):
                yield entry.path, version_of(entry.path)
            else:
                pending.append((entry.path, parents | {identity}))


def as_name(path: str) -> str:
    """A path as valid Unicode, with '/' between its parts."""
    return os.fsencode(path.replace(os.sep, "/")).decode("utf-8", "backslashreplace")


def _members(folder: str) -> list[tuple[str, str, Version | None]]:
    """Name within the folder, path and version of every file, sorted by name."""
    found = walk(folder, stop_at_zarr=False)
    return sorted(
        ((as_name(os.path.relpath(file, folder)), file, version) for file, version in found),
        key=lambda member: member[:2],
    )


def _regular(file: str | os.DirEntry[str]) -> Version | None:
    try:
        found = os.stat(file) if isinstance(file, str) else file.stat()  # noqa: PTH116 - a plain string path
    except OSError:
        return None
    return _version(found) if stat.S_ISREG(found.st_mode) else None


def _look(file: str) -> Version:
    try:
        return _version(os.stat(file))  # noqa: PTH116 - a plain string path is what we have
    except FileNotFoundError:
        raise SourceNotFoundError(f"{file}: no such file") from None
    except OSError as error:
        raise SourceUnreadableError(f"{file}: cannot be looked at: {error.strerror or error}") from error


def _version(found: os.stat_result) -> Version:
    return Version(found.st_size, f"{found.st_mtime_ns}-{found.st_size}")
