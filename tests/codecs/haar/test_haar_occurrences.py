"""Pictures some of whose values are rare: combs of combed contrast, and gaps."""

from __future__ import annotations

from dataclasses import replace

import imagecodecs
import numpy as np
import pytest
from haar_models import check, combed, converted, header_of, picture, tiny_codec, tiny_model
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from haarchive.codecs.base import Bitstream
from haarchive.codecs.distributions import logistic_tables
from haarchive.codecs.distributions.tables import PROBABILITY_ONE
from haarchive.codecs.errors import BitstreamError
from haarchive.codecs.haar import colour
from haarchive.codecs.haar.image import HaarCodec
from haarchive.codecs.haar.image_header import TRANSFORMS
from haarchive.codecs.haar.lossy import drop_bands
from haarchive.codecs.haar.occurrences import MOST, ONE, VALUES, Occurrences, find_rare_values
from haarchive.codecs.haar.plans import PLANS
from haarchive.codecs.haar.weighed import add_weighed, take_weighed, weighed
from haarchive.codecs.planes import histogram
from haarchive.codecs.rans.kernels import encode_ops
from haarchive.codecs.rans.stream import OperationList, WordReader
from haarchive.codecs.rans.values import MAX_VALUE_OPS, TOP_TABLE

NEVER = 9.0
"""Bits a sample that no weights save."""


def some_weights(seed: int = 0) -> NDArray[np.int64]:
    """Weights of every kind, and gaps."""
    weights = np.random.default_rng(seed).integers(0, MOST + 1, VALUES)
    weights[::7] = 0
    weights[:20] = weights[250:] = 0
    return weights


@pytest.mark.parametrize("channels", [1, 3])
def test_combed_tissue_takes_fewer_bytes_than_without_weights(histology: NDArray[np.uint8], channels: int) -> None:
    tissue = combed(np.ascontiguousarray(histology[128:320, 128:320, :channels]))
    for preset in PLANS:
        ours = check(HaarCodec.load(preset=preset), tissue)
        without = replace(PLANS[preset], occurrences=NEVER)
        plain = check(HaarCodec.load(preset=preset, plan=without), tissue)
        assert (header_of(ours).weighed, header_of(plain).weighed) == (True, False)
        assert ours.nbytes < (0.97 if channels == 3 else 0.985) * plain.nbytes


def test_luma_of_video_levels_is_found(histology: NDArray[np.uint8]) -> None:
    """Y of 219 levels spread over 256, as frame grabbers do."""
    jpeg = imagecodecs.jpeg8_encode(np.ascontiguousarray(histology[:256, :256]), level=100, subsampling="422")
    ycc = imagecodecs.jpeg8_decode(jpeg, colorspace="YCBCR", outcolorspace="YCBCR").astype(float)
    luma = np.rint(np.rint(ycc[..., 0] * 219 / 255) * 255 / 219)
    red, blue = 1.402 * (ycc[..., 2] - 128), 1.772 * (ycc[..., 1] - 128)
    green = -(0.299 * red + 0.114 * blue) / 0.587
    image = np.stack([luma + red, luma + green, luma + blue], 2)
    image = np.floor(image + 0.5).clip(0, 255).astype(np.uint8)
    ours = check(HaarCodec.load(), image)
    plain = check(HaarCodec.load(plan=replace(PLANS["balanced"], occurrences=NEVER)), image)
    assert (header_of(ours).transform, header_of(ours).weighed) == ("ycbcr", True)
    assert ours.nbytes < 0.985 * plain.nbytes


def test_pictures_without_rare_values_are_of_the_older_version(histology: NDArray[np.uint8]) -> None:
    for image in (np.ascontiguousarray(histology[:128, :128]), picture(70, 83)):
        bitstream = check(HaarCodec.load(), image)
        assert (bitstream.bands[0][0], header_of(bitstream).weighed) == (2, False)


