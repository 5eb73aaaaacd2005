"""The codec idf-audio: what goes in comes out, and the same bytes every time."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from idf_models import made_model
from idf_sound_models import KINDS, made_sound_codec, made_sound_model, recording
from numpy.typing import NDArray

from haarchive.codecs.base import Bitstream
from haarchive.codecs.errors import BitstreamError, ModelError, UnsupportedSamplesError
from haarchive.codecs.haar.presets import PRESETS, Preset
from haarchive.codecs.idf.audio import IdfAudioCodec
from haarchive.codecs.idf.shipped import load_flows
from haarchive.codecs.registry import get_codec

EFFORTS = (0, 1, 2, 3)

GOLDEN = {
    0: "9dbe40e393d8ca8752d6d050faba6d97dc0d7787bfe83a2aa67a3a37eaa6e9c0",
    1: "e6cc8c194ba72e1ece888eecff49923b46e3955c40c31bb09bf36a9abed38458",
    2: "c15f6ee33289ccd6a8ff9c20c209f5cf3d844489a5be16b0834bccb9fc3c8aa6",
    3: "9f20d89846f27aadc211f704b7a7e4e8df9837ad692ebed75620dad7c6d6b566",
}
"""SHA-256 of what each effort makes of `golden_sounds`: a change is a new version of the bitstream."""


@pytest.fixture(scope="module", params=EFFORTS)
def made(request: pytest.FixtureRequest) -> IdfAudioCodec:
    """The codec with a small model, at each effort."""
    return made_sound_codec("pyramid", request.param)


def check(codec: IdfAudioCodec, sound: NDArray[np.integer]) -> Bitstream:
    """Code a sound, and hold it against what is decoded."""
    (bitstream,) = codec.encode([sound])
    (decoded,) = codec.decode([bitstream])
    assert decoded.dtype == sound.dtype
    assert decoded.shape == sound.shape
    assert decoded.tobytes() == np.ascontiguousarray(sound).tobytes()
    return bitstream


def coded(codec: IdfAudioCodec, sound: NDArray[np.integer]) -> Bitstream:
    """As `check`, of a sound that has a band for each level."""
    bitstream = check(codec, sound)
    assert len(bitstream.bands) > 1
    return bitstream


def details(bitstream: Bitstream) -> int:
    """Bytes of all bands but the last latents', which a made-up prior makes dear."""
    return sum(len(band) for band in bitstream.bands[1:])


def golden_sounds() -> list[NDArray[np.integer]]:
    return [
        recording(3000, 2), recording(701, 3), recording(1500, 1).astype(np.int32) * 251,
        (recording(4000, 1) >> 10) * 12, np.zeros((500, 2), np.int16),
        np.full((1, 1), -5, np.int16), np.zeros((0, 2), np.int16),
    ]  # fmt: skip


@pytest.mark.parametrize("channels", [0, 1, 2, 3, 5])
@pytest.mark.parametrize("frames", [0, 1, 2, 3, 16, 17, 100, 1025])
def test_sounds_of_any_shape_come_back(made: IdfAudioCodec, frames: int, channels: int) -> None:
    check(made, recording(frames, channels))


def sounds(dtype: type, bits: int) -> st.SearchStrategy[NDArray[np.integer]]:
    """Mostly constant sounds with some samples that are anything, or noise at full scale."""
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    shapes = st.tuples(st.integers(0, 200), st.integers(0, 4))
    values = st.integers(low, high)
    noise = st.builds(
        lambda shape, seed: np.random.default_rng(seed).integers(low, high, shape, endpoint=True).astype(dtype),
        shapes,
        st.integers(0, 99),
    )
    return noise | arrays.arrays(dtype, shapes, elements=values, fill=values)


@settings(max_examples=20)
@given(sound=sounds(np.int16, 16) | sounds(np.int32, 24) | sounds(np.int32, 26))
def test_any_samples_come_back(made: IdfAudioCodec, sound: NDArray[np.integer]) -> None:
    check(made, sound)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("most", [1, 2])
def test_flows_of_any_layout_code_sound(kind: str, most: int) -> None:
    coded(made_sound_codec(kind, 2, most), recording(2000, 3))
    coded(made_sound_codec(kind, 0, most), recording(2000, 3))


@pytest.mark.parametrize("bits", [2, 8, 16, 20, 24, 26])
def test_sounds_of_any_loudness_come_back(made: IdfAudioCodec, bits: int) -> None:
    loud = (recording(2000, 2).astype(np.int64) << 11) >> (27 - bits)
    coded(made, loud.astype(np.int32))
    check(made, np.random.default_rng(bits).integers(-(1 << (bits - 1)), 1 << (bits - 1), (600, 2)).astype(np.int32))


