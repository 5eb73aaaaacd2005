"""From what the user typed to a list of sources."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from haarchive.codecs.errors import ConfigError, SourceNotFoundError
from haarchive.pipeline.sources.discover_remote import discover_remote
from haarchive.pipeline.sources.local import as_name, is_zarr_store, version_of, walk
from haarchive.pipeline.sources.ref import SourceRef, Version
from haarchive.pipeline.storage.backends import is_url, local_path

__all__ = ["discover", "discover_path", "distinct"]


def discover(paths: Sequence[str]) -> list[SourceRef]:
    r"""List the sources that paths, patterns and folders stand for.

    Parameters
    ----------
    paths : sequence of str
        Files, folders (searched recursively, hidden files included, links followed) and glob patterns
        (``**`` too). A folder that is a zarr store is one source. The same of object storage:
        ``s3://bucket/key``, ``s3://bucket/prefix/`` and ``s3://bucket/prefix/**/*.svs``; each is one listing of
        the prefix, and no request for single objects.

    Returns
    -------
    list of SourceRef
        In the order of `paths`; within a folder sorted by name; with absolute paths, sizes and versions. A file
        is called by its base name, what lies in a folder ``a`` is called ``a/...``. A name that is not valid
        Unicode has its bad bytes written as ``\\xff``. Pipes and dangling links are listed too: they fail when
        opened, and are not lost silently.

    Raises
    ------
    SourceNotFoundError
        If a path does not exist, or a pattern matches nothing.
    SourceUnreadableError
        If a folder or prefix cannot be listed.
    StoragePermissionError
        If the store refuses to list.
    ConfigError
        If two sources would have the same name, or a URL is of a kind that is not known.
    """
    return distinct(ref for path in paths for ref in discover_path(path))


def discover_path(path: str) -> Iterator[SourceRef]:
    """The sources that one of `discover`'s paths stands for."""
    if not os.path.lexists(path) and is_url(path):
        yield from discover_remote(path)
    else:
        yield from _discover_local(local_path(path))


def distinct(refs: Iterable[SourceRef]) -> list[SourceRef]:
    """Sources without those that are there twice.

    Raises
    ------
    ConfigError
        If two have the same name.
    """
    names: dict[str, SourceRef] = {}
    unique: list[SourceRef] = []
    for ref in refs:
        other = names.setdefault(ref.name, ref)
        if other is ref:
            unique.append(ref)
        elif _real(other.path) != _real(ref.path):
            raise ConfigError(
                f"{other.path} and {ref.path} would both be archived as {ref.name!r}; rename one, or archive"
                " their common parent folder"
            )
    return unique


def _real(path: str) -> str:
    return path if is_url(path) else os.path.realpath(path)


def _discover_local(path: str) -> Iterator[SourceRef]:
    for match in _expand(path):
        yield from _sources_in(match)


def _expand(path: str) -> list[str]:
    if os.path.lexists(path):
        return [path]
    matches = sorted(glob.glob(path, recursive=True, include_hidden=True)) if glob.has_magic(path) else []  # noqa: PTH207
    if not matches:
        what = "nothing matches this pattern" if glob.has_magic(path) else "no such file or folder"
        raise SourceNotFoundError(f"{path}: {what}")
    folders = {match.rstrip(os.sep) for match in matches}
    return [match for match in matches if not any(os.fspath(folder) in folders for folder in Path(match).parents)]


def _sources_in(path: str) -> Iterator[SourceRef]:
    base = Path(path).absolute()
    name = base.name if base.name not in ("", "..") else base.resolve().name
    if not base.is_dir() or is_zarr_store(path):
        yield _ref(os.fspath(base), name, version_of(os.fspath(base)))
        return
    for found, version in sorted(walk(os.fspath(base), stop_at_zarr=True), key=lambda entry: entry[0]):
        relative = os.path.relpath(found, base)
        yield _ref(found, f"{name}/{relative}" if name else relative, version)


def _ref(path: str, name: str, version: Version | None) -> SourceRef:
    if version is None:
        return SourceRef(path, as_name(name))
    return SourceRef(path, as_name(name), version.size, version.mark)
