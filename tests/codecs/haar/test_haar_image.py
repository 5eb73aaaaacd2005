"""The image codec: what goes in comes out, and the same bytes every time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import torch
from haar_models import picture, tiny_codec, tiny_model
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from haarchive.codecs.base import Bitstream
from haarchive.codecs.errors import BitstreamError, ModelError, UnsupportedSamplesError
from haarchive.codecs.haar.image import HaarCodec
from haarchive.codecs.haar.image_header import ImageHeader
from haarchive.codecs.haar.phases import NO_GRID
from haarchive.codecs.haar.presets import DEFAULT_PRESET, PRESETS, Preset
from haarchive.codecs.intnet.modelfile import ModelFile
from haarchive.codecs.registry import get_codec

SHAPES = [
    (0, 0, 0), (0, 5, 3), (5, 0, 1), (4, 4, 0), (40, 40, 0),
    (1, 1, 1), (1, 1, 3), (1, 1, 5), (1, 2, 3), (2, 1, 3), (2, 2, 2), (3, 3, 4),
    (15, 15, 3), (16, 16, 3), (17, 17, 3), (31, 33, 3), (16, 15, 1), (33, 16, 4), (17, 64, 2), (65, 47, 5),
    (1, 400, 3), (400, 1, 3), (3, 300, 1), (16, 300, 3), (301, 17, 1),
]  # fmt: skip


def check(codec: HaarCodec, image: NDArray[np.integer]) -> Bitstream:
    """Code a picture, and hold it against what is decoded."""
    (bitstream,) = codec.encode([image])
    (decoded,) = codec.decode([bitstream])
    assert decoded.dtype == image.dtype
    assert decoded.shape == image.shape
    assert decoded.tobytes() == np.ascontiguousarray(image).tobytes()
    return bitstream


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_pictures_of_any_shape_come_back(tiny: HaarCodec, shape: tuple[int, int, int]) -> None:
    check(tiny, picture(*shape))


@pytest.mark.parametrize("shape", [(0, 7, 3), (1, 1, 1), (33, 18, 3), (50, 35, 1), (20, 40, 4)], ids=str)
def test_noise_of_16_bits_of_any_shape_comes_back(tiny: HaarCodec, shape: tuple[int, int, int]) -> None:
    check(tiny, np.random.default_rng(0).integers(0, 1 << 16, shape, np.uint16))


@settings(deadline=None, max_examples=25)
@given(
    image=arrays.arrays(
        st.sampled_from([np.uint8, np.uint16]),
        st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(0, 5)),
        fill=st.integers(0, 255),
    )
)
def test_any_samples_come_back(tiny: HaarCodec, image: NDArray[np.integer]) -> None:
    check(tiny, image)


@settings(deadline=None, max_examples=15)
@given(
    height=st.integers(1, 80),
    width=st.integers(1, 80),
    channels=st.integers(1, 5),
    bits=st.integers(1, 16),
    seed=st.integers(0, 99),
)
def test_pictures_of_any_kind_come_back(
    tiny: HaarCodec, height: int, width: int, channels: int, bits: int, seed: int
) -> None:
    check(tiny, picture(height, width, channels, bits, seed))


@pytest.mark.parametrize("bits", range(1, 17))
def test_pictures_of_any_depth_come_back(everything: HaarCodec, bits: int) -> None:
    image = np.random.default_rng(bits).integers(0, 1 << bits, (36, 40, 3), np.uint16)
    check(everything, image)
    check(everything, picture(40, 50, 3, bits).astype(np.uint16))


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 7])
def test_pictures_of_any_number_of_channels_come_back(tiny: HaarCodec, channels: int) -> None:
    check(tiny, picture(48, 37, channels))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("pattern", ["checks", "rows", "columns", "channels", "halves", "one pixel"])
def test_extremes_side_by_side_come_back(tiny: HaarCodec, dtype: type, pattern: str) -> None:
    y, x, c = np.ogrid[:50, :67, :3]
    bright = {
        "checks": (x + y + c) % 2,
        "rows": y % 2 + 0 * (x + c),
        "columns": x % 2 + 0 * (y + c),
        "channels": c % 2 + 0 * (x + y),
        "halves": (x >= 33) + 0 * (y + c),
        "one pixel": (x == 20) & (y == 9) & (c == 1),
    }[pattern]
    check(tiny, (bright * int(np.iinfo(dtype).max)).astype(dtype))


@pytest.mark.parametrize("value", [0, 1, 200, 255])
def test_flat_pictures_come_back_and_cost_nearly_nothing(tiny: HaarCodec, value: int) -> None:
    assert check(tiny, np.full((64, 80, 3), value, np.uint8)).nbytes < 60


@pytest.mark.parametrize("values", [(0, 1), (0, 255), (90, 97), (0, 65535), (1, 65535), (4095, 4096)], ids=str)
def test_pictures_of_two_values_come_back(tiny: HaarCodec, values: tuple[int, int]) -> None:
    y, x = np.ogrid[:60, :75]
    disc = (y - 30) ** 2 + (x - 40) ** 2 < 500
    speckle = np.random.default_rng(0).random((60, 75)) < 0.02
    for mask in (disc, disc ^ speckle):
        check(tiny, np.where(mask[..., None], *values).astype(np.uint8 if values[1] < 256 else np.uint16))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("step", [1, 5, 16])
def test_ramps_whose_neighbours_tell_all_alike_come_back(tiny: HaarCodec, dtype: type, step: int) -> None:
    y, x = np.mgrid[:80, :73]
    check(tiny, (step * np.dstack([x, y, x + y])).astype(dtype))


def test_planes_that_are_all_the_same_come_back(tiny: HaarCodec) -> None:
    check(tiny, np.repeat(picture(70, 66, 1), 5, axis=2))
    check(tiny, np.repeat(picture(70, 66, 1, 16), 3, axis=2))


def test_a_single_dark_line_comes_back(tiny: HaarCodec) -> None:
    check(tiny, np.eye(300, dtype=np.uint8)[..., None])


@pytest.mark.parametrize(("channels", "bits"), [(1, 16), (3, 8)])
def test_pictures_large_enough_for_every_fit_come_back(tiny: HaarCodec, channels: int, bits: int) -> None:
    check(tiny, picture(130, 141, channels, bits))


@pytest.mark.parametrize(("level", "subsampling"), [(30, "444"), (75, "420")])
def test_pictures_that_were_jpegs_come_back(tiny: HaarCodec, level: int, subsampling: str) -> None:
    jpeg = imagecodecs.jpeg_encode(picture(120, 135), level=level, subsampling=subsampling)
    check(tiny, imagecodecs.jpeg_decode(jpeg))


def test_a_picture_that_was_a_jpeg_is_coded_with_its_grid(histology: NDArray[np.uint8]) -> None:
    jpeg = imagecodecs.jpeg_encode(np.ascontiguousarray(histology[100:292, 100:292]), level=50)
    image = imagecodecs.jpeg_decode(jpeg)
    for preset in PRESETS:
        codec = tiny_codec(preset)
        header = ImageHeader.from_bytes(check(codec, image).bands[0])
        assert header.grids != (NO_GRID, NO_GRID)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("other", PRESETS)
def test_what_one_preset_wrote_every_other_reads(preset: Preset, other: Preset) -> None:
    image = picture(60, 70)
    (bitstream,) = tiny_codec(preset).encode([image])
    reader = tiny_codec(other)
    assert np.array_equal(reader.decode([bitstream])[0], image)
    assert np.array_equal(
        reader.decode([bitstream], reduce=1)[0],
        tiny_codec(preset).decode([bitstream], reduce=1)[0],
    )


def test_the_header_says_what_a_preset_used() -> None:
    image = picture(40, 40)
    used = {}
    for preset in PRESETS:
        (bitstream,) = tiny_codec(preset).encode([image])
        header = ImageHeader.from_bytes(bitstream.bands[0])
        used[preset] = header.networks, header.rich
    assert used == {"fast": (False, False), "balanced": (False, True), "max": (True, True)}


def test_who_names_no_preset_gets_the_default_one() -> None:
    image = picture(40, 40)
    default = HaarCodec.load(tiny_model(), preset=DEFAULT_PRESET)
    assert HaarCodec.load(tiny_model()).encode([image]) == default.encode([image])


def test_a_picture_that_is_not_contiguous_comes_back(tiny: HaarCodec) -> None:
    image = picture(80, 90)
    before = image.copy()
    check(tiny, image[::2, ::-3])
    check(tiny, image.swapaxes(0, 1))
    assert np.array_equal(image, before)


def test_a_read_only_picture_comes_back(tiny: HaarCodec) -> None:
    image = picture(40, 40)
    image.flags.writeable = False
    check(tiny, image)


@pytest.mark.parametrize("corner", [(0, 0), (201, 133)])
def test_real_tissue_comes_back(shipped: HaarCodec, histology: NDArray[np.uint8], corner: tuple[int, int]) -> None:
    y, x = corner
    check(shipped, histology[y : y + 100, x : x + 131])


@pytest.mark.parametrize("folder", ["glas", "monuseg", "breakhis"])
def test_real_slides_come_back(shipped: HaarCodec, data_dir: Path, folder: str) -> None:
    paths = sorted(p for p in (data_dir / "histology" / "val" / folder).glob("*") if p.is_file())
    image = imagecodecs.imread(str(paths[0]))
    check(shipped, image[100:190, 200:310])
    grey = image[60:130, 40:120, 1].astype(np.uint16)
    check(shipped, (grey * 16 + image[60:130, 40:120, 0] % 16)[..., None])  # 12 bits


def test_a_batch_gives_the_bytes_that_its_pictures_give_alone(tiny: HaarCodec) -> None:
    images = [
        picture(40, 56),
        picture(33, 20, 1),
        picture(40, 56, bits=12, seed=2),
        picture(0, 3),
        picture(40, 56, seed=3),
    ]
    together = tiny.encode(images)
    assert together == [tiny.encode([image])[0] for image in images]
    assert together == list(reversed(tiny.encode(list(reversed(images)))))
    for image, decoded in zip(images, tiny.decode(together), strict=True):
        assert np.array_equal(image, decoded)


def test_no_pictures_give_no_bitstreams(everything: HaarCodec) -> None:
    assert everything.encode([]) == []
    assert everything.decode([]) == []


def test_two_threads_give_the_same_bytes(shipped: HaarCodec, histology: NDArray[np.uint8]) -> None:
    image = histology[300:364, 100:180]
    one = shipped.encode([image])
    torch.set_num_threads(2)
    try:
        assert shipped.encode([image]) == one
        assert np.array_equal(shipped.decode(one)[0], image)
    finally:
        torch.set_num_threads(1)


DIGESTS = """
import hashlib
from haar_models import picture, tiny_codec, tiny_model
from haarchive.codecs.haar.image import HaarCodec
for preset, image in (
    ("fast", picture(128, 128, 1)),
    ("balanced", picture(64, 70, 3)),
    ("max", picture(64, 60, 2)),
    ("balanced", picture(60, 64, 3, 16)),
    ("max", picture(64, 60, 1, 16)),
):
    (bitstream,) = tiny_codec(preset).encode([image])
    print(preset, image.shape, hashlib.sha256(b"".join(bitstream.bands)).hexdigest())
