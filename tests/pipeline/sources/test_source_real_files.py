"""Every real file at hand comes back byte for byte, and goes the way that its encoding asks for."""

import pytest

from haarchive.pipeline.sources import skeleton_size

# Routes as (kind of plane, codec), planes in file order.
_TILES = ("tiles", "stored")
_JPEG = ("tiles", "jpeg-xl")
_INTERVALS = ("tiles", "jpeg")
_FLOW = ("image", "haar")
ROUTES = {
    "slides/cmu-1-small-region.svs": [_JPEG, _JPEG, _FLOW, _JPEG],
    "slides/cmu-1-small-region.jpeg.tiff": [_JPEG],
    "slides/cmu-1-small-region.jp2.tiff": [_TILES],
    "slides/cmu-1-small-region.webp.tiff": [_TILES],
    "slides/cmu-1-small-region.dcm": [_JPEG],
    "slides/fluorescence-dapi.ndpi": [*[_INTERVALS] * 4, _JPEG, _FLOW],
    "slides/cells-2c.ome.tif": [_FLOW] * 2,
    "slides/cells-2z.ome.tif": [_FLOW] * 2,
    "slides/cells-gray16.tif": [_FLOW],
    "slides/cells-gray32.tif": [("image", "stored")],
    "slides/orientation-6.tif": [_JPEG] * 3,
    "slides/xyc-JPEG.ome.tiff": [_JPEG],
    "slides/xyc-JPEG-2000.ome.tiff": [_TILES],
    "slides/xyc-LZW.ome.tiff": [_FLOW],
    "slides/zstd-10kx5k.tiff": [_TILES] * 5,
    "slides/bad/broken.svs": [],
    "slides/bad/zero_gi.tif": [],
}


@pytest.mark.parametrize("name", ROUTES)
def test_a_slide_goes_the_way_that_its_encoding_asks_for(name, data_dir, take_apart):
    layout, _ = take_apart(data_dir / name)
    assert [(plane.kind, plane.codec) for plane in layout.planes[1:]] == ROUTES[name]


@pytest.mark.parametrize("folder", ["slides", "slides/bad", "audio/odd"])
@pytest.mark.parametrize("guarantee", ["file-exact", "sample-exact"])
def test_every_file_comes_back(folder, guarantee, data_dir, take_apart):
    files = [path for path in sorted((data_dir / folder).iterdir()) if path.is_file()]
    assert files
    for path in files:
        layout, _ = take_apart(path, guarantee, keep_damaged=True)
        if "restored_suffix" not in layout.attrs:
            assert layout.size == path.stat().st_size


def test_the_slide_tells_its_pixel_size_its_vendor_and_its_associated_images(data_dir, take_apart):
    layout, _ = take_apart(data_dir / "slides" / "cmu-1-small-region.svs")
    assert layout.attrs["mpp"] == 0.499
    assert layout.attrs["vendor"] == "aperio"
    roles = [plane.attrs.get("level", plane.attrs.get("associated")) for plane in layout.planes[1:]]
    assert roles == [0, "thumbnail", "label", "macro"]
    assert layout.planes[1].attrs["size"] == [2967, 2220]


def test_a_slide_in_dicom_tells_its_size_and_its_pixels(data_dir, take_apart):
    layout, _ = take_apart(data_dir / "slides" / "cmu-1-small-region.dcm")
    assert (layout.kind, layout.attrs["mpp"]) == ("dicom", 0.499)
    assert layout.planes[1].attrs["size"] == [2967, 2220]
    assert layout.planes[1].shape == (13, 10)


def test_nearly_all_of_a_slide_is_payload(data_dir, take_apart):
    layout, _ = take_apart(data_dir / "slides" / "cmu-1-small-region.svs")
    assert skeleton_size(layout) < 0.01 * layout.size
