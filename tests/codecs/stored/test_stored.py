"""The stored codec."""

from __future__ import annotations

from contextlib import suppress

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from haarchive.codecs.base import Bitstream
from haarchive.codecs.errors import BitstreamError, CodecError, UnsupportedSamplesError
from haarchive.codecs.stored import StoredCodec

DTYPES = ["?", "u1", "i1", "u2", ">u2", "i4", ">i4", "u8", "f2", "f4", ">f8", "c8", "c16", "S3", "V5"]
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=9)


@st.composite
def arrays(draw):
    """Arrays of any plain dtype and shape, of repeated bytes: both zstd and raw storage win at times."""
    dtype, shape = np.dtype(draw(st.sampled_from(DTYPES))), draw(SHAPES)
    seed = np.frombuffer(draw(st.binary(min_size=1, max_size=64)), np.uint8)
    if dtype.kind == "b":
        return np.resize(seed, shape) > 127
    return np.resize(seed, int(np.prod(shape)) * dtype.itemsize).view(dtype).reshape(shape)


def decoded(samples, codec=StoredCodec()):  # noqa: B008
    return codec.decode(codec.encode([samples]))[0]


@given(arrays())
def test_any_array_comes_back_bit_for_bit(samples):
    back = decoded(samples)
    assert back.shape == samples.shape
    assert back.dtype == samples.dtype.newbyteorder("=")
    assert back.tobytes() == samples.astype(back.dtype, copy=False).tobytes()


@given(arrays())
def test_a_bitstream_is_never_more_than_24_bytes_over_raw(samples):
    assert StoredCodec().encode([samples])[0].nbytes <= samples.nbytes + 24


def test_nan_payloads_survive():
    samples = np.array([0x7FC00001, 0xFFC12345, 0x7F800001], np.uint32).view(np.float32)
    assert decoded(samples).tobytes() == samples.tobytes()


def test_noise_is_kept_raw():
    noise = np.random.default_rng(0).integers(0, 256, 100_000, np.uint8)
    assert StoredCodec().encode([noise])[0].nbytes <= noise.nbytes + 8


def test_byte_planes_help_slow_16_bit_signals():
    ramp = (np.arange(50_000) // 3 + np.random.default_rng(0).integers(0, 8, 50_000)).astype(np.uint16)
    assert StoredCodec().encode([ramp])[0].nbytes < 0.55 * ramp.nbytes
    np.testing.assert_array_equal(decoded(ramp), ramp)


def test_a_strided_view_is_stored_in_its_own_order():
    samples = np.arange(24, dtype=np.uint16).reshape(4, 6)[::2, ::-1]
    np.testing.assert_array_equal(decoded(samples), samples)


def test_batches_change_no_byte():
    chunks = [np.full((n, 3), n, np.int32) for n in range(5)]
    assert StoredCodec().encode(chunks) == [StoredCodec().encode([chunk])[0] for chunk in chunks]


@pytest.mark.parametrize("dtype", [object, "datetime64[s]", [("a", "u1"), ("b", "u2")], "U4"])
def test_a_dtype_that_has_no_plain_bytes_is_refused(dtype):
    with pytest.raises(UnsupportedSamplesError, match="dtype"):
        StoredCodec().encode([np.zeros(3, dtype)])


def test_a_reduced_resolution_is_refused():
    with pytest.raises(CodecError, match="one resolution"):
        StoredCodec().decode(StoredCodec().encode([np.zeros(4)]), reduce=1)


@settings(max_examples=400)
@given(arrays(), st.data())
def test_damage_is_reported_or_gives_an_array_but_never_crashes(samples, data):
    band = bytearray(StoredCodec().encode([samples])[0].bands[0])
    for _ in range(data.draw(st.integers(1, 3))):
        band[data.draw(st.integers(0, len(band) - 1))] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.integers(0, len(band)))
    for damaged in (bytes(band), bytes(band[:cut])):
        with suppress(BitstreamError):
            assert isinstance(StoredCodec().decode([Bitstream((damaged,))])[0], np.ndarray)


def test_a_claim_of_terabytes_is_refused_before_memory_is_asked_for():
    band = bytes([1, ord("u"), 1, 1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40]) + bytes.fromhex("28b52ffd00580100")
    with pytest.raises(BitstreamError):
        StoredCodec().decode([Bitstream((band,))])


def test_a_bitstream_of_two_bands_is_refused():
    with pytest.raises(BitstreamError, match="1 band"):
        StoredCodec().decode([Bitstream((b"", b""))])


@pytest.mark.parametrize(("dtype", "bits", "low"), [("int32", 24, 3), ("int16", 8, 1), ("int64", 33, 5)])
def test_noise_of_few_bits_in_wide_integers_costs_its_own_bytes(dtype, bits, low):
    top = 1 << (bits - 1)
    samples = np.random.default_rng(0).integers(-top, top, (5000, 2)).astype(dtype)
    samples[0] = -top, top - 1
    (stream,) = StoredCodec().encode([samples])
    assert stream.nbytes <= low * samples.size + 24
    (restored,) = StoredCodec().decode([stream])
    assert restored.dtype == samples.dtype
    assert np.array_equal(restored, samples)


@pytest.mark.parametrize("cut", [0, 1, 7])
def test_low_bytes_that_do_not_fit_the_shape_are_refused(cut):
    samples = np.random.default_rng(0).integers(-(1 << 23), 1 << 23, 1000).astype(np.int32)
    band = StoredCodec().encode([samples])[0].bands[0]
    header = len(band) - 3001
    damaged = band[:header] + (b"\x04" + band[header + 1 :] if cut == 0 else band[header:-cut])
    with pytest.raises(BitstreamError):
        StoredCodec().decode([Bitstream((damaged,))])
