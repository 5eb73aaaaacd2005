import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from haarchive.codecs.errors import IntegrityError, SchemaVersionError
from haarchive.pipeline.layout import SKELETON_CHUNK, Member, Pieces, Plane, SourceLayout
from haarchive.pipeline.sources import SourceRef, assemble, get_packer, open_source, skeleton_size


@pytest.fixture
def opened(tissue, tmp_path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as tif:
        tif.write(tissue, photometric="rgb", tile=(64, 64), compression="lzw")
        tif.write(tissue[::2, ::2], photometric="rgb", subfiletype=1)
    with open_source(SourceRef(str(path), "a.tif")) as source:
        yield source, path.read_bytes()


@given(start=st.integers(0, 400_000), length=st.integers(0, 50_000))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_range_of_bytes_is_what_the_file_has_there(opened, start, length):
    source, data = opened
    made = list(assemble(source.layout, source.read_region, start, start + length))
    assert b"".join(made) == data[start : start + length]
    assert all(made)


def test_a_range_asks_only_for_the_pieces_in_it(opened):
    source, data = opened
    asked = []

    def read(plane, region):
        asked.append((plane, region))
        return source.read_region(plane, region)

    pieces = source.layout.pieces
    start = int(pieces.offset[3]) + 5
    assert b"".join(assemble(source.layout, read, start, start + 10)) == data[start : start + 10]
    assert [plane for plane, _ in asked] == [int(pieces.plane[3])]


def test_all_bytes_are_skeleton_or_piece(opened):
    source, data = opened
    assert skeleton_size(source.layout) + int(source.layout.pieces.length.sum()) == len(data)
    assert source.layout.planes[0].shape == (skeleton_size(source.layout),)


def test_a_long_skeleton_comes_in_blocks(tmp_path):
    data = np.random.default_rng(1).bytes(3_500_000)
    (tmp_path / "a.bin").write_bytes(data)
    with open_source(SourceRef(str(tmp_path / "a.bin"), "a.bin")) as source:
        blocks = list(assemble(source.layout, source.read_region))
    assert b"".join(blocks) == data
    assert max(map(len, blocks)) == SKELETON_CHUNK


def test_samples_that_pack_to_another_size_are_an_error():
    plane = Plane("tiles", (1,), "uint8", (1,), "stored", {"name": "identity"})
    skeleton = Plane("bytes", (0,), "uint8", (1 << 20,), "stored")
    one = np.array([0])
    layout = SourceLayout(
        "a",
        "tiff",
        (Member("", 10, ""),),
        (skeleton, plane),
        Pieces(one, one + 10, one.astype(np.int32) + 1, one),
    )
    with pytest.raises(IntegrityError, match="segment 0 of plane 1 gives 9 bytes"):
        list(assemble(layout, lambda *_: np.zeros(9, np.uint8)))


def test_a_packer_of_a_newer_version_is_refused():
    with pytest.raises(SchemaVersionError, match="upgrade"):
        get_packer(Plane("image", (1, 1, 1), "uint8", (1, 1, 1), "haar", {"name": "from the future"}))
