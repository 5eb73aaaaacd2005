"""Writing an archive: shards and models first, the manifest last."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from haarchive.codecs.errors import (
    ArchiveNotFoundError,
    HaarchiveError,
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
    pack_key,
    shard_key,
)
from haarchive.pipeline.archive.manifest import Manifest
from haarchive.pipeline.archive.pack import PackTable, build_pack
from haarchive.pipeline.archive.shard import Shard
from haarchive.pipeline.storage import ObjectStore, open_store

__all__ = ["ArchiveWriter", "Committed"]

_LOOKUPS = 16
"""Names that are looked up at once."""


@dataclass(frozen=True)
class Committed:
    """A source that is in the archive.

    Parameters
    ----------
    manifest : Manifest
    nbytes : int
        Bytes of storage that it takes beside its shards.
    """

    manifest: Manifest
    nbytes: int


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
    packs : PackTable
    """

    def __init__(self, url: str | os.PathLike[str]) -> None:
        self.store: ObjectStore = open_store(url)
        self.packs = PackTable(self.store)
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

    def committed(self, name: str) -> Committed | None:
        """What is archived as source `name`; None where nothing is.

        Raises
        ------
        IntegrityError, SchemaVersionError
            If its manifest cannot be read.
        """
        key = manifest_key(name)
        try:
            data = self.store.get(key)
        except ObjectNotFoundError:
            return self._packed(name)
        return Committed(Manifest.from_bytes(data, origin=self.store.object_url(key)), len(data))

    def taken(self, names: Iterable[str]) -> set[str]:
        """Which of these names the archive has a source of; for many names quicker than `committed`."""
        self.packs.refresh()
        asked = list(names)
        return {name for name in asked if self.packs.find(name, refresh=False)} | self._with_manifest(asked)

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
        self._check_models([manifest])
        name = manifest.name
        there = self._packed(name)
        if there is not None:
            self._check_same(manifest, there)
            return there.nbytes
        data = manifest.to_bytes()
        try:
            self.store.put_new(manifest_key(name), data)
        except ObjectExistsError:
            self._check_same(manifest, self.committed(name))
        else:
            # A pack with this name that was written meanwhile was first, as nobody knows of this manifest yet.
            there = self._packed(name)
            if there is not None and not _same(manifest, there):
                self.store.delete(manifest_key(name))
                self._check_same(manifest, there)
        return len(data)

    def commit_pack(self, manifests: Sequence[Manifest]) -> dict[str, int | HaarchiveError]:
        """Make many small sources exist with one object.

        Parameters
        ----------
        manifests : sequence of Manifest
            Of sources without shards.

        Returns
        -------
        dict
            By name: bytes that the source takes, or why it is not committed.

        Raises
        ------
        ArchiveNotFoundError
            If a model that a manifest names is not there; then nothing is committed.
        """
        self.prepare()
        self._check_models(manifests)
        waiting = {manifest.name: manifest for manifest in manifests}
        outcome: dict[str, int | HaarchiveError] = {}
        while True:
            for name in sorted(self.taken(waiting)):
                outcome[name] = self._outcome(waiting.pop(name))
            if not waiting:
                return outcome
            number = self.packs.next_number
            data = build_pack([(name, manifest.to_bytes()) for name, manifest in waiting.items()])
            # Where another pack has the number now, it may have some of the names as well: look again.
            with suppress(ObjectExistsError):
                self.store.put_new(pack_key(number), data)
                break
        self.packs.refresh()
        for name in self._with_manifest(waiting):
            # Readers take the manifest that came meanwhile.
            outcome[name] = self._outcome(waiting.pop(name))
        for name in waiting:
            entry = self.packs.find(name)
            outcome[name] = entry.nbytes if entry else 0
        return outcome

    def _outcome(self, manifest: Manifest) -> int | HaarchiveError:
        try:
            there = self.committed(manifest.name)
            self._check_same(manifest, there)
        except HaarchiveError as error:
            return error
        return there.nbytes if there else 0

    def _packed(self, name: str) -> Committed | None:
        self.packs.refresh()
        entry = self.packs.find(name, refresh=False)
        if entry is None:
            return None
        return Committed(Manifest.from_bytes(self.packs.read(entry), origin=self.packs.origin(entry)), entry.nbytes)

    def _with_manifest(self, names: Iterable[str]) -> set[str]:
        """Which of these sources have a manifest of their own."""
        asked = list(names)
        with ThreadPoolExecutor(_LOOKUPS) as pool:
            sizes = list(pool.map(lambda name: self.store.head(manifest_key(name)), asked))
        return {name for name, size in zip(asked, sizes, strict=True) if size is not None}

    def _check_same(self, manifest: Manifest, there: Committed | None) -> None:
        if there is None or not _same(manifest, there):
            raise SourceConflictError(
                f"{manifest.name}: {self.url} holds other content under this name; it is kept as it is"
            )

    def _check_models(self, manifests: Iterable[Manifest]) -> None:
        for sha256 in {sha256 for manifest in manifests for sha256 in manifest.models.values()}:
            self._check_size(model_key(sha256), None)

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


def _same(manifest: Manifest, there: Committed) -> bool:
    """Whether what is archived is the same content (its bitstreams may differ: another preset made them)."""
    return there.manifest.is_of(manifest.layout, manifest.guarantee)
