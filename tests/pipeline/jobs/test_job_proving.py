"""Encoding that is proven chunk by chunk."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from haarchive.codecs import Bitstream, Codec, Samples
from haarchive.codecs.errors import BitstreamError, InexactDeviceError, UnsupportedSamplesError
from haarchive.codecs.haar.image import HaarCodec
from haarchive.codecs.haar.lossy import dropped_bands
from haarchive.codecs.stored import StoredCodec
from haarchive.pipeline.archive import EncodedChunk, samples_digest
from haarchive.pipeline.jobs.proving import (
    LARGER,
    MISMATCH,
    UNSUPPORTED,
    encode_proven,
    is_alarming,
    same_samples,
)


class Means(Codec):
    """Codes a constant chunk as its shape and value, in far fewer bytes than others; loses all else."""

    name: ClassVar[str] = "means"
    model_digest = None

    def encode(self, chunks: Sequence[Samples]) -> list[Bitstream]:
        for chunk in chunks:
            if chunk.dtype != np.uint8:
                raise UnsupportedSamplesError("only uint8")
            if chunk.max() == 14:
                raise InexactDeviceError("this abacus rounds")
            if chunk.max() == 13:
                raise ZeroDivisionError("thirteen")
        return [Bitstream((bytes([chunk.shape[0] % 256, chunk.flat[0]]),)) for chunk in chunks]

    def decode(self, bitstreams: Sequence[Bitstream], *, reduce: int = 0) -> list[Samples]:
        if any(stream.bands[0][1] == 66 for stream in bitstreams):
            raise BitstreamError("sixty-six")
        return [np.full((b.bands[0][0], 40), b.bands[0][1], np.uint8) for b in bitstreams]


class Padded(StoredCodec):
    """A codec that works and only ever makes things larger."""

    name: ClassVar[str] = "padded"

    def encode(self, chunks: Sequence[Samples]) -> list[Bitstream]:
        return [Bitstream((*stream.bands, bytes(100))) for stream in super().encode(chunks)]

    def decode(self, bitstreams: Sequence[Bitstream], *, reduce: int = 0) -> list[Samples]:
        return super().decode([Bitstream(stream.bands[:1]) for stream in bitstreams])


def constant(value: int, dtype: str = "uint8") -> np.ndarray:
    return np.full((30, 40), value, dtype)


def reasons(encoded: list[EncodedChunk]) -> list[tuple[str, str]]:
    return [(chunk.codec, chunk.fallback) for chunk in encoded]


def test_a_chunk_that_comes_back_keeps_its_codec() -> None:
    (made,) = encode_proven(Means(), 3, [7], [constant(5)])
    assert (made.plane, made.chunk, made.codec, made.fallback, made.raw_bytes) == (3, 7, "means", "", 1200)


def test_a_chunk_that_comes_back_otherwise_is_stored() -> None:
    broken = constant(5)
    broken[-1, -1] = 6
    encoded = encode_proven(Means(), 1, [0, 1], [broken, constant(9)])
    assert reasons(encoded) == [("stored", MISMATCH), ("means", "")]
    assert np.array_equal(StoredCodec().decode([Bitstream(encoded[0].bands)])[0], broken)


def test_samples_that_a_codec_does_not_take_are_stored() -> None:
    encoded = encode_proven(Means(), 1, [0, 1], [constant(1, "uint16"), constant(2)])
    assert reasons(encoded) == [("stored", UNSUPPORTED), ("means", "")]


def test_an_encoder_that_fails_costs_only_the_chunk_it_fails_for() -> None:
    encoded = encode_proven(Means(), 1, [0, 1, 2], [constant(1), constant(13), constant(2)])
    assert reasons(encoded) == [
        ("means", ""),
        ("stored", "error: ZeroDivisionError: thirteen"),
        ("means", ""),
    ]


def test_a_model_that_cannot_be_used_here_is_an_error_and_no_reason_to_store_everything() -> None:
    with pytest.raises(InexactDeviceError, match="abacus"):
        encode_proven(Means(), 1, [0, 1], [constant(1), constant(14)])


def test_a_decoder_that_fails_costs_only_the_chunk_it_fails_for() -> None:
    encoded = encode_proven(Means(), 1, [0, 1], [constant(66), constant(2)])
    assert reasons(encoded) == [("stored", "error: does not decode: sixty-six"), ("means", "")]


class Hungry(Means):
    """Has memory for three chunks, and for none while what an attempt took is still held."""

    name: ClassVar[str] = "hungry"

    def __init__(self) -> None:
        self.held: list[weakref.ref[np.ndarray]] = []
        self.calls: list[int] = []

    def encode(self, chunks: Sequence[Samples]) -> list[Bitstream]:
        self.calls.append(len(chunks))
        activations = np.zeros(10)
        if any(held() is not None for held in self.held):
            raise MemoryError("the attempt before has not given back its memory")
        self.held.append(weakref.ref(activations))
        if len(chunks) > 3:
            raise MemoryError("too many")
        return super().encode(chunks)


def test_a_batch_that_memory_is_too_small_for_is_halved() -> None:
    codec = Hungry()
    encoded = encode_proven(codec, 1, list(range(10)), [constant(n + 1) for n in range(10)])
    assert reasons(encoded) == [("hungry", "")] * 10
    assert codec.calls == [10, 5, 2, 3, 5, 2, 3]


def test_a_chunk_that_would_be_larger_is_stored() -> None:
    samples = np.random.default_rng(0).integers(0, 256, (30, 40), np.uint8)
    (made,) = encode_proven(Padded(), 1, [0], [samples])
    assert (made.codec, made.fallback) == ("stored", LARGER)


def test_a_periodic_chunk_that_only_thorough_compression_shrinks_is_stored() -> None:
    y, x = np.mgrid[:512, :512]
    checkers = ((x // 7 + y // 9) % 2 * 255).astype(np.uint8)
    quick, thorough = (StoredCodec(level).encode([checkers])[0].nbytes for level in (1, 9))
    assert thorough * 3 < quick

    class Middling(Padded):
        def encode(self, chunks: Sequence[Samples]) -> list[Bitstream]:
            return [Bitstream((*s.bands, bytes(quick // 3 - s.nbytes))) for s in StoredCodec().encode(chunks)]

    (made,) = encode_proven(Middling(), 1, [0], [checkers])
    assert made.fallback == LARGER


class Shorter(StoredCodec):
    """Has one byte for a chunk of value 5, and gives back 7 for one of value 7 or 8."""

    name: ClassVar[str] = "shorter"

    def encode(self, chunks: Sequence[Samples]) -> list[Bitstream]:
        if any(chunk.max() == 9 for chunk in chunks):
            raise UnsupportedSamplesError("no nine")
        return [Bitstream((bytes([min(7, chunk.max())]),)) for chunk in chunks]

    def decode(self, bitstreams: Sequence[Bitstream], *, reduce: int = 0) -> list[Samples]:
        return [np.full((30, 40), b.bands[0][0], np.uint8) for b in bitstreams]


def test_a_rival_is_taken_where_it_is_smaller_and_comes_back() -> None:
    chunks = [constant(5), constant(7), constant(8), constant(9)]
    encoded = encode_proven(Means(), 1, range(4), chunks, rival=Shorter())
    assert reasons(encoded) == [("shorter", ""), ("shorter", ""), ("means", ""), ("means", "")]
    assert [chunk.bands for chunk in encoded[:2]] == [(b"\5",), (b"\7",)]


def test_a_rival_that_is_larger_is_not_taken() -> None:
    (made,) = encode_proven(Means(), 1, [0], [constant(5)], rival=Padded())
    assert made.codec == "means"


def test_a_rival_takes_what_the_codec_does_not() -> None:
    encoded = encode_proven(Tens(), 1, range(3), list(map(constant, (20, 5, 9))), rival=Shorter())
    assert reasons(encoded) == [("tens", ""), ("shorter", ""), ("stored", UNSUPPORTED)]


def test_a_rival_does_not_hide_that_a_codec_is_broken() -> None:
    broken = constant(5)
    broken[-1, -1] = 4
    (made,) = encode_proven(Means(), 1, [0], [broken], rival=StoredCodec())
    assert (made.codec, made.fallback) == ("stored", MISMATCH)


def test_a_model_that_cannot_be_used_is_an_error_also_behind_a_chunk_that_fails() -> None:
    with pytest.raises(InexactDeviceError, match="abacus"):
        encode_proven(Means(), 1, [0, 1], [constant(13), constant(14)])


class Tens(Codec):
    """Takes constant chunks of tens, whose tens it codes; fails for 30, and gives back 41 for 40."""

    name: ClassVar[str] = "tens"

    def encode(self, chunks: Sequence[Samples]) -> list[Bitstream]:
        for chunk in chunks:
            if chunk.dtype != np.uint8 or chunk.min() != chunk.max() or chunk.max() % 10:
                raise UnsupportedSamplesError("only tens")
            if chunk.max() == 30:
                raise ValueError("thirty")
        return [Bitstream((bytes([chunk.max() // 10]),)) for chunk in chunks]

    def decode(self, bitstreams: Sequence[Bitstream], *, reduce: int = 0) -> list[Samples]:
        tens = [stream.bands[0][0] for stream in bitstreams]
        return [constant(41 if n == 4 else 10 * n) for n in tens]


class Watched(Means):
    """Remembers the values that it was given."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def encode(self, chunks: Sequence[Samples]) -> list[Bitstream]:
        self.seen += [int(chunk.max()) for chunk in chunks]
        return super().encode(chunks)