@pytest.mark.parametrize("top", [(1 << 15) - 1, (1 << 24) - 1, (1 << 26) - 1])
@pytest.mark.parametrize("pattern", ["every other", "one click", "opposed channels", "pairs"])
def test_extremes_side_by_side_come_back(made: IdfAudioCodec, top: int, pattern: str) -> None:
    t, c = np.ogrid[:700, :2]
    up = {
        "every other": (t + c) % 2 == 0,
        "one click": (t == 333) & (c == 1),
        "opposed channels": (c == 1) | (t < 0),
        "pairs": (t // 2 + c) % 2 == 0,
    }[pattern]
    check(made, np.where(up, top, -top).astype(np.int32))
    check(made, np.where(up, top - 1, t % 3).astype(np.int32))


def test_silence_costs_a_few_bytes(made: IdfAudioCodec) -> None:
    assert check(made, np.zeros((1 << 18, 2), np.int16)).nbytes < 12
    assert check(made, np.full((1 << 18, 2), -77, np.int16)).nbytes < 32


def test_zeros_at_the_end_of_a_recording_cost_little() -> None:
    codec, sound = made_sound_codec(), recording(4000, 2)
    longer = np.concatenate([sound, np.zeros((4000, 2), np.int16)])
    assert details(coded(codec, longer)) < 1.2 * details(coded(codec, sound))


def test_levels_whose_details_are_zero_have_empty_bands(made: IdfAudioCodec) -> None:
    steps = np.repeat(recording(300, 2), 4, axis=0)
    assert coded(made, steps).bands[-2:] == (b"", b"")


def test_noise_is_stored_raw_and_costs_nearly_nothing_more(made: IdfAudioCodec) -> None:
    noise = np.random.default_rng(0).integers(-(1 << 15), 1 << 15, (3000, 2)).astype(np.int16)
    bitstream = check(made, noise)
    assert len(bitstream.bands) == 1
    assert bitstream.nbytes < noise.nbytes + 10


def test_bits_that_are_always_zero_cost_nothing(made: IdfAudioCodec) -> None:
    sound = recording(2000, 2)
    assert coded(made, sound.astype(np.int32) << 8).nbytes <= coded(made, sound).nbytes + 20


def test_sparse_values_are_numbered(made: IdfAudioCodec) -> None:
    sound = recording(4000, 1) >> 10
    assert coded(made, sound * 7).nbytes <= coded(made, sound).nbytes + 40


def test_adaptive_couplings_make_sound_smaller() -> None:
    sound = recording(6000, 2)
    sizes = [coded(made_sound_codec("pyramid", effort), sound).nbytes for effort in EFFORTS]
    assert max(sizes[1:]) < 0.85 * sizes[0]


def test_two_channels_that_are_alike_cost_little_more_than_one() -> None:
    sound = recording(6000, 1)
    both = np.concatenate([sound, sound + np.int16(3)], axis=1)
    assert details(coded(made_sound_codec(), both)) < 1.25 * details(coded(made_sound_codec(), sound))


@pytest.mark.parametrize("effort", EFFORTS)
def test_the_bitstream_has_not_changed(effort: int) -> None:
    digest = hashlib.sha256()
    for bitstream in made_sound_codec("pyramid", effort).encode(golden_sounds()):
        for band in bitstream.bands:
            digest.update(len(band).to_bytes(4, "little") + band)
    assert digest.hexdigest() == GOLDEN[effort]


def test_any_effort_decodes_what_another_encoded() -> None:
    sound = recording(1500, 2)
    for effort in EFFORTS:
        bitstreams = made_sound_codec("pyramid", effort).encode([sound])
        assert all(np.array_equal(made_sound_codec("pyramid", e).decode(bitstreams)[0], sound) for e in EFFORTS)


def test_max_takes_the_smallest_of_all_ways() -> None:
    tries = [made_sound_codec("pyramid", effort) for effort in EFFORTS[1:]]
    best = IdfAudioCodec.load(made_sound_model(), preset="max")
    for sound in golden_sounds():
        assert best.encode([sound])[0].nbytes == min(codec.encode([sound])[0].nbytes for codec in tries)


def test_a_batch_gives_the_bytes_of_each_alone() -> None:
    codec, several = made_sound_codec(), golden_sounds()
    together = codec.encode(several)
    assert together == [codec.encode([sound])[0] for sound in several]
    assert all(np.array_equal(a, b) for a, b in zip(codec.decode(together), several, strict=True))


def test_views_of_larger_arrays_come_back() -> None:
    sound = recording(3000, 5)
    for view in (sound[::-2], sound[:, ::2], sound[100:1700, 1:4], np.asfortranarray(sound)):
        check(made_sound_codec(), view)


@pytest.mark.parametrize(
    "chunk",
    [
        np.zeros((4, 2), np.uint8), np.zeros((4, 2), np.float32), np.zeros(4, np.int16), np.zeros((2, 2, 2), np.int16),
        np.array([[1 << 28], [1]], np.int32),
    ],
    ids=str,
)  # fmt: skip
def test_other_samples_are_refused(chunk: NDArray[np.generic]) -> None:
    with pytest.raises(UnsupportedSamplesError):
        made_sound_codec().encode([chunk])


def test_sound_has_one_resolution() -> None:
    with pytest.raises(BitstreamError, match="one resolution"):
        made_sound_codec().decode(made_sound_codec().encode([recording(100, 1)]), reduce=1)


def test_flows_of_pictures_are_refused() -> None:
    with pytest.raises(ModelError, match="belongs to codec 'idf'"):
        IdfAudioCodec.load(made_model("pyramid"))
    flows, digest = load_flows("idf", made_model("pyramid"), "cpu")
    with pytest.raises(ModelError, match="not one of sound"):
        IdfAudioCodec(flows, digest, b"", (2,))


@pytest.mark.parametrize("preset", PRESETS)
def test_the_shipped_model_codes_by_every_preset(preset: Preset) -> None:
    codec = get_codec("idf-audio", preset=preset)
    assert isinstance(codec, IdfAudioCodec)
    assert coded(codec, recording(9001, 2)).nbytes < 0.6 * 4 * 9001
    assert codec.model_digest == hashlib.sha256(codec.model or b"").hexdigest()


def test_a_bitstream_names_its_model() -> None:
    (bitstream,) = made_sound_codec().encode([recording(1000, 2)])
    with pytest.raises(BitstreamError, match="needs another model"):
        IdfAudioCodec.load(made_sound_model("paper")).decode([bitstream])
