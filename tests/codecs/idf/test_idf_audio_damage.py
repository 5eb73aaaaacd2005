"""The codec idf-audio: what is damaged is refused, and never brings the process down."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
from idf_sound_models import made_sound_codec, recording

from haarchive.codecs.base import Bitstream
from haarchive.codecs.errors import BitstreamError
from haarchive.codecs.idf.sound_header import SoundHeader


@pytest.fixture(scope="module", params=[0, 1, 3])
def bitstream(request: pytest.FixtureRequest) -> Bitstream:
    """A sound of three channels with a value map, at several efforts."""
    sound = (recording(2000, 3) >> 10) * 3
    return made_sound_codec("pyramid", request.param).encode([sound])[0]


def decode(bands: tuple[bytes, ...]) -> None:
    made_sound_codec().decode([Bitstream(bands)])


def test_flipped_bits_are_found_or_give_other_samples(bitstream: Bitstream) -> None:
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(60):
        bands = [bytearray(band) for band in bitstream.bands]
        band = bands[rng.choice([n for n, band in enumerate(bands) if band])]
        band[rng.integers(len(band))] ^= 1 << int(rng.integers(8))
        try:
            decode(tuple(bytes(band) for band in bands))
        except BitstreamError:
            refused += 1
    assert refused > 50


@pytest.mark.parametrize("kept", [0, 1, 2, 5, 9, 30])
def test_a_truncated_header_is_refused(bitstream: Bitstream, kept: int) -> None:
    with pytest.raises(BitstreamError):
        decode((bitstream.bands[0][:kept], *bitstream.bands[1:]))


def test_truncated_bands_are_refused(bitstream: Bitstream) -> None:
    for n in range(1, len(bitstream.bands)):
        bands = list(bitstream.bands)
        bands[n] = bands[n][: len(bands[n]) // 4 * 2]
        with pytest.raises(BitstreamError):
            decode(tuple(bands))


def test_too_few_or_too_many_bands_are_refused(bitstream: Bitstream) -> None:
    for bands in ((), bitstream.bands[:-1], (*bitstream.bands, b"")):
        with pytest.raises(BitstreamError):
            decode(bands)


def test_garbage_is_refused_or_decodes_to_something() -> None:
    rng = np.random.default_rng(1)
    for size in (0, 1, 2, 8, 60):
        for _ in range(20):
            with suppress(BitstreamError):
                decode((bytes([16 | int(rng.integers(16)), int(rng.integers(1, 28)), 9, 2]) + rng.bytes(size),))


def test_a_raw_chunk_of_another_size_is_refused() -> None:
    noise = np.random.default_rng(0).integers(-(1 << 15), 1 << 15, (50, 1)).astype(np.int16)
    (raw,) = made_sound_codec().encode([noise])
    with pytest.raises(BitstreamError, match="raw samples"):
        decode((raw.bands[0] + b"\0",))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "too short"),
        (b"\x20\x01\x01\x01", "update haarchive"),
        (b"\x10\x00\x01\x01", "damaged"),
        (b"\x10\x1f\x01\x01", "damaged"),
        (b"\x10\x90\x01\x01", "damaged"),
        (b"\x10\x10\xff\xff\xff\xff\xff\x01", "does not end"),
        (b"\x10\x10\xff\xff\xff\x7f\x01", "damaged"),
        (b"\x10\x10\x01\x03\x01", "damaged"),
        (b"\x10\x10\x01\x01\x11", "damaged"),
    ],
)
def test_damaged_headers_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(BitstreamError, match=message):
        SoundHeader.from_bytes(data, 2)


def test_headers_come_back() -> None:
    for header in (
        SoundHeader(np.dtype(np.int16), (1000, 3), 16, 2, (9, 8)),
        SoundHeader(np.dtype(np.int32), (1 << 26, 1), 27, 0, (20,), mapped=True),
        SoundHeader(np.dtype(np.int32), (5, 0)),
        SoundHeader(np.dtype(np.int16), (5, 9), 4, 3, raw=True),
        SoundHeader(np.dtype(np.int16), (5, 9), mapped=True, silent=True),
    ):
        again, rest = SoundHeader.from_bytes(header.to_bytes() + b"rest", 2)
        assert again == header
        assert bytes(rest) == b"rest"