def test_what_a_specialist_takes_goes_to_no_other_codec() -> None:
    codec, rival = Watched(), Watched()
    encoded = encode_proven(codec, 1, range(4), list(map(constant, (20, 5, 50, 7))), specialists=[Tens()], rival=rival)
    assert reasons(encoded) == [("tens", ""), ("means", ""), ("tens", ""), ("means", "")]
    assert [(chunk.chunk, chunk.bands) for chunk in encoded[::2]] == [(0, (b"\2",)), (2, (b"\5",))]
    assert codec.seen == rival.seen == [5, 7]


def test_what_a_specialist_refuses_is_no_news() -> None:
    chunks = [constant(5), constant(1, "uint16")]
    with_one, without = (encode_proven(Means(), 1, [0, 1], chunks, specialists=s) for s in ([Tens()], []))
    assert with_one == without


def test_a_specialist_that_fails_or_lies_is_named_and_its_chunks_go_on() -> None:
    encoded = encode_proven(Means(), 1, range(3), list(map(constant, (30, 40, 20))), specialists=[Tens()])
    assert reasons(encoded) == [
        ("means", "tens error: ValueError: thirty"),
        ("means", "tens mismatch"),
        ("tens", ""),
    ]
    assert [is_alarming(chunk.fallback) for chunk in encoded] == [True, True, False]


