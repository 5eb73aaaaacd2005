"""Nothing is written unproven: encode, decode again, compare; stored samples are the way out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from haarchive.codecs.base import Bitstream, Codec, Samples
from haarchive.codecs.errors import BitstreamError, CodecError, ModelError, UnsupportedSamplesError
from haarchive.codecs.haar.lossy import drop_bands
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


@dataclass(frozen=True)
class _Proven:
    """A bitstream, the codec that it is of, and the samples that it was seen to decode to."""

    codec: str
    stream: Bitstream
    samples: Samples


def encode_proven(
    codec: Codec,
    plane: int,
    chunk_ids: Sequence[int],
    chunks: Sequence[Samples],
    *,
    specialists: Sequence[Codec] = (),
    rival: Codec | None = None,
    levels: int = 0,
) -> list[EncodedChunk]:
    """Encode the chunks of one plane and prove that each can be decoded.

    Each chunk goes to `codec`, is decoded again and compared bit for bit. Where the codec refuses the
    samples, fails, gives other samples back, or is not smaller than `StoredCodec`, the chunk is stored
    instead (and proven in the same way); `EncodedChunk.fallback` says why.

    Specialists see each chunk before that, one after the other. What one takes and gives back goes to no other codec;
    what all refuse is coded as if there were none. If one fails or gives other samples back, `fallback` begins with
    its name.

    Parameters
    ----------
    codec : Codec
    plane : int
        The plane's number in its source.
    chunk_ids : sequence of int
        The chunks' numbers in the plane.
    chunks : sequence of ndarray
        Their samples.
    specialists : sequence of Codec
        Codecs that refuse most chunks and are far better than others on the rest. Only without `levels`.
    rival : Codec, optional
        Another codec, whose proven bitstream is taken where it is smaller, or `codec` takes no such samples.
    levels : int
        How many levels of finest details to drop from what 'haar' has encoded and proven. What is left is decoded
        twice and compared; its samples are those that are digested.

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
    offered = [_specially(specialists, samples) for samples in chunks]
    left = [samples for samples, (one, _) in zip(chunks, offered, strict=True) if one is None]
    others = iter(_generally(codec, left, rival, levels))
    found = [next(others) if one is None else one for one, _ in offered]
    alarms = [alarm for _, alarm in offered]
    return [_encoded(plane, *each) for each in zip(chunk_ids, chunks, found, alarms, strict=True)]


def same_samples(a: Samples, b: Samples) -> bool:
    """Whether two arrays are equal in dtype, shape and every bit, NaN payloads and signed zeros included."""
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    return np.array_equal(_octets(a), _octets(b))


def is_alarming(fallback: str) -> bool:
    """Whether a fallback's reason points at a defect, rather than at samples that do not compress."""
    return fallback not in ("", LARGER, UNSUPPORTED)


def _is_defect(one: _Proven | str) -> bool:
    return isinstance(one, str) and is_alarming(one)


def _specially(specialists: Sequence[Codec], samples: Samples) -> tuple[_Proven | None, str]:
    """What the first specialist that takes a chunk made of it, and what those before it failed of."""
    alarms: list[str] = []
    for specialist in specialists:
        (one,) = _lossless(specialist, [samples])
        if not isinstance(one, str):
            return one, ", ".join(alarms)
        if is_alarming(one):
            alarms.append(f"{specialist.name} {one}")
    return None, ", ".join(alarms)


def _generally(codec: Codec, chunks: Sequence[Samples], rival: Codec | None, levels: int) -> list[_Proven | str]:
    """Encode and prove the chunks that no specialist took."""
    found = _lossless(codec, chunks)
    if levels:
        found = _with_loss(codec, found, levels)
    if rival:
        found = [_smaller(*pair) for pair in zip(found, _lossless(rival, chunks), strict=True)]
    return found


