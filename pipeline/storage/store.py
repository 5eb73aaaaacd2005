"""One object store: a local folder, an S3 bucket with a prefix, or memory."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import unquote, urlsplit

import obstore
import obstore.store
from obstore.exceptions import BaseError

from haarchive.codecs.errors import ConfigError, ObjectNotFoundError, StorageError
from haarchive.pipeline.storage.errors import storage_errors

__all__ = ["ObjectStore", "StoreStats", "open_store"]

_COALESCE = 1 << 16
"""Ranges with a smaller gap (bytes) are one request: reading the gap costs less than a round trip."""

_THREADS = 8
_RETRY: Any = {"max_retries": 5, "retry_timeout": timedelta(seconds=60)}
_memory: dict[str, obstore.store.MemoryStore] = {}


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
    writes: int = 0
    bytes_written: int = 0


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
        scheme, rest = _split(url)
        self._scheme = scheme
        if scheme == "file":
            path = Path(unquote(urlsplit(url).path)) if "://" in url else Path(url)
            self._root = path.expanduser().absolute()
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
        self._put(key, data, "create")

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
        try:
            with storage_errors("look up", self.object_url(key)):
                return int(obstore.head(self._backend(), self._path(key))["size"])
        except ObjectNotFoundError:
            return None

    def list(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        """Keys and sizes of all objects below `prefix` (whole path segments), in no particular order."""
        if self._scheme == "file" and not self._root.is_dir():
            return
        skip = len(self._prefix) + 1 if self._prefix else 0
        with storage_errors("list", self.object_url(prefix)):
            for batch in obstore.list(self._backend(), self._path(prefix) or None, chunk_size=1000):
                for meta in batch:
                    yield meta["path"][skip:], int(meta["size"])

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

    def _count_read(self, nbytes: int) -> None:
        with self._lock:
            self.stats.reads += 1
            self.stats.bytes_read += nbytes

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
                if not create and not self._root.is_dir():
                    raise FileNotFoundError(self._root)
                return obstore.store.LocalStore(self._root, mkdir=True)
            case "memory":
                return _memory.setdefault(self._bucket, obstore.store.MemoryStore())
            case _:
                return _s3(self._bucket)


def _split(url: str) -> tuple[str, str]:
    scheme, separator, rest = url.partition("://")
    if not separator:
        return "file", url
    if scheme not in ("file", "s3", "memory"):
        raise ConfigError(f"{url!r}: storage is a local path, file://, s3:// or memory://, not {scheme}://")
    return scheme, rest


def _s3(bucket: str) -> Any:
    """An S3 client; credentials, region and endpoint come from where other AWS tools take them."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    client: Any = {"timeout": "300s", "connect_timeout": "10s"}
    options: dict[str, Any] = {}
    if endpoint:
        options["endpoint"] = endpoint
        client["allow_http"] = endpoint.startswith("http://")
    try:
        return obstore.store.S3Store(bucket, client_options=client, retry_config=_RETRY, **options)
    except (BaseError, ValueError) as error:
        raise StorageError(f"cannot use s3://{bucket}: {str(error).splitlines()[0]}") from error


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
