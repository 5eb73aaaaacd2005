"""Archives that learned codecs wrote: their models, and damage to them."""

from __future__ import annotations

import random
import shutil

import numpy as np
import pytest
import tifffile

from haarchive.codecs.errors import HaarchiveError, IntegrityError, ModelNotFoundError
from haarchive.pipeline.archive import ArchiveWriter, open_archive


@pytest.fixture(scope="module")
def made(tmp_path_factory, put_source, picture):
    """A small picture, and the archive that `haar` made of it."""
    folder = tmp_path_factory.mktemp("haar")
    tifffile.imwrite(folder / "a.tif", picture[:160, :120], photometric="rgb")
    put_source(folder / "archive", folder / "a.tif", codecs=("haar",))
    return folder


@pytest.fixture
def copy(made, tmp_path):
    """A copy of the archive that the test may damage."""
    return shutil.copytree(made / "archive", tmp_path / "copy")


def model_of(archive):
    (path,) = (archive / "models").iterdir()
    return path


def test_the_archive_holds_the_model_that_its_bitstreams_need(made):
    source = open_archive(made / "archive" / "a.tif")
    assert source.manifest.codec_totals()["haar"].chunks == 1
    assert model_of(made / "archive").name == f"{source.manifest.models['haar']}.safetensors"
    assert source.open().read() == (made / "a.tif").read_bytes()
    assert source.verify(deep=True).ok


def test_a_missing_model_is_named(copy, tmp_path):
    path = model_of(copy)
    path.unlink()
    with pytest.raises(ModelNotFoundError, match=path.name):
        open_archive(copy / "a.tif").read_region((0, 0), 0, (5, 5))
    with pytest.raises(ModelNotFoundError, match=path.name):
        open_archive(copy / "a.tif").restore(tmp_path / "out")
    (problem,) = open_archive(copy / "a.tif").verify().problems
    assert path.name in problem


def test_a_damaged_model_never_gets_to_decode(copy):
    path = model_of(copy)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match=path.name):
        open_archive(copy / "a.tif").read_region((0, 0), 0, (5, 5))
    assert not open_archive(copy / "a.tif").verify().ok


def test_a_damaged_model_is_mended_by_archiving_again(copy, made):
    path = model_of(copy)
    good = path.read_bytes()
    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    ArchiveWriter(copy).put_model(good)
    assert open_archive(copy / "a.tif").open().read() == (made / "a.tif").read_bytes()


def test_sources_of_an_archive_share_its_models(made):
    archive = open_archive(made / "archive")
    archive["a.tif"].read_region((0, 0), 0, (5, 5))
    reads = archive.store.stats.reads
    archive["a.tif"].read_region((0, 0), 0, (5, 5))
    manifest_and_chunk = 2
    assert archive.store.stats.reads == reads + manifest_and_chunk


def test_flipped_bits_in_what_haar_wrote_never_give_wrong_pixels(copy, made):
    pixels = tifffile.imread(made / "a.tif")
    objects = sorted(p for p in copy.rglob("*") if p.is_file() and p.parent.name != "models")
    rng = random.Random(5)
    errors = 0
    archive = open_archive(copy)
    for round_ in range(40):
        path = objects[round_ % len(objects)]
        before = path.read_bytes()
        damaged = bytearray(before)
        damaged[rng.randrange(len(before))] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        for level in (0, 1):
            try:
                region = archive["a.tif"].read_region((0, 0), level, (120 >> level, 160 >> level))
                if level == 0:
                    np.testing.assert_array_equal(region, pixels)
            except HaarchiveError:
                errors += 1
        path.write_bytes(before)
    assert errors > 20