def _encoded(plane: int, chunk_id: int, samples: Samples, one: _Proven | str, alarm: str) -> EncodedChunk:
    """The chunk as it was proven, or stored; `alarm` is what specialists failed of."""
    reason = one if isinstance(one, str) else ""
    if isinstance(one, str) or (one.codec != _STORED.name and _stored_is_smaller(samples, one.stream.nbytes)):
        reason = reason or LARGER
        one = _store(samples, plane, chunk_id)
    return EncodedChunk(
        plane=plane,
        chunk=chunk_id,
        codec=one.codec,
        bands=one.stream.bands,
        raw_bytes=samples.nbytes,
        digest=samples_digest(one.samples),
        fallback="; ".join(filter(None, (alarm, reason))),
    )


def _lossless(codec: Codec, chunks: Sequence[Samples]) -> list[_Proven | str]:
    """Encode chunks, decode them again and compare; the reason where a chunk does not come back."""
    streams = _batched(codec.encode, chunks)
    decoded = iter(_batched(codec.decode, [stream for stream in streams if isinstance(stream, Bitstream)]))
    return [
        _compared(codec, stream, samples, next(decoded)) if isinstance(stream, Bitstream) else _reason(stream)
        for samples, stream in zip(chunks, streams, strict=True)
    ]


def _with_loss(codec: Codec, found: Sequence[_Proven | str], levels: int) -> list[_Proven | str]:
    """Drop details from what is proven; decode what is left twice and compare."""
    streams = [drop_bands(one.stream, levels) for one in found if isinstance(one, _Proven)]
    twice = zip(streams, _batched(codec.decode, streams), _batched(codec.decode, streams), strict=True)
    return [one if isinstance(one, str) else _compared(codec, *next(twice)) for one in found]


def _compared(
    codec: Codec, stream: Bitstream, samples: Samples | Exception, decoded: Samples | Exception
) -> _Proven | str:
    if isinstance(samples, Exception):
        return _reason(samples)
    if isinstance(decoded, Exception):
        return _reason(decoded)
    return _Proven(codec.name, stream, samples) if same_samples(samples, decoded) else MISMATCH


def _smaller(one: _Proven | str, rival: _Proven | str) -> _Proven | str:
    """The rival where it is proven, and smaller than what else is; a defect of the other is not hidden by it."""
    if isinstance(rival, str) or _is_defect(one):
        return one
    return rival if isinstance(one, str) or rival.stream.nbytes < one.stream.nbytes else one


def _stored_is_smaller(samples: Samples, nbytes: int) -> bool:
    """Whether `StoredCodec` needs at most `nbytes`; a quick look saves most of its time."""
    try:
        quick = _QUICK.encode([samples])[0].nbytes
        if quick > _QUICK_MARGIN * nbytes and quick * _QUICK_RATIO > samples.nbytes:
            return False
        return quick <= nbytes or _STORED.encode([samples])[0].nbytes <= nbytes
    except UnsupportedSamplesError:
        return False


def _store(samples: Samples, plane: int, chunk_id: int) -> _Proven:
    stream = _STORED.encode([samples])[0]
    if not same_samples(samples, _STORED.decode([stream])[0]):
        raise CodecError(f"plane {plane}, chunk {chunk_id}: stored samples do not come back; do not trust this machine")
    return _Proven(_STORED.name, stream, samples)


def _batched(function: Callable[[Sequence[Any]], Sequence[_Made]], items: Sequence[Any]) -> list[_Made | Exception]:
    """`function(items)`; where it fails, of each half, so that one bad chunk, or too little memory, costs nothing."""
    try:
        return list(function(items)) if items else []
    except ModelError:
        raise  # an installation or device that is unfit for every chunk; storing them all would hide it
    except Exception as error:
        if len(items) == 1:
            return [error]
    # Outside of the handler: the error is gone, and with it what its frames held of a device's memory.
    half = len(items) // 2
    return [*_batched(function, items[:half]), *_batched(function, items[half:])]


def _reason(error: Exception) -> str:
    if isinstance(error, UnsupportedSamplesError):
        return UNSUPPORTED
    if isinstance(error, BitstreamError):
        return f"error: does not decode: {error}"
    return f"error: {type(error).__name__}: {error}"


def _octets(samples: Samples) -> np.ndarray:
    return np.ascontiguousarray(samples).reshape(-1).view(np.uint8)