@pytest.mark.parametrize(
    "shape", [(130, 140, 3), (131, 141, 1), (96, 200, 2), (129, 128, 4), (100, 101, 6), (64, 400, 3)], ids=str
)
def test_combed_pictures_of_any_shape_come_back_at_every_resolution(
    tiny: HaarCodec, everything: HaarCodec, shape: tuple[int, int, int]
) -> None:
    image = combed(picture(*shape))
    bitstream = check(tiny, image)
    assert header_of(bitstream).weighed
    plain = HaarCodec.load(tiny_model(), plan=replace(PLANS["max"], occurrences=NEVER, choose=False))
    for reduce in range(1, header_of(bitstream).levels + 1):
        (reduced,) = everything.decode([bitstream], reduce=reduce)
        (expected,) = everything.decode(plain.encode([image]), reduce=reduce)
        assert reduced.shape == expected.shape
        assert np.abs(reduced.astype(int) - expected).mean() < 2  # other colour transforms round otherwise


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("planes", [3, 5])
def test_details_and_references_give_the_samples_of_each_transform(transform: str, planes: int) -> None:
    image = np.moveaxis(converted(32, 40, planes), 2, 0).astype(np.int32)
    coded = image.copy()
    if transform in colour.TRANSFORMS:
        coded[:3] = colour.forward(transform, image[:3])
    first, second = coded[..., 0::2].copy(), coded[..., 1::2].copy()
    middle = 1 << 7
    for group in (0, *range(3, planes)):
        first[group] -= middle
        second[group] -= middle
    details = second - first
    low = first + (details >> 1)
    order = {"rgb": (0, 1, 2), "grb": (1, 0, 2), "brg": (2, 0, 1)}.get(transform, (0, 1, 2))
    of_colours = {"ycocg-r": 0, "ycbcr": 1, "ycbcr-coarse": 1}.get(transform, 3)
    occurrences = Occurrences(transform, middle, {})
    for plane in [*range(of_colours), *range(3, planes)]:
        references = occurrences.references(low, details, plane)
        samples = np.stack([low[plane] - (details[plane] >> 1), low[plane] + ((details[plane] + 1) >> 1)]) + references
        expected = image[order[plane]] if plane < 3 else image[plane]
        assert np.array_equal(samples, np.stack([expected[:, 0::2], expected[:, 1::2]]))


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_weights_are_read_as_they_were_written(transform: str) -> None:
    for planes in (3, 5):
        eligible = {"none": 3, "ycocg-r": 0, "ycbcr": 1, "ycbcr-coarse": 1}.get(transform, 3)
        having = [plane for plane in (*range(eligible), *range(3, planes)) if plane != 1]
        occurrences = Occurrences(transform, 128, {plane: some_weights(plane) for plane in having})
        operations = OperationList()
        occurrences.write(planes, operations)
        operations.add_bits(5, 3)
        reader = WordReader(operations.to_bytes())
        read = Occurrences.read(transform, 128, planes, reader)
        assert read.weights.keys() == set(having)
        assert all(np.array_equal(read.weights[plane], weights) for plane, weights in occurrences.weights.items())
        assert reader.bits(3) == 5
        reader.finish()


def test_weights_beyond_the_values_or_of_no_size_are_damage() -> None:
    for first, more, weights in ((200, 60, [0] * 61), (0, 1, [MOST - ONE + 1, 0]), (0, 1, [-ONE - 1, 0])):
        operations = OperationList()
        operations.add_bits(1, 1)
        operations.add_bits(first, 8)
        operations.add_bits(more, 8)
        operations.add_weights(np.array(weights, np.int32))
        with pytest.raises(BitstreamError, match="out of range"):
            Occurrences.read("none", 128, 1, WordReader(operations.to_bytes()))


