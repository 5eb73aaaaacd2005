"""Pictures that were made from integers Y, Cb, Cr through the codec, and their pixels that were not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from idf_models import converted, made_codec, made_model, picture
from numpy.typing import NDArray

from haarchive.codecs.base import Bitstream
from haarchive.codecs.errors import BitstreamError
from haarchive.codecs.haar import ycbcr
from haarchive.codecs.haar.lifting import split
from haarchive.codecs.idf import pictures
from haarchive.codecs.idf.codec import IdfCodec
from haarchive.codecs.idf.header import IdfHeader
from haarchive.codecs.idf.pictures import prepare
from haarchive.codecs.idf.shipped import load_flows

SHAPES = [(70, 83, 3), (15, 200, 3), (20, 24, 3), (64, 64, 4), (33, 40, 6)]


know_differences = pictures._know_differences


@pytest.fixture(autouse=True)
def by_any_flow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Encoders leave RGB to flows that were trained on it; decoders must take Y, Cb, Cr from any."""
    monkeypatch.setattr(pictures, "_know_differences", lambda flows: True)


@pytest.fixture
def in_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small pictures in bands, as large ones are."""
    monkeypatch.setattr("haarchive.codecs.idf.codec._SMALL", 0)


def header_of(bitstream: Bitstream) -> IdfHeader:
    return IdfHeader.from_bytes(bitstream.bands[0])[0]


def check(codec: IdfCodec, image: NDArray[np.uint8]) -> Bitstream:
    """Code a picture, and hold it against what is decoded."""
    (bitstream,) = codec.encode([image])
    (decoded,) = codec.decode([bitstream])
    assert decoded.dtype == image.dtype
    assert np.array_equal(decoded, image)
    return bitstream


def unconverted(monkeypatch: pytest.MonkeyPatch, codec: IdfCodec, image: NDArray[np.uint8]) -> Bitstream:
    """What a picture would be without a look for Y, Cb, Cr."""
    with monkeypatch.context() as patch:
        patch.setattr(ycbcr, "find", lambda rgb: None)
        return check(codec, image)


@pytest.mark.parametrize("name", ycbcr.CONVERSIONS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_converted_pictures_come_back_and_are_smaller(
    made: IdfCodec, monkeypatch: pytest.MonkeyPatch, name: str, shape: tuple[int, int, int]
) -> None:
    image = converted(*shape, name=name)
    bitstream = check(made, image)
    assert (header_of(bitstream).conversion, header_of(bitstream).outliers) == (name, False)
    before = unconverted(monkeypatch, made, image)
    assert header_of(before).conversion is None
    assert bitstream.nbytes < 0.98 * before.nbytes


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_foreign_pixels_come_back_and_cost_some_bytes_each(made: IdfCodec, shape: tuple[int, int, int]) -> None:
    image = converted(*shape)
    plain = check(made, image)
    for count in (1, shape[0] * shape[1] // 300):
        bitstream = check(made, converted(*shape, foreign=count))
        assert header_of(bitstream).outliers
        # Where it is and what it is; and it is no part of the picture around it.
        assert bitstream.nbytes < plain.nbytes + 40 + 25 * count


@settings(max_examples=12)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    channels=st.integers(3, 5),
    name=st.sampled_from(list(ycbcr.CONVERSIONS)),
    foreign=st.integers(0, 6),
    seed=st.integers(0, 99),
)
def test_pictures_with_any_number_of_foreign_pixels_come_back(
    made: IdfCodec, height: int, width: int, channels: int, name: str, foreign: int, seed: int
) -> None:
    check(made, converted(height, width, channels, name, seed, foreign))


@pytest.mark.parametrize("level", [100, 80])
@pytest.mark.parametrize("preset", ["fast", "balanced"])
def test_tissue_that_a_jpeg_decoder_made_takes_a_tenth_less(
    monkeypatch: pytest.MonkeyPatch, level: int, preset: str
) -> None:
    tissue = pytest.importorskip("skimage.data").immunohistochemistry()[100:260, 100:260]
    image = imagecodecs.jpeg8_decode(imagecodecs.jpeg8_encode(np.ascontiguousarray(tissue), level=level))
    codec = IdfCodec.load(preset=preset)  # type: ignore[arg-type]
    bitstream = check(codec, image)
    assert header_of(bitstream).conversion == "ycbcr"
    assert bitstream.nbytes < 0.9 * unconverted(monkeypatch, codec, image).nbytes


def test_flows_are_given_luma_and_what_red_and_blue_lack() -> None:
    """A reddish brown has less blue and more red than its luma says: chroma that is -11 and 25."""
    ycc = np.broadcast_to(np.array([120, -11, 25], np.int32)[:, None, None], (3, 40, 50))
    rgb = ycbcr.to_rgb("ycbcr", np.ascontiguousarray(ycc)).astype(np.uint8)
    flows, _ = load_flows("idf", made_model("pyramid"), "cpu")
    (prepared,) = prepare([np.moveaxis(rgb, 0, 2)], flows, adaptive=True)
    assert prepared.header.conversion == "ycbcr"
    assert prepared.planes.reshape(3, -1).T.tolist() == [[-8, -25, 11]] * 2000


def test_pictures_that_networks_do_not_know_stay_rgb(monkeypatch: pytest.MonkeyPatch) -> None:
    """All small ones and, without adaptive couplings, all are tried: whichever is smaller is kept."""
    small, large = converted(48, 48), converted(49, 48)
    monkeypatch.setattr(pictures, "_pay", lambda flows, pairs: [False for _ in pairs])
    for adaptive in (False, True):
        codec = made_codec("pyramid", adaptive)
        assert header_of(check(codec, small)).conversion is None
        assert header_of(check(codec, large)).conversion == ("ycbcr" if adaptive else None)


def test_flows_that_were_trained_on_rgb_are_given_rgb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "_know_differences", know_differences)
    for kind, name in (("pyramid", "ycbcr"), ("paper", None), ("coupled", None)):
        assert header_of(check(made_codec(kind), converted(49, 48))).conversion == name


def test_a_trial_tells_where_luma_and_chroma_take_more(monkeypatch: pytest.MonkeyPatch) -> None:
    level = converted(40, 44)[..., 0].astype(np.int32) // 3 + 80
    rgb = ycbcr.to_rgb("ycbcr", np.stack([level, 0 * level, 0 * level + 20]))
    image = np.moveaxis(rgb, 0, 2).astype(np.uint8)
    codec = made_codec("pyramid", adaptive=False)
    bitstream = check(codec, image)
    assert header_of(bitstream).conversion is None
    monkeypatch.setattr(pictures, "_pay", lambda flows, pairs: [True for _ in pairs])
    forced = check(codec, image)
    assert header_of(forced).conversion == "ycbcr"
    assert bitstream.nbytes < forced.nbytes


@pytest.mark.parametrize("dtype", [np.uint16, np.uint8])
def test_other_depths_are_left_as_rgb(adapting: IdfCodec, dtype: type) -> None:
    image = converted(60, 70).astype(dtype)
    image = image if dtype == np.uint16 else image // 16 * 16
    assert header_of(check(adapting, image)).conversion is None
    assert header_of(check(adapting, image[..., :2])).conversion is None


def test_pictures_that_are_divided_are_left_as_rgb(adapting: IdfCodec) -> None:
    """What is left of them may have been Y, Cb, Cr."""
    luma, cb, cr = np.moveaxis(picture(60, 70).astype(np.int32), 2, 0)
    dark = ycbcr.to_rgb("ycbcr", np.stack([luma // 3, (cb - 128) // 8, (cr - 128) // 8]))
    image = np.moveaxis(dark, 0, 2).astype(np.uint8)
    assert header_of(check(adapting, image)).conversion == "ycbcr"
    assert header_of(check(adapting, 2 * image)).conversion is None


def test_what_is_stored_raw_is_of_the_first_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """Y, Cb, Cr of noise: so many bits that the samples themselves are shorter."""
    noise = np.random.default_rng(0).integers(0, 256, (3, 30, 31))
    rgb = ycbcr.to_rgb("ycbcr", (noise - [[[0]], [[128]], [[128]]]).astype(np.int32))
    monkeypatch.setattr(pictures, "_pay", lambda flows, pairs: [True for _ in pairs])
    bitstream = check(made_codec("paper", adaptive=False), np.moveaxis(rgb, 0, 2).astype(np.uint8))
    assert header_of(bitstream).raw
    assert bitstream.bands[0][0] >> 4 == 1


def low_band(image: NDArray[np.uint8], times: int) -> NDArray[np.uint8]:
    """The low band of Y, -Cr, -Cb, odd sides filled up, as colours; of other planes as they are."""
    planes = np.moveaxis(image.astype(np.int32), 2, 0).copy()
    (luma, cb, cr), _ = ycbcr.from_rgb("ycbcr", planes[:3].copy())
    planes[:3] = luma, -cr, -cb
    for _ in range(times):
        planes = np.pad(planes, ((0, 0), (0, planes.shape[1] % 2), (0, planes.shape[2] % 2)), mode="edge")
        planes = split(split(planes, 2)[0], 1)[0]
    luma, cr, cb = planes[:3] + times // 2
    planes[:3] = ycbcr.to_rgb("ycbcr", np.stack([luma, -cb, -cr]))
    return np.moveaxis(planes.clip(0, 255), 0, 2).astype(np.uint8)


@pytest.mark.usefixtures("in_bands")
@pytest.mark.parametrize("reduce", [1, 2, 3])
def test_a_reduced_picture_is_the_low_band_of_luma_and_chroma(reduce: int) -> None:
    codec = made_codec("pyramid")
    for shape in SHAPES:
        image = converted(*shape)
        plain, foreign = codec.encode([image, converted(*shape, foreign=2)])
        (small,) = codec.decode([plain], reduce=reduce)
        assert np.array_equal(small, low_band(image, reduce))
        (other,) = codec.decode([foreign], reduce=reduce)
        assert other.shape == small.shape
        leading = Bitstream(foreign.bands[: len(foreign.bands) - reduce])
        assert np.array_equal(codec.decode([leading], reduce=reduce)[0], other)


@pytest.mark.parametrize("reduce", [1, 2, 3])
def test_a_reduced_picture_is_as_bright_as_the_picture(reduce: int) -> None:
    image = converted(128, 160)
    codec = made_codec("pyramid")
    (small,) = codec.decode(codec.encode([image]), reduce=reduce)
    side = 1 << reduce
    mean = image.reshape(128 // side, side, 160 // side, side, 3).mean(axis=(1, 3))
    assert np.abs((small - mean).mean(axis=(0, 1))).max() < 1.5


@pytest.mark.usefixtures("in_bands")
def test_pictures_without_details_have_a_stream_for_their_foreign_pixels() -> None:
    image = np.broadcast_to(np.array([183, 99, 65], np.uint8), (40, 50, 3)).copy()
    image[7, 9] = 183, 98, 65
    ycc, missed = ycbcr.from_rgb("ycbcr", np.ascontiguousarray(np.moveaxis(image, 2, 0)).astype(np.int32))
    assert np.flatnonzero(missed).tolist() == [7 * 50 + 9]
    assert not np.ptp(ycc, axis=(1, 2)).any()
    codec = made_codec("pyramid")
    bitstream = check(codec, image)
    assert header_of(bitstream).outliers
    assert [bool(band) for band in bitstream.bands] == [True, False, False, True]
    with pytest.raises(BitstreamError, match="listed apart"):
        codec.decode([Bitstream((*bitstream.bands[:-1], b""))])


def patched(bitstream: Bitstream, **changes: Any) -> Bitstream:
    """With another header."""
    header, rest = IdfHeader.from_bytes(bitstream.bands[0])
    return Bitstream((replace(header, **changes).to_bytes() + rest, *bitstream.bands[1:]))


def test_a_flag_too_many_or_too_few_is_noticed(made: IdfCodec) -> None:
    plain, foreign = check(made, converted(64, 70)), check(made, converted(64, 70, foreign=3))
    assert (header_of(plain).outliers, header_of(foreign).outliers) == (False, True)
    for damaged in (patched(plain, outliers=True), patched(foreign, outliers=False)):
        with pytest.raises(BitstreamError):
            made.decode([damaged])


def test_another_conversion_in_the_header_gives_other_colours(made: IdfCodec) -> None:
    image = converted(64, 70)
    (decoded,) = made.decode([patched(check(made, image), conversion="ycbcr-coarse")])
    assert not np.array_equal(decoded, image)
    assert np.abs(decoded.astype(int) - image).max() <= 2


@pytest.mark.usefixtures("in_bands")
def test_flipped_bits_are_noticed_or_give_other_samples(made: IdfCodec) -> None:
    image = converted(40, 48, 4, foreign=4)
    bitstream = check(made, image)
    rng = np.random.default_rng(0)
    noticed = 0
    for _ in range(40):
        bands = [bytearray(band) for band in bitstream.bands]
        band = int(rng.integers(len(bands)))
        bands[band][int(rng.integers(10 if band == 0 else 0, len(bands[band])))] ^= 1 << int(rng.integers(8))
        try:
            (decoded,) = made.decode([Bitstream(tuple(map(bytes, bands)))])
        except BitstreamError:
            noticed += 1
        else:
            assert not np.array_equal(decoded, image)
    assert noticed > 30


def test_other_pictures_are_as_they_were(made: IdfCodec, monkeypatch: pytest.MonkeyPatch) -> None:
    for image in (picture(64, 70), picture(20, 24, 5), np.full((40, 40, 3), 77, np.uint8)):
        bitstream = check(made, image)
        assert header_of(bitstream).conversion is None
        assert bitstream == unconverted(monkeypatch, made, image)
