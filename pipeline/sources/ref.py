"""Where a source lies, and which version of it was found there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

__all__ = ["SourceRef", "Version", "combined"]


@dataclass(frozen=True)
class SourceRef:
    """Where a source lies and what it will be called. Equal where path and name are.

    Parameters
    ----------
    path : str
        The file or object, or the folder (prefix) of a zarr store: a local path or the URL of an object.
    name : str
        Its name in an archive: relative, with '/'.
    size : int, optional
        Its bytes when it was listed; None where nothing was known (a pipe, a dangling link).
    version : str
        Differs where the source has changed since: an ETag, or size and time of change; of a zarr store a digest
        of these of all members. '' where nothing was known.
    """

    path: str
    name: str
    size: int | None = field(default=None, compare=False)
    version: str = field(default="", compare=False)


@dataclass(frozen=True)
class Version:
    """How many bytes there were, and a mark that changes when they do."""

    size: int
    mark: str


def combined(members: Iterable[tuple[str, Version | None]]) -> Version:
    """The version of a store from the versions of its members, each with its name, in order."""
    size = 0
    digest = hashlib.sha256()
    for name, version in members:
        size += version.size if version else 0
        digest.update(f"{name}\0{version.mark if version else ''}\0".encode("utf-8", "surrogateescape"))
    return Version(size, digest.hexdigest()[:32])
