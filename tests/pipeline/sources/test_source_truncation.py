"""Sources that were cut short, and sources that only look so."""

import struct
from contextlib import suppress

import imagecodecs
import numpy as np
import pytest
import soundfile
import tifffile

from haarchive.codecs.errors import TruncatedSourceError
from haarchive.pipeline.sources import SourceRef, open_source


def scan(path, **options):
    with open_source(SourceRef(str(path), path.name), **options) as source:
        return source.layout


@pytest.fixture
def cut(tmp_path):
    """``(path, bytes) -> the error`` of a copy of a file without its last bytes; None where it is accepted."""

    def cut(path, nbytes, **options):
        copy = tmp_path / f"cut-{path.name}"
        copy.write_bytes(path.read_bytes()[:-nbytes])
        try:
            scan(copy, **options)
        except TruncatedSourceError as error:
            return str(error)
        return None

    return cut


def write_tiff(path, pixels, **options):
    tifffile.imwrite(path, pixels, **options)


def write_pyramid(path, pixels):
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(pixels, tile=(64, 64), photometric="rgb", subifds=1)
        tiff.write(pixels[::2, ::2], tile=(64, 64), photometric="rgb", subfiletype=1)
        tiff.write(pixels[:40, :50], photometric="rgb")


PICTURES = {
    "strips.tif": lambda path, pixels: write_tiff(path, pixels, rowsperstrip=16),
    "big-endian.tif": lambda path, pixels: write_tiff(path, pixels, byteorder=">"),
    "big.tif": lambda path, pixels: write_tiff(path, pixels, tile=(64, 64), bigtiff=True),
    "lzw.tif": lambda path, pixels: write_tiff(path, pixels, tile=(64, 64), compression="lzw"),
    "jpeg.tif": lambda path, pixels: write_tiff(path, pixels, tile=(64, 64), compression="jpeg"),
    "planes.tif": lambda path, pixels: write_tiff(
        path, np.moveaxis(pixels, 2, 0), planarconfig="separate", photometric="rgb"
    ),
    "two.ome.tif": lambda path, pixels: write_tiff(path, np.stack([pixels[..., 0]] * 2), photometric="minisblack"),
    "pyramid.tif": write_pyramid,
    "a.png": lambda path, pixels: path.write_bytes(imagecodecs.png_encode(pixels)),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_cut_anywhere_is_refused(name, tissue, tmp_path, cut):
    path = tmp_path / name
    PICTURES[name](path, tissue[:150, :200])
    scan(path)
    size = path.stat().st_size
    for nbytes in (1, 4, 9, 100, size // 3, size // 2, size - 20):
        error = cut(path, nbytes)
        assert error, nbytes
        assert f"ends at byte {size - nbytes}" in error


@pytest.mark.parametrize("form", ["WAV", "WAVEX", "RF64", "AIFF", "FLAC"])
def test_a_recording_cut_anywhere_is_refused(form, tone, tmp_path, cut):
    path = tmp_path / "a.audio"
    soundfile.write(path, tone, 44100, "PCM_16", format=form)
    scan(path)
    size = path.stat().st_size
    for nbytes in (1, 2, 9, 5000, size // 2, size - 20):
        error = cut(path, nbytes)
        assert error, nbytes
        assert f"ends at byte {size - nbytes}" in error


def test_the_error_names_directory_and_tile_with_their_bytes(tissue, tmp_path, cut):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, tissue[:128, :128], tile=(64, 64), photometric="rgb")
    with tifffile.TiffFile(path) as tiff:
        begin, at = tiff.pages.first.dataoffsets[3], tiff.pages.first.offset
    end = begin + 64 * 64 * 3
    error = cut(path, path.stat().st_size - end + 5)
    assert f"tile 3 of IFD 0 (at byte {at}) reaches from byte {begin} to byte {end}" in error
    assert "cut-a.tif: is cut short" in error
    assert "--keep-damaged" in error


def test_the_error_names_the_data_chunk_with_its_bytes(tone, tmp_path, cut):
    soundfile.write(tmp_path / "a.wav", tone, 44100, "PCM_16")
    whole = 44 + tone.nbytes
    assert f"the 'data' chunk at byte 36 reaches to byte {whole}, but the file ends at byte {whole - 7}" in cut(
        tmp_path / "a.wav", 7
    )


@pytest.mark.parametrize("name", ["strips.tif", "lzw.tif", "a.png"])
@pytest.mark.parametrize("guarantee", ["file-exact", "sample-exact"])
def test_what_is_there_is_kept_on_request(name, guarantee, tissue, tmp_path, cut, take_apart):
    path = tmp_path / name
    PICTURES[name](path, tissue[:150, :200])
    assert cut(path, 4000, guarantee=guarantee)
    layout, _ = take_apart(tmp_path / f"cut-{name}", guarantee, keep_damaged=True)
    assert layout.attrs["damaged"].endswith(f"ends at byte {path.stat().st_size - 4000}")
    assert layout.attrs["damaged"] in layout.attrs["note"]
    assert layout.size == path.stat().st_size - 4000


def test_a_cut_flac_is_never_restored_as_a_whole_wav(tone, tmp_path, cut, take_apart):
    soundfile.write(tmp_path / "a.flac", tone, 44100)
    assert "samples a channel" in cut(tmp_path / "a.flac", 50_000, guarantee="sample-exact")
    layout, _ = take_apart(tmp_path / "cut-a.flac", "sample-exact", keep_damaged=True)
    assert "restored_suffix" not in layout.attrs


def test_a_whole_file_is_not_damaged(tone, tmp_path, take_apart):
    soundfile.write(tmp_path / "a.wav", tone, 44100)
    layout, _ = take_apart(tmp_path / "a.wav", keep_damaged=True)
    assert not {"damaged", "note"} & layout.attrs.keys()


# Unusual, and whole


def riff(*chunks, form=None, head=b"RIFF"):
    body = b"WAVE" + b"".join(chunks)
    return head + struct.pack("<I", len(body) if form is None else form) + body


def chunk(name, data, size=None):
    return name + struct.pack("<I", len(data) if size is None else size) + data + b"\0" * (len(data) % 2)


FMT = chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 8000, 16000, 2, 16))
SOUND = bytes(range(200))


