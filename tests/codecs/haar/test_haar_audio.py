"""The sound codec: what goes in comes out, and the same bytes every time."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from haar_models import recording, tiny_model
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from haarchive.codecs.base import Bitstream
from haarchive.codecs.errors import BitstreamError, HaarchiveError, ModelError, UnsupportedSamplesError
from haarchive.codecs.haar.audio import HaarAudioCodec, Header, lifted_form
from haarchive.codecs.haar.presets import PRESETS, Preset
from haarchive.codecs.registry import get_codec

HEADER = 23
"""Bytes of the header of a sound's bitstream."""


GOLDEN_OF_FORMS = {
    "fast": "fbe368ea945da4e9feeffaab58fe0e4185ea57e7d3178a079c1c7645373d78bf",
    "balanced": "c77ef5b6dfdc944f1617017c7a0d06e5ca0b0bb305b89801d88a0a4396e45aff",
    "max": "9cb925ad456e723d3e2ea5f019454774da2bfe7f2289d103f2cecf76cbe5e0f0",
}
"""SHA-256 of what each preset makes of 3000 frames of three channels: a change is a new version of the bitstream."""


@pytest.fixture(scope="module", params=PRESETS)
def tiny(request: pytest.FixtureRequest) -> HaarAudioCodec:
    """A codec of each preset."""
    return HaarAudioCodec.load(tiny_model("haar-audio"), preset=request.param)


class Lifting(HaarAudioCodec):
    """Lifts whatever can be lifted, as the preset `max` does where that is smaller."""

    def _with_best_form(self, header: Header, x: NDArray[np.int32]) -> Header:
        return lifted_form(header, x)


@pytest.fixture(scope="module")
def lifting() -> HaarAudioCodec:
    return Lifting.load(tiny_model("haar-audio"), preset="max")


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


def sounds(dtype: type, bits: int) -> st.SearchStrategy[NDArray[np.integer]]:
    """Sounds of up to eight channels, mostly constant with some samples that are anything, or noise at full scale."""
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    shapes = st.tuples(st.integers(0, 300), st.integers(0, 8))
    values = st.integers(low, high)
    noise = st.builds(
        lambda shape, seed: np.random.default_rng(seed).integers(low, high, shape, endpoint=True).astype(dtype),
        shapes,
        st.integers(0, 99),
    )
    return noise | arrays.arrays(dtype, shapes, elements=values, fill=values)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sound=sounds(np.int16, 16) | sounds(np.int32, 24) | sounds(np.int32, 26))
def test_any_samples_come_back(tiny: HaarAudioCodec, sound: NDArray[np.integer]) -> None:
    check(tiny, sound)


@settings(deadline=None, max_examples=10)
@given(sound=sounds(np.int16, 16) | sounds(np.int32, 24))
def test_any_samples_come_back_when_lifted(lifting: HaarAudioCodec, sound: NDArray[np.integer]) -> None:
    check(lifting, sound)


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("frames", [1, 1023, 1024, 3001, 9000])
def test_lifted_sounds_come_back(lifting: HaarAudioCodec, frames: int, channels: int) -> None:
    sound = recording(frames, channels)
    assert len(check(lifting, sound).bands) == 1 + (frames > 1023) + (frames > 2047) + (frames > 4095) + (frames > 8191)


def test_sound_that_clips_comes_back(tiny: HaarAudioCodec) -> None:
    check(tiny, (recording(6000, 2).astype(np.int32) * 5).clip(-(1 << 15), (1 << 15) - 1).astype(np.int16))


def test_loud_sound_after_silence_and_silence_after_loud_sound_come_back(tiny: HaarAudioCodec) -> None:
    sound = recording(6000, 2)
    sound[1000:2500] = 0
    sound[4000:, 1] = 0
    sound[:200] = 0
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
    assert check(tiny, np.full((5000, 2), value, np.int16)).nbytes < 100


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


def test_the_registry_makes_it_from_a_model() -> None:
    codec = get_codec("haar-audio", model=tiny_model("haar-audio"))
    sound = recording(600, 2)
    assert codec.encode([sound]) == HaarAudioCodec.load(tiny_model("haar-audio")).encode([sound])


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


def test_truncated_bands_are_noticed(tiny: HaarAudioCodec, lifting: HaarAudioCodec) -> None:
    for codec in (tiny, lifting):
        (bitstream,) = codec.encode([recording(2100, 2)])
        for n, data in enumerate(bitstream.bands):
            for length in {1, 3, len(data) // 2, len(data) - 2, len(data) - 1} - {len(data)}:
                with pytest.raises(BitstreamError):
                    codec.decode([Bitstream((*bitstream.bands[:n], data[:length], *bitstream.bands[n + 1 :]))])


@pytest.mark.parametrize("bands", [(), (b"",), (b"\1",), (b"\0" * 12,), (b"\xff" * 64,)], ids=str)
def test_what_is_no_bitstream_is_refused(tiny: HaarAudioCodec, bands: tuple[bytes, ...]) -> None:
    with pytest.raises(BitstreamError):
        tiny.decode([Bitstream(bands)])


def test_missing_bands_are_noticed(lifting: HaarAudioCodec) -> None:
    (bitstream,) = lifting.encode([recording(5000, 1)])
    assert len(bitstream.bands) > 1
    with pytest.raises(BitstreamError, match="bands"):
        lifting.decode([Bitstream(bitstream.bands[:-1])])


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_keep_their_bytes(preset: Preset) -> None:
    (bitstream,) = HaarAudioCodec.load(tiny_model("haar-audio"), preset=preset).encode([recording(3000, 3)])
    assert hashlib.sha256(b"".join(bitstream.bands)).hexdigest() == GOLDEN_OF_FORMS[preset]


def test_any_preset_decodes_what_another_wrote(shipped: HaarAudioCodec) -> None:
    sound = recording(4000, 2)
    for preset in PRESETS:
        (bitstream,) = HaarAudioCodec.load(preset=preset).encode([sound])
        assert np.array_equal(shipped.decode([bitstream])[0], sound)


def test_presets_that_take_longer_are_smaller() -> None:
    sound = recording(1 << 16, 2)
    sizes = [HaarAudioCodec.load(preset=preset).encode([sound])[0].nbytes for preset in PRESETS]
    assert sizes == sorted(sizes, reverse=True)
