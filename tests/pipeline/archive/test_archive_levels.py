"""Resolution levels that the source itself does not have."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from haarchive.pipeline.archive import open_archive
from haarchive.pipeline.archive.geometry import chunks_in, halved, reduced_bounds, reduced_shape
from haarchive.pipeline.archive.pyramid import find_levels
from haarchive.pipeline.layout import Plane, SourceLayout


def image(shape, chunk, **attrs):
    return Plane("image", shape, "uint8", chunk, attrs.pop("codec", "haar"), {}, {"level": 0, **attrs})


def levels(*planes):
    skeleton = Plane("bytes", (0,), "uint8", (1,), "stored")
    return find_levels(SourceLayout("x", "tiff", (), (skeleton, *planes), None))


def test_up_to_four_levels_follow_those_of_the_source():
    found = levels(image((4000, 3000, 3), (512, 512, 3)), image((1000, 750, 3), (512, 512, 3), level=1))
    assert [(f.width, f.height) for f in found] == [
        (3000, 4000),
        (750, 1000),
        (375, 500),
        (188, 250),
        (94, 125),
        (47, 63),
    ][:5]
    assert [f.downsample for f in found] == [1.0, 4.0, 8.0, 16.0, 32.0]
    assert [f.reduce for f in found] == [0, 0, 1, 2, 3]


def test_levels_end_where_chunks_no_longer_fit_together():
    assert len(levels(image((4000, 3000, 3), (500, 512, 3)))) == 1 + 2
    assert len(levels(image((700, 700, 3), (700, 700, 3)))) == 1 + 3


@pytest.mark.parametrize(("codec", "expected"), [("haar", 5), ("idf", 5), ("stored", 1), ("jpeg-xl-pixels", 1)])
def test_only_flows_give_further_levels(codec, expected):
    assert len(levels(image((4000, 3000, 3), (512, 512, 3), codec=codec))) == expected


def test_the_padding_of_edge_tiles_belongs_to_no_level():
    found = levels(image((1024, 1024, 3), (512, 512, 3), size=[1000, 999]))
    assert [(f.width, f.height) for f in found[:2]] == [(999, 1000), (500, 500)]


def test_associated_images_are_no_levels():
    assert levels(image((100, 100, 3), (100, 100, 3), associated="label")) == ()


@pytest.mark.parametrize("shape", [(37, 50, 3), (64, 64, 1), (1, 1, 1)])
@pytest.mark.parametrize("reduce", [1, 2, 3])
def test_reduced_chunks_tile_the_reduced_plane(shape, reduce):
    plane = Plane("image", shape, "uint8", (16, 8, shape[2]), "haar")
    seen = np.zeros(reduced_shape(shape, reduce), int)
    for chunk in range(plane.n_chunks):
        seen[reduced_bounds(plane, chunk, reduce)] += 1
    assert (seen == 1).all()
    region = tuple(slice(0, n) for n in seen.shape)
    assert list(chunks_in(plane, region, reduce)) == list(range(plane.n_chunks))


def test_halving_takes_the_floor_of_the_mean_of_four():
    samples = np.array([[1, 2, 255], [3, 5, 255], [7, 7, 254]], np.uint8)[..., None]
    np.testing.assert_array_equal(halved(samples)[..., 0], [[2, 255], [7, 254]])


def test_stored_chunks_are_halved_by_the_reader(tmp_path, put_source):
    picture = np.random.default_rng(0).integers(0, 256, (300, 200, 3), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", picture, photometric="rgb")
    put_source(tmp_path / "archive", tmp_path / "a.tif", codecs=())
    source = open_archive(tmp_path / "archive" / "a.tif")
    assert source.level_dimensions == ((200, 300), (100, 150), (50, 75))
    np.testing.assert_array_equal(source.read_region((0, 0), 1, (100, 150)), halved(picture))
    np.testing.assert_array_equal(source.read_region((40, 80), 2, (20, 30)), halved(halved(picture))[20:50, 10:30])


def test_a_coarse_level_of_haar_fetches_only_coarse_bands(tmp_path, put_source):
    pytest.importorskip("haarchive.codecs.haar.image")
    y, x = np.mgrid[:512, :480]
    picture = (128 + 50 * np.sin(x / 31) + 40 * np.cos(y / 17)).astype(np.uint8)
    picture = np.stack([picture, picture // 2, 255 - picture], axis=-1)
    tifffile.imwrite(tmp_path / "a.tif", picture, photometric="rgb")
    put_source(tmp_path / "archive", tmp_path / "a.tif", codecs=("haar",))
    source = open_archive(tmp_path / "archive" / "a.tif")
    np.testing.assert_array_equal(source.read_region((0, 0), 0, (480, 512)), picture)
    coarse = open_archive(tmp_path / "archive" / "a.tif")
    model = coarse.store.head(f"models/{coarse.manifest.models['haar']}.safetensors")
    coarse.store.stats.__init__()
    region = coarse.read_region((0, 0), 2, (120, 128))
    (row,) = [row for row in coarse.manifest.index.to_pylist() if row["plane"] == coarse.levels[2].plane]
    assert coarse.store.stats.bytes_read == model + sum(row["band_length"][:-2])
    assert np.abs(region.astype(int) - halved(halved(picture))).max() <= 8
    assert source.verify(deep=True).ok
