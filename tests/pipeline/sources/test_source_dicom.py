"""DICOM: frames go the way that their encoding asks for, and every byte comes back."""

from __future__ import annotations

import numpy as np
import pytest
from dicom_files import write_dicom
from pydicom import uid

from haarchive.codecs.errors import TruncatedSourceError


@pytest.fixture
def slide(tissue):
    """A picture that edges of tiles cut, (300, 451, 3) uint8."""
    return tissue


def test_a_level_is_a_grid_of_jpeg_tiles(slide, take_apart, tmp_path):
    frames = write_dicom(tmp_path / "level.dcm", slide)
    layout, planes = take_apart(tmp_path / "level.dcm")
    (plane,) = layout.planes[1:]
    assert (layout.kind, plane.kind, plane.codec) == ("dicom", "tiles", "jpeg-xl")
    assert (plane.shape, plane.chunk_shape) == ((5, 8), (8, 8))
    assert plane.attrs["size"] == [300, 451]
    assert plane.attrs["level"] == 0
    assert [bytes(tile).rstrip(b"\0") for tile in planes[1]] == [frame.rstrip(b"\0") for frame in frames]


def test_facts_are_told(slide, take_apart, tmp_path):
    write_dicom(tmp_path / "level.dcm", slide)
    layout, _ = take_apart(tmp_path / "level.dcm")
    assert (layout.attrs["mpp"], layout.attrs["vendor"]) == (0.25, "scanner works")


@pytest.mark.parametrize("role", ["LABEL", "OVERVIEW", "THUMBNAIL"])
def test_a_label_is_no_level(role, slide, take_apart, tmp_path):
    write_dicom(tmp_path / "one.dcm", slide, ImageType=["ORIGINAL", "PRIMARY", role, "NONE"])
    attrs = take_apart(tmp_path / "one.dcm")[0].planes[1].attrs
    assert attrs["associated"] == role.lower()
    assert "level" not in attrs


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_pixels_that_are_not_compressed_go_to_the_flow(syntax, dtype, slide, take_apart, tmp_path):
    picture = slide.astype(dtype) * (1 if dtype == "uint8" else 100)
    write_dicom(tmp_path / "raw.dcm", picture, syntax, PhotometricInterpretation="RGB")
    layout, planes = take_apart(tmp_path / "raw.dcm")
    (plane,) = layout.planes[1:]
    assert (plane.kind, plane.codec, plane.dtype, plane.shape) == ("image", "haar", dtype, (320, 512, 3))
    assert np.array_equal(planes[1][:300, :451], picture)


def test_frames_that_are_no_mosaic_lie_below_each_other(slide, take_apart, tmp_path):
    write_dicom(tmp_path / "many.dcm", slide[:128, :128, 0], uid.ExplicitVRLittleEndian, DimensionOrganizationType="3D")
    layout, planes = take_apart(tmp_path / "many.dcm")
    assert layout.planes[1].shape == (256, 64, 1)
    assert "level" not in layout.planes[1].attrs
    assert np.array_equal(planes[1][64:128, :, 0], slide[:64, 64:128, 0])


def test_tiles_in_another_order_are_archived_without_a_level(slide, take_apart, tmp_path):
    write_dicom(tmp_path / "sparse.dcm", slide, DimensionOrganizationType="TILED_SPARSE")
    (plane,) = take_apart(tmp_path / "sparse.dcm")[0].planes[1:]
    assert (plane.kind, plane.codec) == ("tiles", "jpeg-xl")
    assert "level" not in plane.attrs


def test_frames_in_several_fragments_are_found_by_their_markers(slide, take_apart, tmp_path):
    write_dicom(tmp_path / "cut.dcm", slide, fragments=2)
    layout, _ = take_apart(tmp_path / "cut.dcm")
    assert layout.kind == "dicom"
    assert "fragments" in layout.attrs["note"]


