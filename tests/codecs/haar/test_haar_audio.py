"""The sound codec: what goes in comes out, and the same bytes every time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from haar_models import recording, tiny_model
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from haarchive.codecs.base import Bitstream
from haarchive.codecs.errors import BitstreamError, HaarchiveError, ModelError, UnsupportedSamplesError
from haarchive.codecs.haar.audio import HaarAudioCodec
from haarchive.codecs.registry import get_codec

HEADER = 12
"""Bytes of the header of a sound's bitstream."""


@pytest.fixture(scope="module")
def tiny() -> HaarAudioCodec:
    return HaarAudioCodec.load(tiny_model("haar-audio"))


@pytest.fixture(scope="module")
def shipped() -> HaarAudioCodec:
    return HaarAudioCodec.load()


def check(codec: HaarAudioCodec, sound: NDArray[np.integer]) -> Bitstream:
    """Code a sound, and hold it against what is decoded."""
    (bitstream,) = codec.encode([sound])
    (decoded,) = codec.decode([bitstream])
    assert decoded.dtype == sound.dtype
    assert decoded.shape == sound.shape
    assert decoded.tobytes() == np.ascontiguousarray(sound).tobytes()
    return bitstream


@pytest.mark.parametrize("channels", [0, 1, 2, 3, 8])
@pytest.mark.parametrize("frames", [0, 1, 2, 3, 100, 127, 128, 129, 1023, 1025, 3001])
def test_sounds_of_any_shape_come_back(tiny: HaarAudioCodec, frames: int, channels: int) -> None:
    check(tiny, recording(frames, channels))


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 12, 15, 16])
def test_sounds_of_16_bits_of_any_loudness_come_back(tiny: HaarAudioCodec, bits: int) -> None:
    noise = np.random.default_rng(bits).integers(-(1 << (bits - 1)), 1 << (bits - 1), (1500, 2))
    check(tiny, noise.astype(np.int16))
    check(tiny, (recording(1500, 2).astype(np.int32) >> (16 - bits)).astype(np.int16))


@pytest.mark.parametrize("bits", [17, 20, 24, 26])
def test_sounds_of_32_bits_come_back(tiny: HaarAudioCodec, bits: int) -> None:
    noise = np.random.default_rng(bits).integers(-(1 << (bits - 1)), 1 << (bits - 1), (1500, 2))
    check(tiny, noise.astype(np.int32))
    check(tiny, recording(2500, 2).astype(np.int32) << (bits - 16))
    check(tiny, (recording(2500, 2).astype(np.int32) << (bits - 16)) + noise[:1, :1].astype(np.int32) % 100)


