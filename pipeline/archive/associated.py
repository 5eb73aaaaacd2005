"""Associated images by name, read when they are looked up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from numpy.typing import NDArray

__all__ = ["AssociatedImages"]


class AssociatedImages(Mapping[str, NDArray[Any]]):
    """A read-only mapping from the names of associated images to their pixels, ``(h, w, C)``.

    Parameters
    ----------
    planes : Mapping of str to int
        The plane of each.
    read : callable
        ``(plane) -> pixels``.
    """

    def __init__(self, planes: Mapping[str, int], read: Callable[[int], NDArray[Any]]) -> None:
        self._planes = planes
        self._read = read

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._read(self._planes[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._planes)

    def __len__(self) -> int:
        return len(self._planes)

    def __contains__(self, name: object) -> bool:
        return name in self._planes
