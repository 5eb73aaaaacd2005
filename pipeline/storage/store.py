"""One object store: a local folder, an S3 bucket with a prefix, or memory."""

from __future__ import annotations

import os
import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import Any

import obstore
from obstore.exceptions import BaseError

from haarchive.codecs.errors import (
    ConfigError,
    ObjectChangedError,
    ObjectExistsError,
    ObjectNotFoundError,
    StorageError,
)
from haarchive.pipeline.storage import backends
from haarchive.pipeline.storage.errors import storage_errors

__all__ = ["ObjectInfo", "ObjectStore", "StoreStats", "open_store"]

_COALESCE = 1 << 16
"""Ranges with a smaller gap (bytes) are one request: reading the gap costs less than a round trip."""

_THREADS = 8

_CONFLICT_WAITS = (0.1, 0.2, 0.4, 0.8, 1.6, 0.0)
"""Seconds between conditional puts that are refused though there is no such object."""


def open_store(url: str | os.PathLike[str]) -> ObjectStore:
    """Open the object store at `url`; nothing is created or asked for until it is used.

    Parameters
    ----------
    url : str or path
        A local path, ``file:///path``, ``s3://bucket/prefix`` or ``memory://name/prefix``. S3 takes
        credentials, region and endpoint from the usual ``AWS_*`` variables (``AWS_ENDPOINT_URL`` for other
        servers, plain http included). Memory stores live as long as the process, one a name.

    Raises
    ------
    ConfigError
        If the URL's scheme is not one of these, or it names no bucket.
    """
    return ObjectStore(os.fspath(url))


@dataclass
class StoreStats:
    """What a store has been asked for: requests that read or wrote objects, and payload bytes each way."""

    reads: int = 0
    bytes_read: int = 0
    largest_read: int = 0
    writes: int = 0
    bytes_written: int = 0


@dataclass(frozen=True)
class ObjectInfo:
    """What a store says of an object without giving its content.

    Parameters
    ----------
    key : str
    size : int
    etag : str
        In quotes, and with ``W/`` before it where equal tags do not mean equal bytes; '' where there is none.
    modified : datetime
    """

    key: str
    size: int
    etag: str
    modified: datetime


