"""Reading archives in place."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
import tifffile

from haarchive.codecs.errors import ArchiveNotFoundError, IntegrityError, RegionError
from haarchive.pipeline.archive import Archive, ArchivedSource, open_archive


@pytest.fixture(scope="module")
def archive(tmp_path_factory, put_source, slide, jpeg_slide, recording):
    root = tmp_path_factory.mktemp("archive")
    put_source(root, slide)
    put_source(root, jpeg_slide, "case 7/jpeg.tif")
    put_source(root, recording)
    return root


def test_the_root_opens_as_a_mapping_of_sources(archive):
    opened = open_archive(archive)
    assert isinstance(opened, Archive)
    assert list(opened) == ["case 7/jpeg.tif", "slide.tif", "take.wav"]
    assert "slide.tif" in opened
    assert "nothing" not in opened


def test_a_path_below_the_root_opens_as_a_source(archive):
    opened = open_archive(archive / "case 7" / "jpeg.tif")
    assert isinstance(opened, ArchivedSource)
    assert opened.name == "case 7/jpeg.tif"


def test_a_source_that_is_not_there_is_named(archive):
    with pytest.raises(ArchiveNotFoundError, match=r"'no\.tif'"):
        open_archive(archive / "no.tif")


def test_a_folder_that_is_no_archive_is_refused_and_stays_as_it_is(tmp_path):
    with pytest.raises(ArchiveNotFoundError, match="no archive at or above"):
        open_archive(tmp_path / "none" / "here")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("name", ["slide.tif", "case 7/jpeg.tif", "take.wav"])
def test_the_original_bytes_can_be_read_as_a_file(archive, name, slide, jpeg_slide, recording):
    original = {p.name: p for p in (slide, jpeg_slide, recording)}[name.split("/")[-1]].read_bytes()
    opened = open_archive(archive)[name]
    with opened.open() as file:
        assert file.read() == original
        file.seek(-100, 2)
        assert file.read() == original[-100:]
        for start, length in ((0, 1), (1000, 5000), (len(original) // 2, 70_000), (len(original), 5)):
            file.seek(start)
            assert file.read(length) == original[start : start + length]
    assert opened.size == len(original)


@pytest.mark.parametrize(
    ("location", "size"),
    [((0, 0), (900, 700)), ((123, 45), (300, 20)), ((511, 255), (2, 2)), ((899, 699), (1, 1))],
)
def test_a_region_has_the_pixels_of_the_slide(archive, picture, location, size):
    (x, y), (w, h) = location, size
    region = open_archive(archive / "slide.tif").read_region(location, 0, size)
    np.testing.assert_array_equal(region, picture[y : y + h, x : x + w])


def test_a_lower_level_is_read_at_locations_of_level_0(archive, picture):
    source = open_archive(archive / "slide.tif")
    assert source.level_dimensions[:2] == ((900, 700), (450, 350))
    assert source.level_downsamples[:2] == (1.0, 2.0)
    region = source.read_region((200, 100), 1, (50, 40))
    np.testing.assert_array_equal(region, picture[::2, ::2][50:90, 100:150])


def test_what_lies_outside_of_the_picture_is_zero(archive, picture):
    region = open_archive(archive / "slide.tif").read_region((-10, 690), 0, (30, 30))
    np.testing.assert_array_equal(region[:10, 10:], picture[690:, :20])
    assert not region[10:].any()
    assert not region[:, :10].any()
    assert not open_archive(archive / "slide.tif").read_region((5000, 5000), 0, (4, 4)).any()


def test_a_region_of_no_pixels_is_empty(archive):
    assert open_archive(archive / "slide.tif").read_region((0, 0), 0, (0, 5)).shape == (5, 0, 3)


@pytest.mark.parametrize("level", [-1, 99])
def test_a_level_that_is_not_there_is_refused(archive, level):
    with pytest.raises(RegionError, match="levels 0 to"):
        open_archive(archive / "slide.tif").read_region((0, 0), level, (1, 1))


def test_a_recording_has_no_pixels_and_a_slide_no_sound(archive):
    with pytest.raises(RegionError, match="no image"):
        open_archive(archive / "take.wav").read_region((0, 0), 0, (1, 1))
    with pytest.raises(RegionError, match="no sound"):
        open_archive(archive / "slide.tif").read_frames(0, 1)


def test_associated_images_are_read_by_name(archive, slide):
    source = open_archive(archive / "slide.tif")
    assert len(source.associated_images) == 1
    (image,) = source.associated_images.values()
    np.testing.assert_array_equal(image, tifffile.imread(slide, series=1))


def test_jpeg_tiles_decode_to_what_tifffile_reads(archive, jpeg_slide):
    source = open_archive(archive)["case 7/jpeg.tif"]
    expected = tifffile.imread(jpeg_slide)
    np.testing.assert_array_equal(source.read_region((100, 50), 0, (400, 300)), expected[50:350, 100:500])
    np.testing.assert_array_equal(source.read_region((0, 0), 0, (900, 700)), expected)


@pytest.mark.parametrize(("start", "frames"), [(0, 10), (262_140, 10), (440_990, 10), (440_990, 99), (5, -1)])
def test_a_span_has_the_samples_of_the_recording(archive, recording, start, frames):
    source = open_archive(archive / "take.wav")
    assert (source.samplerate, source.frames, source.channels, source.bits) == (44_100, 441_000, 2, 24)
    expected, _ = soundfile.read(recording, frames=frames, start=start, dtype="int32")
    np.testing.assert_array_equal(source.read_frames(start, frames), expected >> 8)


def test_a_span_outside_of_the_recording_is_refused(archive):
    source = open_archive(archive / "take.wav")
    with pytest.raises(RegionError, match="frames 0 to 441000"):
        source.read_frames(441_001, 1)
    with pytest.raises(RegionError):
        source.read_frames(-1, 1)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
def test_sound_that_is_archived_as_flac_is_read_too(tmp_path, recording, subtype, put_source):
    sound, rate = soundfile.read(recording, dtype="int32")
    soundfile.write(tmp_path / "a.flac", sound, rate, subtype=subtype)
    put_source(tmp_path / "archive", tmp_path / "a.flac")
    source = open_archive(tmp_path / "archive" / "a.flac")
    expected, _ = soundfile.read(tmp_path / "a.flac", start=1000, frames=500, dtype="int32")
    assert source.bits == int(subtype[-2:])
    np.testing.assert_array_equal(source.read_frames(1000, 500), expected >> (32 - source.bits))


def test_damage_below_a_flac_is_an_error_and_not_silence(tmp_path, recording, put_source):
    sound, rate = soundfile.read(recording, dtype="int32")
    soundfile.write(tmp_path / "a.flac", sound, rate)
    put_source(tmp_path / "archive", tmp_path / "a.flac", shard_chunks=1)
    for shard in (tmp_path / "archive" / "shards").iterdir():
        data = bytearray(shard.read_bytes())
        data[len(data) // 2] ^= 1
        shard.write_bytes(data)
    with pytest.raises(IntegrityError, match="CRC"):
        open_archive(tmp_path / "archive" / "a.flac").read_frames(0, 100_000)


def test_a_folder_is_read_member_by_member_and_restored_whole(tmp_path, put_source):
    zarr = pytest.importorskip("zarr")
    array = zarr.create_array(tmp_path / "a.zarr", shape=(40, 30), chunks=(16, 16), dtype="u2")
    array[:] = np.arange(1200).reshape(40, 30)
    put_source(tmp_path / "archive", tmp_path / "a.zarr")
    source = open_archive(tmp_path / "archive" / "a.zarr")
    with source.open("zarr.json") as file:
        assert file.read() == (tmp_path / "a.zarr" / "zarr.json").read_bytes()
    with pytest.raises(RegionError, match="no member"):
        source.open("nothing")
    source.restore(tmp_path / "back.zarr")
    files = sorted(p.relative_to(tmp_path / "a.zarr") for p in (tmp_path / "a.zarr").rglob("*") if p.is_file())
    assert files == sorted(
        p.relative_to(tmp_path / "back.zarr") for p in (tmp_path / "back.zarr").rglob("*") if p.is_file()
    )
    for path in files:
        assert (tmp_path / "back.zarr" / path).read_bytes() == (tmp_path / "a.zarr" / path).read_bytes()


def test_an_empty_file_is_archived_and_restored(tmp_path, put_source):
    (tmp_path / "empty").write_bytes(b"")
    put_source(tmp_path / "archive", tmp_path / "empty")
    out = open_archive(tmp_path / "archive" / "empty").restore(tmp_path / "out")
    assert out.read_bytes() == b""


def test_archived_bytes_are_the_sizes_of_the_objects(tmp_path, jpeg_slide, put_source):
    put_source(tmp_path / "a", jpeg_slide)
    objects = [p for p in (tmp_path / "a").rglob("*") if p.is_file() and p.name != "archive.json"]
    assert open_archive(tmp_path / "a" / "jpeg.tif").archived_bytes == sum(p.stat().st_size for p in objects)


def test_a_small_region_fetches_only_the_bands_of_its_chunks(archive):
    source = open_archive(archive / "slide.tif")
    source.store.stats.__init__()
    source.read_region((0, 0), 0, (10, 10))
    index = source.manifest.index.to_pylist()
    plane = source.levels[0].plane
    (wanted,) = [row for row in index if row["plane"] == plane and row["chunk"] == 0]
    assert source.store.stats.bytes_read == sum(wanted["band_length"])
    source.read_region((3, 3), 0, (10, 10))
    assert source.store.stats.bytes_read == sum(wanted["band_length"])


def test_a_short_span_fetches_only_its_chunk(archive):
    source = open_archive(archive / "take.wav")
    source.store.stats.__init__()
    source.read_frames(300_000, 10)
    (wanted,) = [r for r in source.manifest.index.to_pylist() if r["plane"] == 1 and r["chunk"] == 1]
    assert source.store.stats.bytes_read == sum(wanted["band_length"])
    assert source.store.stats.reads == 1


def test_planes_are_read_as_they_were_coded(archive):
    source = open_archive(archive / "slide.tif")
    plane = source.levels[0].plane
    described = source.manifest.layout.planes[plane]
    everything = source.read_plane(plane, (slice(None),) * 3)
    assert everything.shape == described.shape
    np.testing.assert_array_equal(
        source.read_plane(plane, (slice(5, 9), slice(-7, None), slice(0, 1))), everything[5:9, -7:, :1]
    )
    with pytest.raises(RegionError, match="axes"):
        source.read_plane(plane, (slice(None),))


def test_memory_for_decoded_chunks_is_bounded(tmp_path, put_source):
    rng = np.random.default_rng(0)
    (tmp_path / "big").write_bytes(rng.integers(0, 256, 9 << 20, np.uint8).tobytes())
    put_source(tmp_path / "a", tmp_path / "big")
    source = open_archive(tmp_path / "a" / "big", cache_bytes=3 << 20)
    with source.open() as file:
        assert file.read() == (tmp_path / "big").read_bytes()
    assert source._chunks._cached <= 3 << 20


def _files(folder):
    """The content of every file below a folder, by path."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
