"""What a source is made of, as values: planes of samples, the pieces of the file that they reproduce, the rest.

A *source* is a sequence of bytes: one file, or the members of a folder (a zarr store) laid end to end in the
order of their relative names. Some stretches of it, the *pieces*, are payload: a TIFF tile, the PCM data of a WAV
file. Each piece is reproduced from a *plane* (an array of samples, or a list of opaque byte strings) by the plane's
*packer*. All bytes outside of the pieces are the *skeleton*, which is itself plane 0, an array of bytes. So

    source bytes = skeleton and packed pieces, interleaved by offset

and a file of unknown format is a source with a skeleton and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["SKELETON_CHUNK", "Member", "Pieces", "Plane", "SourceLayout", "chunk_bounds", "chunks_of_tiles", "tiles_of"]

SKELETON_CHUNK = 1 << 18
"""Bytes of skeleton coded as one chunk."""

PlaneKind = Literal["bytes", "image", "audio", "tiles"]


@dataclass(frozen=True)
class Plane:
    """One array of a source that is cut into chunks and coded.

    Parameters
    ----------
    kind : {'bytes', 'image', 'audio', 'tiles'}
        ``bytes``: opaque bytes, shape ``(n,)``. ``image``: samples ``(H, W, C)`` as they are stored, the padding
        of edge tiles included. ``audio``: samples ``(frames, channels)``. ``tiles``: opaque byte strings (JPEG or
        JPEG 2000 tiles as they stand in the file), shape ``(n,)`` or, as they lie in a picture, ``(rows, columns)``.
        Their segments are numbered in C order, and a chunk is the bytes of its tiles one behind the other. Tiles
        without a piece have no bytes.
    shape : tuple of int
    dtype : str
        NumPy dtype name in native order: 'uint8', 'uint16', 'int32', 'float32', ...
    chunk_shape : tuple of int
        The regular grid that chunks are cut by, as in zarr; chunks at the far edges may be smaller.
    codec : str
        The codec that chunks go to first: 'haar', 'haar-audio', 'jpeg', 'jpeg-xl' or 'stored'; and 'idf' or
        'idf-audio' in jobs that were told so, see `haarchive.pipeline.flows`.
    packer : Mapping
        How pieces are made from samples: ``{"name": ..., **parameters}``, JSON-able. See `sources.packers`.
    attrs : Mapping
        What a reader needs to know, JSON-able. Image planes that belong to a resolution pyramid have ``"level"``
        (int); others may have ``"associated"`` (label, macro, thumbnail, ...). Images may have
        ``"size": [height, width]``, the picture without the padding. Audio has ``"samplerate"`` (Hz) and
        ``"bits"`` (of each sample as the source stores it). JPEG planes may have ``"jpeg_tables"`` (base64): what
        `get_codec` takes as `tables`. Images that lose details have ``"dropped_bands"``: how many levels of them.
    """

    kind: PlaneKind
    shape: tuple[int, ...]
    dtype: str
    chunk_shape: tuple[int, ...]
    codec: str
    packer: Mapping[str, Any] = field(default_factory=dict)
    attrs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def grid(self) -> tuple[int, ...]:
        """Chunks along each axis."""
        return tuple(math.ceil(n / c) if n else 0 for n, c in zip(self.shape, self.chunk_shape, strict=True))

    @property
    def n_chunks(self) -> int:
        """Chunks in the plane; 0 where the plane is empty."""
        return math.prod(self.grid)


def chunk_bounds(plane: Plane, chunk: int) -> tuple[slice, ...]:
    """Where chunk number `chunk` (C order) lies in its plane.

    Returns
    -------
    tuple of slice
        One slice an axis, clipped to the plane's shape.
    """
    position = np.unravel_index(chunk, plane.grid)
    return tuple(
        slice(int(i) * c, min((int(i) + 1) * c, n))
        for i, c, n in zip(position, plane.chunk_shape, plane.shape, strict=True)
    )


def tiles_of(plane: Plane, region: tuple[slice, ...]) -> NDArray[np.int64]:
    """The tiles of a 'tiles' plane in a region of it, in C order.

    Returns
    -------
    ndarray, shape (n,), int64
    """
    axes = [np.arange(*along.indices(n), dtype=np.int64) for along, n in zip(region, plane.shape, strict=True)]
    return np.asarray(np.ravel_multi_index(np.ix_(*axes), plane.shape), np.int64).ravel()


def chunks_of_tiles(plane: Plane, tiles: NDArray[np.int64]) -> NDArray[np.int64]:
    """The chunk that each tile of a 'tiles' plane belongs to."""
    position = np.unravel_index(tiles, plane.shape)
    chunks = np.ravel_multi_index(
        [at // step for at, step in zip(position, plane.chunk_shape, strict=True)], plane.grid
    )
    return np.asarray(chunks, np.int64)


@dataclass(frozen=True)
class Member:
    """One file of a source.

    Parameters
    ----------
    path : str
        Relative to the source, with '/'; empty where the source is one file.
    size : int
        Bytes.
    sha256 : str
        Hexadecimal digest of the file's bytes; empty of what is restored with loss.
    """

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Pieces:
    """The payload stretches of a source, as columns sorted by offset; they do not overlap.

    Parameters
    ----------
    offset, length : ndarray of int64, shape (n,)
        Bytes, counted over the members laid end to end.
    plane : ndarray of int32, shape (n,)
        Which plane reproduces the piece.
    segment : ndarray of int64, shape (n,)
        Which segment of that plane (the packer's unit: a TIFF tile or strip, a run of frames).
    """

    offset: NDArray[np.int64]
    length: NDArray[np.int64]
    plane: NDArray[np.int32]
    segment: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offset)


@dataclass(frozen=True)
class SourceLayout:
    """Everything that is known about a source before its samples are coded.

    Parameters
    ----------
    name : str
        Its name in the archive, relative, with '/'.
    kind : str
        'tiff', 'png', 'jpeg', 'dicom', 'wav', 'aiff', 'flac', 'zarr' or 'verbatim'.
    members : tuple of Member
        One for a file; all files, sorted by path, for a folder.
    planes : tuple of Plane
        Plane 0 is the skeleton.
    pieces : Pieces
    attrs : Mapping
        JSON-able facts for readers: ``"mpp"``, ``"vendor"``, ``"description"``... ``"original"`` has path, size and
        SHA-256 of each file that there was, where `members` are not the same.
    """

    name: str
    kind: str
    members: tuple[Member, ...]
    planes: tuple[Plane, ...]
    pieces: Pieces
    attrs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of all members."""
        return sum(member.size for member in self.members)

    @property
    def originals(self) -> tuple[Member, ...]:
        """The files that were archived, which are not `members` under every guarantee."""
        if "original" not in self.attrs:
            return self.members
        return tuple(Member(path, size, sha256) for path, size, sha256 in self.attrs["original"])
