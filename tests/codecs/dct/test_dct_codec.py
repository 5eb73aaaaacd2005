"""The codec dct: what it takes comes back, and the same bytes every time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from dct_models import KINDS, SAMPLING, jpeg_scene, scene, through_jpeg
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from haarchive.codecs.base import Bitstream
from haarchive.codecs.dct.codec import DctCodec
from haarchive.codecs.dct.header import read_header
from haarchive.codecs.errors import CodecError, UnsupportedSamplesError
from haarchive.codecs.registry import CODEC_NAMES, get_codec

CODEC = DctCodec()
SHAPE = (112, 128)


def check(picture: NDArray[np.uint8]) -> Bitstream:
    """Code a picture, and hold it against what is decoded."""
    (bitstream,) = CODEC.encode([picture])
    (decoded,) = CODEC.decode([bitstream])
    assert decoded.dtype == picture.dtype
    assert decoded.shape == picture.shape
    assert decoded.tobytes() == picture.tobytes()
    return bitstream


def check_if_taken(picture: NDArray[np.uint8]) -> bool:
    """As `check`, unless the picture is refused; returns whether it was taken."""
    try:
        check(picture)
    except UnsupportedSamplesError:
        return False
    return True


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("quality", [50, 80, 95])
def test_decoded_jpegs_come_back_and_take_less_than_half_of_a_byte_a_pixel(kind: str, quality: int) -> None:
    picture = jpeg_scene(kind, SHAPE, quality)
    bitstream = check(picture)
    assert bitstream.nbytes < picture.size / (2 if quality == 95 else 4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cropped", [(0, 0, 3, 5), (1, 7, 0, 0), (6, 2, 11, 1), (15, 15, 15, 15)], ids=str)
def test_pictures_of_any_size_come_back(kind: str, cropped: tuple[int, int, int, int]) -> None:
    top, left, below, right = cropped
    picture = jpeg_scene(kind, SHAPE, 75)
    part = np.ascontiguousarray(picture[top : SHAPE[0] - below, left : SHAPE[1] - right])
    bitstream = check(part)
    history, _, _ = read_header(bitstream.bands[0])
    assert history.shape == part.shape


@pytest.mark.parametrize("kind", ["4:4:4", "4:2:0"])
def test_the_frame_of_converted_pictures_is_coded_as_ycbcr_which_is_shorter(kind: str) -> None:
    picture = np.ascontiguousarray(jpeg_scene(kind, (160, 176))[14:, 14:])  # of cut blocks two rows
    (bitstream,) = CODEC.encode([picture])
    assert read_header(bitstream.bands[0])[0].frame_converted
    assert np.array_equal(CODEC.decode([bitstream])[0], picture)
    alien = picture.copy()
    alien[0, 0] = (100, 50, 200)  # no Y, Cb, Cr give that
    (longer,) = CODEC.encode([alien])
    assert not read_header(longer.bands[0])[0].frame_converted
    assert np.array_equal(CODEC.decode([longer])[0], alien)
    assert bitstream.nbytes + 100 < longer.nbytes


def test_views_of_larger_pictures_are_coded_as_their_copies() -> None:
    picture = jpeg_scene("4:2:0", SHAPE)
    view = picture[3:100, 10:]
    assert CODEC.encode([view]) == CODEC.encode([view.copy()])
    flipped = np.asfortranarray(picture)
    assert CODEC.encode([flipped]) == CODEC.encode([picture])


@settings(max_examples=15)
@given(
    kind=st.sampled_from(sorted(KINDS)), quality=st.integers(40, 98), top=st.integers(0, 20), left=st.integers(0, 20),
    height=st.integers(30, 100), width=st.integers(30, 100), seed=st.integers(0, 50), gain=st.sampled_from([1, 2, 3]),
)  # fmt: skip
def test_any_decoded_jpeg_comes_back_or_is_refused(
    kind: str, quality: int, top: int, left: int, height: int, width: int, seed: int, gain: int
) -> None:
    content = scene(128, 128, 1 if kind == "grey" else 3, seed).astype(np.int32)
    content = ((content - 128) * gain + 128).clip(0, 255)
    picture, _ = through_jpeg(content.astype(np.uint8), quality=quality, **KINDS[kind])
    assume(check_if_taken(np.ascontiguousarray(picture[top : top + height, left : left + width])))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("where", ["corner", "scattered"])
def test_a_few_colours_that_no_jpeg_gave_come_back(kind: str, where: str) -> None:
    picture = jpeg_scene(kind, SHAPE).copy()
    plain = CODEC.encode([picture])[0].nbytes
    if where == "scattered":
        rng = np.random.default_rng(0)
        for y, x in zip(rng.integers(0, SHAPE[0], 20), rng.integers(0, SHAPE[1], 20), strict=True):
            picture[y, x] ^= 1
    else:
        picture[-9:, -9:] = (255, 0, 10)[: picture.shape[2]]
    assert plain < check(picture).nbytes < plain + 2000


@pytest.mark.parametrize("kind", KINDS)
def test_painted_pictures_come_back_or_are_refused(kind: str) -> None:
    """Which of the two, is a matter of how much of a picture tells its tables."""
    taken = 0
    for rows, columns in ((slice(50, 58), slice(60, 68)), (slice(30, 31), slice(None)), (slice(None), slice(9, 12))):
        picture = jpeg_scene(kind, SHAPE).copy()
        picture[rows, columns] = (255, 0, 10)[: picture.shape[2]]
        taken += check_if_taken(picture)
    assert taken or kind in SAMPLING


def test_a_picture_half_jpeg_half_noise_is_refused_or_comes_back() -> None:
    for kind in KINDS:
        for rows in (8, 30, 56):
            picture = jpeg_scene(kind, SHAPE).copy()
            picture[:rows] = np.random.default_rng(rows).integers(0, 256, picture[:rows].shape)
            taken = check_if_taken(picture)
            assert not taken or rows == 8


def test_pictures_that_are_no_jpegs_are_refused() -> None:
    for picture in (scene(100, 120), scene(100, 120, 1), np.full((64, 64, 3), 9, np.uint8)):
        with pytest.raises(UnsupportedSamplesError, match="not a decoded JPEG"):
            CODEC.encode([picture])


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((64, 64), np.uint8), ((64, 64, 2), np.uint8), ((64, 64, 4), np.uint8), ((64, 64, 0), np.uint8),
        ((1, 64, 64, 3), np.uint8), ((64, 64, 3), np.uint16), ((64, 64, 3), np.int8), ((64, 64, 3), np.float32),
        ((65537, 30, 1), np.uint8), ((0, 0, 3), np.uint8), ((0, 64, 1), np.uint8), ((64, 0, 3), np.uint8),
        ((1, 1, 1), np.uint8), ((8, 8, 3), np.uint8), ((1, 3000, 3), np.uint8),
    ],
    ids=str,
)  # fmt: skip
def test_other_samples_are_refused(shape: tuple[int, ...], dtype: type) -> None:
    with pytest.raises(UnsupportedSamplesError):
        CODEC.encode([np.zeros(shape, dtype)])


def test_one_refused_picture_refuses_its_batch() -> None:
    with pytest.raises(UnsupportedSamplesError):
        CODEC.encode([jpeg_scene("grey", SHAPE), scene(64, 64)])


def test_only_full_resolution_can_be_decoded() -> None:
    bitstreams = CODEC.encode([jpeg_scene("grey", SHAPE)])
    for reduce in (1, 3):
        with pytest.raises(CodecError, match="reduce=0"):
            CODEC.decode(bitstreams, reduce=reduce)
        assert CODEC.bands_needed(1, reduce) == 1


def test_batches_do_not_change_a_byte() -> None:
    pictures = [jpeg_scene(kind, (64, 80), seed=n) for n, kind in enumerate(KINDS)]
    together = CODEC.encode(pictures)
    assert together == [CODEC.encode([picture])[0] for picture in pictures]
    for decoded, picture in zip(CODEC.decode(together), pictures, strict=True):
        assert np.array_equal(decoded, picture)
    assert CODEC.encode([]) == []
    assert CODEC.decode([]) == []


def test_coding_on_two_threads_gives_the_same_bytes_and_samples() -> None:
    pictures = [jpeg_scene(kind, SHAPE, seed=3) for kind in KINDS]
    bitstreams = CODEC.encode(pictures)
    with ThreadPoolExecutor(2) as threads:
        assert [one for (one,) in threads.map(CODEC.encode, [[picture] for picture in pictures])] == bitstreams
        decoded = [one for (one,) in threads.map(CODEC.decode, [[bitstream] for bitstream in bitstreams])]
    for ours, picture in zip(decoded, pictures, strict=True):
        assert np.array_equal(ours, picture)


def test_decoding_twice_gives_samples_of_ones_own() -> None:
    (bitstream,) = CODEC.encode([jpeg_scene("4:2:2", SHAPE)])
    (first,), (second,) = CODEC.decode([bitstream]), CODEC.decode([bitstream])
    assert np.array_equal(first, second)
    first[:] = 0
    assert second.any()


def test_the_registry_knows_it() -> None:
    assert "dct" in CODEC_NAMES
    codec = get_codec("dct")
    assert isinstance(codec, DctCodec)
    assert codec.name == "dct"
    assert codec.model is None


@pytest.mark.parametrize("kind", ["4:4:4", "grey"])
@pytest.mark.parametrize("alpha", [0, 255])
def test_a_plane_more_that_is_constant_costs_a_byte(kind: str, alpha: int) -> None:
    picture = jpeg_scene(kind, (90, 101))
    (plain,) = DctCodec().encode([picture])
    more = np.concatenate([picture, np.full((90, 101, 1), alpha, np.uint8)], axis=2)
    (bitstream,) = DctCodec().encode([more])
    assert bitstream.nbytes == plain.nbytes + 1
    assert np.array_equal(DctCodec().decode([bitstream])[0], more)


def test_a_plane_more_that_is_not_constant_is_refused() -> None:
    picture = jpeg_scene("4:4:4", (90, 101))
    more = np.concatenate([picture, np.full((90, 101, 1), 255, np.uint8)], axis=2)
    more[45, 50, 3] = 254
    with pytest.raises(UnsupportedSamplesError, match="constant"):
        DctCodec().encode([more])
