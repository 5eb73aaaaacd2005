"""What every source is: a layout, and its chunks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from types import TracebackType
from typing import Any, Self

from numpy.typing import NDArray

from haarchive.pipeline.layout import SourceLayout, chunk_bounds
from haarchive.pipeline.sources.ref import SourceRef

__all__ = ["Source"]


class Source(ABC):
    """An open source.

    Parameters
    ----------
    ref : SourceRef
    layout : SourceLayout, optional
        What an earlier look at the same source found; without it the source is scanned when `layout` is first
        needed, which reads all of it.
    """

    def __init__(self, ref: SourceRef, layout: SourceLayout | None = None) -> None:
        self.ref = ref
        self._given = layout

    @cached_property
    def layout(self) -> SourceLayout:
        """The planes and pieces of the source, and the SHA-256 of its members."""
        return self.scan() if self._given is None else self._given

    def read_chunk(self, plane: int, chunk: int) -> NDArray[Any]:
        """Read one chunk of a plane.

        Returns
        -------
        ndarray
            Image ``(h, w, C)``; audio ``(frames, channels)``; bytes and tiles ``(n,)`` uint8.

        Raises
        ------
        SourceChangedError, SourceUnreadableError
        """
        return self.read_region(plane, chunk_bounds(self.layout.planes[plane], chunk))

    @abstractmethod
    def scan(self) -> SourceLayout:
        """Look at the whole source afresh."""

    @abstractmethod
    def read_region(self, plane: int, region: tuple[slice, ...]) -> NDArray[Any]:
        """Read any region of a plane; of a 'tiles' plane the bytes of the tiles in it, (n,) uint8."""

    @abstractmethod
    def check_unchanged(self) -> None:
        """Read the source again and compare it with its layout.

        Raises
        ------
        SourceChangedError
        """

    @abstractmethod
    def close(self) -> None:
        """Close its files."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
