"""Which sources lose details under 'lossy-drop-bands-N', and what their layouts say then."""

import hashlib
import io

import imagecodecs
import numpy as np
import pytest
import soundfile
import tifffile
import zarr

from haarchive.pipeline.sources import SourceRef, assemble, open_source

GUARANTEE = "lossy-drop-bands-2"


def scan(path, **options):
    with open_source(SourceRef(str(path), path.name), guarantee=GUARANTEE, **options) as source:
        return source.layout


def container(path, layout):
    """The new container, as a worker makes it that has only the layout; its samples are still the original's."""
    with open_source(SourceRef(str(path), path.name), guarantee=GUARANTEE, layout=layout) as worker:
        worker.check_unchanged()
        return b"".join(assemble(layout, worker.read_region))


def dropped(layout):
    return [plane.attrs.get("dropped_bands", 0) for plane in layout.planes]


def test_an_uncompressed_picture_keeps_its_container(tissue, tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, tissue, photometric="rgb", tile=(64, 80))
    layout = scan(path)
    assert dropped(layout) == [0, 2]
    assert "restored_suffix" not in layout.attrs
    assert container(path, layout) == path.read_bytes()


@pytest.mark.parametrize("compression", ["zlib", "lzw", "zstd"])
def test_a_compressed_picture_gets_an_uncompressed_container(compression, tissue, tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, tissue, photometric="rgb", compression=compression)
    layout = scan(path)
    assert dropped(layout) == [0, 2]
    assert layout.attrs["restored_suffix"] == ".tif"
    np.testing.assert_array_equal(tifffile.imread(io.BytesIO(container(path, layout))), tissue)


def test_a_png_becomes_a_tiff(tissue, tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(imagecodecs.png_encode(tissue))
    layout = scan(path)
    assert dropped(layout) == [0, 2]
    np.testing.assert_array_equal(tifffile.imread(io.BytesIO(container(path, layout))), tissue)


def test_the_layout_knows_the_original_and_no_digest_of_what_will_be_restored(tissue, tmp_path):
    path = tmp_path / "a.tif"
    for compression in (None, "zlib"):
        tifffile.imwrite(path, tissue, photometric="rgb", compression=compression)
        layout = scan(path)
        data = path.read_bytes()
        assert [(was.size, was.sha256) for was in layout.originals] == [(len(data), hashlib.sha256(data).hexdigest())]
        assert [member.sha256 for member in layout.members] == [""]


def test_what_has_no_picture_for_a_flow_is_what_it_is_without_loss(tissue, tone, tmp_path):
    tifffile.imwrite(tmp_path / "jpeg.tif", tissue, photometric="rgb", tile=(64, 64), compression="jpeg")
    tifffile.imwrite(tmp_path / "float.tif", tissue.astype(np.float32), photometric="rgb", compression="zstd")
    soundfile.write(tmp_path / "a.wav", tone, 44100)
    soundfile.write(tmp_path / "a.flac", tone, 44100)
    (tmp_path / "notes.txt").write_text("stained 14 May")
    array = zarr.create_array(
        tmp_path / "a.zarr", shape=tissue.shape, chunks=tissue.shape, dtype="u1", compressors=None
    )
    array[...] = tissue
    for path in tmp_path.iterdir():
        with open_source(SourceRef(str(path), path.name)) as exact:
            there = scan(path)
            assert (there.members, there.planes, there.attrs) == (
                exact.layout.members,
                exact.layout.planes,
                exact.layout.attrs,
            )


def test_pixels_beside_others_that_cannot_be_read_stay_as_they_are_where_compressed(tissue, tmp_path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(tissue, photometric="rgb", tile=(64, 64), compression="jpeg")
        tiff.write(tissue[:100, :90], photometric="rgb", compression="lzw")
        tiff.write(tissue[:100, :90], photometric="rgb")
    assert dropped(scan(path)) == [0, 0, 0, 2]


def test_a_file_that_was_cut_short_gets_no_container_that_looks_whole(tissue, tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, tissue, photometric="rgb", compression="zlib", rowsperstrip=50)
    path.write_bytes(path.read_bytes()[:-5000])
    layout = scan(path, keep_damaged=True)
    assert "restored_suffix" not in layout.attrs
    assert not any(dropped(layout))
