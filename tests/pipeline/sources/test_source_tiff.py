import struct
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile

from haarchive.pipeline.sources import SourceRef, open_source, skeleton_size


@pytest.fixture(autouse=True)
def tiff_writer_with_zlib(monkeypatch):
    """tifffile compresses with libdeflate where it can; scanners and most programs write what zlib makes."""

    def encode(data, level=None, **_):
        return zlib.compress(bytes(data), 6 if level is None else level)

    _ = tifffile.TIFF.COMPRESSORS[8]
    monkeypatch.setitem(tifffile.TIFF.COMPRESSORS._codecs, 8, encode)


def write(path, data, **options):
    tifffile.imwrite(path, data, photometric=options.pop("photometric", "rgb"), **options)
    return path


def only_plane(layout):
    (plane,) = layout.planes[1:]
    return plane


def pixels(layout, planes):
    height, width = layout.planes[1].attrs["size"]
    return planes[1][:height, :width]


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"rowsperstrip": 7},
        {"tile": (64, 48)},
        {"planarconfig": "separate"},
        {"planarconfig": "separate", "rowsperstrip": 32},
        {"planarconfig": "separate", "tile": (64, 64)},
        {"compression": "zlib"},
        {"compression": "zlib", "predictor": True, "tile": (128, 128)},
        {"compression": "lzw", "rowsperstrip": 50},
        {"compression": "lzw", "predictor": True, "planarconfig": "separate"},
        {"bigtiff": True, "compression": "zlib", "compressionargs": {"level": 9}},
    ],
    ids=str,
)
def test_pixels_of_every_layout_become_a_plane(options, dtype, byteorder, tissue, tmp_path, take_apart):
    data = tissue.astype(dtype) * (dtype(257) if dtype == np.uint16 else dtype(1))
    source = data.transpose(2, 0, 1) if options.get("planarconfig") == "separate" else data
    path = write(tmp_path / "a.tif", np.ascontiguousarray(source), byteorder=byteorder, **options)
    layout, planes = take_apart(path)
    assert only_plane(layout).codec == "haar"
    assert "aside" not in only_plane(layout).attrs
    np.testing.assert_array_equal(pixels(layout, planes), data)
    assert skeleton_size(layout) < 4000


@pytest.mark.parametrize("channels", [1, 2, 4, 5])
def test_any_number_of_channels_is_taken(channels, tissue, tmp_path, take_apart):
    data = np.ascontiguousarray(np.resize(tissue, (90, 110, channels)))
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, data, photometric="minisblack", planarconfig="contig" if channels > 1 else None)
    _, planes = take_apart(path)
    np.testing.assert_array_equal(planes[1], data)


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint32", "int16", "int8"])
def test_raw_samples_that_no_flow_takes_are_stored_as_an_image(dtype, tmp_path, take_apart):
    data = np.arange(9000).reshape(90, 100).astype(dtype)
    layout, planes = take_apart(write(tmp_path / "a.tif", data, photometric="minisblack"))
    assert (only_plane(layout).kind, only_plane(layout).codec) == ("image", "stored")
    np.testing.assert_array_equal(planes[1][..., 0], data)


@pytest.mark.parametrize("compression", ["zstd", "packbits", "lzma"])
def test_compression_that_no_promise_can_be_kept_for_stays_as_it_is(compression, tissue, tmp_path, take_apart):
    layout, _ = take_apart(write(tmp_path / "a.tif", tissue, compression=compression, tile=(64, 64)))
    assert (only_plane(layout).kind, only_plane(layout).codec) == ("tiles", "stored")


def test_bilevel_pictures_stay_as_they_are(tmp_path, take_apart):
    data = np.random.default_rng(1).integers(0, 2, (64, 64)).astype(bool)
    layout, _ = take_apart(write(tmp_path / "a.tif", data, photometric="minisblack"))
    assert only_plane(layout).kind == "tiles"


def test_drawings_keep_their_own_compression(tmp_path, take_apart):
    data = np.zeros((600, 600, 3), np.uint8)
    data[100:200, 100:200] = 255
    layout, _ = take_apart(write(tmp_path / "a.tif", data, compression="zlib", tile=(64, 64)))
    assert only_plane(layout).kind == "tiles"


def test_a_few_blank_tiles_do_not_make_a_drawing(tissue, tmp_path, take_apart):
    data = np.full((1024, 1024, 3), 240, np.uint8)
    data[:300, :451] = tissue
    layout, _ = take_apart(write(tmp_path / "a.tif", data, compression="zlib", tile=(64, 64)))
    assert only_plane(layout).codec == "haar"


def test_levels_of_a_pyramid_in_subifds_are_numbered(tissue, tmp_path, take_apart):
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as tif:
        tif.write(tissue, subifds=2, tile=(64, 64), photometric="rgb")
        tif.write(tissue[::2, ::2], subfiletype=1, tile=(64, 64), photometric="rgb")
        tif.write(tissue[::4, ::4], subfiletype=1, tile=(64, 64), photometric="rgb")
    layout, planes = take_apart(path)
    assert [plane.attrs["level"] for plane in layout.planes[1:]] == [0, 1, 2]
    assert planes[3].shape[:2] == (128, 128)
    assert layout.planes[3].attrs["size"] == [75, 113]


