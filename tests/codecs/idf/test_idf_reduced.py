"""Pictures of lower resolution, from the leading bands alone."""

from __future__ import annotations

import numpy as np
import pytest
from idf_models import KINDS, architecture, made_codec, picture
from numpy.typing import NDArray

from haarchive.codecs.base import Bitstream
from haarchive.codecs.errors import BitstreamError
from haarchive.codecs.haar import colour
from haarchive.codecs.haar.lifting import split


@pytest.fixture(autouse=True)
def in_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small pictures in bands, as large ones are."""
    monkeypatch.setattr("haarchive.codecs.idf.codec._SMALL", 0)


SHAPES = [(1, 1, 3), (1, 9, 1), (17, 31, 3), (40, 48, 5), (64, 64, 4)]


def low_band(image: NDArray[np.integer], times: int) -> NDArray[np.integer]:
    """The low band of Haar lifting, odd sides filled up; of the first three planes after their colour transform."""
    planes = np.moveaxis(image.astype(np.int32), 2, 0).copy()
    together = planes.shape[0] >= 3
    transform = architecture("pyramid", 3).colour
    if together:
        planes[:3] = colour.forward(transform, planes[:3].copy())
    for _ in range(times):
        planes = np.pad(planes, ((0, 0), (0, planes.shape[1] % 2), (0, planes.shape[2] % 2)), mode="edge")
        planes = split(split(planes, 2)[0], 1)[0]
    if together:
        planes[:3] = colour.inverse(transform, planes[:3].copy())
    return np.moveaxis(planes.clip(0, np.iinfo(image.dtype).max), 0, 2).astype(image.dtype)


def means(image: NDArray[np.integer], times: int) -> NDArray[np.float64]:
    """Means of squares, edges repeated."""
    result = image.astype(np.float64)
    for _ in range(times):
        result = np.pad(result, ((0, result.shape[0] % 2), (0, result.shape[1] % 2), (0, 0)), mode="edge")
        result = (result[0::2, 0::2] + result[0::2, 1::2] + result[1::2, 0::2] + result[1::2, 1::2]) / 4
    return result


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("bits", [8, 12])
@pytest.mark.parametrize("reduce", [1, 2, 3])
def test_a_pyramid_gives_the_low_band_of_haar_lifting(shape: tuple[int, int, int], bits: int, reduce: int) -> None:
    image = picture(*shape, bits)
    codec = made_codec("pyramid")
    (bitstream,) = codec.encode([image])
    if len(bitstream.bands) == 1:
        pytest.skip("stored raw: what is halved then are the samples")
    (small,) = codec.decode([bitstream], reduce=reduce)
    assert np.array_equal(small, low_band(image, reduce))
    (as_little,) = codec.decode([Bitstream(bitstream.bands[: 4 - reduce])], reduce=reduce)
    assert np.array_equal(as_little, small)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [*SHAPES, (0, 5, 3), (5, 0, 1), (0, 0, 3), (7, 9, 0)], ids=str)
@pytest.mark.parametrize("reduce", [1, 2])
def test_sides_are_halved_and_rounded_up(kind: str, shape: tuple[int, int, int], reduce: int) -> None:
    codec = made_codec(kind)
    noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    for image in (picture(*shape), noise):
        bitstreams = codec.encode([image])
        (small,) = codec.decode(bitstreams, reduce=reduce)
        assert small.shape == (-(-shape[0] >> reduce), -(-shape[1] >> reduce), shape[2])
        assert small.dtype == image.dtype
        assert small.flags.c_contiguous
        needed = codec.bands_needed(len(bitstreams[0].bands), reduce)
        assert np.array_equal(codec.decode([Bitstream(bitstreams[0].bands[:needed])], reduce=reduce)[0], small)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_raw_pictures_are_halved_by_means_of_squares(dtype: type) -> None:
    noise = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (21, 34, 3), dtype, endpoint=True)
    codec = made_codec("paper")
    for reduce in (1, 2):
        (small,) = codec.decode(codec.encode([noise]), reduce=reduce)
        expected = means(noise, 1)
        for _ in range(reduce - 1):
            expected = means(np.floor(expected), 1)
        assert np.array_equal(small, np.floor(expected))


def test_a_flow_that_is_no_pyramid_gives_means_of_what_its_prior_expects() -> None:
    flat = np.full((32, 32, 3), 90, np.uint8) + picture(32, 32, edges=0) // 40
    codec = made_codec("coupled")
    (bitstream,) = codec.encode([flat])
    assert len(bitstream.bands) == 3
    (small,) = codec.decode([Bitstream(bitstream.bands[:2])], reduce=1)
    assert np.abs(small - means(flat, 1)).mean() < 20


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_is_reduced_as_each_alone(kind: str) -> None:
    codec = made_codec(kind)
    bitstreams = codec.encode([picture(20, 33, seed=n) for n in range(3)] + [picture(20, 33, 1)])
    together = codec.decode(bitstreams, reduce=1)
    for bitstream, small in zip(bitstreams, together, strict=True):
        assert np.array_equal(codec.decode([bitstream], reduce=1)[0], small)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reduce", [-1, 9])
def test_more_levels_than_there_are_is_refused(kind: str, reduce: int) -> None:
    codec = made_codec(kind)
    with pytest.raises(BitstreamError, match="cannot be reduced"):
        codec.decode(codec.encode([picture(40, 48)]), reduce=reduce)


def test_too_few_bands_are_refused() -> None:
    codec = made_codec("pyramid")
    (bitstream,) = codec.encode([picture(40, 48)])
    for reduce in range(3):
        with pytest.raises(BitstreamError, match="too few"):
            codec.decode([Bitstream(bitstream.bands[: 3 - reduce])], reduce=reduce)


def test_one_stream_gives_the_lower_resolutions_that_bands_give(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = "pyramid"
    image = picture(37, 42)
    (bands,) = made_codec(kind).encode([image])
    monkeypatch.setattr("haarchive.codecs.idf.codec._SMALL", 1 << 15)
    (together,) = made_codec(kind).encode([image])
    assert len(together.bands) == 1 < len(bands.bands)
    assert together.nbytes < bands.nbytes
    for reduce in range(3):
        expected, got = made_codec(kind).decode([bands, together], reduce=reduce)
        assert np.array_equal(got, expected)
