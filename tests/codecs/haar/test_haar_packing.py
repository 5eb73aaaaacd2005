"""Pictures that never have some of the values in their range."""

from __future__ import annotations

import numpy as np
import pytest
from haar_models import check, header_of, picture, stretched, tiny_codec
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from haarchive.codecs.base import Bitstream
from haarchive.codecs.errors import BitstreamError
from haarchive.codecs.haar.image import HaarCodec
from haarchive.codecs.haar.image_header import ImageHeader
from haarchive.codecs.haar.lossy import drop_bands
from haarchive.codecs.haar.packing import find_maps, pack, unpack
from haarchive.codecs.haar.remap import SampleMap
from haarchive.codecs.planes import histogram


def test_stretched_tissue_takes_hardly_more_than_before(shipped: HaarCodec, histology: NDArray[np.uint8]) -> None:
    tissue = 64 + histology[128:320, 128:320] // 2
    before, after = check(shipped, tissue), check(shipped, stretched(tissue))
    assert (header_of(before).packed, header_of(after).packed) == (False, True)
    assert after.nbytes < 1.01 * before.nbytes + 300


def test_8_bits_in_16_take_hardly_more_than_8(shipped: HaarCodec, histology: NDArray[np.uint8]) -> None:
    grey = np.ascontiguousarray(histology[128:320, 128:320, 1:2])
    curve = np.rint(65535 * (np.arange(256) / 255) ** 2.2).astype(np.uint16)
    curve[1:20] = curve[0] + 11 * np.arange(1, 20)
    before, after = check(shipped, grey), check(shipped, curve[grey])
    assert (header_of(after).packed, header_of(after).bits) == (True, 8)
    assert after.nbytes < 1.01 * before.nbytes + 500


@pytest.mark.parametrize("shape", [(64, 70, 3), (130, 45, 1), (90, 90, 2), (64, 64, 5), (15, 600, 3)], ids=str)
def test_packed_pictures_of_any_shape_come_back_at_every_resolution(
    tiny: HaarCodec, everything: HaarCodec, shape: tuple[int, int, int]
) -> None:
    image = stretched(picture(*shape))
    bitstream = check(tiny, image)
    assert header_of(bitstream).packed
    used = set(np.unique(image))
    for reduce in range(1, header_of(bitstream).levels + 1):
        (reduced,) = everything.decode([bitstream], reduce=reduce)
        assert reduced.shape == (-(-shape[0] >> reduce), -(-shape[1] >> reduce), shape[2])
        assert set(np.unique(reduced)) <= used
        assert abs(float(reduced.mean()) - float(image.mean())) < 8


def test_pictures_that_have_all_values_or_few_samples_are_not_packed(histology: NDArray[np.uint8]) -> None:
    for picture_of_it in (histology, histology[:16, :16]):
        planes = np.ascontiguousarray(np.moveaxis(picture_of_it, 2, 0)).astype(np.int32)
        assert not find_maps([histogram(plane) for plane in planes])
    noise = np.random.default_rng(2).integers(0, 1 << 16, (200, 200)).astype(np.int32)
    assert not find_maps([histogram(noise)])


@settings(max_examples=40, deadline=None)
@given(
    arrays.arrays(np.uint16, st.tuples(st.integers(1, 3), st.integers(1, 20), st.integers(1, 20))), st.integers(1, 999)
)
def test_packed_samples_are_numbers_from_0_and_come_back(samples: NDArray[np.uint16], step: int) -> None:
    planes = (samples // step * step).astype(np.int32)
    maps = tuple(SampleMap(0, np.unique(plane).astype(np.int64)) for plane in planes)
    packed = pack(planes, maps)
    assert [plane.max() for plane in packed] == [one.values.size - 1 for one in maps]
    assert packed.min() == 0
    assert np.array_equal(unpack(packed, maps, exact=True), planes)
    assert np.array_equal(unpack(packed + 9999, maps, exact=False)[:, 0, 0], [one.values[-1] for one in maps])
    with pytest.raises(BitstreamError, match="outside of the map"):
        unpack(packed + 9999, maps, exact=True)


def test_packed_pictures_without_their_finest_details_keep_their_maps(everything: HaarCodec) -> None:
    image = stretched(picture(90, 100))
    dropped = drop_bands(everything.encode([image])[0], 1)
    assert header_of(dropped).packed
    (decoded,) = everything.decode([dropped])
    assert set(np.unique(decoded)) <= set(np.unique(image))
    assert np.abs(decoded.astype(int) - image).mean() < 40


def test_a_damaged_map_is_noticed_or_gives_other_samples() -> None:
    codec, image = tiny_codec("balanced"), stretched(picture(40, 44))
    (bitstream,) = codec.encode([image])
    first, noticed = bitstream.bands[0], 0
    rng = np.random.default_rng(4)
    for at in rng.integers(ImageHeader.SIZE, len(first), 60):
        broken = bytearray(first)
        broken[at] ^= 1 << int(rng.integers(8))
        try:
            (decoded,) = codec.decode([Bitstream((bytes(broken), *bitstream.bands[1:]))])
        except BitstreamError:
            noticed += 1
        else:
            assert not np.array_equal(decoded, image)
    assert noticed > 50
