"""Which client speaks to which kind of store, and how patiently."""

from __future__ import annotations

import os
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

import obstore.store
from obstore.exceptions import BaseError

from haarchive.codecs.errors import ConfigError, StorageError

__all__ = ["Scheme", "is_url", "local", "local_path", "memory", "s3", "split_url"]

Scheme = Literal["file", "s3", "memory"]

_RETRY: Any = {
    "max_retries": 10,
    "backoff": {"init_backoff": timedelta(seconds=0.2), "base": 3, "max_backoff": timedelta(seconds=10)},
    "retry_timeout": timedelta(seconds=180),
}
"""A store may be busy, or away, for half a minute: each wait is drawn at random from 0.2 s to three times the last."""

_memory: dict[str, obstore.store.MemoryStore] = {}


def split_url(url: str) -> tuple[Scheme, str]:
    """Scheme and the rest of a URL; a path without a scheme is of scheme 'file'.

    Raises
    ------
    ConfigError
        If there is no store of this scheme.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        return "file", url
    match scheme:
        case "file" | "s3" | "memory":
            return scheme, rest
    raise ConfigError(f"{url!r}: storage is a local path, file://, s3:// or memory://, not {scheme}://")


def is_url(path: str) -> bool:
    """Whether a path names an object of a store, rather than a local file; `ConfigError` as for `split_url`."""
    return split_url(path)[0] != "file"


def local_path(path: str) -> str:
    """A path as it is, and the path that a ``file://`` URL stands for."""
    return unquote(urlsplit(path).path) if path.startswith("file://") else path


def local(root: Path, *, create: bool) -> Any:
    """A local folder as a store."""
    if not create and not root.is_dir():
        raise FileNotFoundError(root)
    return obstore.store.LocalStore(root, mkdir=True)


def memory(name: str) -> Any:
    """The store in memory of this name."""
    return _memory.setdefault(name, obstore.store.MemoryStore())


def s3(bucket: str) -> Any:
    """An S3 client; credentials, region and endpoint come from where other AWS tools take them."""
    return _s3(bucket, tuple(sorted((key, value) for key, value in os.environ.items() if key.startswith("AWS_"))))


@lru_cache(maxsize=32)
def _s3(bucket: str, environment: tuple[tuple[str, str], ...]) -> Any:
    """One client for all who use a bucket alike: its connections stay open from source to source."""
    settings = dict(environment)
    endpoint = settings.get("AWS_ENDPOINT_URL_S3") or settings.get("AWS_ENDPOINT_URL")
    client: Any = {"timeout": "300s", "connect_timeout": "10s"}
    options: dict[str, Any] = {}
    if endpoint:
        options["endpoint"] = endpoint
        client["allow_http"] = endpoint.startswith("http://")
    try:
        return obstore.store.S3Store(bucket, client_options=client, retry_config=_RETRY, **options)
    except (BaseError, ValueError) as error:
        raise StorageError(f"cannot use s3://{bucket}: {str(error).splitlines()[0]}") from error