def test_further_pages_of_a_stack_are_associated_images(tissue, tmp_path, take_apart):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as tif:
        for channel in range(3):
            tif.write(tissue[..., channel], photometric="minisblack", contiguous=False)
    layout, _ = take_apart(path)
    roles = [plane.attrs.get("level", plane.attrs.get("associated")) for plane in layout.planes[1:]]
    assert roles[0] == 0
    assert len({str(role) for role in roles}) == 3


def test_sparse_tiles_have_no_piece_and_read_as_zeros(tissue, tmp_path, take_apart):
    path = tmp_path / "a.tif"
    tiles = [np.resize(tissue, (64, 64, 3)) if i % 3 != 1 else None for i in range(12)]
    tifffile.imwrite(path, iter(tiles), shape=(192, 256, 3), dtype=np.uint8, tile=(64, 64), photometric="rgb")
    layout, planes = take_apart(path)
    assert only_plane(layout).codec == "haar"
    assert len(layout.pieces) == 8
    assert planes[1][:64, :64].any()
    assert not planes[1][:64, 64:128].any()


def test_tiles_that_share_their_bytes_are_all_read_and_written_once(tissue, tmp_path, take_apart):
    path = write(tmp_path / "a.tif", tissue[:256, :256], tile=(64, 64), compression="zlib")
    with tifffile.TiffFile(path) as tif:
        offsets, counts = tif.pages[0].tags[324], tif.pages[0].tags[325]
        shared = [*offsets.value[:1] * 2, *offsets.value[2:]], [*counts.value[:1] * 2, *counts.value[2:]]
        places = offsets.valueoffset, counts.valueoffset
    data = bytearray(path.read_bytes())
    for values, place in zip(shared, places, strict=True):
        data[place : place + 64] = struct.pack("<16I", *values)
    path.write_bytes(data)
    layout, planes = take_apart(path)
    assert [entry[0] for entry in only_plane(layout).attrs["aside"]] == [1]
    np.testing.assert_array_equal(planes[1][:64, 64:128], planes[1][:64, :64])
    np.testing.assert_array_equal(planes[1], tifffile.imread(path))


def test_few_tiles_of_another_writer_stay_in_the_skeleton_and_can_be_read(tissue, tmp_path, take_apart):
    data = np.resize(tissue, (512, 512, 3))
    path = write(tmp_path / "a.tif", data, tile=(64, 64), compression="zlib", compressionargs={"level": 9})
    with tifffile.TiffFile(path) as tif:
        offset, count = tif.pages[0].dataoffsets[5], tif.pages[0].databytecounts[5]
    content = bytearray(path.read_bytes())
    raw = zlib.decompress(content[offset : offset + count])
    other = zlib.compress(raw, 1)
    content += other
    with tifffile.TiffFile(path) as tif:
        places = [tif.pages[0].tags[code].valueoffset + 5 * 4 for code in (324, 325)]
    content[places[0] : places[0] + 4] = struct.pack("<I", len(content) - len(other))
    content[places[1] : places[1] + 4] = struct.pack("<I", len(other))
    path.write_bytes(content)
    layout, planes = take_apart(path)
    assert [entry[0] for entry in only_plane(layout).attrs["aside"]] == [5]
    np.testing.assert_array_equal(planes[1], data)


def test_deflate_of_another_library_stays_as_it_is(tissue, tmp_path, take_apart):
    tiles = [imagecodecs.deflate_encode(np.resize(tissue, (64, 64, 3)) + i, level=6) for i in range(4)]
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path,
        iter(tiles),
        shape=(128, 128, 3),
        dtype=np.uint8,
        tile=(64, 64),
        photometric="rgb",
        compression="zlib",
    )
    layout, _ = take_apart(path)
    assert only_plane(layout).kind == "tiles"


def test_trailing_bytes_are_kept(tissue, tmp_path, take_apart):
    path = write(tmp_path / "a.tif", tissue)
    path.write_bytes(path.read_bytes() + b"garbage" * 100)
    layout, _ = take_apart(path)
    assert only_plane(layout).codec == "haar"


@pytest.mark.parametrize("keep", [0.2, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("options", [{}, {"tile": (64, 64)}, {"compression": "zlib", "rowsperstrip": 16}], ids=str)
def test_a_truncated_file_is_archived_as_far_as_it_goes_on_request(keep, options, tissue, tmp_path, take_apart):
    path = write(tmp_path / "a.tif", tissue, **options)
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data))])
    layout, _ = take_apart(path, keep_damaged=True)
    assert layout.size == int(keep * len(data))


def test_samples_are_the_same_whoever_reads_a_region(tissue, tmp_path):
    path = write(tmp_path / "a.tif", tissue, compression="lzw", tile=(32, 80))
    with open_source(SourceRef(str(path), "a.tif")) as source:
        layout = source.layout
    with open_source(SourceRef(str(path), "a.tif"), layout=layout) as worker:
        region = worker.read_region(1, (slice(17, 205), slice(33, 450), slice(0, 3)))
    np.testing.assert_array_equal(region, tissue[17:205, 33:450])