class ObjectStore:
    """Objects (immutable byte strings) by key ('/'-separated) under one URL. Made by `open_store`.

    Every method raises errors of the `StorageError` family that name the object. Puts are atomic on every
    backend: an object is there whole or not at all. Instances pickle by URL, and threads may share them.

    Attributes
    ----------
    url : str
        Where the store is, without a trailing '/'.
    stats : StoreStats
    """

    def __init__(self, url: str) -> None:
        scheme, rest = backends.split_url(url)
        self._scheme = scheme
        if scheme == "file":
            self._root = Path(backends.local_path(url)).expanduser().absolute()
            self._bucket, self._prefix = "", ""
            self.url = str(self._root)
        else:
            self._bucket, _, prefix = rest.partition("/")
            self._prefix = prefix.strip("/")
            if not self._bucket:
                raise ConfigError(f"{url!r} names no bucket; write {scheme}://bucket/prefix")
            self.url = f"{scheme}://{self._bucket}" + (f"/{self._prefix}" if self._prefix else "")
        self.stats = StoreStats()
        self._store: Any = None
        self._pool: ThreadPoolExecutor | None = None
        self._lock = Lock()

    def __repr__(self) -> str:
        return f"ObjectStore({self.url!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return (ObjectStore, (self.url,))

    @property
    def local_root(self) -> Path | None:
        """The folder of a local store; None for others."""
        return self._root if self._scheme == "file" else None

    def put(self, key: str, data: bytes | memoryview) -> None:
        """Write an object, over one that is there."""
        self._put(key, data, "overwrite")

    def put_new(self, key: str, data: bytes | memoryview) -> None:
        """Write an object only where there is none (on S3: ``If-None-Match: *``).

        Raises
        ------
        ObjectExistsError
            If the key is taken.
        """
        for wait in _CONFLICT_WAITS:
            try:
                self._put(key, data, "create")
                return
            except ObjectExistsError:
                # S3 answers so as well where another conditional put or a delete of the key is on its way, and
                # wants to be asked again.
                if self.info(key) is not None:
                    raise
            time.sleep(wait)
        raise StorageError(
            f"cannot write {self.object_url(key)}: the store refuses it as if it were there, and it is not; try again"
        )

    def get(self, key: str) -> bytes:
        """Read a whole object.

        Raises
        ------
        ObjectNotFoundError
            If there is none.
        """
        with storage_errors("read", self.object_url(key)):
            data = obstore.get(self._backend(), self._path(key)).bytes().to_bytes()
        self._count_read(len(data))
        return data

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """Read `length` bytes of an object from `start` on; fewer where the object ends before."""
        if length <= 0:
            return b""
        with storage_errors("read", self.object_url(key)):
            backend, path = self._backend(), self._path(key)
            try:
                data = obstore.get_range(backend, path, start=start, length=length).to_bytes()
            except BaseError:
                # Backends word it differently that a range begins behind the end; the object's size tells.
                if obstore.head(backend, path)["size"] > start:
                    raise
                data = b""
        self._count_read(len(data))
        return data

    def get_unchanged(self, key: str, start: int, length: int, etag: str = "") -> tuple[bytes, ObjectInfo]:
        """Read a range of an object, if it is still the one that had `etag` (on S3: ``If-Match``).

        Parameters
        ----------
        key : str
        start, length : int
            Within the object, and at least one byte.
        etag : str
            As `info` or `entries` gave it; '' takes whatever is there.

        Returns
        -------
        bytes
            Fewer than asked for where the object ends before.
        ObjectInfo
            Of the object that they come from.

        Raises
        ------
        ObjectChangedError
            If there is another object under this key now.
        """
        options: Any = {"range": (start, start + length)}
        if etag and not etag.startswith("W/"):
            options["if_match"] = etag
        with storage_errors("read", self.object_url(key)):
            result = obstore.get(self._backend(), self._path(key), options=options)
            data = result.bytes().to_bytes()
            info = self._info(result.meta)
        self._count_read(len(data))
        if etag and info.etag != etag:  # the store knows no conditions
            raise ObjectChangedError(f"cannot read {self.object_url(key)}: it was replaced meanwhile")
        return data, info

    def get_ranges(self, key: str, starts: Sequence[int], lengths: Sequence[int]) -> list[bytes]:
        """Read several ranges of one object, near ones in one request and far ones concurrently.

        Returns
        -------
        list of bytes
            In the order asked for; shorter than asked for where the object ends before.
        """
        spans = _coalesced(starts, lengths)
        if len(spans) <= 1:
            blocks = [self.get_range(key, start, stop - start) for start, stop in spans]
        else:
            blocks = list(self._threads().map(lambda s: self.get_range(key, s[0], s[1] - s[0]), spans))
        begins = [start for start, _ in spans]
        out = []
        for start, length in zip(starts, lengths, strict=True):
            i = bisect_right(begins, start) - 1
            at = start - begins[i] if length > 0 else 0
            out.append(blocks[i][at : at + length] if length > 0 else b"")
        return out

    def head(self, key: str) -> int | None:
        """Size of an object in bytes; None where there is none."""
        info = self.info(key)
        return None if info is None else info.size

    def info(self, key: str) -> ObjectInfo | None:
        """Size and version of an object; None where there is none."""
        try:
            with storage_errors("look up", self.object_url(key)):
                return self._info(obstore.head(self._backend(), self._path(key)))
        except ObjectNotFoundError:
            return None

    def list(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        """Keys and sizes of all objects below `prefix` (whole path segments), in no particular order."""
        for info in self.entries(prefix):
            yield info.key, info.size

    def entries(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """What is known of all objects below `prefix`; as `list`, a request for each thousand."""
        if self._scheme == "file" and not self._root.is_dir():
            return
        with storage_errors("list", self.object_url(prefix)):
            for batch in obstore.list(self._backend(), self._path(prefix) or None, chunk_size=1000):
                for meta in batch:
                    yield self._info(meta)

    def delete(self, key: str) -> None:
        """Remove an object; nothing happens where there is none."""
        try:
            with storage_errors("delete", self.object_url(key)):
                obstore.delete(self._backend(), self._path(key))
        except ObjectNotFoundError:
            pass

    def object_url(self, key: str) -> str:
        """The URL of an object, as messages name it."""
        return f"{self.url.rstrip('/')}/{key}" if key else self.url

    def parent(self) -> ObjectStore | None:
        """The store one level up; None at the root of a disk or bucket."""
        if self._scheme == "file":
            return None if self._root.parent == self._root else ObjectStore(str(self._root.parent))
        return ObjectStore(self.url.rpartition("/")[0]) if self._prefix else None

    def _put(self, key: str, data: bytes | memoryview, mode: Any) -> None:
        with storage_errors("write", self.object_url(key)):
            backend = self._backend(create=True)
            # S3 keeps a large put whole by a multipart upload; a file is written whole, then renamed.
            multipart = None if self._scheme == "s3" else False
            obstore.put(backend, self._path(key), data, mode=mode, use_multipart=multipart)
            if self._scheme == "file":
                _make_durable(self._root / key)
        with self._lock:
            self.stats.writes += 1
            self.stats.bytes_written += len(data)

    def _path(self, key: str) -> str:
        return f"{self._prefix}/{key}".strip("/") if self._prefix else key

    def _info(self, meta: Any) -> ObjectInfo:
        etag = meta["e_tag"] or ""
        if etag and not etag.startswith("W/"):
            etag = '"' + etag.strip('"') + '"'  # some servers leave the quotes away in listings
        skip = len(self._prefix) + 1 if self._prefix else 0
        return ObjectInfo(meta["path"][skip:], int(meta["size"]), etag, meta["last_modified"])

    def _count_read(self, nbytes: int) -> None:
        with self._lock:
            self.stats.reads += 1
            self.stats.bytes_read += nbytes
            self.stats.largest_read = max(self.stats.largest_read, nbytes)

    def _threads(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="haarchive-get")
            return self._pool

    def _backend(self, create: bool = False) -> Any:
        with self._lock:
            if self._store is None:
                self._store = self._make_backend(create)
            return self._store

    def _make_backend(self, create: bool) -> Any:
        match self._scheme:
            case "file":
                return backends.local(self._root, create=create)
            case "memory":
                return backends.memory(self._bucket)
            case "s3":
                return backends.s3(self._bucket)


def _coalesced(starts: Sequence[int], lengths: Sequence[int]) -> list[tuple[int, int]]:
    """The fewest (start, stop) spans that cover the ranges without reading a gap of `_COALESCE` or more."""
    spans: list[tuple[int, int]] = []
    for start, length in sorted(zip(starts, lengths, strict=True)):
        if length <= 0:
            continue
        if spans and start - spans[-1][1] < _COALESCE:
            spans[-1] = (spans[-1][0], max(spans[-1][1], start + length))
        else:
            spans.append((start, start + length))
    return spans


def _make_durable(path: Path) -> None:
    """Have the disk hold a file and its folder entry before anything that refers to them is written."""
    for place in (path, path.parent):
        descriptor = os.open(place, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
