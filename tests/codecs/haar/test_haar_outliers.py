"""Pictures that were made from YCbCr through the codec, and their pixels that were not."""

from __future__ import annotations

import imagecodecs
import numpy as np
import pytest
from haar_models import check, converted, header_of, picture, tiny_codec, with_foreign
from numpy.typing import NDArray

from haarchive.codecs.base import Bitstream
from haarchive.codecs.errors import BitstreamError
from haarchive.codecs.haar import ycbcr
from haarchive.codecs.haar.image import HaarCodec
from haarchive.codecs.haar.image_header import _HEADER
from haarchive.codecs.haar.lossy import drop_bands
from haarchive.codecs.haar.outliers import read_outliers, write_outliers
from haarchive.codecs.rans.kernels import add_bits, add_gamma
from haarchive.codecs.rans.stream import OperationList, WordReader


@pytest.mark.parametrize("subsampling", ["444", "420"])
def test_a_picture_that_was_a_jpeg_takes_a_sixth_less(
    shipped: HaarCodec, histology: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch, subsampling: str
) -> None:
    tissue = np.ascontiguousarray(histology[64:320, 64:320])
    image = imagecodecs.jpeg8_decode(imagecodecs.jpeg8_encode(tissue, level=100, subsampling=subsampling))
    bitstream = check(shipped, image)
    assert header_of(bitstream).transform == "ycbcr"
    assert not header_of(bitstream).outliers
    monkeypatch.setattr(ycbcr, "find", lambda rgb: None)
    (before,) = shipped.encode([image])
    assert header_of(before).transform != "ycbcr"
    assert bitstream.nbytes < 0.85 * before.nbytes


@pytest.mark.parametrize("name", ycbcr.CONVERSIONS)
@pytest.mark.parametrize("shape", [(70, 83, 3), (15, 300, 3), (9, 9, 3), (64, 64, 4), (33, 40, 6)], ids=str)
def test_converted_pictures_of_any_shape_come_back(tiny: HaarCodec, name: str, shape: tuple[int, int, int]) -> None:
    image = converted(*shape, name=name)
    header = header_of(check(tiny, image))
    assert (header.transform, header.outliers) == (name, False)


@pytest.mark.parametrize("shape", [(140, 150, 3), (15, 150, 3), (65, 64, 4)], ids=str)
@pytest.mark.parametrize("count", [1, 2, 5])
def test_foreign_pixels_come_back(tiny: HaarCodec, shape: tuple[int, int, int], count: int) -> None:
    image = with_foreign(converted(*shape), count)
    bitstream = check(tiny, image)
    assert header_of(bitstream).transform == "ycbcr"
    assert header_of(bitstream).outliers
    # 24 bits a pixel, and where it is.
    assert bitstream.nbytes < check(tiny, converted(*shape)).nbytes + 16 + 40 * count


def test_pictures_without_details_have_a_stream_for_their_foreign_pixels(tiny: HaarCodec) -> None:
    image = np.broadcast_to(np.array([183, 99, 65], np.uint8), (40, 50, 3)).copy()
    image[7, 9] = 183, 98, 65
    ycc, missed = ycbcr.from_rgb("ycbcr", np.ascontiguousarray(np.moveaxis(image, 2, 0)).astype(np.int32))
    assert np.flatnonzero(missed).tolist() == [7 * 50 + 9]
    assert not np.ptp(ycc, axis=(1, 2)).any()
    bitstream = check(tiny, image)
    assert header_of(bitstream).outliers
    assert [bool(band) for band in bitstream.bands] == [True, False, True]


@pytest.mark.parametrize("dtype", [np.uint16, np.uint8])
def test_other_depths_are_left_to_the_reversible_transforms(tiny: HaarCodec, dtype: type) -> None:
    image = converted(60, 70).astype(dtype)
    image = image if dtype == np.uint16 else image // 16 * 16
    assert header_of(check(tiny, image)).transform not in ycbcr.CONVERSIONS