@pytest.mark.parametrize(
    "changes",
    [
        {"PixelRepresentation": 1},
        {"PlanarConfiguration": 1},
        {"PhotometricInterpretation": "YBR_FULL_422"},
        {"BitsAllocated": 32},
        {"NumberOfFrames": 41},
        {"Rows": None},
        {"Rows": 0},
    ],
    ids=str,
)
def test_pixels_of_other_kinds_are_kept_as_they_are(changes, slide, take_apart, tmp_path):
    write_dicom(tmp_path / "other.dcm", slide, uid.ExplicitVRLittleEndian, **changes)
    layout, _ = take_apart(tmp_path / "other.dcm")
    assert layout.planes[1:] == ()
    assert "not understood" in layout.attrs["note"]


def test_an_empty_frame_leaves_no_level_that_could_be_read_wrongly(slide, take_apart, tmp_path):
    frames = write_dicom(tmp_path / "whole.dcm", slide)
    frame = frames[3] + bytes(len(frames[3]) % 2)
    item = b"\xfe\xff\x00\xe0" + len(frame).to_bytes(4, "little") + frame
    data = (tmp_path / "whole.dcm").read_bytes()
    assert item in data
    (tmp_path / "holes.dcm").write_bytes(data.replace(item, item[:4] + bytes(4)))
    (plane,) = take_apart(tmp_path / "holes.dcm")[0].planes[1:]
    assert plane.shape == (39,)
    assert "level" not in plane.attrs


@pytest.mark.parametrize("syntax", [uid.JPEGBaseline8Bit, uid.ExplicitVRLittleEndian])
@pytest.mark.parametrize("cut", [1, 7, 9, 500, 5000])
def test_a_cut_file_is_no_source_unless_one_says_so(syntax, cut, slide, take_apart, tmp_path):
    write_dicom(tmp_path / "whole.dcm", slide, syntax, PhotometricInterpretation="RGB")
    data = (tmp_path / "whole.dcm").read_bytes()
    (tmp_path / "cut.dcm").write_bytes(data[:-cut])
    with pytest.raises(TruncatedSourceError, match="cut short"):
        take_apart(tmp_path / "cut.dcm")
    layout, _ = take_apart(tmp_path / "cut.dcm", keep_damaged=True)
    assert layout.size == len(data) - cut
    assert layout.attrs["damaged"]


def test_a_file_without_the_mark_behind_its_frames_is_whole(slide, take_apart, tmp_path):
    write_dicom(tmp_path / "whole.dcm", slide)
    data = (tmp_path / "whole.dcm").read_bytes()
    assert data[-8:] == bytes.fromhex("feffdde000000000")
    (tmp_path / "unmarked.dcm").write_bytes(data[:-8])
    layout, _ = take_apart(tmp_path / "unmarked.dcm")
    assert layout.planes[1].shape == (5, 8)


@pytest.mark.parametrize("keep", [0, 100, 131, 132, 400, 700])
def test_what_is_left_of_a_header_comes_back(keep, slide, take_apart, tmp_path):
    write_dicom(tmp_path / "whole.dcm", slide)
    (tmp_path / "cut.dcm").write_bytes((tmp_path / "whole.dcm").read_bytes()[:keep])
    assert take_apart(tmp_path / "cut.dcm", keep_damaged=True)[0].size == keep


def test_damage_anywhere_in_a_header_loses_nothing(slide, take_apart, tmp_path):
    write_dicom(tmp_path / "whole.dcm", slide[:64, :64])
    data = (tmp_path / "whole.dcm").read_bytes()
    rng = np.random.default_rng(5)
    for at in rng.integers(128, 900, 60).tolist():
        damaged = bytearray(data)
        damaged[at] ^= 1 << int(rng.integers(8))
        (tmp_path / "damaged.dcm").write_bytes(damaged)
        take_apart(tmp_path / "damaged.dcm", keep_damaged=True)