def test_what_one_specialist_refuses_or_fails_of_goes_to_the_next_before_the_codec() -> None:
    codec, second = Watched(), Watched()
    encoded = encode_proven(codec, 1, range(3), list(map(constant, (20, 30, 5))), specialists=[Tens(), second])
    assert reasons(encoded) == [("tens", ""), ("means", "tens error: ValueError: thirty"), ("means", "")]
    assert (second.seen, codec.seen) == ([30, 5], [])


def test_a_specialist_does_not_hide_why_its_chunk_is_stored() -> None:
    class Fussy(Means):
        def encode(self, chunks: Sequence[Samples]) -> list[Bitstream]:
            raise UnsupportedSamplesError("nothing suits")

    (made,) = encode_proven(Fussy(), 1, [0], [constant(40)], specialists=[Tens()])
    assert (made.codec, made.fallback) == ("stored", f"tens {MISMATCH}; {UNSUPPORTED}")
    assert is_alarming(made.fallback)


def test_what_a_specialist_makes_larger_than_zstd_is_stored() -> None:
    (made,) = encode_proven(Means(), 1, [0], [constant(5)], specialists=[Padded()])
    assert (made.codec, made.fallback) == ("stored", LARGER)


def waves() -> np.ndarray:
    y, x = np.mgrid[:200, :220]
    noise = np.random.default_rng(1).normal(0, 9, (200, 220, 1))
    return (120 + (60 * np.sin(x / 17) * np.cos(y / 11))[..., None] + noise).astype(np.uint8)


