"""zlib's compressor, reimplemented: the bytes that zlib gives, so that deflate data comes back beside a fork, too."""

from __future__ import annotations

import hashlib
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from haarchive.pipeline import archive
from haarchive.pipeline.jobs.restore import restore
from haarchive.pipeline.sources import deflate as module
from haarchive.pipeline.sources.deflate import deflate, find_recipes
from haarchive.pipeline.sources.zlib_blocks import write_blocks
from haarchive.pipeline.sources.zlib_matches import find_symbols

STRATEGIES = [zlib.Z_DEFAULT_STRATEGY, zlib.Z_FILTERED, zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE]

of_zlib_itself = pytest.mark.skipif(not module._is_zlib_itself(), reason="this Python's zlib is a fork")


def ours(raw: bytes, level: int, strategy: int = 0, memory: int = 8, window: int = 15) -> bytes:
    data = np.frombuffer(raw, np.uint8)
    return bytes(write_blocks(data, *find_symbols(data, level, strategy, memory, window)))


def theirs(raw: bytes, level: int, strategy: int = 0, memory: int = 8, window: int = 15) -> bytes:
    stream = zlib.compressobj(level, zlib.DEFLATED, -window, memory, strategy)
    return stream.compress(raw) + stream.flush()


def tissue(side: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y, x, c = np.ogrid[:side, :side, :3]
    smooth = 130 + 50 * np.sin(x / 17 + c + seed) + 40 * np.cos(y / 11 + x / 29)
    return (smooth + rng.normal(0, 3, (side, side, 3))).clip(0, 255).astype(np.uint8)


def samples() -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    picture = tissue(260)
    noise = rng.integers(0, 256, 40_000, np.uint8).tobytes()
    return {
        "nothing": b"",
        "a byte": b"a",
        "short": b"abcabcabcabca",
        "zeros": bytes(200_000),
        "noise": noise * 2 + noise[:999],
        "few values": rng.integers(0, 3, 150_000, np.uint8).tobytes(),
        "picture": picture.tobytes(),
        "differences": np.diff(picture, axis=1, prepend=0).tobytes(),
        "long codes": np.minimum(rng.geometric(0.015, 120_000), 255).astype(np.uint8).tobytes(),
        "noise among zeros": noise + bytes(70_000) + noise + b"ab" * 9000 + noise[:5000],
        "far repetitions": (noise[:33_000] + noise[:400]) * 4,
    }


SAMPLES = samples()


@of_zlib_itself
@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_level_gives_the_bytes_of_zlib(name: str, strategy: int) -> None:
    for level in range(1, 10):
        assert ours(SAMPLES[name], level, strategy) == theirs(SAMPLES[name], level, strategy), level


@of_zlib_itself
@pytest.mark.parametrize("memory", range(1, 10))
@pytest.mark.parametrize("window", [9, 10, 12, 15])
def test_every_memory_level_and_window_gives_the_bytes_of_zlib(memory: int, window: int) -> None:
    for name in ("picture", "noise among zeros", "far repetitions"):
        raw = SAMPLES[name][:60_000]
        for level, strategy in ((1, 0), (3, 0), (4, 1), (6, 0), (9, 0), (6, 3), (6, 2)):
            expected = theirs(raw, level, strategy, memory, window)
            assert ours(raw, level, strategy, memory, window) == expected, (name, level, strategy)


@of_zlib_itself
@given(
    pieces=st.lists(
        st.one_of(
            st.binary(max_size=400),
            st.tuples(st.integers(0, 255), st.integers(1, 3000)).map(lambda run: bytes([run[0]]) * run[1]),
            st.tuples(st.binary(min_size=1, max_size=9), st.integers(1, 300)).map(lambda run: run[0] * run[1]),
        ),
        max_size=12,
    ),
    level=st.integers(1, 9),
    strategy=st.sampled_from(STRATEGIES),
    memory=st.integers(1, 9),
    window=st.integers(9, 15),
)
def test_any_data_gives_the_bytes_of_zlib(
    pieces: list[bytes], level: int, strategy: int, memory: int, window: int
) -> None:
    raw = b"".join(pieces)
    assert ours(raw, level, strategy, memory, window) == theirs(raw, level, strategy, memory, window)


@given(raw=st.binary(max_size=3000), level=st.integers(1, 9), strategy=st.sampled_from(STRATEGIES))
def test_what_is_written_is_deflate(raw: bytes, level: int, strategy: int) -> None:
    assert zlib.decompress(ours(raw, level, strategy), -15) == raw


@pytest.fixture
def fork(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python whose zlib is a fork: asking it to compress is an error."""
    monkeypatch.setattr(module, "_is_zlib_itself", lambda: False)
    monkeypatch.setattr(module.zlib, "compressobj", lambda *_: pytest.fail("the fork was asked"))


def test_the_golden_streams_of_zlib_are_made_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stream:
        def __init__(self, level: int, method: int, window: int, memory: int, strategy: int) -> None:
            self.how = level, strategy, memory, -window

        def compress(self, raw: bytes) -> bytes:
            return ours(raw, *self.how)

        def flush(self) -> bytes:
            return b""

    monkeypatch.setattr(module.zlib, "compressobj", Stream)
    assert module._golden_digest() == module._GOLDEN_SHA256


@of_zlib_itself
@pytest.mark.parametrize("container", ["zlib", "gzip-body"])
@pytest.mark.parametrize("tried", [1 << 12, 1 << 15, 1 << 20])
@pytest.mark.parametrize("name", ["picture", "zeros", "noise among zeros"])
def test_recipes_are_found_and_followed_beside_a_fork(
    monkeypatch: pytest.MonkeyPatch, container: str, tried: int, name: str
) -> None:
    raw = SAMPLES[name]
    stream = zlib.compressobj(7, zlib.DEFLATED, 15 if container == "zlib" else 31, 9, zlib.Z_FILTERED)
    data = stream.compress(raw) + stream.flush()
    data = data if container == "zlib" else data[10:]
    expected = list(find_recipes(data, raw, container))
    monkeypatch.setattr(module, "_is_zlib_itself", lambda: False)
    monkeypatch.setattr(module, "_TRIED", tried)
    monkeypatch.setattr(module.zlib, "compressobj", lambda *_: pytest.fail("the fork was asked"))
    assert next(find_recipes(data, raw, container)) == expected[0]
    assert deflate(raw, expected[0], container) == data


def test_a_beginning_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, raw in SAMPLES.items():
        for memory, level in ((1, 6), (2, 1), (8, 9)):
            begins = module._beginning(raw[: len(raw) // 2], level, 0, memory, 15)
            assert ours(raw, level, 0, memory).startswith(begins), name
    assert len(module._beginning(SAMPLES["picture"], 6, 0, 1, 15)) > 50_000


def test_what_zlib_did_not_make_has_no_recipe_beside_a_fork_either(fork: None) -> None:
    raw = SAMPLES["picture"]
    data = imagecodecs.deflate_encode(raw, level=9)
    assert not list(find_recipes(data, raw))


@of_zlib_itself
def test_archives_are_restored_beside_a_fork(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = tmp_path / "sources"
    sources.mkdir()
    picture = tissue(200)
    rows = b"".join(b"\0" + row.tobytes() for row in picture)
    stream = zlib.compress(rows, 6)
    (sources / "a.png").write_bytes(png(200, 200, stream))
    tile = zlib.compressobj(6, zlib.DEFLATED, 15, 8, zlib.Z_DEFAULT_STRATEGY)
    encoded = tile.compress(picture.tobytes()) + tile.flush()
    tifffile.imwrite(
        sources / "b.tif", iter([encoded]), shape=picture.shape, dtype=picture.dtype, photometric="rgb",
        compression="adobe_deflate", rowsperstrip=200,
    )  # fmt: skip
    made = archive([sources], tmp_path / "made", engine="local")
    assert all("haar" in report.codecs or "dct" in report.codecs for report in made.sources)
    expected = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sources.iterdir()}
    monkeypatch.setattr(module, "_is_zlib_itself", lambda: False)
    there = archive([sources], tmp_path / "there", engine="local")
    assert [report.codecs for report in there.sources] == [report.codecs for report in made.sources]
    for name in ("made", "there"):
        restore(str(tmp_path / name), tmp_path / f"{name}-out").raise_for_failures()
        out = tmp_path / f"{name}-out" / "sources"
        assert {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in out.iterdir()} == expected


def png(height: int, width: int, stream: bytes) -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        body = name + content
        return len(content).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")

    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", stream) + chunk(b"IEND", b"")
