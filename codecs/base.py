"""What every codec is: arrays of samples in, bitstreams out, and back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from numpy.typing import NDArray

__all__ = ["Bitstream", "Codec", "Samples"]

Samples = NDArray[Any]


@dataclass(frozen=True)
class Bitstream:
    """What a codec emits for one chunk, in bands from coarse to fine.

    Parameters
    ----------
    bands : tuple of bytes
        Band 0 describes the chunk (shape, dtype, parameters) and holds its coarsest part; each further band
        refines what comes before it. A codec with one resolution emits one band.
    """

    bands: tuple[bytes, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of all bands together."""
        return sum(len(band) for band in self.bands)


class Codec(ABC):
    """An immutable value that turns chunks of samples into bitstreams and back, exactly.

    A codec has no state that a call could change: the same samples give the same bytes in any batch and on any
    number of threads, and the same bytes give the same samples on every machine.
    """

    name: ClassVar[str]
    """The codec's name in reports, manifests and configurations."""

    model_digest: str | None = None
    """SHA-256 (hexadecimal) of the model file that the codec decodes with, None where it needs none."""

    model: bytes | None = None
    """Content of that model file, for archives to keep."""

    @abstractmethod
    def encode(self, chunks: Sequence[Samples]) -> list[Bitstream]:
        """Encode chunks independently of each other.

        Parameters
        ----------
        chunks : sequence of ndarray
            The samples. Batches only serve speed: they never change a byte.

        Raises
        ------
        UnsupportedSamplesError
            If a chunk has a dtype or number of dimensions that the codec does not take.
        """

    @abstractmethod
    def decode(self, bitstreams: Sequence[Bitstream], *, reduce: int = 0) -> list[Samples]:
        """Decode bitstreams to the samples they were made from.

        Parameters
        ----------
        bitstreams : sequence of Bitstream
        reduce : int
            How many times to halve the resolution. Only the first ``n_bands - reduce`` bands are needed, and
            may be all that is given. Codecs with one resolution take only 0.

        Raises
        ------
        BitstreamError
            If a bitstream is damaged.
        """

    def bands_needed(self, n_bands: int, reduce: int) -> int:
        """How many of `n_bands` leading bands `decode` needs at `reduce`."""
        return max(1, n_bands - reduce)
