"""Verifying and restoring, sound and damaged archives."""

from __future__ import annotations

import random
import resource
import shutil

import pytest
import soundfile
import tifffile

from haarchive.codecs.errors import (
    HaarchiveError,
    IntegrityError,
    ObjectExistsError,
    StorageFullError,
    StoragePermissionError,
)
from haarchive.pipeline.archive import open_archive


@pytest.fixture(scope="module")
def archive(tmp_path_factory, put_source, jpeg_slide, recording):
    root = tmp_path_factory.mktemp("archive")
    put_source(root, jpeg_slide)
    put_source(root, recording)
    return root


@pytest.fixture
def copy(archive, tmp_path):
    """A copy of the archive that the test may damage."""
    return shutil.copytree(archive, tmp_path / "copy")


def flip(path, at, bit=0):
    data = bytearray(path.read_bytes())
    data[at] ^= 1 << bit
    path.write_bytes(data)


def shard_of(root, name, number=0):
    return root / "shards" / f"{open_archive(root)[name].manifest.shards[number].sha256}.arrow"


@pytest.mark.parametrize("deep", [False, True])
def test_a_sound_archive_has_no_problems(archive, deep):
    for source in open_archive(archive).values():
        report = source.verify(deep=deep)
        assert report.ok
        assert report.problems == ()
        assert report.nbytes == source.archived_bytes
        assert report.objects == len(source.manifest.shards) + 1
        assert report.chunks == sum(plane.n_chunks for plane in source.manifest.layout.planes)


def test_verifying_tells_of_its_progress(archive):
    source = open_archive(archive)["take.wav"]
    steps = []
    source.verify(deep=True, progress=steps.append)
    assert sum(steps) == source.manifest.shard_bytes + source.size


@pytest.mark.parametrize("deep", [False, True])
def test_a_missing_shard_is_named(copy, deep):
    path = shard_of(copy, "take.wav")
    path.unlink()
    (problem,) = open_archive(copy)["take.wav"].verify(deep=deep).problems
    assert "missing" in problem
    assert path.name in problem


def test_a_damaged_band_is_named_with_its_chunk(copy):
    source = open_archive(copy)["take.wav"]
    row = source.manifest.index.to_pylist()[1]
    flip(shard_of(copy, "take.wav", row["shard"]), row["band_offset"][0] + 5)
    problems = source.verify().problems
    assert any("SHA-256" in problem for problem in problems)
    assert any(f"chunk {row['chunk']} of plane {row['plane']}: band 0" in problem for problem in problems)


def test_a_bit_between_the_payloads_is_found_by_the_digest_of_the_shard(copy):
    flip(shard_of(copy, "take.wav"), 20)
    (problem,) = open_archive(copy)["take.wav"].verify().problems
    assert "SHA-256" in problem


def test_a_shard_that_was_cut_short_is_found(copy):
    path = shard_of(copy, "jpeg.tif")
    path.write_bytes(path.read_bytes()[:1000])
    assert not open_archive(copy)["jpeg.tif"].verify().ok
    with pytest.raises(IntegrityError, match=r"jpeg\.tif: chunk .* is damaged"):
        open_archive(copy)["jpeg.tif"].open().read()


def test_damage_to_one_source_leaves_the_others_readable(copy, jpeg_slide):
    shard_of(copy, "take.wav").unlink()
    assert open_archive(copy)["jpeg.tif"].open().read() == jpeg_slide.read_bytes()


def test_restored_files_are_the_originals(archive, tmp_path, jpeg_slide, recording):
    for original in (jpeg_slide, recording):
        out = open_archive(archive)[original.name].restore(tmp_path / "deep" / "er" / original.name)
        assert out.read_bytes() == original.read_bytes()
        assert [p.name for p in out.parent.glob(".haarchive*")] == []


def test_an_existing_file_is_only_replaced_on_request(archive, tmp_path, recording):
    out = tmp_path / "take.wav"
    out.write_bytes(b"precious")
    with pytest.raises(ObjectExistsError, match="exists already"):
        open_archive(archive)["take.wav"].restore(out)
    assert out.read_bytes() == b"precious"
    open_archive(archive)["take.wav"].restore(out, overwrite=True)
    assert out.read_bytes() == recording.read_bytes()


def test_a_failed_restoration_leaves_nothing_behind(copy, tmp_path):
    flip(shard_of(copy, "take.wav"), -2000)
    with pytest.raises(IntegrityError):
        open_archive(copy)["take.wav"].restore(tmp_path / "out" / "take.wav")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_full_disk_is_named_and_leaves_nothing_behind(archive, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(StorageFullError, match=r"take\.wav"):
            open_archive(archive)["take.wav"].restore(tmp_path / "out" / "take.wav")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list((tmp_path / "out").iterdir()) == []


def test_a_place_that_takes_no_files_is_named(archive, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises((StoragePermissionError, HaarchiveError), match="cannot write"):
        open_archive(archive)["take.wav"].restore(tmp_path / "file" / "take.wav")


def test_restoring_tells_of_its_progress(archive, tmp_path, recording):
    steps = []
    open_archive(archive)["take.wav"].restore(tmp_path / "out", progress=steps.append)
    assert sum(steps) == recording.stat().st_size


def test_flipped_bits_anywhere_never_give_wrong_bytes(tmp_path, put_source, picture):
    """Flip bits all over a small archive; every answer is the original or an error of ours."""
    tifffile.imwrite(tmp_path / "a.tif", picture[:80, :96], tile=(32, 32), photometric="rgb", compression="jpeg")
    soundfile.write(tmp_path / "b.wav", picture[:, :2, 0].astype("int16") * 50, 8000)
    (tmp_path / "c.txt").write_bytes(b"notes " * 40)
    (tmp_path / "small.tif").write_bytes((tmp_path / "a.tif").read_bytes())
    originals = {name: (tmp_path / name).read_bytes() for name in ("a.tif", "b.wav", "c.txt", "small.tif")}
    for name in originals:
        put_source(tmp_path / "archive", tmp_path / name, shard_chunks=0 if name == "small.tif" else 8)
    objects = sorted(p for p in (tmp_path / "archive").rglob("*") if p.is_file())
    region = open_archive(tmp_path / "archive" / "a.tif").read_region((10, 10), 0, (40, 30))
    span = open_archive(tmp_path / "archive" / "b.wav").read_frames(100, 50)
    rng = random.Random(2)
    seen = dict.fromkeys(("right", "error", "found"), 0)
    for round_ in range(400):
        path = objects[round_ % len(objects)]
        before = path.read_bytes()
        flip(path, rng.randrange(len(before)), rng.randrange(8))
        for name, original in originals.items():
            try:
                source = open_archive(tmp_path / "archive" / name)
                with source.open() as file:
                    assert file.read() == original
                if name.endswith(".tif"):
                    assert (source.read_region((10, 10), 0, (40, 30)) == region).all()
                if name == "b.wav":
                    assert (source.read_frames(100, 50) == span).all()
                seen["right"] += 1
            except HaarchiveError:
                seen["error"] += 1
        if path.parent.name == "shards":
            problems = [p for s in open_archive(tmp_path / "archive").values() for p in s.verify().problems]
            assert problems
            seen["found"] += 1
        path.write_bytes(before)
    assert min(seen["right"], seen["error"], seen["found"]) > 50
