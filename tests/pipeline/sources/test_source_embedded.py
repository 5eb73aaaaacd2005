"""JPEG files, alone and within files of formats that nothing else is known of."""

import io

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from haarchive.pipeline.layout import chunk_bounds, tiles_of
from haarchive.pipeline.sources import SourceRef, embedded, open_source, skeleton_size, tiles
from haarchive.pipeline.sources.tiles import MAX_SEGMENT, tiles_per_chunk

_ONE_OF_MANY = settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])


def jpeg(picture, mode="RGB", **options):
    file = io.BytesIO()
    Image.fromarray(picture).convert(mode).save(file, "JPEG", **options)
    return file.getvalue()


def layout_of(path):
    with open_source(SourceRef(str(path), path.name)) as source:
        return source.layout


def written(path, data):
    path.write_bytes(data)
    return path


def found(layout, data):
    """The bytes of all pieces, in order."""
    pieces = layout.pieces
    return [data[at : at + n] for at, n in zip(pieces.offset.tolist(), pieces.length.tolist(), strict=True)]


@pytest.fixture
def files(tissue):
    """JPEG files of one size, of several kinds, more than is worth while together."""
    cut = [tissue[y : y + 64, x : x + 64] for y in (0, 64, 128) for x in (0, 64, 128)]
    options = [
        {},
        {"progressive": True},
        {"mode": "L"},
        {"restart_marker_rows": 1},
        {"mode": "CMYK"},
        {"optimize": True},
    ]
    return [jpeg(picture, **options[n % len(options)]) for n, picture in enumerate(cut)]


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"mode": "L"}, {"mode": "CMYK"}], ids=str)
def test_a_jpeg_file_is_one_tile(options, tissue, tmp_path, take_apart):
    data = jpeg(tissue, **options)
    layout, planes = take_apart(written(tmp_path / "a.jpg", data))
    assert layout.kind == "jpeg"
    (plane,) = layout.planes[1:]
    assert (plane.kind, plane.codec, plane.shape, plane.n_chunks) == ("tiles", "jpeg-xl", (1,), 1)
    assert planes[1][0].tobytes() == data
    assert skeleton_size(layout) == 0


def test_bytes_behind_a_jpeg_file_stay_in_the_skeleton(tissue, tmp_path, take_apart):
    data = jpeg(tissue)
    layout, _ = take_apart(written(tmp_path / "a.jpg", data + b"\0" * 1000 + b"TAG"))
    assert skeleton_size(layout) == 1003
    assert found(layout, data) == [data]


def test_a_jpeg_file_whose_marker_at_the_end_has_fill_bytes_is_one_tile_too(tissue, tmp_path, take_apart):
    data = jpeg(tissue)
    layout, _ = take_apart(written(tmp_path / "a.jpg", data[:-2] + b"\xff" + data[-2:]))
    assert skeleton_size(layout) == 0


@pytest.mark.parametrize("keep", [0, 3, 100, 2000, -1])
def test_a_cut_jpeg_file_comes_back(keep, tissue, tmp_path, take_apart):
    layout, _ = take_apart(written(tmp_path / "a.jpg", jpeg(tissue)[:keep]))
    assert len(layout.pieces) == 0


def test_files_are_found_among_other_bytes(files, tmp_path, take_apart):
    data = b"HEAD" + b"".join(b"\0" * n + file + b"between" for n, file in enumerate(files)) + b"\xff\xd8"
    layout, planes = take_apart(written(tmp_path / "a.bin", data))
    assert layout.kind == "verbatim"
    assert found(layout, data) == files
    assert [tile.tobytes() for tile in planes[1]] == files
    assert skeleton_size(layout) == len(data) - sum(map(len, files))


@pytest.mark.parametrize(
    "noise", [b"\xff\xd8\xff", b"\xff\xd8\xff\xe0\xff\xff", b"\xff\xd8\xff\xda\0\2", b"\xff\xd8\xff\xff", b"\xff\xd8"]
)
def test_what_begins_like_a_file_hides_no_other(noise, files, tmp_path, take_apart):
    data = noise + b"".join(file + noise for file in files) + noise * 2
    layout, _ = take_apart(written(tmp_path / "a.bin", data))
    assert set(found(layout, data)) == set(files)


