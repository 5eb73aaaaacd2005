"""The codec idf: what goes in comes out, and the same bytes every time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from idf_models import KINDS, architecture, converted, made_codec, made_flow, made_model, picture
from numpy.typing import NDArray

from haarchive.codecs.base import Bitstream
from haarchive.codecs.errors import BitstreamError, UnsupportedSamplesError
from haarchive.codecs.idf import encoding
from haarchive.codecs.idf.codec import IdfCodec
from haarchive.codecs.idf.header import IdfHeader
from haarchive.codecs.intnet.modelfile import ModelFile
from haarchive.codecs.registry import get_codec

SHAPES = [
    (0, 0, 0), (0, 5, 3), (5, 0, 1), (4, 4, 0),
    (1, 1, 1), (1, 1, 3), (1, 1, 5), (1, 2, 3), (2, 1, 3), (2, 3, 3), (3, 3, 4),
    (17, 31, 3), (16, 16, 2), (33, 18, 5), (80, 80, 3), (1, 200, 3), (200, 1, 1), (3, 120, 4),
]  # fmt: skip


def check(codec: IdfCodec, image: NDArray[np.integer]) -> Bitstream:
    """Code a picture, and hold it against what is decoded."""
    (bitstream,) = codec.encode([image])
    (decoded,) = codec.decode([bitstream])
    assert decoded.dtype == image.dtype
    assert decoded.shape == image.shape
    assert decoded.tobytes() == np.ascontiguousarray(image).tobytes()
    return bitstream


def coded(codec: IdfCodec, image: NDArray[np.integer]) -> Bitstream:
    """As `check`, of a picture that is not stored raw."""
    bitstream = check(codec, image)
    assert not IdfHeader.from_bytes(bitstream.bands[0])[0].raw
    return bitstream


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_pictures_of_any_shape_come_back(made: IdfCodec, shape: tuple[int, int, int]) -> None:
    check(made, picture(*shape))
    check(made, np.random.default_rng(0).integers(0, 1 << 16, shape, np.uint16))


@settings(max_examples=8)
@given(
    image=arrays.arrays(
        st.sampled_from([np.uint8, np.uint16]),
        st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(0, 5)),
        fill=st.integers(0, 255),
    )
)
def test_any_samples_come_back(made: IdfCodec, image: NDArray[np.integer]) -> None:
    check(made, image)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
def test_pictures_of_any_number_of_channels_come_back(made: IdfCodec, channels: int) -> None:
    coded(made, picture(48, 37, channels))


@pytest.mark.parametrize("bits", [1, 4, 8, 9, 12, 16])
def test_pictures_of_any_depth_come_back(adapting: IdfCodec, bits: int) -> None:
    image = picture(40, 50, 3, bits).astype(np.uint16)
    bitstream = coded(adapting, image)
    if bits >= 8:
        assert bitstream.nbytes < image.size * bits / 8
    check(adapting, np.random.default_rng(bits).integers(0, 1 << bits, (36, 40, 3), np.uint16))


def test_12_bits_shifted_into_16_cost_no_more(adapting: IdfCodec) -> None:
    image = picture(40, 50, 3, 12)
    assert coded(adapting, image << 4).nbytes <= coded(adapting, image).nbytes + 1


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("pattern", ["checks", "rows", "channels", "halves", "one pixel"])
def test_extremes_side_by_side_come_back(made: IdfCodec, dtype: type, pattern: str) -> None:
    y, x, c = np.ogrid[:30, :37, :3]
    bright = {
        "checks": (x + y + c) % 2,
        "rows": y % 2 + 0 * (x + c),
        "channels": c % 2 + 0 * (x + y),
        "halves": (x >= 19) + 0 * (y + c),
        "one pixel": (x == 20) & (y == 9) & (c == 1),
    }[pattern]
    top = int(np.iinfo(dtype).max)
    check(made, (bright * top).astype(dtype))
    check(made, (bright * (top - 2) + 1).astype(dtype))  # no common divisor


@pytest.mark.parametrize("value", [0, 1, 200, 255])
def test_details_of_flat_pictures_cost_some_tens_of_bytes(value: int) -> None:
    # The prior of the last latents is the model's: what they cost is no merit of the codec.
    bitstream = coded(made_codec("pyramid"), np.full((128, 128, 3), value, np.uint8))
    assert sum(map(len, bitstream.bands[1:])) < 60


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_noise_is_stored_raw_and_costs_nearly_nothing_more(made: IdfCodec, dtype: type) -> None:
    noise = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (80, 80, 3), dtype, endpoint=True)
    bitstream = check(made, noise)
    assert IdfHeader.from_bytes(bitstream.bands[0])[0].raw
    assert bitstream.nbytes <= noise.nbytes * 1.001


def test_what_is_encoded_is_left_alone(made: IdfCodec) -> None:
    image = picture(20, 24)
    before = image.copy()
    made.encode([image])
    assert np.array_equal(image, before)


def test_what_is_decoded_may_be_changed(made: IdfCodec) -> None:
    for image in (picture(20, 24), np.random.default_rng(0).integers(0, 256, (9, 9, 1), np.uint8)):
        (decoded,) = made.decode(made.encode([image]))
        decoded += 1
        assert decoded.flags.c_contiguous


def test_views_of_larger_arrays_come_back(adapting: IdfCodec) -> None:
    image = picture(60, 80, 5)
    for view in (image[::2, ::-1], image[:, :, ::2], image[5:40, 7:50, 1:4], image.transpose(1, 0, 2)):
        check(adapting, view)


MIXED = [
    picture(24, 24), picture(24, 24, seed=2), picture(1, 1), picture(17, 31, 5), np.zeros((0, 4, 3), np.uint8),
    picture(24, 24, 3, 12), np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8), picture(24, 24, 1),
    picture(24, 24, 3, 16), picture(24, 24, seed=4), converted(24, 24),
    converted(24, 24, name="ycbcr-coarse", foreign=1), converted(17, 31, 5, seed=2), converted(24, 24, seed=3),
]  # fmt: skip


def test_a_batch_gives_the_bytes_of_each_alone(made: IdfCodec) -> None:
    together = made.encode(MIXED)
    assert together == [made.encode([image])[0] for image in MIXED]
    assert made.encode(MIXED[::-1]) == together[::-1]
    for image, decoded in zip(MIXED, made.decode(together), strict=True):
        assert np.array_equal(decoded, image)


def test_large_batches_are_split_and_give_the_same_bytes(monkeypatch: pytest.MonkeyPatch, adapting: IdfCodec) -> None:
    images = [picture(24, 40, 3, seed=n) for n in range(5)]
    together = adapting.encode(images)
    monkeypatch.setitem(encoding._BATCH_SAMPLES, "cpu", 2 * images[0].size)
    assert adapting.encode(images) == together
    assert all(np.array_equal(a, b) for a, b in zip(adapting.decode(together), images, strict=True))
    monkeypatch.setitem(encoding._BATCH_SAMPLES, "cpu", 1)
    assert adapting.encode(images) == together


def test_nothing_gives_nothing(made: IdfCodec) -> None:
    assert made.encode([]) == []
    assert made.decode([]) == []


def test_the_number_of_threads_changes_no_byte(adapting: IdfCodec) -> None:
    images = [picture(48, 64, 3, seed=n) for n in range(2)]
    before = torch.get_num_threads()
    results = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            results.append(adapting.encode(images))
            assert all(np.array_equal(a, b) for a, b in zip(adapting.decode(results[-1]), images, strict=True))
    finally:
        torch.set_num_threads(before)
    assert results[0] == results[1]


@pytest.mark.parametrize("kind", KINDS)
def test_decoding_does_not_depend_on_whether_the_decoder_adapts(kind: str) -> None:
    image = picture(40, 44)
    for adaptive in (False, True):
        bitstreams = made_codec(kind, adaptive).encode([image])
        assert np.array_equal(made_codec(kind, not adaptive).decode(bitstreams)[0], image)
    both = [codec.encode([image])[0] for codec in (made_codec(kind, True), made_codec(kind, False))]
    assert both[0] != both[1]
    assert all(np.array_equal(one, image) for one in made_codec(kind).decode(both))


def test_a_bitstream_of_another_model_is_refused() -> None:
    (bitstream,) = made_codec("pyramid").encode([picture(40, 44)])
    with pytest.raises(BitstreamError, match="needs another model than"):
        made_codec("coupled").decode([bitstream])


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros((4, 4, 3), np.int8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 3), bool),
        np.zeros((4, 4, 3), np.uint32),
        np.zeros((4, 4), np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
        np.zeros((0, (1 << 16) + 1, 1), np.uint8),
        np.zeros((1, 1, 1 << 16), np.uint8),
    ],
    ids=lambda a: f"{a.dtype} {a.shape}",
)
def test_samples_of_other_kinds_are_refused(made: IdfCodec, samples: NDArray[np.generic]) -> None:
    with pytest.raises(UnsupportedSamplesError, match="idf takes"):
        made.encode([samples])


def test_presets_say_whether_to_adapt() -> None:
    model, image = made_model("pyramid"), picture(20, 24)
    for preset, adaptive in (("fast", False), ("balanced", True), ("max", True)):
        codec = IdfCodec.load(model, preset=preset)  # type: ignore[arg-type]
        (bitstream,) = codec.encode([image])
        assert IdfHeader.from_bytes(bitstream.bands[0])[0].adaptive == adaptive
        assert bitstream == made_codec("pyramid", adaptive).encode([image])[0]


def test_the_registry_makes_the_codec_from_a_model_file() -> None:
    codec = get_codec("idf", model=made_model("paper"))
    assert isinstance(codec, IdfCodec)
    assert codec.name == "idf"
    assert codec.model == made_model("paper")
    assert codec.model_digest == ModelFile.from_bytes(made_model("paper")).digest


def test_a_model_for_single_planes_codes_each_plane_for_itself() -> None:
    flow, networks = made_flow("p1", architecture("pyramid", 1))
    model = ModelFile("idf", networks, structure={"flows": {"p1": flow.describe()}}).to_bytes()
    for channels in (1, 2, 3, 5):
        coded(IdfCodec.load(model), picture(40, 33, channels))