def test_reduced_pictures_are_near_the_mean_and_have_no_foreign_pixels(tiny: HaarCodec) -> None:
    image = converted(128, 160)
    plain, foreign = check(tiny, image), check(tiny, with_foreign(image, 5))
    for reduce in range(1, 4):
        small, other = (tiny.decode([bitstream], reduce=reduce)[0] for bitstream in (plain, foreign))
        side = 1 << reduce
        mean = image.reshape(128 // side, side, 160 // side, side, 3).mean(axis=(1, 3))
        assert np.abs((small - mean).mean(axis=(0, 1))).max() < 2
        assert np.count_nonzero((small != other).any(axis=2)) < small[..., 0].size / 2
        leading = Bitstream(foreign.bands[:-reduce])
        assert np.array_equal(tiny.decode([leading], reduce=reduce)[0], other)


def test_foreign_pixels_are_dropped_with_the_finest_details(tiny: HaarCodec) -> None:
    image = with_foreign(converted(128, 160), 5)
    whole = check(tiny, image)
    assert drop_bands(whole, 0) == whole
    for levels in (1, 2):
        part = drop_bands(whole, levels)
        assert not header_of(part).outliers
        assert np.abs(tiny.decode([part])[0].astype(int) - image).mean() < 20
        assert np.array_equal(tiny.decode([part], reduce=levels)[0], tiny.decode([whole], reduce=levels)[0])


def test_nothing_is_dropped_of_a_picture_of_one_band(tiny: HaarCodec) -> None:
    image = with_foreign(converted(15, 150), 3)
    assert np.array_equal(tiny.decode([drop_bands(check(tiny, image), 2)])[0], image)


def patched(bitstream: Bitstream, byte: int, value: int) -> Bitstream:
    """With another byte in the header."""
    first = bytearray(bitstream.bands[0])
    first[byte] = value
    return Bitstream((bytes(first), *bitstream.bands[1:]))


@pytest.mark.parametrize(
    ("byte", "value"), [(1, 1), (4, 7), (6, 2), (8, 2), (5, 2 | 4 | 0x10), (5, 2 | 8), (2, 7), (2, 1)]
)
def test_a_header_that_no_encoder_writes_is_damage(byte: int, value: int) -> None:
    bitstream = check(tiny_codec("balanced"), with_foreign(converted(64, 70), 3))
    assert bitstream.bands[0][5] == 2 | 4
    with pytest.raises(BitstreamError, match="header"):
        tiny_codec("balanced").decode([patched(bitstream, byte, value)])


def test_a_flag_too_many_or_too_few_is_noticed() -> None:
    codec = tiny_codec("balanced")
    plain, foreign = check(codec, converted(64, 70)), check(codec, with_foreign(converted(64, 70), 3))
    with pytest.raises(BitstreamError):
        codec.decode([patched(plain, 5, 2 | 4)])
    with pytest.raises(BitstreamError):
        codec.decode([patched(foreign, 5, 2)])
    with pytest.raises(BitstreamError):
        codec.decode([Bitstream((*foreign.bands[:-1], b""))])


def listed(count: int, *gaps: int) -> WordReader:
    """A list that says how many pixels there are, and has some."""
    operations = OperationList()
    start, freq, n = operations.reserve(1 + len(gaps))
    n = add_gamma(count - 1, start, freq, n)
    for gap in gaps:
        n = add_gamma(gap, start, freq, n)
        for sample in (1, 2, 3):
            n = add_bits(sample, 8, start, freq, n)
    operations.n = n
    return WordReader(operations.to_bytes())


def read_all(reader: WordReader, image: NDArray[np.uint8]) -> None:
    read_outliers(reader, image)
    reader.finish()


def test_a_list_is_read_as_documented() -> None:
    image = np.zeros((4, 5, 4), np.uint8)
    read_all(listed(3, 0, 7, 10), image)
    assert np.flatnonzero(image.any(axis=2)).tolist() == [0, 8, 19]
    assert image[3, 4].tolist() == [1, 2, 3, 0]


@pytest.mark.parametrize(
    ("count", "gaps"),
    [(1, [20]), (2, [19, 0]), (21, [0] * 21), (1, [1 << 33]), (1 << 34, [0] * 20), (1 << 34, []), (5, [0])],
)
def test_a_list_that_leaves_the_picture_or_the_stream_is_damage(count: int, gaps: list[int]) -> None:
    with pytest.raises(BitstreamError):
        read_all(listed(count, *gaps), np.zeros((4, 5, 3), np.uint8))


def test_every_pixel_can_be_listed() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (3, 30, 40), np.int32)
    operations = OperationList()
    write_outliers(np.ones((30, 40), bool), rgb, operations)
    image = np.zeros((30, 40, 3), np.uint8)
    read_all(WordReader(operations.to_bytes()), image)
    assert np.array_equal(np.moveaxis(image, 2, 0), rgb)


def test_flipped_bits_are_noticed_or_give_other_samples(tiny: HaarCodec) -> None:
    image = with_foreign(converted(64, 70), 15)
    bitstream = check(tiny, image)
    rng = np.random.default_rng(0)
    noticed = 0
    for _ in range(60):
        bands = [bytearray(band) for band in bitstream.bands]
        band = int(rng.integers(len(bands)))
        bands[band][int(rng.integers(_HEADER.size if band == 0 else 0, len(bands[band])))] ^= 1 << int(rng.integers(8))
        try:
            (decoded,) = tiny.decode([Bitstream(tuple(map(bytes, bands)))])
        except BitstreamError:
            noticed += 1
        else:
            assert not np.array_equal(decoded, image)
    assert noticed > 50


def test_a_picture_of_noise_is_no_worse_for_the_look(tiny: HaarCodec) -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    assert header_of(check(tiny, image)).transform in {"ycocg-r", "rgb", "grb", "brg"}
    assert header_of(check(tiny, picture(64, 64))).transform in {"ycocg-r", "rgb", "grb", "brg"}
