"""Several JPEG files in a chunk of jpeg-xl."""

import imagecodecs
import numpy as np
import pytest
import tifffile

from haarchive.codecs.base import Bitstream
from haarchive.codecs.errors import BitstreamError, UnsupportedSamplesError
from haarchive.codecs.jpegxl import JpegXLTranscoder

SEVERAL, KEPT = 2, 3


def as_chunk(data):
    return np.frombuffer(data, np.uint8)


def jpeg(side=64, level=80, seed=0, **options):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 220, (8, 8, 3)).repeat(side // 8 + 1, 0).repeat(side // 8 + 1, 1)[:side, :side]
    picture = np.clip(coarse + rng.normal(0, 6, coarse.shape), 0, 255).astype(np.uint8)
    return imagecodecs.jpeg8_encode(picture, level=level, **options)


def check(data, codec=None):
    codec = codec or JpegXLTranscoder()
    (stream,) = codec.encode([as_chunk(data)])
    (back,) = codec.decode([stream])
    assert back.dtype == np.uint8
    assert back.tobytes() == data
    return stream


FILES = [jpeg(160, seed=1), jpeg(144, 60, seed=2, subsampling="444"), jpeg(8, 95, seed=3), jpeg(200, 90)]


def test_files_of_several_sizes_and_tables_come_back():
    stream = check(b"".join(FILES))
    assert stream.bands[0][0] == SEVERAL
    assert stream.nbytes < 0.95 * sum(map(len, FILES))


@pytest.mark.parametrize("between", [b"", b"\0", b"\0" * 15, b"\xff", b"text between"], ids=repr)
def test_padding_between_and_behind_files_comes_back(between):
    check(between.join(FILES))
    check(between.join([*FILES, b""]))


def test_a_file_alone_is_coded_as_before():
    assert check(FILES[0]).bands[0][0] < SEVERAL
    assert check(FILES[0] + b"trailing").bands[0][0] < SEVERAL


@pytest.mark.parametrize("behind", [b"\xff\xd8", b"\xff\xd8\xff", b"\xff\xd8\xff\xe0", b"\xff\xd8\xff\xd9"], ids=repr)
def test_bytes_behind_a_file_that_begin_like_another_come_back(behind):
    check(FILES[0] + behind)


def test_files_that_it_makes_larger_are_kept_as_they_are():
    tiny = jpeg(1, 20)
    stream = check(tiny * 3)
    assert stream.nbytes <= 3 * len(tiny) + 3 + 1 + 4 + 3 * 4
    assert (stream.bands[0][0], stream.bands[0][17]) == (SEVERAL, KEPT)


def test_many_files_come_back():
    check(b"".join(jpeg(16, seed=n) for n in range(60)))


def test_abbreviated_tiles_of_a_real_slide_come_back(data_dir):
    path = data_dir / "slides" / "cmu-1-small-region.svs"
    data = path.read_bytes()
    with tifffile.TiffFile(path) as tif:
        page = tif.pages.first
        where = list(zip(page.dataoffsets, page.databytecounts, strict=True))[53:56]
        codec = JpegXLTranscoder(page.jpegtables)
    tiles = [data[at : at + count] for at, count in where]
    stream = check(b"".join(tiles), codec)
    alone = sum(one.nbytes for one in codec.encode([as_chunk(tile) for tile in tiles]))
    assert stream.nbytes == alone + 1 + 4 + 3 * 4
    with pytest.raises(BitstreamError, match="other JPEG tables"):
        JpegXLTranscoder(b"\xff\xd8\xff\xdb\0\x43\0" + bytes(range(1, 65)) + b"\xff\xd9").decode([stream])


@pytest.mark.parametrize("number", [1, 2])
def test_a_damaged_file_among_others_is_kept_as_it_is(number):
    files = list(FILES[:3])
    files[number] = files[number][:200] + b"\xff\xd9"
    assert check(b"".join(files)).nbytes < sum(map(len, files))


def test_nothing_but_damaged_files_is_refused():
    # Their markers can be followed, to scans that hold nothing.
    damaged = FILES[0][: FILES[0].index(b"\xff\xda") + 14] + b"\xff\xd9"
    with pytest.raises(UnsupportedSamplesError, match="none of these"):
        JpegXLTranscoder().encode([as_chunk(damaged * 2)])


@pytest.mark.parametrize("first", [b"padding", b"\0", b"\xff"])
def test_a_chunk_that_does_not_begin_with_a_file_is_refused(first):
    with pytest.raises(UnsupportedSamplesError, match="does not begin with SOI"):
        JpegXLTranscoder().encode([as_chunk(first + b"".join(FILES))])


# Damage


@pytest.fixture(scope="module")
def band():
    (stream,) = JpegXLTranscoder().encode([as_chunk(b"".join(FILES[:3]))])
    return stream.bands[0]


def noticed(band):
    try:
        JpegXLTranscoder().decode([Bitstream((bytes(band),))])
    except BitstreamError:
        return True
    return False


def test_every_bit_of_the_sizes_is_noticed(band):
    assert band[1:5] == b"\3\0\0\0"
    for bit in range(8, 8 * 17):
        changed = bytearray(band)
        changed[bit // 8] ^= 1 << bit % 8
        assert noticed(changed)


def test_cuts_and_additions_are_noticed(band):
    for length in (*range(40), len(band) // 2, len(band) - 1):
        assert noticed(band[:length])
    assert noticed(band + b"\0")


def numbers(*values):
    return np.array(values, "<u4").tobytes()


@pytest.mark.parametrize(
    "band",
    [
        numbers(), numbers(0), numbers(1), numbers(1, 0), numbers(2, 0, 0), numbers(2**32 - 1), numbers(2**31, 1, 1),
        numbers(1, 2**32 - 1) + b"\3a", numbers(2, 2**32 - 1, 3) + b"\3a", numbers(1, 1) + b"\2", numbers(1, 1) + b"\4",
        numbers(1, 5) + b"\2\0\0\0\0", numbers(1, 1) + b"\0", numbers(2, 1, 1) + b"\3\1", b"\1\0\0", b"\0",
    ],
    ids=lambda band: band.hex(),
)  # fmt: skip
def test_sizes_that_do_not_fit_are_refused(band):
    assert noticed(bytes([SEVERAL]) + band)


def test_kept_files_alone_are_no_bitstream():
    assert noticed(bytes([KEPT]) + FILES[0])
    assert not noticed(bytes([SEVERAL]) + numbers(2, 4, 3) + bytes([KEPT]) + b"abc" + bytes([KEPT]) + b"de")


def test_damaged_bitstreams_give_an_error_or_other_bytes_but_never_a_crash(band):
    rng = np.random.default_rng(4)
    for _ in range(60):
        changed = bytearray(band)
        changed[rng.integers(17, len(changed))] ^= 1 << rng.integers(8)
        noticed(changed)
