"""Sources that are damaged, change, or cannot be read: a clear error, or every byte."""

import hashlib
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tifffile

from haarchive.codecs.errors import SourceChangedError, SourceNotFoundError, SourceUnreadableError
from haarchive.pipeline.sources import SourceRef, assemble, open_source

_NOBODY = 65534


def comes_back(path):
    """Whether a source can be laid out and put together again without reading any plane whole."""
    with open_source(SourceRef(str(path), path.name), keep_damaged=True) as source:
        digest = hashlib.sha256()
        for block in assemble(source.layout, source.read_region):
            digest.update(block)
        raw = sum(int(np.prod(plane.shape, dtype=float)) for plane in source.layout.planes)
        assert raw < 64 * (source.layout.size + (1 << 16))
    return digest.hexdigest() == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"tile": (32, 32)},
        {"compression": "lzw", "rowsperstrip": 9},
        {"compression": "zlib", "bigtiff": True},
    ],
    ids=str,
)
def test_a_tiff_with_flipped_bits_comes_back(options, tissue, tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, tissue[:70, :90], photometric="rgb", **options)
    whole = path.read_bytes()
    rng = np.random.default_rng(5)
    head = min(len(whole), 700)
    for _ in range(150):
        data = bytearray(whole)
        place = rng.integers(head) if rng.random() < 0.5 else len(data) - 1 - rng.integers(head)
        data[place] ^= 1 << rng.integers(8)
        path.write_bytes(data)
        assert comes_back(path)


@pytest.mark.parametrize("form", ["WAV", "RF64", "AIFF"])
def test_a_recording_with_flipped_bits_comes_back(form, tone, tmp_path):
    path = tmp_path / "a.audio"
    soundfile.write(path, tone[:500], 44100, "PCM_16", format=form)
    whole = path.read_bytes()
    for place in range(min(len(whole), 100)):
        data = bytearray(whole)
        data[place] ^= 1 << place % 8
        path.write_bytes(data)
        assert comes_back(path)


def test_a_file_of_any_bytes_is_a_source(tmp_path):
    for head in (
        b"",
        b"I",
        b"II*\0",
        b"II+\0",
        b"MM\0*" + b"\xff" * 40,
        b"RIFF",
        b"\x89PNG\r\n\x1a\n",
        b"fLaC",
        b"FORMxxxxAIFF",
    ):
        (tmp_path / "a.bin").write_bytes(head)
        assert comes_back(tmp_path / "a.bin")


@pytest.fixture
def opened(tissue, tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, tissue, photometric="rgb", compression="lzw", tile=(64, 64))
    with open_source(SourceRef(str(path), "a.tif")) as source:
        assert source.layout.planes[1].n_chunks
        yield source, path


def test_a_file_that_stays_the_same_is_unchanged(opened):
    source, _ = opened
    source.check_unchanged()


def test_a_changed_byte_is_noticed_even_when_the_times_are_put_back(opened):
    source, path = opened
    was = path.stat()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
    with pytest.raises(SourceChangedError, match=r"a\.tif: its content"):
        source.check_unchanged()


def test_a_file_that_grows_is_noticed(opened):
    source, path = opened
    with path.open("ab") as file:
        file.write(b"more")
    with pytest.raises(SourceChangedError, match=r"a\.tif"):
        source.check_unchanged()


def test_a_file_that_is_cut_while_it_is_read_is_an_error(opened):
    source, path = opened
    os.truncate(path, 1000)
    with pytest.raises(SourceChangedError, match="cut while being read"):
        source.read_chunk(1, 0)


def test_pixels_that_change_while_they_are_read_are_an_error(opened):
    source, path = opened
    path.write_bytes(path.read_bytes()[:600] + bytes(path.stat().st_size - 600))
    with pytest.raises(SourceChangedError, match="changed while it was read"):
        source.read_chunk(1, 0)


def test_a_file_that_vanishes_is_an_error(opened):
    source, path = opened
    path.unlink()
    with pytest.raises(SourceNotFoundError, match=r"a\.tif"):
        source.check_unchanged()


@contextmanager
def as_nobody():
    """Step down where we are root, who may read everything."""
    if os.geteuid():
        yield
        return
    os.seteuid(_NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_file_without_permission_is_an_error():
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to others
        path = Path(folder, "a.tif")
        path.write_bytes(b"II*\0")
        path.chmod(0)
        Path(folder).chmod(0o755)
        with as_nobody(), pytest.raises(SourceUnreadableError, match=r"a\.tif: cannot be opened: Permission denied"):
            open_source(SourceRef(str(path), "a.tif"))


def test_a_device_is_refused(tmp_path):
    with pytest.raises(SourceUnreadableError, match="not a regular file"):
        open_source(SourceRef("/dev/zero", "zero"))