def test_pictures_within_a_file_are_left_to_it(tissue, tmp_path, take_apart):
    thumbnail = jpeg(tissue[::4, ::4])
    whole = jpeg(tissue, exif=b"Exif\0\0" + thumbnail)
    assert thumbnail in whole
    layout, _ = take_apart(written(tmp_path / "a.jpg", whole))
    assert found(layout, whole) == [whole]
    cut = whole[:-2]  # what is left is the thumbnail
    layout, _ = take_apart(written(tmp_path / "b.jpg", cut))
    assert found(layout, cut) == [thumbnail]


def test_few_bytes_of_jpeg_are_not_kept_apart(tissue, tmp_path, take_apart):
    small = jpeg(tissue[:16, :16])
    assert len(small) < 2048
    layout, _ = take_apart(written(tmp_path / "a.bin", b"a" + small))
    assert len(layout.planes) == 1
    layout, _ = take_apart(written(tmp_path / "b.bin", b"a" + small * 4))
    assert len(layout.pieces) == 4


@pytest.mark.parametrize("block", [16, 61, 1000, 4096])
def test_files_across_blocks_are_found(block, files, tmp_path, take_apart, monkeypatch):
    monkeypatch.setattr(embedded, "_BLOCK", block)
    data = (
        b"\xff" * 13 + b"\xff\xd8" * 20 + b"".join(b"\xff\xd8\xff" + b"ab" * n + file for n, file in enumerate(files))
    )
    layout, _ = take_apart(written(tmp_path / "a.bin", data + b"\xff\xd8"))
    assert found(layout, data) == files


@_ONE_OF_MANY
@given(
    pieces=st.lists(
        st.one_of(st.integers(0, 8), st.binary(max_size=9), st.sampled_from([b"\xff\xd8", b"\xff\xd8\xff\xe0\0"])),
        max_size=12,
    ),
    block=st.integers(16, 9000),
)  # fmt: skip
def test_blocks_of_any_size_find_the_same(pieces, block, files, tmp_path, take_apart, monkeypatch):
    data = b"data" + b"".join(files[piece] if isinstance(piece, int) else piece for piece in pieces)
    path = written(tmp_path / "a.bin", data)
    expected = layout_of(path).pieces
    with monkeypatch.context() as patch:
        patch.setattr(embedded, "_BLOCK", block)
        layout, _ = take_apart(path)
    assert layout.pieces.offset.tolist() == expected.offset.tolist()
    assert layout.pieces.length.tolist() == expected.length.tolist()


def test_a_file_that_is_too_large_for_a_chunk_is_left_out(files, tissue, tmp_path, take_apart, monkeypatch):
    large = jpeg(tissue, quality=98)
    most = max(map(len, files)) + 1
    assert len(large) > 4 * most
    monkeypatch.setattr(embedded, "_BLOCK", 512)
    monkeypatch.setattr(embedded, "MAX_SEGMENT", most)
    monkeypatch.setattr(tiles, "MAX_SEGMENT", most)
    data = files[0] + large + b"".join(files[1:])
    layout, _ = take_apart(written(tmp_path / "a.bin", data))
    assert found(layout, data) == files


@pytest.mark.parametrize("head", [b"\x89PNG\r\n\x1a\n", b"fLaC", b"II*\0\x08\0\0\0", b"RIFF\0\0\0\0WAVE"])
def test_files_of_known_formats_are_left_to_them(head, files, tmp_path):
    path = written(tmp_path / "a.bin", head + bytes(100) + b"".join(files))
    with open_source(SourceRef(str(path), "a.bin"), keep_damaged=True) as source:
        assert not any(plane.kind == "tiles" for plane in source.layout.planes)


def test_sample_exact_archives_hold_the_files_themselves(files, tmp_path, take_apart):
    data = b"HEAD" + b"".join(files)
    layout, _ = take_apart(written(tmp_path / "a.bin", data), "sample-exact")
    assert found(layout, data) == files
    assert "restored_suffix" not in layout.attrs


