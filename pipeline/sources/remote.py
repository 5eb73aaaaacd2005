"""Sources on object storage: an object, or the objects of a zarr store, as the place of one source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from haarchive.codecs.errors import SourceChangedError, SourceNotFoundError, SourceUnreadableError
from haarchive.pipeline.layout import Member
from haarchive.pipeline.sources.local import ZARR_MARKERS
from haarchive.pipeline.sources.ref import SourceRef, Version, combined
from haarchive.pipeline.sources.remote_file import RemoteFile, source_errors
from haarchive.pipeline.storage import ObjectInfo, ObjectStore, open_store

__all__ = ["RemotePlace", "list_objects", "locate", "object_version", "parents"]


def locate(url: str) -> tuple[ObjectStore, str]:
    """The bucket, and the key in it, that a URL names."""
    scheme, _, rest = url.partition("://")
    bucket, _, key = rest.partition("/")
    return open_store(f"{scheme}://{bucket}"), key


def list_objects(store: ObjectStore, prefix: str) -> list[ObjectInfo]:
    """All objects below a prefix of whole path segments, sorted by key, in one listing.

    Empty objects that stand for folders, as consoles and mounted buckets make them, are left out. The listing
    does not give the '/' that their keys end with: where nothing lies below them, a request tells.
    """
    found = sorted(store.entries(prefix), key=lambda info: info.key)
    folders = {prefix} | {parent for info in found for parent in parents(info.key)}
    return [info for info in found if info.size or (info.key not in folders and store.info(info.key) is not None)]


def parents(key: str) -> Iterator[str]:
    """The folders that a key lies in, the innermost first."""
    while "/" in key:
        key = key.rpartition("/")[0]
        yield key


def object_version(info: ObjectInfo) -> Version:
    """The version of an object: its ETag, or where there is none the time of its last change."""
    changed = info.modified.replace(microsecond=0)  # listings may be more exact than answers for one object
    return Version(info.size, info.etag or f"{changed.isoformat()}-{info.size}")


class RemotePlace:
    """The object, or the objects of the zarr store, that a source is made of. See `places.Place`.

    What the reference and the layout say already is not asked for again: an object that was listed costs no
    request before its bytes are read.

    Parameters
    ----------
    ref : SourceRef
        A path that ends with '/' is a zarr store.
    members : sequence of Member, optional
        What an earlier layout of the same source says it is made of.

    Raises
    ------
    SourceNotFoundError, SourceUnreadableError, StoragePermissionError
        If it is not there or cannot be looked at, or a prefix is no zarr store.
    """

    def __init__(self, ref: SourceRef, members: Sequence[Member] = ()) -> None:
        self._url = ref.path
        self._store, self._key = locate(ref.path)
        self.paths: tuple[str, ...] = tuple(member.path for member in members)
        if self.paths == ("",):
            self.versions = [Version(members[0].size, ref.version)]
        elif self.paths:
            self.versions = [Version(member.size, "") for member in members]
        elif ref.size is not None and ref.version and not ref.path.endswith("/"):
            self.paths, self.versions = ("",), [Version(ref.size, ref.version)]
        else:
            found = self._find()
            self.paths, self.versions = tuple(found), list(found.values())

    @property
    def mark(self) -> str:
        """The version of the whole source, as `discover` gives it; '' where it is not known."""
        if self.paths == ("",):
            return self.versions[0].mark
        known = all(version.mark for version in self.versions)
        return combined(zip(self.paths, self.versions, strict=True)).mark if known else ""

    def look(self) -> list[Version]:
        """What the objects are now: one request for an object, one listing for a store."""
        found = self._find()
        if tuple(found) != self.paths:
            raise SourceChangedError(f"{self._url}: has other members than it had; archive it again at rest")
        return list(found.values())

    def where(self, member: int) -> str:
        """The URL of an object."""
        return self._store.object_url(self._key_of(member))

    def open(self, member: int) -> RemoteFile:
        """Open an object; nothing is asked for yet."""
        return RemoteFile(self._store, self._key_of(member), self.versions[member])

    def _key_of(self, member: int) -> str:
        path = self.paths[member]
        return f"{self._key.rstrip('/')}/{path}".lstrip("/") if path else self._key

    def _find(self) -> dict[str, Version]:
        """Name (sorted) and version of each member."""
        with source_errors(self._url):
            if self._key and not self._key.endswith("/"):
                info = self._store.info(self._key)
                if info is not None:
                    return {"": object_version(info)}
            prefix = self._key.rstrip("/")
            skip = len(prefix) + 1 if prefix else 0
            found = {info.key[skip:]: object_version(info) for info in list_objects(self._store, prefix)}
        if not found:
            raise SourceNotFoundError(f"{self._url}: no such object")
        if not ZARR_MARKERS & found.keys():
            raise SourceUnreadableError(f"{self._url}: is a prefix, and no zarr store; archive the objects below it")
        return found