@pytest.mark.parametrize(
    "data",
    [
        riff(FMT, chunk(b"data", SOUND, 0xFFFFFFFF), form=0xFFFFFFFF),
        riff(FMT, chunk(b"data", SOUND, 0), form=0),
        riff(FMT, chunk(b"data", SOUND, 0)),
        riff(FMT, chunk(b"data", SOUND, 0x80000000), form=0x80000024),
        riff(FMT, chunk(b"data", SOUND, 0x7FFFF000), form=0x7FFFF024),
        riff(FMT, chunk(b"data", SOUND, 0x7FFFFFDB), form=0x7FFFFFFF),
        riff(FMT, chunk(b"data", SOUND, 5000), form=0),
        riff(chunk(b"ds64", bytes(28)), FMT, chunk(b"data", SOUND, 0xFFFFFFFF), form=0xFFFFFFFF, head=b"RF64"),
        riff(FMT, chunk(b"data", SOUND), form=8 + 4 + len(FMT) + 8 + len(SOUND)),
        riff(FMT, chunk(b"data", SOUND[:-1]))[:-1],
        riff(FMT, chunk(b"data", SOUND)) + b"trailing garbage that looks like a chunk",
        riff(FMT, chunk(b"data", SOUND), b"trailing garbage that looks like a chunk"),
    ],
    ids=[
        "all ones",
        "zeros",
        "zero data",
        "ALSA",
        "SoX",
        "2 GiB less one",
        "zero form",
        "RF64 zeros",
        "form counts itself",
        "no padding",
        "garbage behind",
        "garbage within",
    ],
)
def test_a_recording_whose_sizes_are_conventionally_wrong_is_accepted(data, tmp_path):
    (tmp_path / "a.wav").write_bytes(data)
    assert scan(tmp_path / "a.wav").kind == "wav"


def test_an_aiff_stream_is_accepted(tone, tmp_path):
    soundfile.write(tmp_path / "a.aiff", tone, 44100)
    data = bytearray((tmp_path / "a.aiff").read_bytes())
    data[4:8] = bytes(4)
    (tmp_path / "a.aiff").write_bytes(data)
    assert scan(tmp_path / "a.aiff").planes[1].shape == tone.shape


def test_a_cut_chunk_behind_the_data_is_refused(tmp_path):
    whole = riff(FMT, chunk(b"data", SOUND), chunk(b"LIST", b"INFOISFT" + bytes(40)))
    (tmp_path / "a.wav").write_bytes(whole[:-3])
    with pytest.raises(TruncatedSourceError, match="'LIST' chunk"):
        scan(tmp_path / "a.wav")


def set_tag(path, code, value):
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tiff.pages.first.tags[code].overwrite(value)


def test_a_raw_strip_may_claim_rows_that_the_picture_does_not_have(tissue, tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, tissue[:70, :90], photometric="rgb", rowsperstrip=32)
    set_tag(path, 279, [32 * 90 * 3] * 3)
    scan(path)


def test_a_sparse_tile_is_not_missing(tissue, tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, tissue[:128, :128], photometric="rgb", tile=(64, 64))
    with tifffile.TiffFile(path) as tiff:
        offsets = list(tiff.pages.first.dataoffsets)
    set_tag(path, 324, [*offsets[:3], path.stat().st_size])
    set_tag(path, 325, [64 * 64 * 3] * 3 + [0])
    scan(path)


def test_bytes_behind_a_picture_or_a_flac_do_no_harm(tissue, tone, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", tissue)
    soundfile.write(tmp_path / "a.flac", tone, 44100)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(tissue))
    for name in ("a.tif", "a.flac", "a.png"):
        with (tmp_path / name).open("ab") as file:
            file.write(b"TAG" + bytes(125))
        scan(tmp_path / name)


@pytest.mark.parametrize(
    "head", [b"II*\0", b"MM\0*", b"II+\0\x08\0\0\0", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WAVE", b"fLaC"]
)
def test_garbage_behind_a_known_head_is_cut_short_or_a_source(head, tmp_path):
    rng = np.random.default_rng(3)
    for size in (0, 3, 17, 900, 20_000):
        for _ in range(20):
            (tmp_path / "a").write_bytes(head + rng.bytes(size))
            with suppress(TruncatedSourceError):
                assert scan(tmp_path / "a").size == len(head) + size


# Which of the real files are cut: each was looked at.
REALLY_CUT = {
    "scipy__scipy__io__tests__data__test-44100Hz-le-1ch-4bytes-early-eof-no-data.wav",
    "sonic-pi-net__app__server__ruby__vendor__wavefile-0.8.1__test__fixtures__invalid__empty_format_chunk.wav",
}


def test_of_the_real_files_only_those_that_are_cut_are_refused(data_dir):
    refused = set()
    for folder in ("slides", "slides/bad", "audio/odd"):
        for path in sorted((data_dir / folder).iterdir()):
            try:
                if path.is_file():
                    scan(path)
            except TruncatedSourceError:
                refused.add(path.name)
    assert refused == REALLY_CUT
