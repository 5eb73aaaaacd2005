"""Opening archives."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from haarchive.codecs.errors import (
    ArchiveNotFoundError,
    IntegrityError,
    ObjectNotFoundError,
    StoragePermissionError,
)
from haarchive.pipeline.archive.keys import (
    ARCHIVE_KEY,
    MANIFESTS,
    check_archive_record,
    manifest_key,
    name_of_manifest,
)
from haarchive.pipeline.archive.manifest import Manifest
from haarchive.pipeline.archive.models import CodecCache
from haarchive.pipeline.archive.pack import PackTable
from haarchive.pipeline.archive.source import ArchivedSource
from haarchive.pipeline.storage import ObjectStore, open_store

__all__ = ["Archive", "open_archive"]

_CACHE_BYTES = 256 << 20


def open_archive(
    url: str | os.PathLike[str], *, cache_bytes: int = _CACHE_BYTES, device: str = "cpu"
) -> Archive | ArchivedSource:
    """Open an archive, or one source in it.

    Parameters
    ----------
    url : str or path
        Root of an archive, or ``root/name of a source``; see `open_store` for the kinds of URL.
    cache_bytes : int
        Decoded chunks that each open source keeps in memory.
    device : str
        Torch device for learned codecs, such as 'cpu' or 'cuda:0'.

    Returns
    -------
    Archive
        A mapping from names to sources, where `url` is an archive's root.
    ArchivedSource
        Where `url` names a source.

    Raises
    ------
    ArchiveNotFoundError
        If there is no archive at or above `url`, or it has no such source.
    IntegrityError
        If archive.json or the manifest is damaged.
    SchemaVersionError
        If a newer haarchive wrote it.
    StorageError
        If the storage refuses or fails.
    """
    asked = open_store(url)
    root = _find_root(asked)
    archive = Archive(root, cache_bytes=cache_bytes, device=device)
    name = asked.url[len(root.url) :].strip("/")
    return archive[name] if name else archive


class Archive(Mapping[str, ArchivedSource]):
    """An open archive: a read-only mapping from names to sources. Made by `open_archive`.

    Attributes
    ----------
    store : ObjectStore
    """

    def __init__(self, store: ObjectStore, *, cache_bytes: int = _CACHE_BYTES, device: str = "cpu") -> None:
        self.store = store
        self._cache_bytes = cache_bytes
        self._codecs = CodecCache(store, device)
        self._packs = PackTable(store)
        self._packed: set[str] = set()

    def __repr__(self) -> str:
        return f"Archive({self.url!r})"

    @property
    def url(self) -> str:
        """Root of the archive."""
        return self.store.url

    def sources(self) -> list[str]:
        """Names of all sources, sorted."""
        names = set()
        for key, _ in self.store.list(MANIFESTS):
            name = name_of_manifest(key)
            names.add(self._manifest(key)[0].name if name is None else name)
        self._packs.refresh()
        self._packed = set(self._packs.names()) - names
        return sorted(names | self._packed)

    def __getitem__(self, name: str) -> ArchivedSource:
        """Open a source.

        Raises
        ------
        ArchiveNotFoundError
            If the archive has no source of that name.
        IntegrityError, SchemaVersionError
            If its manifest cannot be read.
        """
        manifest, nbytes, origin = self._find(name)
        if manifest.name != name:
            raise IntegrityError(f"{origin} is the manifest of {manifest.name!r}: it was moved")
        return ArchivedSource(self.store, manifest, nbytes, self._codecs, self._cache_bytes)

    def __iter__(self) -> Iterator[str]:
        return iter(self.sources())

    def __len__(self) -> int:
        return len(self.sources())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self.sources()

    def _find(self, name: str) -> tuple[Manifest, int, str]:
        """The manifest of a source, the bytes that the source takes beside its shards, and where it is from."""
        if name not in self._packed:  # a manifest of its own counts before one in a pack
            key = manifest_key(name)
            try:
                return *self._manifest(key), self.store.object_url(key)
            except ObjectNotFoundError:
                pass
        entry = self._packs.find(name)
        if entry is None:
            raise ArchiveNotFoundError(f"the archive {self.url} has no source {name!r}")
        origin = self._packs.origin(entry)
        return Manifest.from_bytes(self._packs.read(entry), origin=origin), entry.nbytes, origin

    def _manifest(self, key: str) -> tuple[Manifest, int]:
        data = self.store.get(key)
        return Manifest.from_bytes(data, origin=self.store.object_url(key)), len(data)


def _find_root(asked: ObjectStore) -> ObjectStore:
    """The store at or above `asked` that has an archive.json."""
    store: ObjectStore | None = asked
    refused: StoragePermissionError | None = None
    while store is not None:
        try:
            check_archive_record(store.get(ARCHIVE_KEY), store.object_url(ARCHIVE_KEY))
        except ObjectNotFoundError:
            pass
        except StoragePermissionError as error:
            # S3 answers so, too, for a missing object where listing is not allowed: the archive may be above.
            refused = refused or error
        else:
            return store
        store = store.parent()
    if refused is not None:
        raise refused
    raise ArchiveNotFoundError(f"there is no archive at or above {asked.url} (no {ARCHIVE_KEY})")
