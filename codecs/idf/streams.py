"""The rANS streams of one chunk: one for the last latents, one for each level that factors something out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.distributions import CdfTables
from haarchive.codecs.errors import BitstreamError
from haarchive.codecs.haar.outliers import read_outliers
from haarchive.codecs.idf.entropy import code_mixture
from haarchive.codecs.idf.factored import LevelCoder
from haarchive.codecs.idf.steps import FactorOut
from haarchive.codecs.rans.stream import OperationList, WordReader

__all__ = ["ChunkReader", "ChunkWriter", "Coding", "FactoredCoder"]

_MOST_LOW_BITS = 15


class FactoredCoder(Protocol):
    """Codes or decodes the factor-outs of one level of one group of planes, in decoding order."""

    def code(
        self, step: FactorOut, given: NDArray[np.int32], parameters: NDArray[np.int32], z: NDArray[np.int32]
    ) -> None:
        """Code one factor-out; see `LevelCoder.code`."""


class Coding:
    """How the latents of a chunk are coded.

    Parameters
    ----------
    planes : int
        Of a flow whose steps are Haar's, 0 of others.
    shift : int
        Amplitude shift.
    limit : int
        Bound of adaptive corrections, in 1/16.
    adaptive : bool
    """

    def __init__(self, planes: int, shift: int, limit: int, adaptive: bool) -> None:
        self.planes, self.shift, self.limit, self.adaptive = planes, shift, limit, adaptive

    @property
    def low_bits(self) -> int:
        """Low bits of the last latents that go as they are."""
        return min(self.shift, _MOST_LOW_BITS)

    def level(self, level: int, stream: OperationList | WordReader) -> FactoredCoder:
        """A coder of one level."""
        return LevelCoder(level, self.planes, self.shift, self.limit, self.adaptive, stream)


class ChunkWriter:
    """Writes a chunk, one group of planes after the other.

    Parameters
    ----------
    levels : sequence of int
        That factor something out, coarsest first.
    """

    def __init__(self, levels: Sequence[int]) -> None:
        self._last = OperationList()
        self._levels = {level: OperationList() for level in levels}
        self._zero = dict.fromkeys(levels, True)
        self._groups = 0

    def add(
        self,
        coding: Coding,
        last: NDArray[np.int32],
        tables: CdfTables,
        parts: Sequence[tuple[FactorOut, int, NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]],
    ) -> None:
        """Append a group.

        Parameters
        ----------
        coding : Coding
        last : ndarray, shape (C, H, W), int32
            The last latents.
        tables : CdfTables
            Theirs.
        parts : sequence of (step, level, given, parameters, latents)
            In decoding order.
        """
        self._groups += 1
        code_mixture(last, tables, coding.low_bits, self._last)
        coders: dict[int, FactoredCoder] = {}
        for step, level, given, parameters, z in parts:
            if level not in coders:
                coders[level] = coding.level(level, self._levels[level])
            coders[level].code(step, given, parameters, z)
            self._zero[level] = self._zero[level] and not z.any()

    def append(self, operations: OperationList) -> None:
        """Put something behind all groups: at the end of the last stream, which is never empty then."""
        if operations.n:
            *_, (level, stream) = [(0, self._last), *self._levels.items()]
            stream.extend(operations)
            self._zero[level] = False

    def bands(self) -> tuple[bytes, ...]:
        """The bitstream's bands but for the header; of a level whose latents are all zero an empty one."""
        levels = [b"" if self._zero[level] else ops.to_bytes() for level, ops in self._levels.items()]
        return (self._last.to_bytes(), *levels)

    def together(self) -> bytes | None:
        """All bands as one stream, which spares the coder's state of each; None of several groups.

        Several groups would have to alternate within it, and are decoded one after the other.
        """
        if self._groups != 1:
            return None
        stream = OperationList()
        for part in (self._last, *self._levels.values()):
            stream.extend(part)
        return stream.to_bytes()


class ChunkReader:
    """Reads what a `ChunkWriter` wrote.

    Parameters
    ----------
    last : bytes-like
        Band 0 behind the header.
    levels : dict of int to bytes, or sequence of int
        Content of each level's band, as far as there are any; or which levels there are, all in the one stream.
    whole : bool
        Whether everything will be read, so that `finish` can tell how it must end.
    """

    def __init__(
        self, last: bytes | memoryview, levels: dict[int, bytes] | Sequence[int], *, whole: bool = True
    ) -> None:
        self._whole = whole
        self._last = WordReader(last)
        self._levels = (
            {level: WordReader(data) if data else None for level, data in levels.items()}
            if isinstance(levels, dict)
            else dict.fromkeys(levels, self._last)
        )
        self._coders: dict[int, FactoredCoder] = {}

    def last(self, coding: Coding, z: NDArray[np.int32], tables: CdfTables) -> None:
        """Read the last latents of the next group into `z`."""
        self._coders = {}
        code_mixture(z, tables, coding.low_bits, self._last)

    def take(
        self,
        coding: Coding,
        step: FactorOut,
        level: int,
        given: NDArray[np.int32],
        parameters: NDArray[np.int32],
        z: NDArray[np.int32],
    ) -> None:
        """Read the latents of the group's next factor-out into `z`, which is zero.

        Raises
        ------
        BitstreamError
            If the stream ends too early.
        """
        if (reader := self._levels[level]) is not None:
            if level not in self._coders:
                self._coders[level] = coding.level(level, reader)
            self._coders[level].code(step, given, parameters, z)

    def has(self, level: int) -> bool:
        """Whether the level's band was given."""
        return level in self._levels

    def outliers(self, picture: NDArray[np.uint8]) -> None:
        """Put the pixels that are listed behind all groups into a picture ``(H, W, C)``.

        Raises
        ------
        BitstreamError
            If there is no such list.
        """
        *_, reader = [self._last, *self._levels.values()]
        if reader is None:
            raise BitstreamError("the pixels that are listed apart are missing: the bitstream is damaged")
        read_outliers(reader, picture)

    def finish(self) -> None:
        """Check that all streams ended where they should.

        Raises
        ------
        BitstreamError
        """
        if not self._whole:
            return
        self._last.finish()
        for reader in self._levels.values():
            if reader is not None:
                reader.finish()
