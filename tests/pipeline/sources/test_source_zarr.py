import json

import numcodecs
import numpy as np
import pytest
import zarr

from haarchive.pipeline.sources import SourceRef, discover, open_source


@pytest.fixture
def store(tmp_path):
    """``(data, chunks, **options) -> path`` of a new array."""

    def make(data, chunks, **options):
        path = tmp_path / "a.zarr"
        array = zarr.create_array(path, shape=data.shape, chunks=chunks, dtype=data.dtype, **options)
        array[...] = data
        return path

    return make


GZIP = zarr.codecs.GzipCodec(level=5)
CRC = zarr.codecs.Crc32cCodec()


@pytest.mark.parametrize("dtype", ["uint8", "<u2", ">u2"])
@pytest.mark.parametrize(
    "options",
    [
        {"compressors": None},
        {"compressors": GZIP},
        {"compressors": [GZIP, CRC]},
        {"compressors": None, "shards": (128, 200, 3)},
        {"compressors": GZIP, "shards": (128, 200, 3)},
        {"zarr_format": 2, "compressors": None},
        {"zarr_format": 2, "compressors": numcodecs.Zlib(level=3)},
        {"zarr_format": 2, "compressors": numcodecs.GZip(level=1)},
        {
            "zarr_format": 2,
            "compressors": None,
            "chunk_key_encoding": {"name": "v2", "separator": "/"},
        },
    ],
    ids=str,
)
def test_pixels_of_every_layout_become_a_plane(options, dtype, tissue, store, take_apart):
    data = tissue.astype(dtype)
    layout, planes = take_apart(store(data, (64, 100, 3), **options))
    assert [plane.codec for plane in layout.planes[1:]] == ["haar"]
    height, width = layout.planes[1].attrs["size"]
    assert layout.planes[1].attrs["level"] == 0
    np.testing.assert_array_equal(planes[1][:height, :width], data)


@pytest.mark.parametrize("compressor", [numcodecs.Blosc(), numcodecs.Zstd(), numcodecs.LZ4()], ids=str)
def test_compressors_that_no_promise_can_be_kept_for_stay_as_they_are(compressor, tissue, store, take_apart):
    layout, _ = take_apart(store(tissue, (64, 100, 3), zarr_format=2, compressors=compressor))
    assert [plane.kind for plane in layout.planes[1:]] == ["tiles"]


def test_channels_before_the_rows_are_one_picture_where_a_chunk_holds_them_all(tissue, store, take_apart):
    data = np.ascontiguousarray(tissue.transpose(2, 0, 1))
    _, planes = take_apart(store(data, (3, 100, 100), compressors=None))
    assert planes[1].shape == (300, 500, 3)
    np.testing.assert_array_equal(planes[1][:, :451], tissue)


def test_each_channel_and_focal_plane_is_a_picture(tissue, store, take_apart):
    data = np.stack([np.stack([tissue[..., 0], tissue[..., 1]])] * 3)
    layout, planes = take_apart(store(data, (1, 1, 100, 100), compressors=None))
    assert len(planes) == 7
    np.testing.assert_array_equal(planes[2][:, :451, 0], tissue[..., 1])
    names = [plane.attrs.get("associated") for plane in layout.planes[1:]]
    assert names == [None, "0-1", "1-0", "1-1", "2-0", "2-1"]


@pytest.mark.parametrize(
    "data", [np.arange(100), np.arange(64).reshape(4, 4, 4).astype("f4"), np.array(7)], ids=np.shape
)
def test_arrays_that_are_no_pictures_come_back_too(data, store, take_apart):
    take_apart(store(data, data.shape or "auto"))


def test_missing_chunks_read_as_the_fill_value(tmp_path, take_apart):
    path = tmp_path / "a.zarr"
    array = zarr.create_array(path, shape=(300, 300), chunks=(50, 50), dtype="u1", compressors=None, fill_value=7)
    array[100:200, 100:200] = 9
    _, planes = take_apart(path)
    np.testing.assert_array_equal(planes[1][..., 0], array[:])


def test_levels_of_an_ome_zarr_are_numbered(tissue, tmp_path, take_apart):
    root = zarr.open_group(tmp_path / "a.ome.zarr", mode="w", zarr_format=2)
    for level in range(3):
        data = tissue[:: 2**level, :: 2**level, 0][None]
        array = root.create_array(str(level), shape=data.shape, chunks=(1, 64, 64), dtype="u1", compressors=None)
        array[:] = data
    units = [{"name": "c"}, {"name": "y", "unit": "micrometer"}, {"name": "x", "unit": "micrometer"}]
    scales = [[{"type": "scale", "scale": [1, 0.25 * 2**n, 0.25 * 2**n]}] for n in range(3)]
    datasets = [{"path": str(n), "coordinateTransformations": scales[n]} for n in range(3)]
    root.attrs["multiscales"] = [{"axes": units, "datasets": datasets}]
    layout, _ = take_apart(tmp_path / "a.ome.zarr")
    assert [plane.attrs["level"] for plane in layout.planes[1:]] == [0, 1, 2]
    assert layout.attrs["mpp"] == 0.25


def test_a_store_in_a_folder_is_one_source(tissue, store, tmp_path):
    store(tissue, (64, 100, 3))
    (tmp_path / "b.txt").write_text("b")
    names = [ref.name for ref in discover([str(tmp_path)])]
    assert names == [f"{tmp_path.name}/a.zarr", f"{tmp_path.name}/b.txt"]


@pytest.mark.parametrize("damage", ["{", "[]", '{"node_type": "array", "shape": 3}'])
def test_malformed_metadata_keeps_everything_as_it_is(damage, tissue, store, take_apart):
    path = store(tissue, (64, 100, 3), compressors=None)
    (path / "zarr.json").write_text(damage)
    layout, _ = take_apart(path)
    assert len(layout.planes) == 1
    assert "zarr" in layout.attrs["note"]


def test_a_truncated_chunk_and_a_damaged_shard_index_come_back(tissue, store, take_apart):
    path = store(tissue, (64, 100, 3), shards=(128, 200, 3), compressors=None)
    for file, cut in (("c/0/0/0", 100), ("c/1/0/0", 3)):
        data = (path / file).read_bytes()
        (path / file).write_bytes(data[:-cut])
    take_apart(path)


def test_files_that_are_no_chunks_are_kept(tissue, store, take_apart):
    path = store(tissue, (64, 100, 3), compressors=None)
    (path / "c" / "notes.txt").write_text("hello")
    (path / "c" / "0" / "0" / "00").write_text("hello")
    layout, _ = take_apart(path)
    assert {member.path for member in layout.members} >= {"c/notes.txt", "c/0/0/00", "zarr.json"}
    assert json.loads((path / "zarr.json").read_text())["node_type"] == "array"


def test_a_chunk_that_changes_is_noticed(tissue, store):
    path = store(tissue, (64, 100, 3), compressors=None)
    with open_source(SourceRef(str(path), "a.zarr")) as source:
        assert source.layout.size > 0
        file = path / "c" / "0" / "0" / "0"
        file.write_bytes(b"x" * file.stat().st_size)
        with pytest.raises(RuntimeError, match="changed"):
            source.check_unchanged()
