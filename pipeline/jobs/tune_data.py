"""What a model can learn from a user's own sources: the very chunks that archiving would give to its flow."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.base import Codec
from haarchive.codecs.errors import ConfigError, HaarchiveError, UnsupportedSamplesError
from haarchive.codecs.registry import get_codec
from haarchive.pipeline.flows import specialists_of
from haarchive.pipeline.sources import Source, discover, open_source

__all__ = ["OwnChunks", "gather"]

_MOST_BYTES = 1 << 30
_MOST_SOURCES, _MOST_SOURCE_BYTES = 1000, 32 << 30
_MOST_OF_ONE = 64
"""Samples that are kept in memory; sources that they are taken from, all of which are read; and chunks of each."""

_TRIES = 4
"""For each chunk that is wanted of a source so many are looked at, as most of a slide may be glass."""

_EMPTY = 24
"""Range of samples, of 256, below which a chunk shows nothing."""

_HELD_EACH = 5
"""One of so many sources (of few sources: chunks) is not learned from."""

_NO_FLOW = "archives code it without a flow"
_DEEP = "its samples have more than 8 bits"
_SMALL = "it is too small"
_BLANK = "it shows nothing"
_ELSEWHERE = "it was JPEG or JPEG 2000, and archives code it as that, without a flow"


@dataclass
class OwnChunks:
    """Chunks of a user's sources.

    Parameters
    ----------
    learn, held : list of ndarray
        Pictures ``(H, W, C) uint8`` of one plane or three, or recordings ``(frames, channels) int32``: to learn from,
        and to measure on.
    sources : int
        How many they come from.
    left_out : dict of str to str
        Why nothing came from a source, by its name.
    apart : bool
        Whether what is measured on comes from other sources than what is learned from.
    """

    learn: list[NDArray[Any]] = field(default_factory=list)
    held: list[NDArray[Any]] = field(default_factory=list)
    sources: int = 0
    left_out: dict[str, str] = field(default_factory=dict)
    apart: bool = True

    @property
    def digest(self) -> str:
        """SHA-256 of the samples that are learned from."""
        content = hashlib.sha256()
        for chunk in self.learn:
            content.update(f"{chunk.shape}".encode() + np.ascontiguousarray(chunk).tobytes())
        return content.hexdigest()


def gather(
    paths: Sequence[str],
    codec: str,
    least: tuple[int, ...],
    *,
    guarantee: str = "file-exact",
    progress: Callable[[int, int], None] | None = None,
) -> OwnChunks:
    """Read chunks that a flow would be given: at most 1 GiB of samples.

    Of more than 1000 sources, or 32 GiB, some are taken that are evenly spread over the list. Chunks that show nothing
    are passed over. The same sources give the same chunks.

    Parameters
    ----------
    paths : sequence of str
        As `discover` takes them.
    codec : {'haar', 'haar-audio', 'idf', 'idf-audio'}
        The flow that is to learn.
    least : tuple of int
        Rows and columns, or frames, that a chunk must have.
    guarantee : {'file-exact', 'sample-exact'}
        That the sources will be archived with: 'sample-exact' gives more of them to flows.
    progress : callable, optional
        Called with the numbers of sources that were read and that there are.

    Raises
    ------
    SourceNotFoundError
        If a path does not exist.
    ConfigError
        If there are no two chunks that the flow would be given.
    """
    refs = discover(paths)
    size = sum(ref.size or 0 for ref in refs)
    refs = refs[:: max(1, -(-len(refs) // _MOST_SOURCES), -(-size // _MOST_SOURCE_BYTES))]
    specialists = [] if codec.endswith("-audio") else [get_codec(name) for name in specialists_of("max")]
    found, of_sources = OwnChunks(), []
    for n, ref in enumerate(refs):
        try:
            with open_source(ref, guarantee=guarantee) as source:
                chunks, reason = _chunks_of(source, codec, least, _MOST_BYTES // len(refs), specialists)
        except HaarchiveError as error:
            chunks, reason = [], str(error)
        if chunks:
            of_sources.append(chunks)
        else:
            found.left_out[ref.name] = reason
        if progress:
            progress(n + 1, len(refs))
    found.sources, found.apart = len(of_sources), len(of_sources) >= _HELD_EACH
    groups = of_sources if found.apart else [[chunk] for chunks in of_sources for chunk in chunks]
    for n, group in enumerate(groups):
        (found.held if n % _HELD_EACH == 1 else found.learn).extend(group)
    if not found.held:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in list(found.left_out.items())[:3])
        hint = "" if guarantee == "sample-exact" else ". The guarantee sample-exact gives more sources to flows"
        raise ConfigError(
            f"{', '.join(paths)}: no two chunks there that archiving would give to {codec!r}, so there is nothing to "
            f"learn from{' (' + reasons + ')' if reasons else ''}{hint}"
        )
    return found


def _chunks_of(
    source: Source, codec: str, least: tuple[int, ...], budget: int, specialists: Sequence[Codec]
) -> tuple[list[NDArray[Any]], str]:
    """Chunks of one source, and the reason why there are none, or no more."""
    sound = codec.endswith("-audio")
    planes = [
        (n, plane)
        for n, plane in enumerate(source.layout.planes)
        if plane.codec == ("haar-audio" if sound else "haar") and "associated" not in plane.attrs
    ]
    if not planes:
        return [], _NO_FLOW
    planes = [(n, plane) for n, plane in planes if sound or plane.dtype == "uint8"]
    numbers = [(n, chunk) for n, plane in planes for chunk in range(plane.n_chunks)]
    if not numbers:
        return [], _DEEP
    seed = int.from_bytes(hashlib.sha256(source.ref.name.encode()).digest()[:8], "little")
    order = np.random.default_rng(seed).permutation(len(numbers))[: _TRIES * _MOST_OF_ONE]
    chosen: list[NDArray[Any]] = []
    passed: Counter[str] = Counter()
    for k in order:
        chunk = source.read_chunk(*numbers[k])
        # One chunk that no specialist takes is enough to know that the source is not what they are for.
        reason = _why_not(chunk, least, [] if chosen else specialists)
        if reason:
            passed[reason] += 1
            if passed[_ELSEWHERE] > 2:
                break
            continue
        chosen.append(chunk.astype(np.int32) if sound else np.ascontiguousarray(chunk[..., : _planes(chunk)]))
        if len(chosen) == _MOST_OF_ONE or sum(one.nbytes for one in chosen) >= budget:
            break
    return chosen, passed.most_common(1)[0][0] if passed else ""


def _why_not(chunk: NDArray[Any], least: tuple[int, ...], specialists: Sequence[Codec]) -> str:
    """Why nothing should be learned from a chunk; empty if it should."""
    if any(n < m for n, m in zip(chunk.shape, least, strict=False)):
        return _SMALL
    if chunk.dtype == np.uint8 and np.ptp(chunk[::4, ::4]) < _EMPTY:
        return _BLANK
    return _ELSEWHERE if any(_takes(one, chunk) for one in specialists) else ""


def _takes(specialist: Codec, chunk: NDArray[Any]) -> bool:
    try:
        specialist.encode([chunk])
    except UnsupportedSamplesError:
        return False
    return True


def _planes(picture: NDArray[Any]) -> int:
    """Three of a picture in colour, whatever else it has, else one."""
    return 3 if picture.shape[2] >= 3 else 1
