import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

PNG = b"\x89PNG\r\n\x1a\n"


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(data, *, cut=8192, filters=(0, 1, 2, 3, 4), compress=zlib.compress, extra=b""):
    """A PNG of (H, W, C) pixels, of which row y gets filter number ``filters[y % len(filters)]``."""
    height, width, channels = data.shape
    depth = data.dtype.itemsize
    rows = data.astype(f">u{depth}").view(np.uint8).reshape(height, -1).astype(np.int16)
    pixel = channels * depth
    left = np.pad(rows, ((0, 0), (pixel, 0)))[:, :-pixel]
    up = np.pad(rows, ((1, 0), (0, 0)))[:-1]
    corner = np.pad(rows, ((1, 0), (pixel, 0)))[:-1, :-pixel]
    p = left + up - corner
    a, b, c = abs(p - left), abs(p - up), abs(p - corner)
    paeth = np.where((a <= b) & (a <= c), left, np.where(b <= c, up, corner))
    predicted = np.stack([np.zeros_like(rows), left, up, (left + up) >> 1, paeth])
    kinds = np.resize(filters, height)
    filtered = (rows - predicted[kinds, np.arange(height)]).astype(np.uint8)
    stream = compress(np.column_stack([kinds.astype(np.uint8), filtered]).tobytes())
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8 * depth, colour, 0, 0, 0))
    body = b"".join(chunk(b"IDAT", stream[i : i + cut]) for i in range(0, len(stream), cut))
    return PNG + head + extra + body + chunk(b"tEXt", b"Comment\0after") + chunk(b"IEND", b"")


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_pixels_become_a_plane_whatever_the_filters(channels, dtype, tissue, tmp_path, take_apart):
    data = np.ascontiguousarray(np.resize(tissue, (120, 97, channels))).astype(dtype)
    (tmp_path / "a.png").write_bytes(png(data))
    layout, planes = take_apart(tmp_path / "a.png")
    assert layout.planes[1].codec == "haar"
    np.testing.assert_array_equal(planes[1], data)
    assert imagecodecs.png_decode((tmp_path / "a.png").read_bytes()).reshape(data.shape).tolist() == data.tolist()


@pytest.mark.parametrize("level", range(1, 10))
def test_every_level_of_zlib_is_recognised(level, tissue, tmp_path, take_apart):
    (tmp_path / "a.png").write_bytes(png(tissue, compress=lambda raw: zlib.compress(raw, level)))
    layout, _ = take_apart(tmp_path / "a.png")
    assert len(layout.planes) == 2


@pytest.mark.parametrize("cut", [1000, 8192, 1 << 20])
def test_any_cutting_into_idat_chunks_comes_back(cut, tissue, tmp_path, take_apart):
    (tmp_path / "a.png").write_bytes(png(tissue, cut=cut))
    layout, _ = take_apart(tmp_path / "a.png")
    assert len(layout.planes) == 2


def test_other_deflate_libraries_leave_the_file_as_it_is(tissue, tmp_path, take_apart):
    (tmp_path / "a.png").write_bytes(png(tissue, compress=lambda raw: imagecodecs.deflate_encode(raw, level=8)))
    layout, _ = take_apart(tmp_path / "a.png")
    assert len(layout.planes) == 1
    assert "byte for byte" in layout.attrs["note"]


@pytest.mark.parametrize("damage", ["crc", "cut", "rows", "filter"])
def test_a_malformed_file_is_kept_as_it_is(damage, tissue, tmp_path, take_apart):
    data = bytearray(png(tissue))
    if damage == "crc":
        data[data.index(b"IDAT") + 4 + 8192] ^= 1
    elif damage == "cut":
        del data[-5000:]
    elif damage == "rows":
        data = bytearray(png(tissue, compress=lambda raw: zlib.compress(raw[:-5])))
    else:
        data = bytearray(png(tissue, compress=lambda raw: zlib.compress(b"\7" + raw[1:])))
    (tmp_path / "a.png").write_bytes(data)
    layout, _ = take_apart(tmp_path / "a.png", keep_damaged=True)
    assert len(layout.planes) == 1
    assert layout.attrs["note"]


def test_palettes_and_interlaced_rows_are_kept_as_they_are(tissue, tmp_path, take_apart):
    for place, value in ((25, 3), (28, 1)):
        data = bytearray(png(tissue))
        data[place] = value
        (tmp_path / "a.png").write_bytes(data)
        layout, _ = take_apart(tmp_path / "a.png")
        assert len(layout.planes) == 1


def test_the_histology_image_that_comes_with_scikit_image_goes_to_the_flow(take_apart):
    data = pytest.importorskip("skimage.data")
    layout, planes = take_apart(Path(data.__file__).parent / "ihc.png")
    assert layout.planes[1].codec == "haar"
    np.testing.assert_array_equal(planes[1], data.immunohistochemistry())
