"""Finding out whether a picture was a JPEG, and which."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from dct_models import KINDS, SAMPLING, jpeg_scene, planes_of, scene, through_jpeg
from numpy.typing import NDArray
from PIL import Image

from haarchive.codecs.dct.codec import DctCodec
from haarchive.codecs.dct.history import History
from haarchive.codecs.dct.origin import find_origin
from haarchive.codecs.dct.recover import Recovered, recover
from haarchive.codecs.dct.steps import find_steps, ijg_tables, of_same_quality

SHAPE = (176, 192)
OFFSETS = [(0, 0), (3, 5), (9, 14)]


def part_missed(planes: NDArray[np.int32], found: Recovered) -> float:
    """Of the samples of complete units; those that the picture's edges cut are anybody's guess."""
    history = found.history
    in_picture, in_decoded = [], []
    for side, first, factor in zip(history.shape[:2], history.origin, history.sampling, strict=True):
        unit = 8 * factor
        begin = first % unit
        end = begin + (side - begin) // unit * unit
        in_picture.append(slice(begin, end))
        in_decoded.append(slice(begin - first, end - first))
    return float(np.mean(found.decoded[:, *in_decoded] != planes[:, *in_picture]))


def is_at(history: History, offset: tuple[int, int]) -> bool:
    """Whether units begin where those of a picture do that was cropped by so many rows and columns."""
    return all(
        abs(first) < 8 * factor and (first + cropped) % (8 * factor) == 0
        for first, cropped, factor in zip(history.origin, offset, history.sampling, strict=True)
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("quality", [50, 75, 90])
@pytest.mark.parametrize("offset", OFFSETS, ids=str)
def test_a_cropped_jpeg_is_recovered(kind: str, quality: int, offset: tuple[int, int]) -> None:
    picture = scene(*SHAPE, 1 if kind == "grey" else 3)
    decoded, steps = through_jpeg(picture, quality=quality, **KINDS[kind])
    planes = planes_of(decoded[offset[0] :, offset[1] :])
    found = recover(planes)
    assert found is not None
    history = found.history
    assert history.converted == (kind not in ("grey", "rgb"))
    assert history.sampling == SAMPLING.get(kind, (1, 1))
    assert is_at(history, offset)
    assert np.array_equal(history.steps, steps)
    # Chroma of half the size is enlarged from neighbours that crops have cut off. Rounding of samples hides some
    # multiples of steps below 4.
    most = 0.015 if kind in SAMPLING else 0.002 if quality == 90 else 0
    assert part_missed(planes, found) <= most


@pytest.mark.parametrize("kind", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("quality", [30, 50, 70])
def test_where_there_is_little_chroma_lumas_quality_tells_its_steps(kind: str, quality: int) -> None:
    grey = scene(*SHAPE, 1, seed=3).repeat(3, axis=2)
    tinted = (0.9 * grey + 0.1 * scene(*SHAPE, seed=4)).astype(np.uint8)
    decoded, steps = through_jpeg(tinted, quality=quality, **KINDS[kind])
    found = recover(planes_of(decoded))
    assert found is not None
    assert found.history.sampling == SAMPLING.get(kind, (1, 1))
    assert np.array_equal(found.history.steps, steps)
    assert part_missed(planes_of(decoded), found) < 0.005


@pytest.mark.parametrize("kind", ["4:4:4", "4:2:0"])
def test_a_picture_of_several_tiles_each_a_jpeg_is_recovered_but_for_their_seams(kind: str) -> None:
    tiles = [[jpeg_scene(kind, (96, 96), quality=70, seed=2 * row + column) for column in range(3)] for row in range(3)]
    picture = np.concatenate([np.concatenate(row, axis=1) for row in tiles])[21:, 37:]
    found = recover(planes_of(picture))
    assert found is not None
    assert found.history.sampling == SAMPLING.get(kind, (1, 1))
    assert part_missed(planes_of(picture), found) <= (0.06 if kind in SAMPLING else 0)


def test_tables_of_the_same_quality_are_those_of_luma_and_chroma() -> None:
    tables = ijg_tables()
    assert [one.tolist() for one in of_same_quality(tables[74])] == [tables[174].tolist(), tables[74].tolist()]
    nobodys = np.arange(1, 65)
    assert [one.tolist() for one in of_same_quality(nobodys)] == [nobodys.tolist()]


def test_a_grey_picture_in_three_planes_is_recovered() -> None:
    grey = jpeg_scene("grey", (160, 176), quality=60)
    (bitstream,) = DctCodec().encode([grey.repeat(3, axis=2)])
    assert np.array_equal(DctCodec().decode([bitstream])[0], grey.repeat(3, axis=2))
    assert bitstream.nbytes < 1.05 * DctCodec().encode([grey])[0].nbytes + 100


@pytest.mark.parametrize("kind", ["4:4:4", "grey", "rgb"])
@pytest.mark.parametrize(
    ("least", "most"),
    [
        (3, 8),
        (10, 19),
        (5, 16),
    ],
)
def test_steps_that_are_nobodys_are_found(kind: str, least: int, most: int) -> None:
    rng = np.random.Generator(np.random.PCG64(3))
    tables = [rng.integers(least, most, 64, endpoint=True).tolist() for _ in range(2)]
    picture = scene(*SHAPE, 1 if kind == "grey" else 3)
    decoded, steps = through_jpeg(picture, qtables=tables[: 1 if kind == "grey" else 2], **KINDS[kind])
    found = recover(planes_of(decoded))
    assert found is not None
    assert part_missed(planes_of(decoded), found) == 0
    for component, ours, theirs in zip(found.components, found.history.steps, steps, strict=True):
        nonzero = component.any(axis=(1, 2))
        assert nonzero.sum() >= 3
        # All of some rare coefficients may happen to be even.
        assert not (ours % theirs)[nonzero].any()
        common = np.count_nonzero(component, axis=(1, 2)) > 40
        assert np.array_equal(ours[common], theirs[common])


def test_a_whole_jpeg_of_half_size_chroma_misses_less_than_one_in_a_thousand() -> None:
    for kind in SAMPLING:
        planes = planes_of(jpeg_scene(kind, SHAPE, 75))
        found = recover(planes)
        assert found is not None
        assert part_missed(planes, found) < 0.001


def test_clipped_samples_do_not_hide_a_jpeg() -> None:
    bright = (scene(*SHAPE).astype(np.int32) * 2 - 90).clip(0, 255).astype(np.uint8)
    decoded, steps = through_jpeg(bright, quality=75, subsampling=0)
    clipped = ((decoded == 0) | (decoded == 255)).any(axis=2)
    assert 0.1 < clipped.mean() < 0.6
    found = recover(planes_of(decoded))
    assert found is not None
    assert np.array_equal(found.history.steps, steps)
    assert part_missed(planes_of(decoded), found) < 0.05


@pytest.mark.parametrize(("kind", "side"), [("4:4:4", 10), ("grey", 30), ("rgb", 30)])
def test_what_is_painted_over_a_part_does_not_hide_a_jpeg(kind: str, side: int) -> None:
    decoded = jpeg_scene(kind, SHAPE)
    planes = planes_of(decoded)
    painted = (slice(None), slice(60, 60 + side), slice(60, 60 + side))
    planes[painted] = np.random.default_rng(0).integers(0, 256, planes[painted].shape)
    found = recover(planes)
    assert found is not None
    part = side * side / decoded[:, :, 0].size
    assert 0.9 * part < part_missed(planes, found) < 4 * part


def no_jpegs() -> dict[str, NDArray[np.uint8]]:
    """Pictures of which no blocks tell."""
    y, x = np.ogrid[:160, :200]
    gradient = np.repeat((x + y)[:, :, None] * 255 // 358, 3, axis=2).astype(np.uint8)
    jpeg = jpeg_scene("4:2:0", SHAPE)
    resized = np.asarray(Image.fromarray(jpeg).resize((150, 130), Image.Resampling.BICUBIC))
    return {
        "noise": np.random.default_rng(0).integers(0, 256, (160, 200, 3), np.uint8),
        "grey noise": np.random.default_rng(0).integers(0, 256, (160, 200, 1), np.uint8),
        "gradient": gradient,
        "grey gradient": gradient[:, :, :1],
        "black": np.zeros((64, 64, 3), np.uint8),
        "one colour": np.full((100, 90, 3), (200, 120, 160), np.uint8),
        "photograph": scene(160, 200),
        "grey photograph": scene(160, 200, 1),
        "resized jpeg": resized,
        "brightened jpeg": (jpeg.astype(np.int32) * 9 // 10 + 13).astype(np.uint8),
        "little jpeg": jpeg[:29, :100],
        "nothing": np.zeros((0, 40, 3), np.uint8),
    }


@pytest.mark.parametrize("name", no_jpegs())
def test_what_is_no_jpeg_is_not_taken_for_one(name: str) -> None:
    assert recover(planes_of(no_jpegs()[name])) is None


@pytest.mark.parametrize("phase", [(0, 0), (1, 0), (0, 7), (4, 4), (7, 3)], ids=str)
def test_blocks_begin_where_they_do(phase: tuple[int, int]) -> None:
    luma = planes_of(jpeg_scene("grey", SHAPE, 60))[0].astype(np.float32)
    assert find_origin(luma[phase[0] :, phase[1] :]) == (-phase[0] % 8, -phase[1] % 8)


def test_tables_are_those_of_the_independent_jpeg_group() -> None:
    picture = scene(16, 16)
    for quality in range(1, 101):
        _, steps = through_jpeg(picture, quality=quality, subsampling=0)
        ours = ijg_tables()[[quality - 1, quality + 99, quality + 99]]
        assert np.array_equal(ours, steps), quality


def test_steps_are_told_from_multiples_with_noise() -> None:
    rng = np.random.default_rng(0)
    steps = rng.integers(4, 60, 64)
    multiples = np.rint(rng.laplace(0, 3, (500, 64))) * steps
    found = find_steps((multiples + rng.normal(0, 0.29, multiples.shape)).astype(np.float32))
    assert found is not None
    assert np.array_equal(found, steps)


def test_coefficients_on_no_lattice_have_no_steps() -> None:
    assert find_steps(np.random.default_rng(0).laplace(0, 30, (500, 64)).astype(np.float32)) is None
    assert (find_steps(np.zeros((500, 64), np.float32)) == 1).all()  # chroma of a grey picture


def test_real_jpegs_are_recovered_exactly_and_take_a_fifth_of_jpeg_xl(data_dir: Path) -> None:
    # The other two were JPEG 2000.
    pictures = [imagecodecs.imread(path) for path in sorted((data_dir / "histology/val/monuseg").glob("*.jxl"))]
    assert len(pictures) == 5
    codec, recovered = DctCodec(), 0
    for picture in pictures:
        planes = planes_of(picture)
        found = recover(planes)
        if found is None:
            continue
        recovered += 1
        assert part_missed(planes, found) == 0
        part = np.ascontiguousarray(picture[:256])
        (bitstream,) = codec.encode([part])
        assert 5 * bitstream.nbytes < len(imagecodecs.jpegxl_encode(part, lossless=True, effort=7, numthreads=1))
        (decoded,) = codec.decode([bitstream])
        assert np.array_equal(decoded, part)
    assert recovered == 3
