"""The index of a manifest, as arrays that are quick to look chunks up in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from haarchive.pipeline.archive.manifest import Manifest

__all__ = ["ChunkIndex", "ChunkRow"]


@dataclass(frozen=True)
class ChunkRow:
    """Where the bitstream of one chunk is.

    Parameters
    ----------
    shard : int
        Number of the shard in the manifest.
    codec : str
    digest : bytes
        `samples_digest` of the samples.
    offsets, lengths, crcs : list of int
        Of each band: bytes from the start of the shard object, bytes, CRC-32C.
    """

    shard: int
    codec: str
    digest: bytes
    offsets: list[int]
    lengths: list[int]
    crcs: list[int]


class ChunkIndex:
    """Looks chunks up by plane and number."""

    def __init__(self, manifest: Manifest) -> None:
        index = manifest.index.combine_chunks()
        self._first = np.cumsum([0, *(plane.n_chunks for plane in manifest.layout.planes)])
        self._shard = index.column("shard").to_numpy()
        self._codec = index.column("codec").dictionary_encode().combine_chunks()
        self._digest = index.column("digest").combine_chunks()
        self._raw_ends = np.cumsum(index.column("raw_bytes").to_numpy())
        lengths = index.column("band_length").combine_chunks()
        self._ends = np.cumsum(np.concatenate([[0], lengths.value_lengths().to_numpy()]), dtype=np.int64)
        self._bands = [
            _array(index.column(name)).flatten().to_numpy() for name in ("band_offset", "band_length", "band_crc")
        ]

    def __getitem__(self, at: tuple[int, int]) -> ChunkRow:
        """The row of chunk ``(plane, chunk)``."""
        row = int(self._first[at[0]]) + at[1]
        bands = slice(int(self._ends[row]), int(self._ends[row + 1]))
        offsets, lengths, crcs = (column[bands].tolist() for column in self._bands)
        return ChunkRow(
            int(self._shard[row]),
            self._codec[row].as_py(),
            self._digest[row].as_py(),
            offsets,
            lengths,
            crcs,
        )

    def run(self, plane: int, chunk: int, nbytes: int) -> int:
        """The end (exclusive) of the run of chunks behind `chunk` whose samples fit in `nbytes`."""
        row, last = int(self._first[plane]) + chunk, int(self._first[plane + 1])
        stop = int(np.searchsorted(self._raw_ends, self._raw_ends[row] + nbytes, side="right"))
        return min(stop, last) - int(self._first[plane])


def _array(column: Any) -> Any:
    return column.combine_chunks()
