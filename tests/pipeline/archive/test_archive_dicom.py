"""Regions of archived DICOM files."""

from __future__ import annotations

import io

import numpy as np
import pytest
from dicom_files import TILE, write_dicom
from PIL import Image
from pydicom import uid

from haarchive.codecs.errors import RegionError
from haarchive.pipeline import archive, open_archive


@pytest.fixture
def picture():
    """Waves in three colours, (150, 200, 3) uint8."""
    y, x, c = np.ogrid[:150, :200, :3]
    return (120 + 60 * np.sin(x / 9 + c) + 40 * np.cos(y / (7 + c))).astype(np.uint8)


def archived(path, tmp_path, **options):
    archive(path, tmp_path / "a", engine="local", **options).raise_for_failures()
    return open_archive(tmp_path / "a" / path.name)


def mosaic(frames):
    """What Pillow decodes JPEG frames of 3 x 4 tiles to."""
    tiles = [np.asarray(Image.open(io.BytesIO(frame))) for frame in frames]
    return np.concatenate([np.concatenate(tiles[row : row + 4], 1) for row in range(0, 12, 4)])


@pytest.mark.parametrize("preset", ["fast", "balanced"])
def test_a_region_of_a_level_is_what_its_frames_decode_to(preset, picture, tmp_path):
    frames = write_dicom(tmp_path / "level.dcm", picture)
    slide = archived(tmp_path / "level.dcm", tmp_path, preset=preset)
    assert slide.level_dimensions[0] == (200, 150)
    region = slide.read_region((50, 40), 0, (100, 90))
    assert np.array_equal(region, mosaic(frames)[40:130, 50:150])


def test_pixels_in_rgb_are_not_converted(picture, tmp_path):
    frames = write_dicom(tmp_path / "rgb.dcm", picture, PhotometricInterpretation="RGB")
    region = archived(tmp_path / "rgb.dcm", tmp_path).read_region((0, 0), 0, (200, 150))
    assert np.array_equal(region, mosaic(frames)[:150, :200])


def test_grey_levels_are_read(picture, tmp_path):
    frames = write_dicom(tmp_path / "grey.dcm", picture[..., 0])
    region = archived(tmp_path / "grey.dcm", tmp_path).read_region((10, 20), 0, (64, 64))
    assert np.array_equal(region[..., 0], mosaic(frames)[20:84, 10:74])


@pytest.mark.parametrize("syntax", [uid.JPEG2000Lossless, uid.ExplicitVRLittleEndian])
def test_what_has_no_loss_is_read_as_it_was(syntax, picture, tmp_path):
    picture ^= np.random.default_rng(1).integers(0, 32, picture.shape, np.uint8)
    write_dicom(tmp_path / "exact.dcm", picture, syntax, PhotometricInterpretation="RGB")
    slide = archived(tmp_path / "exact.dcm", tmp_path)
    assert np.array_equal(slide.read_region((30, 20), 0, (150, 120)), picture[20:140, 30:180])


def test_a_label_is_read_by_its_name(picture, tmp_path):
    frames = write_dicom(tmp_path / "label.dcm", picture, ImageType=["ORIGINAL", "PRIMARY", "LABEL", "NONE"])
    slide = archived(tmp_path / "label.dcm", tmp_path)
    assert slide.level_count == 0
    assert np.array_equal(slide.associated_images["label"], mosaic(frames)[:150, :200])


def test_a_frame_that_is_broken_is_an_error_of_its_region_alone(picture, tmp_path):
    frames = write_dicom(tmp_path / "whole.dcm", picture)
    data = (tmp_path / "whole.dcm").read_bytes()
    at = data.index(frames[5])
    broken = data[: at + 2] + bytes(100) + data[at + 102 :]
    (tmp_path / "broken.dcm").write_bytes(broken)
    slide = archived(tmp_path / "broken.dcm", tmp_path)
    with slide.open() as file:
        assert file.read() == broken
    assert np.array_equal(slide.read_region((0, 0), 0, (TILE, TILE)), mosaic(frames)[:TILE, :TILE])
    with pytest.raises(RegionError, match="tile 5 does not decode"):
        slide.read_region((0, 0), 0, (200, 150))
