"""Sources on object storage, found by one listing of the prefix that they lie below."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from glob import has_magic

from haarchive.codecs.errors import SourceNotFoundError
from haarchive.pipeline.sources.local import ZARR_MARKERS
from haarchive.pipeline.sources.ref import SourceRef, Version, combined
from haarchive.pipeline.sources.remote import list_objects, locate, object_version, parents
from haarchive.pipeline.sources.remote_file import source_errors

__all__ = ["discover_remote"]


def discover_remote(url: str) -> list[SourceRef]:
    """List the sources that the URL of an object, of a prefix, or a pattern stands for; see `discover`.

    Raises
    ------
    SourceNotFoundError, SourceUnreadableError, StoragePermissionError
    """
    store, key = locate(url)
    with source_errors(url):
        info = store.info(key) if key and not key.endswith("/") else None
        if info is not None:
            return [_ref(url, _base(key), object_version(info))]
        prefix, pattern = _split(key)
        listing = _Listing(store.url, {info.key: object_version(info) for info in list_objects(store, prefix)})
    places = listing.matches(prefix, pattern) if pattern else [prefix]
    refs = [ref for place in places for ref in listing.sources(place)]
    if not refs:
        what = "nothing matches this pattern" if pattern else "no such object or prefix"
        raise SourceNotFoundError(f"{url}: {what}")
    return refs


class _Listing:
    """Objects of a bucket: their versions by key, in order of their keys."""

    def __init__(self, root: str, objects: Mapping[str, Version]) -> None:
        self._root = root
        self._objects = objects
        self._keys = list(objects)

    def sources(self, place: str) -> Iterator[SourceRef]:
        """The source that a key names, or all sources below a folder, sorted by name; none where there are none."""
        if place in self._objects:
            yield _ref(f"{self._root}/{place}", _base(place), self._objects[place])
            return
        home = f"{place}/" if place else ""
        name = _base(f"{self._root}/{place}".rstrip("/"))
        below = [key[len(home) :] for key in self._below(place)]
        stores: dict[str, list[str]] = {}
        found: dict[str, Version] = {}
        folders = {path.rpartition("/")[0] for path in below if _base(path) in ZARR_MARKERS}
        for path in below:
            store = next((folder for folder in ("", *reversed([*parents(path)])) if folder in folders), None)
            if store is None:
                found[path] = self._objects[home + path]
            else:
                stores.setdefault(store, []).append(path)
        for store, members in stores.items():
            skip = len(store) + 1 if store else 0
            found[store] = combined((path[skip:], self._objects[home + path]) for path in members)
        for path in sorted(found):
            url = "/".join(filter(None, (self._root, place, path)))
            yield _ref(f"{url}/" if path in stores else url, f"{name}/{path}".rstrip("/"), found[path])

    def matches(self, prefix: str, pattern: str) -> list[str]:
        """Keys and folders that fit a pattern below the folder `prefix`; not those within a folder that does."""
        wanted = pattern.rstrip("/").split("/")
        if _fits([], wanted):
            return [prefix]
        skip = len(prefix) + 1 if prefix else 0
        folders = {folder for key in self._keys for folder in parents(key) if len(folder) >= max(skip, 1)}
        places = sorted(folders if pattern.endswith("/") else folders.union(self._keys))
        fitting = {place for place in places if _fits(place[skip:].split("/"), wanted)}
        return [place for place in sorted(fitting) if not any(folder in fitting for folder in parents(place))]

    def _below(self, folder: str) -> Sequence[str]:
        if not folder:
            return self._keys
        return self._keys[bisect_left(self._keys, f"{folder}/") : bisect_left(self._keys, f"{folder}0")]


def _split(key: str) -> tuple[str, str]:
    """The folder that a key with a pattern names for certain, and the pattern below it; '' without one."""
    parts = key.split("/")
    certain = next((i for i, part in enumerate(parts) if has_magic(part)), None)
    if certain is None:
        return key.rstrip("/"), ""
    return "/".join(parts[:certain]), "/".join(parts[certain:])


def _fits(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_fits(parts[skipped:], pattern[1:]) for skipped in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _fits(parts[1:], pattern[1:])


def _base(path: str) -> str:
    return path.rpartition("/")[2]


def _ref(url: str, name: str, version: Version) -> SourceRef:
    return SourceRef(url, name, version.size, version.mark)