def test_the_tiles_of_a_real_slide_are_found_without_its_headers(data_dir, tmp_path, take_apart):
    dual = (data_dir / "slides" / "cmu-1-small-region.dcm").read_bytes()
    data = bytes(132) + dual[132:]  # without what makes it a TIFF, and a DICOM
    layout, _ = take_apart(written(tmp_path / "a.bin", data))
    assert layout.kind == "verbatim"
    files = found(layout, data)
    assert len(files) == 130
    assert {Image.open(io.BytesIO(file)).size for file in files} == {(240, 240)}
    assert layout.planes[1].chunk_shape == (4,)
    assert skeleton_size(layout) < 0.01 * len(data)


# How many make a chunk


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1, 1), (512, 512)), ((16, 16), (32, 32)), ((128, 128), (4, 4)), ((240, 240), (2, 2)), ((256, 512), (2, 1)),
        ((342, 342), (1, 1)), ((512, 512), (1, 1)), ((4096, 4096), (1, 1)), ((8, 3968), (64, 1)),
        ((8, 100_000), (5, 1)), ((1, 10**9), (1, 1)), ((10**9, 1), (1, 512)),
    ],
    ids=str,
)  # fmt: skip
def test_a_chunk_is_about_as_large_as_it_should_be(size, expected):
    assert tiles_per_chunk(*size) == expected


@given(st.integers(1, 70_000), st.integers(1, 70_000))
def test_a_chunk_of_several_tiles_has_no_more_pixels_than_fit(height, width):
    down, across = tiles_per_chunk(height, width)
    assert down >= 1
    assert across >= 1
    assert down == 1 or down * across * height * width <= 1 << 22
    assert across * width <= max(width, 768)


@pytest.mark.parametrize(("side", "together"), [(16, 1024), (64, 64), (128, 16), (240, 4), (300, 4)])
def test_tiles_of_one_size_share_chunks_if_they_are_many(side, together, tissue, tmp_path, take_apart):
    tile, other = jpeg(np.resize(tissue, (side, side, 3))), jpeg(tissue)
    layout, planes = take_apart(written(tmp_path / "a.bin", tile * 10 + other + tile * 6 + other))
    tiles_plane, others = layout.planes[1:]
    assert (tiles_plane.shape, tiles_plane.chunk_shape) == ((16,), (together,))
    assert (others.shape, others.chunk_shape) == ((2,), (1,))
    assert [one.tobytes() for one in planes[1]] == [tile] * 16
    assert [one.tobytes() for one in planes[2]] == [other] * 2


def test_a_few_files_of_one_size_have_a_chunk_each(tissue, tmp_path, take_apart):
    layout, _ = take_apart(written(tmp_path / "a.bin", jpeg(tissue[:64, :64]) * 15))
    (plane,) = layout.planes[1:]
    assert (plane.shape, plane.chunk_shape) == ((15,), (1,))


def chunks_of(layout):
    """The bytes of the files of each chunk."""
    plane = layout.planes[1]
    return [layout.pieces.length[tiles_of(plane, chunk_bounds(plane, n))].tolist() for n in range(plane.n_chunks)]


def test_chunks_of_files_of_many_sizes_still_fit_in_memory(tissue, tmp_path, monkeypatch):
    icon, photo = jpeg(tissue[:16, :16]), jpeg(np.tile(tissue, (3, 3, 1)))
    most = 3 * len(photo)
    monkeypatch.setattr(embedded, "MAX_SEGMENT", most)
    monkeypatch.setattr(tiles, "MAX_SEGMENT", most)
    assert most < MAX_SEGMENT
    layout = layout_of(written(tmp_path / "a.bin", icon * 9 + photo * 8))
    assert len(layout.pieces) == 17
    assert max(map(sum, chunks_of(layout))) <= most


def test_large_pictures_among_small_ones_are_not_coded_all_at_once(tissue, tmp_path):
    # A blank picture is small as a file, and large while it is coded.
    icon, blank = jpeg(tissue[:16, :16]), jpeg(np.full((2048, 2048, 3), 240, np.uint8))
    layout = layout_of(written(tmp_path / "a.bin", icon * 30 + blank * 20))
    pixels = [sum(2048 * 2048 if n == len(blank) else 256 for n in lengths) for lengths in chunks_of(layout)]
    assert max(pixels) <= 4 * 2048 * 2048
