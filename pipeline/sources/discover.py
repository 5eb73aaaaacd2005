"""From what the user typed to a list of sources."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from haarchive.codecs.errors import ConfigError, SourceNotFoundError, SourceUnreadableError

__all__ = ["SourceRef", "discover", "is_zarr_store", "list_members"]

_ZARR_MARKERS = ("zarr.json", ".zarray", ".zgroup")


@dataclass(frozen=True)
class SourceRef:
    """Where a source lies and what it will be called.

    Parameters
    ----------
    path : str
        The file, or the folder of a zarr store.
    name : str
        Its name in an archive: relative, with '/'.
    """

    path: str
    name: str


def discover(paths: Sequence[str]) -> list[SourceRef]:
    r"""List the sources that paths, patterns and folders stand for.

    Parameters
    ----------
    paths : sequence of str
        Files, folders (searched recursively, hidden files included, links followed) and glob patterns
        (``**`` too). A folder that is a zarr store is one source.

    Returns
    -------
    list of SourceRef
        In the order of `paths`; within a folder sorted by name. A file is called by its base name, what lies
        in a folder ``a`` is called ``a/...``. A name that is not valid Unicode has its bad bytes written as
        ``\\xff``. Pipes and dangling links are listed too: they fail when opened, and are not lost silently.

    Raises
    ------
    SourceNotFoundError
        If a path does not exist, or a pattern matches nothing.
    SourceUnreadableError
        If a folder cannot be listed.
    ConfigError
        If two sources would have the same name.
    """
    refs: list[SourceRef] = []
    for path in paths:
        for match in _expand(path):
            refs.extend(_sources_in(match))
    names: dict[str, SourceRef] = {}
    unique: list[SourceRef] = []
    for ref in refs:
        other = names.setdefault(ref.name, ref)
        if other is ref:
            unique.append(ref)
        elif os.path.realpath(other.path) != os.path.realpath(ref.path):
            raise ConfigError(
                f"{other.path} and {ref.path} would both be archived as {ref.name!r}; rename one, or archive"
                " their common parent folder"
            )
    return unique


def is_zarr_store(path: str) -> bool:
    """Whether a folder is the root of a zarr group or array, version 2 or 3."""
    return any(Path(path, marker).is_file() for marker in _ZARR_MARKERS)


def list_members(folder: str) -> list[str]:
    """All files of a folder, relative to it, with '/', sorted by code point."""
    return sorted(_text(os.path.relpath(file, folder)) for file in _walk(folder, stop_at_zarr=False))


def _expand(path: str) -> list[str]:
    if os.path.lexists(path):
        return [path]
    matches = sorted(glob.glob(path, recursive=True, include_hidden=True)) if glob.has_magic(path) else []  # noqa: PTH207
    if not matches:
        what = "nothing matches this pattern" if glob.has_magic(path) else "no such file or folder"
        raise SourceNotFoundError(f"{path}: {what}")
    return matches


def _sources_in(path: str) -> Iterator[SourceRef]:
    base = Path(path).absolute()
    name = base.name if base.name not in ("", "..") else base.resolve().name
    if not base.is_dir() or is_zarr_store(path):
        yield SourceRef(os.fspath(Path(path)), _text(name))
        return
    for found in sorted(_walk(path, stop_at_zarr=True)):
        relative = os.path.relpath(found, path)
        yield SourceRef(found, _text(f"{name}/{relative}" if name else relative))


def _walk(folder: str, *, stop_at_zarr: bool) -> Iterator[str]:
    """Files under `folder`; a folder reached again through a link to one of its parents is not entered."""
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
            if not entry.is_dir() or (stop_at_zarr and is_zarr_store(entry.path)):
                yield entry.path
            else:
                pending.append((entry.path, parents | {identity}))


def _text(name: str) -> str:
    """The name as valid Unicode, with '/' between its parts."""
    return os.fsencode(name.replace(os.sep, "/")).decode("utf-8", "backslashreplace")
