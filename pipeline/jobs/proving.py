"""Nothing is written unproven: encode, decode again, compare; stored samples are the way out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from haarchive.codecs.base import Bitstream, Codec, Samples
from haarchive.codecs.errors import BitstreamError, CodecError, ModelError, UnsupportedSamplesError
from haarchive.codecs.stored import StoredCodec
from haarchive.pipeline.archive.shard import EncodedChunk, samples_digest

__all__ = ["LARGER", "MISMATCH", "UNSUPPORTED", "encode_proven", "is_alarming", "same_samples"]

UNSUPPORTED = "unsupported"
"""Fallback: the codec does not take such samples."""
MISMATCH = "mismatch"
"""Fallback: the codec's bitstream decoded to other samples. A defect that the proof has caught."""
LARGER = "larger"
"""Fallback: stored samples are not larger. No defect: noise, or a repetition that zstd is made for."""

_STORED = StoredCodec()
_QUICK = StoredCodec(level=1)
_QUICK_MARGIN = 2.0
_QUICK_RATIO = 16
"""Level 9 of zstd, which takes five times as long, is tried only where level 1 comes within this factor of
the codec or compresses by that ratio. On 220 chunks of the project's data it gained at most 1.73, but 10 on
periodic samples, which level 1 compresses by 25 and more."""

_Made = TypeVar("_Made")


def encode_proven(codec: Codec, plane: int, chunk_ids: Sequence[int], chunks: Sequence[Samples]) -> list[EncodedChunk]:
    """Encode the chunks of one plane and prove that each can be decoded.

    Each chunk goes to `codec`, is decoded again and compared bit for bit. Where the codec refuses the
    samples, fails, gives other samples back, or is not smaller than `StoredCodec`, the chunk is stored
    instead (and proven in the same way); `EncodedChunk.fallback` says why.

    Parameters
    ----------
    codec : Codec
    plane : int
        The plane's number in its source.
    chunk_ids : sequence of int
        The chunks' numbers in the plane.
    chunks : sequence of ndarray
        Their samples.

    Returns
    -------
    list of EncodedChunk
        In the order of `chunks`.

    Raises
    ------
    ModelError
        If the codec's model cannot be used here at all.
    CodecError
        If even stored samples do not come back: the memory of this machine is at fault.
    """
    streams = _batched(codec.encode, chunks)
    encoded = [stream for stream in streams if isinstance(stream, Bitstream)]
    decoded = iter(_batched(codec.decode, encoded))
    made = []
    for chunk_id, samples, stream in zip(chunk_ids, chunks, streams, strict=True):
        if isinstance(stream, Bitstream):
            fallback = _verdict(codec, samples, stream, next(decoded))
        else:
            fallback = _reason(stream)
        if fallback or not isinstance(stream, Bitstream):
            stream, name = _store(samples, plane, chunk_id), _STORED.name
        else:
            name = codec.name
        made.append(
            EncodedChunk(
                plane=plane,
                chunk=chunk_id,
                codec=name,
                bands=stream.bands,
                raw_bytes=samples.nbytes,
                digest=samples_digest(samples),
                fallback=fallback,
            )
        )
    return made


def same_samples(a: Samples, b: Samples) -> bool:
    """Whether two arrays are equal in dtype, shape and every bit, NaN payloads and signed zeros included."""
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    return np.array_equal(_octets(a), _octets(b))


def is_alarming(fallback: str) -> bool:
    """Whether a fallback's reason points at a defect, rather than at samples that do not compress."""
    return fallback not in ("", LARGER, UNSUPPORTED)


def _verdict(codec: Codec, samples: Samples, stream: Bitstream, decoded: Samples | Exception) -> str:
    """Why `stream` must not be written; empty where it may."""
    if isinstance(decoded, Exception):
        return _reason(decoded)
    if not same_samples(samples, decoded):
        return MISMATCH
    if codec.name != _STORED.name and _stored_is_smaller(samples, stream.nbytes):
        return LARGER
    return ""


def _stored_is_smaller(samples: Samples, nbytes: int) -> bool:
    """Whether `StoredCodec` needs at most `nbytes`; a quick look saves most of its time."""
    try:
        quick = _QUICK.encode([samples])[0].nbytes
        if quick > _QUICK_MARGIN * nbytes and quick * _QUICK_RATIO > samples.nbytes:
            return False
        return quick <= nbytes or _STORED.encode([samples])[0].nbytes <= nbytes
    except UnsupportedSamplesError:
        return False


def _store(samples: Samples, plane: int, chunk_id: int) -> Bitstream:
    stream = _STORED.encode([samples])[0]
    if not same_samples(samples, _STORED.decode([stream])[0]):
        raise CodecError(f"plane {plane}, chunk {chunk_id}: stored samples do not come back; do not trust this machine")
    return stream


def _batched(function: Callable[[Sequence[Any]], Sequence[_Made]], items: Sequence[Any]) -> list[_Made | Exception]:
    """`function(items)`; where it fails, one call an item, so that one bad chunk costs its batch nothing."""
    try:
        return list(function(items)) if items else []
    except ModelError:
        raise  # an installation or device that is unfit for every chunk; storing them all would hide it
    except Exception:
        made: list[_Made | Exception] = []
        for item in items:
            try:
                made.extend(function([item]))
            except Exception as error:
                made.append(error)
        return made


def _reason(error: Exception) -> str:
    if isinstance(error, UnsupportedSamplesError):
        return UNSUPPORTED
    if isinstance(error, BitstreamError):
        return f"error: does not decode: {error}"
    return f"error: {type(error).__name__}: {error}"


def _octets(samples: Samples) -> np.ndarray:
    return np.ascontiguousarray(samples).reshape(-1).view(np.uint8)