@settings(deadline=None, max_examples=25)
@given(
    sound=arrays.arrays(
        np.int16,
        st.tuples(st.integers(0, 300), st.integers(0, 4)),
        fill=st.integers(-(1 << 15), (1 << 15) - 1),
    )
)
def test_any_samples_come_back(tiny: HaarAudioCodec, sound: NDArray[np.int16]) -> None:
    check(tiny, sound)


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [(np.int16, -(1 << 15), (1 << 15) - 1), (np.int32, -(1 << 26) + 1, (1 << 26) - 1)],
)
@pytest.mark.parametrize("pattern", ["every other", "blocks", "one click", "opposed channels"])
def test_extremes_side_by_side_come_back(tiny: HaarAudioCodec, dtype: type, low: int, high: int, pattern: str) -> None:
    t, c = np.ogrid[:2200, :2]
    up = {
        "every other": (t + c) % 2 == 0,
        "blocks": (t // 300 + 0 * c) % 2 == 0,
        "one click": (t == 777) & (c == 1),
        "opposed channels": (c == 1) | (t < 0),
    }[pattern]
    check(tiny, np.where(up, high, low).astype(dtype))
    check(tiny, np.where(up, high, 0).astype(dtype))
    check(tiny, np.where(up, high - 1, low + 2).astype(dtype))


@pytest.mark.parametrize("value", [0, 1, -1, 12345, -(1 << 15)])
def test_constant_sound_comes_back_and_costs_nearly_nothing(tiny: HaarAudioCodec, value: int) -> None:
    assert check(tiny, np.full((5000, 2), value, np.int16)).nbytes < 1000


def test_samples_of_28_bits_or_more_are_left_to_the_fallback(tiny: HaarAudioCodec) -> None:
    sound = np.array([[1 << 30], [1]], np.int32)
    with pytest.raises(UnsupportedSamplesError, match="27 bits"):
        tiny.encode([sound])
    check(tiny, sound[:1].repeat(2000, 0))  # zero bits at the end are dropped first


@pytest.mark.parametrize("seconds", [(0, 3000), (1000, 7001)])
def test_made_recordings_are_smaller_than_they_were(shipped: HaarAudioCodec, seconds: tuple[int, int]) -> None:
    sound = recording(8000, 2)[slice(*seconds)]
    assert check(shipped, sound).nbytes < 0.8 * sound.nbytes


def test_sparse_values_are_renumbered(tiny: HaarAudioCodec) -> None:
    quiet = recording(6000, 1) >> 8
    assert np.unique(quiet).size > 50
    plain = check(tiny, quiet).nbytes
    assert check(tiny, (quiet.astype(np.int32) << 8)).nbytes <= plain + 16
    assert check(tiny, (quiet * 7 + 3).astype(np.int16)).nbytes < plain + 300


def test_real_recordings_come_back(shipped: HaarAudioCodec, data_dir: Path) -> None:
    folders = sorted(p for p in (data_dir / "audio" / "val").iterdir() if p.is_dir())
    assert folders
    for folder in folders:
        path = sorted(folder.glob("*.flac"))[0]
        sound = soundfile.read(path, frames=4000, start=0, dtype="int16", always_2d=True)[0]
        check(shipped, sound)


def test_a_real_recording_is_smaller_than_flac(shipped: HaarAudioCodec, data_dir: Path, tmp_path: Path) -> None:
    path = sorted((data_dir / "audio" / "val").glob("*/*.flac"))[0]
    info = soundfile.info(path)
    sound = soundfile.read(path, frames=1 << 16, dtype="int16", always_2d=True)[0]
    flac = tmp_path / "peer.flac"
    soundfile.write(flac, sound, info.samplerate, subtype="PCM_16", compression_level=5 / 8)
    assert check(shipped, sound).nbytes < flac.stat().st_size


def test_a_batch_gives_the_bytes_that_its_sounds_give_alone(tiny: HaarAudioCodec) -> None:
    sounds = [
        recording(1300, 2),
        recording(0, 1),
        recording(400, 1, seed=4),
        recording(1300, 2, seed=5).astype(np.int32),
    ]
    together = tiny.encode(sounds)
    assert together == [tiny.encode([sound])[0] for sound in sounds]
    for sound, decoded in zip(sounds, tiny.decode(together), strict=True):
        assert np.array_equal(sound, decoded)


def test_two_threads_give_the_same_bytes(shipped: HaarAudioCodec) -> None:
    sound = recording(5000, 2)
    one = shipped.encode([sound])
    torch.set_num_threads(2)
    try:
        assert shipped.encode([sound]) == one
        assert np.array_equal(shipped.decode(one)[0], sound)
    finally:
        torch.set_num_threads(1)


def test_sound_that_is_not_contiguous_comes_back(tiny: HaarAudioCodec) -> None:
    sound = recording(3000, 4)
    check(tiny, sound[::-2, 1:3])
    check(tiny, sound.T[:, :2])


def test_sound_has_one_resolution(tiny: HaarAudioCodec) -> None:
    bitstreams = tiny.encode([recording(2000, 1)])
    with pytest.raises(BitstreamError, match="one resolution"):
        tiny.decode(bitstreams, reduce=1)


@pytest.mark.parametrize(
    "chunk",
    [np.zeros((9, 2), np.uint8), np.zeros((9, 2), np.float32), np.zeros((9, 2), ">i2"), np.zeros(9, np.int16),
     np.zeros((1, 65536), np.int16)],
    ids=lambda chunk: f"{chunk.dtype.str} {chunk.shape}",
)  # fmt: skip
def test_what_it_does_not_take_is_refused(tiny: HaarAudioCodec, chunk: NDArray) -> None:
    with pytest.raises(UnsupportedSamplesError, match="haar-audio takes"):
        tiny.encode([chunk])


def test_the_registry_makes_it_from_a_model(tiny: HaarAudioCodec) -> None:
    codec = get_codec("haar-audio", model=tiny_model("haar-audio"))
    sound = recording(600, 2)
    assert codec.encode([sound]) == tiny.encode([sound])


def test_another_codec_s_model_is_refused() -> None:
    with pytest.raises(ModelError, match="belongs to codec 'haar', not 'haar-audio'"):
        HaarAudioCodec.load(tiny_model("haar"))


def flipped(bitstream: Bitstream, band: int, bit: int) -> Bitstream:
    bands = [bytearray(b) for b in bitstream.bands]
    bands[band][bit // 8] ^= 1 << bit % 8
    return Bitstream(tuple(bytes(b) for b in bands))


def noticed(codec: HaarAudioCodec, bitstream: Bitstream) -> bool:
    """Whether damage was noticed; anything but one of our errors, or samples, fails the test."""
    try:
        codec.decode([bitstream])
    except HaarchiveError:
        return True
    return False


def test_flipped_bits_are_noticed_or_give_other_samples(tiny: HaarAudioCodec) -> None:
    (bitstream,) = tiny.encode([recording(2100, 2)])
    rng = np.random.default_rng(0)
    count = 0
    for _ in range(60):
        band = int(rng.integers(len(bitstream.bands)))
        begin = 8 * HEADER if band == 0 else 0
        count += noticed(tiny, flipped(bitstream, band, int(rng.integers(begin, 8 * len(bitstream.bands[band])))))
    assert count > 50


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("bit", range(8 * HEADER))
def test_a_flipped_bit_in_the_header_is_noticed_or_gives_other_samples(
    tiny: HaarAudioCodec, bit: int, channels: int
) -> None:
    (bitstream,) = tiny.encode([recording(300, channels)])
    noticed(tiny, flipped(bitstream, 0, bit))


def test_truncated_bands_are_noticed(tiny: HaarAudioCodec) -> None:
    (bitstream,) = tiny.encode([recording(2100, 2)])
    for n, data in enumerate(bitstream.bands):
        for length in {1, 3, len(data) // 2, len(data) - 2, len(data) - 1} - {len(data)}:
            with pytest.raises(BitstreamError):
                tiny.decode([Bitstream((*bitstream.bands[:n], data[:length], *bitstream.bands[n + 1 :]))])


@pytest.mark.parametrize("bands", [(), (b"",), (b"\1",), (b"\0" * 12,), (b"\xff" * 64,)], ids=str)
def test_what_is_no_bitstream_is_refused(tiny: HaarAudioCodec, bands: tuple[bytes, ...]) -> None:
    with pytest.raises(BitstreamError):
        tiny.decode([Bitstream(bands)])


def test_missing_bands_are_noticed(tiny: HaarAudioCodec) -> None:
    (bitstream,) = tiny.encode([recording(5000, 1)])
    assert len(bitstream.bands) > 1
    with pytest.raises(BitstreamError, match="bands"):
        tiny.decode([Bitstream(bitstream.bands[:-1])])