def reference_interval(value: int, location: int, scale: int, first: int, second: int, weights: NDArray) -> tuple:
    """Start and width of what a detail is coded with, of the definition, in Python's integers."""
    tables = logistic_tables()
    table = 16 * scale + location % 16
    low, frequencies = int(tables.low[table]) + (location >> 4), [int(f) for f in tables.frequencies(table)]

    def weight(sample: int) -> int:
        return int(weights[sample]) if 0 <= sample < VALUES else 0

    products = [
        f * weight(first - (d >> 1)) * weight(second - (d >> 1) + d) for d, f in enumerate(frequencies[:-1], low)
    ]
    products.append(frequencies[-1] * ONE * ONE)
    entry = value - low if 0 <= value - low < len(frequencies) - 1 else len(frequencies) - 1
    free, total = PROBABILITY_ONE - len(frequencies), sum(products)
    start = sum(products[:entry]) * free // total + entry
    return start, sum(products[: entry + 1]) * free // total + entry + 1 - start


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, TOP_TABLE), st.integers(-(1 << 14), 1 << 14), st.integers(-600, 800), st.integers(-40, 40),
    st.lists(st.integers(-500, 500), min_size=1, max_size=30), st.integers(0, 3),
)  # fmt: skip
def test_details_are_coded_as_defined_and_decoded_again(
    scale: int, location: int, first: int, apart: int, values: list[int], seed: int
) -> None:
    tables, weights = logistic_tables(), some_weights(seed)
    values = [value + (location >> 4) for value in values] + [location >> 4]
    layout = weighed(weights, np.full((1, 1), first, np.int32), np.full((1, 1), first + apart, np.int32))
    start, freq = np.empty((2, len(values) * MAX_VALUE_OPS), np.uint16)
    n = 0
    for value in values:
        begin = n
        n, plain = add_weighed(
            value, location, scale, 0, 0, layout, tables.cdf, tables.offset, tables.low, tables.size, start, freq, n
        )
        expected = reference_interval(value, location, scale, first, first + apart, weights)
        assert (start[begin], freq[begin]) == expected
        table = 16 * scale + location % 16
        assert plain in tables.frequencies(table)
    reader = WordReader(encode_ops(start, freq, n).astype("<u2").tobytes())
    state, pos = reader.state, reader.pos
    for value in values:
        decoded, state, pos = take_weighed(
            location, scale, 0, 0, layout, tables.cdf, tables.offset, tables.low, tables.size, state, reader.words, pos
        )
        assert decoded == value
    reader.resume(0, state, pos)
    reader.finish()


@settings(max_examples=25, deadline=None)
@given(
    arrays.arrays(np.uint8, st.tuples(st.integers(16, 40), st.integers(16, 40), st.integers(1, 4))),
    st.integers(1, 255),
)
def test_any_picture_of_few_values_comes_back(image: NDArray[np.uint8], step: int) -> None:
    plan = replace(PLANS["balanced"], occurrences=-1.0)
    check(HaarCodec.load(tiny_model(), plan=plan), (image // step * step).astype(np.uint8))


def test_values_that_occur_by_chance_have_no_weights() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (256, 256)).astype(np.int32)
    assert not find_rare_values({0: histogram(noise)}).weights
    halved = find_rare_values({0: histogram(noise // 2 * 2)})
    assert halved.gain("none", 1) / noise.size == pytest.approx(1, abs=0.05)
    assert halved.gain("none", 3) == halved.gain("grb", 3) > halved.gain("ycocg-r", 3) == 0


def test_what_is_left_without_the_finest_details_has_no_weights(everything: HaarCodec) -> None:
    (bitstream,) = everything.encode([combed(picture(130, 140))])
    assert header_of(bitstream).weighed
    dropped = drop_bands(bitstream, 1)
    assert not header_of(dropped).weighed
    assert everything.decode([dropped])[0].shape == (130, 140, 3)


def test_a_weighed_picture_that_is_damaged_is_noticed_or_gives_other_samples() -> None:
    codec, image = tiny_codec("balanced"), combed(picture(64, 64))
    (bitstream,) = codec.encode([image])
    finest, noticed = bitstream.bands[-1], 0
    rng = np.random.default_rng(3)
    for at in rng.integers(0, len(finest), 60):
        broken = bytearray(finest)
        broken[at] ^= 1 << int(rng.integers(8))
        try:
            (decoded,) = codec.decode([Bitstream((*bitstream.bands[:-1], bytes(broken)))])
        except BitstreamError:
            noticed += 1
        else:
            assert not np.array_equal(decoded, image)
    assert noticed > 50
