import imagecodecs
import numpy as np
import pytest
import tifffile

from haarchive.codecs.base import Bitstream
from haarchive.codecs.errors import BitstreamError, CodecError, UnsupportedSamplesError
from haarchive.codecs.jpegxl import JpegXLTranscoder


def as_chunk(data):
    return np.frombuffer(data, np.uint8)


@pytest.fixture
def picture():
    rng = np.random.default_rng(3)
    coarse = rng.integers(40, 220, (8, 8, 3)).repeat(32, 0).repeat(32, 1)
    return np.clip(coarse + rng.normal(0, 6, (256, 256, 3)), 0, 255).astype(np.uint8)


@pytest.fixture
def slide_tiles(data_dir):
    """The tables and the abbreviated tiles of a real slide."""
    path = data_dir / "slides" / "cmu-1-small-region.svs"
    data = path.read_bytes()
    with tifffile.TiffFile(path) as tif:
        page = tif.pages[0]
        where = list(zip(page.dataoffsets, page.databytecounts, strict=True))
        return page.jpegtables, [as_chunk(data[offset : offset + count]) for offset, count in where]


@pytest.mark.parametrize("subsampling", ["444", "422", "420"])
@pytest.mark.parametrize("level", [30, 80, 95])
def test_a_jpeg_comes_back_byte_for_byte_and_smaller(subsampling, level, picture):
    jpeg = imagecodecs.jpeg8_encode(picture, level=level, subsampling=subsampling)
    codec = JpegXLTranscoder()
    (stream,) = codec.encode([as_chunk(jpeg)])
    (back,) = codec.decode([stream])
    assert back.tobytes() == jpeg
    assert stream.nbytes < len(jpeg)


def test_grey_jpegs_and_bytes_after_the_end_come_back(picture):
    jpeg = imagecodecs.jpeg8_encode(np.ascontiguousarray(picture[..., 0]), level=80) + b"trailing bytes"
    codec = JpegXLTranscoder()
    assert codec.decode(codec.encode([as_chunk(jpeg)]))[0].tobytes() == jpeg


def test_the_tiles_of_a_real_slide_come_back_a_quarter_smaller(slide_tiles):
    tables, tiles = slide_tiles
    codec = JpegXLTranscoder(tables)
    streams = codec.encode(tiles[::10])
    for tile, back in zip(tiles[::10], codec.decode(streams), strict=True):
        np.testing.assert_array_equal(back, tile)
    assert sum(s.nbytes for s in streams) < 0.78 * sum(len(tile) for tile in tiles[::10])


def test_a_tile_without_its_tables_is_refused(slide_tiles):
    _, tiles = slide_tiles
    with pytest.raises(UnsupportedSamplesError, match="cannot represent"):
        JpegXLTranscoder().encode(tiles[:1])


def test_a_tile_of_other_tables_is_an_error_and_no_wrong_bytes(slide_tiles, picture):
    tables, _ = slide_tiles
    (stream,) = JpegXLTranscoder().encode([as_chunk(imagecodecs.jpeg8_encode(picture, level=70))])
    with pytest.raises(BitstreamError, match="other JPEG tables"):
        JpegXLTranscoder(tables).decode([stream])


@pytest.mark.parametrize("chunk", [b"", b"\xff\xd8", b"not a JPEG", b"\xff\xd8\xff\xd9"])
def test_what_is_no_jpeg_is_refused(chunk):
    with pytest.raises(UnsupportedSamplesError):
        JpegXLTranscoder().encode([as_chunk(chunk)])


def test_pixels_are_refused(picture):
    with pytest.raises(UnsupportedSamplesError, match="takes bytes"):
        JpegXLTranscoder().encode([picture])


def test_tables_that_are_no_jpeg_are_refused():
    with pytest.raises(UnsupportedSamplesError, match="tables"):
        JpegXLTranscoder(b"tables")


def test_a_damaged_bitstream_gives_an_error_or_other_bytes_but_never_a_crash(picture):
    jpeg = imagecodecs.jpeg8_encode(picture[:64, :64], level=60)
    codec = JpegXLTranscoder()
    (stream,) = codec.encode([as_chunk(jpeg)])
    rng = np.random.default_rng(4)
    for _ in range(60):
        band = bytearray(stream.bands[0])
        band[rng.integers(len(band))] ^= 1 << rng.integers(8)
        try:
            codec.decode([Bitstream((bytes(band),))])
        except BitstreamError:
            continue


@pytest.mark.parametrize("bands", [(), (b"",), (b"\7abc",), (b"\0", b"\0"), (b"\1",)])
def test_other_bitstreams_are_refused(bands):
    with pytest.raises(BitstreamError):
        JpegXLTranscoder().decode([Bitstream(bands)])


def test_there_is_one_resolution():
    with pytest.raises(CodecError, match="one resolution"):
        JpegXLTranscoder().decode([], reduce=1)
