"""Packs: the manifests of many small sources in one object.

A corpus of short recordings would otherwise be as many objects as recordings, and stores ask a request and a fee for
each. A pack holds manifests one behind the other, just as they would be objects, then an index of names, then
its digest. Packs are numbered: a conditional put of the next number is a commit, so that packs are a log, and of two
packs that name the same source the first counts.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

import zstandard

from haarchive.codecs.errors import IntegrityError, SchemaVersionError
from haarchive.pipeline.archive.keys import FORMAT_VERSION, PACKS, number_of_pack, pack_key
from haarchive.pipeline.archive.small import json_line
from haarchive.pipeline.storage import ObjectStore

__all__ = ["PackEntry", "PackTable", "build_pack"]

_TAIL_FRAME = bytes.fromhex("502a4d18 28000000")
"""The head of a zstd frame that decoders skip: 8 bytes with the length of the index, 32 with its SHA-256."""
_TAIL = len(_TAIL_FRAME) + 40
_FIRST_READ = 1 << 16
"""Bytes at the end of a pack that are read at once: they hold the index of most."""
_WHOLE = 1 << 26
"""Packs up to this size are fetched whole when a second source of theirs is read in a row."""
_ZSTD_LEVEL = 12


@dataclass(frozen=True)
class PackEntry:
    """Where a source's manifest lies.

    Parameters
    ----------
    pack : int
        Number of the pack.
    start, length : int
        Bytes within the pack.
    nbytes : int
        Bytes of storage that the source takes: its manifest and its share of the pack's index.
    """

    pack: int
    start: int
    length: int
    nbytes: int


def build_pack(manifests: Sequence[tuple[str, bytes]]) -> bytes:
    """Lay manifests out as a pack.

    Parameters
    ----------
    manifests : sequence of (str, bytes)
        Each source's name, and its manifest as an object.
    """
    record = {
        "format_version": FORMAT_VERSION,
        "names": [name for name, _ in manifests],
        "lengths": [len(data) for _, data in manifests],
    }
    index = zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compress(json_line(record))
    tail = _TAIL_FRAME + struct.pack("<Q", len(index)) + hashlib.sha256(index).digest()
    return b"".join([*(data for _, data in manifests), index, tail])


class PackTable:
    """The sources in an archive's packs; each pack's index is read once.

    Parameters
    ----------
    store : ObjectStore
        The archive.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._entries: dict[str, PackEntry] = {}
        self._known: set[int] = set()
        self._last: tuple[int, bytes | None] = (-1, None)
        self._sizes: dict[int, int] = {}
        self._lock = Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return (PackTable, (self._store,))

    @property
    def next_number(self) -> int:
        """The number behind the last pack that is known."""
        return max(self._known, default=-1) + 1

    def refresh(self) -> None:
        """Look for packs that were written since.

        Raises
        ------
        IntegrityError
            If the index of one is damaged.
        SchemaVersionError
            If a newer haarchive wrote one.
        """
        with self._lock:
            there = {number_of_pack(key): nbytes for key, nbytes in self._store.list(PACKS)}
            for number in sorted(number for number in there if number is not None and number not in self._known):
                for name, entry in self._read_index(number, there[number]).items():
                    self._entries.setdefault(name, entry)
                self._known.add(number)
                self._sizes[number] = there[number]

    def names(self) -> list[str]:
        """Names of all sources in packs that are known."""
        return list(self._entries)

    def find(self, name: str, *, refresh: bool = True) -> PackEntry | None:
        """Where a source lies; None where no pack has it. What is not known yet is looked for, if asked."""
        if name not in self._entries and refresh:
            self.refresh()
        return self._entries.get(name)

    def read(self, entry: PackEntry) -> bytes:
        """The manifest of an entry, as an object."""
        key = pack_key(entry.pack)
        with self._lock:
            last, whole = self._last
            if last == entry.pack and whole is None and self._sizes.get(entry.pack, _WHOLE) < _WHOLE:
                whole = self._store.get(key)
            self._last = (entry.pack, whole if last == entry.pack else None)
        if last == entry.pack and whole is not None:
            return whole[entry.start : entry.start + entry.length]
        return self._store.get_range(key, entry.start, entry.length)

    def origin(self, entry: PackEntry) -> str:
        """Where an entry is, for messages."""
        return f"{self._store.object_url(pack_key(entry.pack))} at byte {entry.start}"

    def _read_index(self, number: int, nbytes: int) -> dict[str, PackEntry]:
        key = pack_key(number)
        url = self._store.object_url(key)
        begin = max(0, nbytes - _FIRST_READ)
        end = self._store.get_range(key, begin, nbytes - begin)
        frame, tail = end[-_TAIL:-40], end[-40:]
        if len(end) < _TAIL or frame != _TAIL_FRAME:
            raise IntegrityError(f"{url} is damaged: it does not end as a pack")
        length = struct.unpack("<Q", tail[:8])[0]
        if length + _TAIL > len(end):
            end = self._store.get_range(key, max(0, nbytes - _TAIL - length), min(nbytes, _TAIL + length))
        index = end[-_TAIL - length : -_TAIL]
        if hashlib.sha256(index).digest() != tail[8:]:
            raise IntegrityError(f"{url} is damaged: the SHA-256 of its index does not match")
        return _entries(number, nbytes, json.loads(zstandard.ZstdDecompressor().decompress(index)), url)


def _entries(number: int, nbytes: int, record: dict[str, Any], url: str) -> dict[str, PackEntry]:
    if int(record["format_version"]) > FORMAT_VERSION:
        raise SchemaVersionError(
            f"{url} has format version {record['format_version']}, this haarchive reads up to {FORMAT_VERSION};"
            " upgrade haarchive"
        )
    lengths = [int(length) for length in record["lengths"]]
    share = -(-(nbytes - sum(lengths)) // max(1, len(lengths)))
    entries, start = {}, 0
    for name, length in zip(record["names"], lengths, strict=True):
        entries[name] = PackEntry(number, start, length, length + share)
        start += length
    return entries
