import io
import struct

import numpy as np
import pytest
import soundfile
import tifffile

from haarchive.pipeline.layout import Plane
from haarchive.pipeline.sources import SourceRef, assemble, open_source
from haarchive.pipeline.sources.containers import wav


@pytest.fixture
def restored(take_apart):
    """``path -> (layout, bytes of the new container)``, read by a worker that only has the layout."""

    def restore(path):
        layout, _ = take_apart(path, "sample-exact")
        with open_source(SourceRef(str(path), "a"), guarantee="sample-exact", layout=layout) as worker:
            data = b"".join(assemble(layout, worker.read_region))
            worker.check_unchanged()
        return layout, data

    return restore


@pytest.mark.parametrize("subtype", ["PCM_S8", "PCM_16", "PCM_24"])
def test_flac_becomes_wav_with_the_same_samples(subtype, tone, tmp_path, restored):
    soundfile.write(tmp_path / "a.flac", tone, 44100, subtype)
    layout, data = restored(tmp_path / "a.flac")
    assert layout.attrs["restored_suffix"] == ".wav"
    assert [was.size for was in layout.originals] == [(tmp_path / "a.flac").stat().st_size]
    samples, rate = soundfile.read(io.BytesIO(data), dtype="int32")
    expected, _ = soundfile.read(tmp_path / "a.flac", dtype="int32")
    np.testing.assert_array_equal(samples, expected)
    assert rate == 44100


def test_flac_stays_flac_when_every_byte_must_come_back(tone, tmp_path, take_apart):
    soundfile.write(tmp_path / "a.flac", tone, 44100)
    layout, _ = take_apart(tmp_path / "a.flac")
    assert (layout.kind, len(layout.planes)) == ("flac", 1)


def test_a_flac_whose_samples_do_not_fit_its_md5_is_kept_as_it_is(tone, tmp_path, restored):
    soundfile.write(tmp_path / "a.flac", tone, 44100)
    data = bytearray((tmp_path / "a.flac").read_bytes())
    data[30] ^= 1
    (tmp_path / "a.flac").write_bytes(data)
    layout, same = restored(tmp_path / "a.flac")
    assert "restored_suffix" not in layout.attrs
    assert same == data


def test_a_wav_file_is_restored_file_exactly_in_any_case(tone, tmp_path, restored):
    soundfile.write(tmp_path / "a.wav", tone, 44100)
    layout, data = restored(tmp_path / "a.wav")
    assert "restored_suffix" not in layout.attrs
    assert data == (tmp_path / "a.wav").read_bytes()


def test_more_than_four_gigabytes_of_samples_become_rf64():
    packer = {"name": "pcm", "width": 3, "order": "<", "unsigned": False, "frames": 1 << 18}
    plane = Plane("audio", (1 << 31, 2), "int32", (1 << 18, 2), "haar-audio", packer, {"samplerate": 96000})
    head = wav(plane, 24).skeleton
    assert head[:4] == b"RF64"
    assert head[12:16] == b"ds64"
    assert struct.unpack("<QQQ", head[20:44]) == (wav(plane, 24).size - 8, 6 << 31, 1 << 31)


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize(
    "options",
    [
        {"compression": "zstd", "tile": (64, 48)},
        {"compression": "zlib", "predictor": True, "rowsperstrip": 33},
        {"compression": "packbits", "rowsperstrip": 10},
        {"compression": "zstd", "planarconfig": "separate", "tile": (64, 64)},
    ],
    ids=str,
)
def test_pixels_that_cannot_be_packed_again_move_to_a_plain_tiff(options, byteorder, tissue, tmp_path, restored):
    data = tissue.transpose(2, 0, 1) if "planarconfig" in options else tissue
    tifffile.imwrite(
        tmp_path / "a.tif",
        data,
        photometric="rgb",
        byteorder=byteorder,
        description="H&E",
        resolution=(40, 40),
        **options,
    )
    layout, made = restored(tmp_path / "a.tif")
    assert layout.attrs["restored_suffix"] == ".tif"
    with tifffile.TiffFile(io.BytesIO(made)) as tif:
        assert tif.byteorder == byteorder
        assert tif.pages[0].compression == 1
        assert tif.pages[0].description == "H&E"
        np.testing.assert_array_equal(tif.asarray(), data)


def test_a_pyramid_keeps_its_levels_and_its_metadata(tissue, tmp_path, restored):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as tif:
        tif.write(tissue, subifds=2, tile=(64, 64), photometric="rgb", compression="zstd")
        tif.write(tissue[::2, ::2], subfiletype=1, tile=(64, 64), photometric="rgb", compression="zstd")
        tif.write(tissue[::4, ::4], subfiletype=1, tile=(64, 64), photometric="rgb", compression="zstd")
        tif.write(tissue[..., 0], photometric="minisblack", compression="zstd")
    _, data = restored(tmp_path / "a.ome.tif")
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as was, tifffile.TiffFile(io.BytesIO(data)) as now:
        assert now.ome_metadata == was.ome_metadata
        assert len(now.series) == len(was.series) == 2
        for a, b in zip(was.series[0].levels, now.series[0].levels, strict=True):
            np.testing.assert_array_equal(a.asarray(), b.asarray())


def test_a_slide_of_jpeg_tiles_is_restored_file_exactly_in_any_case(data_dir, restored):
    path = data_dir / "slides" / "cmu-1-small-region.jpeg.tiff"
    layout, data = restored(path)
    assert "restored_suffix" not in layout.attrs
    assert data == path.read_bytes()


def test_a_tile_that_cannot_be_read_keeps_the_file_as_it_is(tissue, tmp_path, restored):
    tifffile.imwrite(tmp_path / "a.tif", tissue, photometric="rgb", compression="zstd", tile=(64, 64))
    data = bytearray((tmp_path / "a.tif").read_bytes())
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        data[tif.pages[0].dataoffsets[7]] ^= 0xFF
    (tmp_path / "a.tif").write_bytes(data)
    layout, same = restored(tmp_path / "a.tif")
    assert "restored_suffix" not in layout.attrs
    assert same == data


def test_a_png_that_zlib_did_not_write_becomes_a_tiff(tissue, tmp_path, restored):
    import imagecodecs

    path = tmp_path / "a.png"
    path.write_bytes(imagecodecs.png_encode(tissue, level=0))
    layout, data = restored(path)
    if "restored_suffix" in layout.attrs:
        np.testing.assert_array_equal(tifffile.imread(io.BytesIO(data)), tissue)
    else:
        assert len(layout.planes) == 2