def test_the_digest_of_a_chunk_without_details_is_that_of_what_it_decodes_to() -> None:
    codec = HaarCodec.load(preset="fast")
    (whole,) = encode_proven(codec, 1, [0], [waves()])
    (part,) = encode_proven(codec, 1, [0], [waves()], levels=2)
    assert (part.codec, part.fallback, len(part.bands)) == ("haar", "", len(whole.bands) - 2)
    (decoded,) = codec.decode([Bitstream(part.bands)])
    assert part.digest == samples_digest(decoded) != whole.digest


def test_a_chunk_without_details_is_stored_only_where_that_is_smaller_and_then_loses_nothing() -> None:
    flat = np.zeros((64, 64, 1), np.uint8)
    flat[::2] = 200
    (made,) = encode_proven(HaarCodec.load(preset="fast"), 1, [0], [flat], levels=1)
    assert (made.codec, made.fallback) == ("stored", LARGER)
    assert made.digest == samples_digest(flat)


class Forgetful(HaarCodec):
    """Decodes what lacks details to something else every time."""

    times = 0

    def decode(self, bitstreams: Sequence[Bitstream], *, reduce: int = 0) -> list[Samples]:
        decoded = super().decode(bitstreams, reduce=reduce)
        if any(dropped_bands(stream) for stream in bitstreams):
            self.times += 1
        return [samples + np.uint8(self.times) for samples in decoded]


def test_a_chunk_without_details_that_decodes_to_different_samples_is_stored() -> None:
    (made,) = encode_proven(Forgetful.load(preset="fast"), 1, [0], [waves()], levels=1)
    assert (made.codec, made.fallback) == ("stored", MISMATCH)
    assert made.digest == samples_digest(waves())


def test_no_chunks_are_no_work() -> None:
    assert encode_proven(Means(), 0, [], []) == []


@pytest.mark.parametrize(("reason", "alarming"), [("", False), (LARGER, False), (MISMATCH, True), ("error: x", True)])
def test_only_defects_are_alarming(reason: str, alarming: bool) -> None:
    assert is_alarming(reason) is alarming


@given(hnp.arrays(hnp.scalar_dtypes().filter(lambda d: d.kind in "biufc"), hnp.array_shapes(max_side=4)))
def test_samples_are_the_same_as_their_copy(samples: np.ndarray) -> None:
    assert same_samples(samples, samples.copy())


def test_samples_with_other_bits_are_not_the_same() -> None:
    zeros = np.zeros(3)
    assert not same_samples(zeros, -zeros)
    assert not same_samples(zeros, zeros.astype("float32"))
    assert not same_samples(zeros, zeros.reshape(3, 1))


@given(st.floats(width=32, allow_nan=True))
def test_nan_payloads_are_compared_bit_by_bit(value: float) -> None:
    samples = np.array([value], np.float32)
    other = (samples.view(np.uint32) ^ 1).view(np.float32)
    assert same_samples(samples, samples.copy())
    assert not same_samples(samples, other)
