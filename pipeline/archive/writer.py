"""Writing an archive: shards and models first, the manifest last."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress

from haarchive.codecs.errors import (
    ArchiveNotFoundError,
    IntegrityError,
    ObjectExistsError,
    ObjectNotFoundError,
    SourceConflictError,
)
from haarchive.pipeline.archive.keys import (
    ARCHIVE_KEY,
    archive_record,
    check_archive_record,
    manifest_key,
    model_key,
    shard_key,
)
from haarchive.pipeline.archive.manifest import Manifest
from haarchive.pipeline.archive.shard import Shard
from haarchive.pipeline.storage import ObjectStore, open_store

__all__ = ["ArchiveWriter"]


class ArchiveWriter:
    """Adds sources to the archive at a URL, which comes into being with the first object.

    Every method may be repeated, and by several processes at once: objects are named by their content, and a
    manifest is written once. What has no manifest does not exist for readers.

    Parameters
    ----------
    url : str or path
        Root of the archive; see `open_store`.

    Attributes
    ----------
    store : ObjectStore
    """

    def __init__(self, url: str | os.PathLike[str]) -> None:
        self.store: ObjectStore = open_store(url)
        self._prepared = False

    @property
    def url(self) -> str:
        """Root of the archive."""
        return self.store.url

    def prepare(self) -> None:
        """Write archive.json where there is none; the other methods do so by themselves.

        Raises
        ------
        SchemaVersionError
            If there is an archive of a newer version.
        IntegrityError
            If archive.json is something else.
        """
        if self._prepared:
            return
        try:
            record = self.store.get(ARCHIVE_KEY)
        except ObjectNotFoundError:
            with suppress(ObjectExistsError):
                self.store.put_new(ARCHIVE_KEY, archive_record())
            record = self.store.get(ARCHIVE_KEY)
        check_archive_record(record, self.store.object_url(ARCHIVE_KEY))
        self._prepared = True

    def put_shard(self, shard: Shard) -> bool:
        """Write a shard.

        Returns
        -------
        bool
            False where the same shard was there already, whole and undamaged.
        """
        return self._put_once(shard_key(shard.sha256), shard.data, shard.sha256)

    def put_model(self, data: bytes) -> str:
        """Write a model file.

        Returns
        -------
        str
            Its SHA-256, hexadecimal: the name that manifests refer to it by.
        """
        sha256 = hashlib.sha256(data).hexdigest()
        self._put_once(model_key(sha256), data, sha256)
        return sha256

    def committed(self, name: str) -> Manifest | None:
        """The manifest of source `name`; None where it is not archived.

        Raises
        ------
        IntegrityError, SchemaVersionError
            If there is one that cannot be read.
        """
        key = manifest_key(name)
        try:
            data = self.store.get(key)
        except ObjectNotFoundError:
            return None
        return Manifest.from_bytes(data, origin=self.store.object_url(key))

    def commit(self, manifest: Manifest) -> int:
        """Make a source exist: write its manifest, if all that it needs is there.

        Returns
        -------
        int
            Bytes of the manifest object.

        Raises
        ------
        SourceConflictError
            If other content is archived under the name.
        ArchiveNotFoundError
            If a shard or model that the manifest names is not there.
        IntegrityError
            If a shard has another size than it should.
        """
        self.prepare()
        for shard in manifest.shards:
            self._check_size(shard_key(shard.sha256), shard.nbytes)
        for sha256 in manifest.models.values():
            self._check_size(model_key(sha256), None)
        name = manifest.layout.name
        data = manifest.to_bytes()
        try:
            self.store.put_new(manifest_key(name), data)
        except ObjectExistsError as error:
            there = self.committed(name)
            if there is None or there.layout.members != manifest.layout.members:
                raise SourceConflictError(
                    f"{name}: {self.url} holds other content under this name; it is kept as it is"
                ) from error
        return len(data)

    def _check_size(self, key: str, nbytes: int | None) -> None:
        there = self.store.head(key)
        if there is None:
            raise ArchiveNotFoundError(f"cannot commit: {self.store.object_url(key)} is not there")
        if nbytes is not None and there != nbytes:
            raise IntegrityError(f"{self.store.object_url(key)} has {there} bytes, not {nbytes}")

    def _put_once(self, key: str, data: bytes, sha256: str) -> bool:
        self.prepare()
        there = self.store.head(key) == len(data)
        # Only content tells whether what an earlier run left is whole; reading it costs what writing would.
        if there and hashlib.sha256(self.store.get(key)).hexdigest() == sha256:
            return False
        self.store.put(key, data)
        return True
