"""Where the members of a source lie: on a disk, or on object storage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO, Protocol

from haarchive.pipeline.layout import Member
from haarchive.pipeline.sources.local import LocalPlace
from haarchive.pipeline.sources.ref import SourceRef, Version
from haarchive.pipeline.sources.remote import RemotePlace
from haarchive.pipeline.sources.remote_file import RemoteFile
from haarchive.pipeline.storage.backends import is_url, local_path

__all__ = ["Place", "find_place"]


class Place(Protocol):
    """The files or objects that one source is made of.

    Attributes
    ----------
    paths : tuple of str
        Their names within the source, with '/', sorted; ``("",)`` where the source is one file or object.
    versions : list of Version
        What they were when the place was found; a mark of '' was not looked at.
    """

    paths: tuple[str, ...]
    versions: list[Version]

    @property
    def mark(self) -> str:
        """The version of the whole source, as `discover` gives it; '' where it is not known."""
        ...

    def look(self) -> list[Version]:
        """What they are now."""
        ...

    def where(self, member: int) -> str:
        """The path or URL of one, as messages name it."""
        ...

    def open(self, member: int) -> BinaryIO | RemoteFile:
        """Open one for reading: seekable, at position 0, not buffered twice."""
        ...


def find_place(ref: SourceRef, members: Sequence[Member] = ()) -> Place:
    """Find what a source is made of.

    Parameters
    ----------
    ref : SourceRef
    members : sequence of Member
        What an earlier layout of the same source says; it saves requests to a store.

    Raises
    ------
    SourceNotFoundError, SourceUnreadableError, StoragePermissionError
        If it is not there, cannot be looked at, or is a folder and no zarr store.
    """
    return RemotePlace(ref, members) if is_url(ref.path) else LocalPlace(local_path(ref.path))
