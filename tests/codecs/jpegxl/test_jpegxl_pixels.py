import numpy as np
import pytest

from haarchive.codecs import get_codec
from haarchive.codecs.base import Bitstream
from haarchive.codecs.errors import BitstreamError, CodecError, UnsupportedSamplesError
from haarchive.codecs.jpegxl import JpegXLPixels


def drawn(shape, dtype="uint8"):
    """Few colours in waves."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    waves = (3 + 3 * np.sin(x / 9) * np.cos(y / 7)).astype(int)
    colours = np.random.default_rng(2).integers(0, np.iinfo(dtype).max + 1, (7, shape[2]))
    return colours[waves].astype(dtype)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (61, 48, 1), (3, 4, 3), (40, 77, 3), (5, 33, 4)], ids=str)
def test_every_pixel_comes_back(shape, dtype):
    picture = drawn(shape, dtype)
    codec = get_codec("jpeg-xl-pixels")
    (stream,) = codec.encode([picture])
    (back,) = codec.decode([stream])
    assert (back.dtype, back.shape) == (picture.dtype, picture.shape)
    np.testing.assert_array_equal(back, picture)


def test_colours_behind_a_transparent_alpha_come_back_too():
    picture = drawn((32, 32, 4))
    picture[..., 3] = 0
    codec = JpegXLPixels(effort=3)
    np.testing.assert_array_equal(codec.decode(codec.encode([picture]))[0], picture)


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((4, 4, 2), "uint8"), ((4, 4, 5), "uint8"), ((4, 4), "uint8"), ((4, 4, 3), "int32"), ((0, 4, 3), "uint8")],
    ids=str,
)
def test_other_samples_are_refused(shape, dtype):
    with pytest.raises(UnsupportedSamplesError, match="jpeg-xl-pixels takes"):
        JpegXLPixels().encode([np.zeros(shape, dtype)])


def test_there_is_one_resolution():
    streams = JpegXLPixels(effort=1).encode([drawn((16, 16, 3))])
    with pytest.raises(CodecError, match="one resolution"):
        JpegXLPixels().decode(streams, reduce=1)


@pytest.mark.parametrize("damage", [lambda band: band[: len(band) // 2], lambda band: b"", lambda band: b"x" + band])
def test_damaged_data_is_an_error(damage):
    (stream,) = JpegXLPixels(effort=3).encode([drawn((64, 64, 3))])
    with pytest.raises(BitstreamError):
        JpegXLPixels().decode([Bitstream((damage(stream.bands[0]),))])


def test_a_bitstream_of_two_bands_is_an_error():
    with pytest.raises(BitstreamError, match="has 1 band"):
        JpegXLPixels().decode([Bitstream((b"", b""))])