"""


def digests(**environment: str) -> str:
    """Digests of bitstreams that another process makes, in whose environment something else is set."""
    one = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    environment = os.environ | one | {"PYTHONPATH": str(Path(__file__).parent)} | environment
    command = [sys.executable, "-W", "error", "-c", DIGESTS]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_the_linear_algebra_of_the_fit_gives_the_same_bytes_on_two_threads() -> None:
    one = digests()
    assert len(one.splitlines()) == 5
    assert digests(OPENBLAS_NUM_THREADS="2", MKL_NUM_THREADS="2") == one


def halved(image: NDArray[np.int64]) -> NDArray[np.int64]:
    """One level of the pyramid, straight from the lifting formula: pairs of columns, then pairs of rows."""
    for axis in (1, 0):
        line = np.moveaxis(image, axis, 0)
        pairs = len(line) // 2
        low = line[0::2].copy()
        low[:pairs] += (line[1::2] - line[0::2][:pairs]) // 2
        image = np.moveaxis(low, 0, axis)
    return image


@pytest.mark.parametrize("shape", [(64, 64, 1), (70, 93, 1), (131, 67, 2)], ids=str)
def test_reduced_pictures_are_those_of_the_haar_pyramid(tiny: HaarCodec, shape: tuple[int, int, int]) -> None:
    image = picture(*shape)
    (bitstream,) = tiny.encode([image])
    expected = image.astype(np.int64)
    for reduce in range(len(bitstream.bands)):
        (decoded,) = tiny.decode([bitstream], reduce=reduce)
        assert decoded.dtype == image.dtype
        assert np.array_equal(decoded, expected)
        expected = halved(expected)


def test_reduced_colours_are_those_of_the_haar_pyramid_but_for_rounding(
    shipped: HaarCodec, histology: NDArray[np.uint8]
) -> None:
    image = histology[:96, :128]
    (bitstream,) = shipped.encode([image])
    expected = image.astype(np.int64)
    for reduce in range(1, 4):
        expected = halved(expected)
        difference = shipped.decode([bitstream], reduce=reduce)[0].astype(np.int64) - expected
        assert np.abs(difference).max() <= 4


def test_a_reduced_picture_needs_only_the_leading_bands(tiny: HaarCodec) -> None:
    (bitstream,) = tiny.encode([picture(128, 96)])
    count = len(bitstream.bands)
    assert count > 3
    for reduce in range(count):
        needed = tiny.bands_needed(count, reduce)
        assert needed == count - reduce
        leading = Bitstream(bitstream.bands[:needed])
        assert np.array_equal(tiny.decode([leading], reduce=reduce)[0], tiny.decode([bitstream], reduce=reduce)[0])
        if reduce < count - 1:
            with pytest.raises(BitstreamError, match="too few"):
                tiny.decode([Bitstream(bitstream.bands[: needed - 1])], reduce=reduce)


def test_a_picture_cannot_be_reduced_more_often_than_it_was_split(everything: HaarCodec) -> None:
    (bitstream,) = everything.encode([picture(64, 64)])
    for reduce in (len(bitstream.bands), -1):
        with pytest.raises(BitstreamError, match="cannot be reduced"):
            everything.decode([bitstream], reduce=reduce)


@pytest.mark.parametrize(
    "chunk",
    [
        np.zeros((4, 4, 3), np.int16),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 3), ">u2"),
        np.zeros((4, 4), np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
        np.zeros((0, 65537, 3), np.uint8),
        np.zeros((1, 1, 65536), np.uint8),
    ],
    ids=lambda chunk: f"{chunk.dtype.str} {chunk.shape}",
)
def test_what_it_does_not_take_is_refused(everything: HaarCodec, chunk: NDArray) -> None:
    with pytest.raises(UnsupportedSamplesError, match="haar takes"):
        everything.encode([chunk])


def test_the_codec_names_its_model(tiny: HaarCodec) -> None:
    assert tiny.model == tiny_model()
    assert tiny.model_digest == HaarCodec.load(tiny_model()).model_digest
    assert tiny.model_digest != HaarCodec.load().model_digest


@pytest.mark.parametrize("preset", PRESETS)
def test_the_registry_makes_it_from_a_model_and_a_preset(preset: Preset) -> None:
    codec = get_codec("haar", model=tiny_model(), preset=preset)
    image = picture(40, 40)
    assert codec.encode([image]) == HaarCodec.load(tiny_model(), preset=preset).encode([image])


def test_another_codec_s_model_is_refused() -> None:
    with pytest.raises(ModelError, match="belongs to codec 'haar-audio', not 'haar'"):
        HaarCodec.load(tiny_model("haar-audio"))


def test_a_model_without_the_networks_it_needs_is_refused() -> None:
    parsed = ModelFile.from_bytes(tiny_model())
    networks = {name: network for name, network in parsed.networks.items() if name != "p3.he"}
    with pytest.raises(ModelError, match=r"p3\.he"):
        HaarCodec.load(ModelFile("haar", networks).to_bytes())


def test_a_model_with_a_network_of_other_channels_is_refused() -> None:
    parsed = ModelFile.from_bytes(tiny_model())
    networks = dict(parsed.networks) | {"p3.he": parsed.networks["p1.he"]}
    with pytest.raises(ModelError, match=r"p3\.he"):
        HaarCodec.load(ModelFile("haar", networks).to_bytes())


@pytest.mark.parametrize(("dtype", "factor"), [(np.uint16, 257), (np.uint16, 16), (np.uint8, 255), (np.uint16, 65535)])
def test_samples_scaled_by_a_constant_cost_what_the_unscaled_ones_cost(dtype, factor):
    rng = np.random.default_rng(0)
    top = np.iinfo(dtype).max // factor
    plain = (np.cumsum(rng.integers(-2, 3, (64, 64, 1)), axis=1) + top // 2).clip(0, top)
    codec = HaarCodec.load()
    scaled, unscaled = codec.encode([(plain * factor).astype(dtype), plain.astype(np.uint16)])
    assert scaled.nbytes <= unscaled.nbytes * 1.1 + 8
    assert np.array_equal(codec.decode([scaled])[0], plain * factor)
