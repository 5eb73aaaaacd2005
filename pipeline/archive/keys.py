"""Where the objects of an archive are."""

from __future__ import annotations

import hashlib
import json
import re
from urllib.parse import quote, unquote

from haarchive.codecs.errors import ArchiveError, IntegrityError, SchemaVersionError

__all__ = [
    "ARCHIVE_KEY",
    "FORMAT_VERSION",
    "MANIFESTS",
    "PACKS",
    "archive_record",
    "check_archive_record",
    "check_name",
    "manifest_key",
    "model_key",
    "name_of_manifest",
    "number_of_pack",
    "pack_key",
    "shard_key",
]

FORMAT_VERSION = 1
"""The version of the archive format that this haarchive writes, and the newest that it reads."""

ARCHIVE_KEY = "archive.json"
MANIFESTS = "manifests"
PACKS = "packs"
_SUFFIX = ".arrow.zst"
_LONGEST = 200
"""Bytes of one path segment; file systems take 255, and a store needs some for temporary names."""
_UNSAFE = re.compile(r"""[%#?*:"<>|\\\[\]{}^`]""")


def shard_key(sha256: str) -> str:
    """The key of the shard with this digest."""
    return f"shards/{sha256}.arrow"


def model_key(sha256: str) -> str:
    """The key of the model with this digest."""
    return f"models/{sha256}.safetensors"


def pack_key(number: int) -> str:
    """The key of the pack with this number."""
    return f"{PACKS}/{number:010d}.zst"


def number_of_pack(key: str) -> int | None:
    """The number of the pack at `key`; None where it is none."""
    match = re.fullmatch(rf"{PACKS}/(\d{{10}})\.zst", key)
    return int(match[1]) if match else None


def manifest_key(name: str) -> str:
    """The key of the manifest of source `name`.

    Characters that some store does not take are percent-encoded, and segments that are too long for one are
    cut and made unique by a digest.

    Raises
    ------
    ArchiveError
        If `name` is no relative path.
    """
    check_name(name)
    *folders, last = [_quoted(segment) for segment in name.split("/")]
    # A folder must not take the key of a manifest beside it.
    folders = [re.sub(r"\.arrow\.zst$", "%2Earrow.zst", folder) for folder in folders]
    return "/".join([MANIFESTS, *folders, last + _SUFFIX])


def name_of_manifest(key: str) -> str | None:
    """The source that the manifest at `key` is for; None where only the manifest itself tells."""
    path = key.removeprefix(MANIFESTS + "/")
    if not path.endswith(_SUFFIX) or "%%" in path:
        return None
    return unquote(path.removesuffix(_SUFFIX), errors="surrogateescape")


def check_name(name: str) -> str:
    """Return `name` if it is a relative path that stays below its root.

    Raises
    ------
    ArchiveError
        If it is not.
    """
    if any(segment in ("", ".", "..") for segment in name.split("/")) or "\0" in name:
        raise ArchiveError(f"{name!r} cannot name a source: it must be a relative path without '.' and '..'")
    return name


def archive_record() -> bytes:
    """The content of archive.json."""
    return json.dumps({"format": "haarchive", "version": FORMAT_VERSION}).encode() + b"\n"


def check_archive_record(data: bytes, url: str) -> None:
    """Check that archive.json, read from `url`, is of an archive that this haarchive can read.

    Raises
    ------
    IntegrityError
        If it is damaged.
    SchemaVersionError
        If a newer haarchive wrote it.
    """
    try:
        record = json.loads(data)
        good = record["format"] == "haarchive" and type(record["version"]) is int and record["version"] >= 1
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise IntegrityError(f"{url} is not the record of a haarchive archive, or is damaged") from error
    if not good:
        raise IntegrityError(f"{url} is not the record of a haarchive archive, or is damaged")
    if record["version"] > FORMAT_VERSION:
        raise SchemaVersionError(
            f"{url}: the archive has format version {record['version']}, this haarchive reads up to "
            f"{FORMAT_VERSION}; upgrade haarchive"
        )


def _quoted(segment: str) -> str:
    safe = "".join(
        character
        if character.isprintable() and not _UNSAFE.match(character)
        else quote(character, safe="", errors="surrogateescape")
        for character in segment
    )
    if len(safe.encode()) <= _LONGEST:
        return safe
    digest = hashlib.sha256(safe.encode()).hexdigest()[:32]
    head = safe.encode()[: _LONGEST - 40].decode(errors="ignore")
    return f"{head}%%{digest}"
