"""Damaged bitstreams: an error of ours or other samples, never a crash."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from dct_models import KINDS, jpeg_scene, made_history
from numpy.typing import NDArray

from haarchive.codecs.base import Bitstream
from haarchive.codecs.dct.codec import DctCodec
from haarchive.codecs.dct.header import read_header, write_header
from haarchive.codecs.errors import BitstreamError

CODEC = DctCodec()


@lru_cache
def damaged_before(kind: str) -> tuple[NDArray[np.uint8], bytes]:
    """A small picture with a frame and some misses, and its only band."""
    picture = jpeg_scene(kind, (80, 88))[3:, 5:].copy()
    picture[40:43, 30:33] = 7
    (bitstream,) = CODEC.encode([picture])
    return picture, bitstream.bands[0]


def noticed(data: bytes, picture: NDArray[np.uint8]) -> bool:
    """Whether damage was noticed; anything but a `BitstreamError`, or other samples, fails the test."""
    try:
        (decoded,) = CODEC.decode([Bitstream((data,))])
    except BitstreamError:
        return True
    assert decoded.shape != picture.shape or not np.array_equal(decoded, picture)
    return False


@pytest.mark.parametrize("kind", KINDS)
def test_flipped_bits_are_noticed_or_give_other_samples(kind: str) -> None:
    picture, data = damaged_before(kind)
    _, _, begin = read_header(data)
    bits = np.random.default_rng(0).integers(8 * begin, 8 * len(data), 24)
    found = 0
    for bit in bits.tolist():
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        found += noticed(bytes(damaged), picture)
    # The state at the end of a stream gives nearly all of them away.
    assert found > 21


@pytest.mark.parametrize("kind", ["4:2:2", "grey"])
def test_every_bit_of_the_header_is_noticed_or_gives_another_picture(kind: str) -> None:
    picture, data = damaged_before(kind)
    _, _, begin = read_header(data)
    for bit in range(8 * begin):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        noticed(bytes(damaged), picture)


def test_headers_of_noise_are_refused_or_harmless() -> None:
    picture, data = damaged_before("4:2:2")
    _, _, begin = read_header(data)
    rng = np.random.default_rng(2)
    for _ in range(40):
        damaged = bytearray(data)
        for at in rng.choice(begin, 2, replace=False):
            damaged[at] = rng.integers(256)
        if bytes(damaged) != data:
            noticed(bytes(damaged), picture)


@pytest.mark.parametrize("kind", KINDS)
def test_cut_streams_are_noticed(kind: str) -> None:
    _, data = damaged_before(kind)
    _, _, begin = read_header(data)
    for length in (0, 1, 7, begin - 1, begin, begin + 1, begin + 4, len(data) // 2, len(data) - 2, len(data) - 1):
        with pytest.raises(BitstreamError):
            CODEC.decode([Bitstream((data[:length],))])


@pytest.mark.parametrize("more", [b"\0", b"\0\0", b"\x01\x02\x03\x04"])
def test_streams_that_are_too_long_are_noticed(more: bytes) -> None:
    _, data = damaged_before("4:4:4")
    with pytest.raises(BitstreamError):
        CODEC.decode([Bitstream((data + more,))])


def test_any_number_of_bands_but_one_is_refused() -> None:
    _, data = damaged_before("grey")
    for bands in ((), (data, data), (data, b"")):
        with pytest.raises(BitstreamError, match="has 1 band"):
            CODEC.decode([Bitstream(bands)])


def test_another_version_is_refused() -> None:
    _, data = damaged_before("grey")
    with pytest.raises(BitstreamError, match="update haarchive"):
        CODEC.decode([Bitstream((bytes([data[0] + 0x10]) + data[1:],))])


def test_an_inverse_transform_that_is_not_known_is_refused() -> None:
    history = replace(made_history((64, 80, 3)), inverse="intel")
    data = bytearray(write_header(history))
    assert data[12] == 1
    data[12] = 2
    with pytest.raises(BitstreamError, match="inverse transform 2"):
        CODEC.decode([Bitstream((bytes(data),))])


@pytest.mark.parametrize("data", [b"", b"\x10", b"\x11" * 12, b"\0" * 40, b"\xff" * 64], ids=str)
def test_what_is_no_bitstream_is_refused(data: bytes) -> None:
    with pytest.raises(BitstreamError):
        CODEC.decode([Bitstream((data,))])


@pytest.mark.parametrize("kind", KINDS)
def test_noise_instead_of_a_stream_is_refused(kind: str) -> None:
    _, data = damaged_before(kind)
    _, _, begin = read_header(data)
    for seed in range(6):
        noise = np.random.default_rng(seed).bytes((len(data) - begin) & ~1)
        with pytest.raises(BitstreamError):
            CODEC.decode([Bitstream((data[:begin] + noise,))])


def test_one_damaged_bitstream_of_a_batch_is_noticed() -> None:
    streams = [Bitstream((damaged_before(kind)[1],)) for kind in KINDS]
    streams[2] = Bitstream((streams[2].bands[0][:-2],))
    with pytest.raises(BitstreamError):
        CODEC.decode(streams)


@pytest.mark.parametrize("kind", ["4:2:0", "grey"])
def test_the_stream_of_another_picture_is_noticed_or_gives_a_third(kind: str) -> None:
    picture, data = damaged_before(kind)
    other = jpeg_scene(kind, (80, 88), seed=9)[3:, 5:]
    (bitstream,) = CODEC.encode([other])
    _, _, begin = read_header(data)
    _, _, other_begin = read_header(bitstream.bands[0])
    mixed = data[:begin] + bitstream.bands[0][other_begin:]
    if mixed != bitstream.bands[0]:
        noticed(mixed, picture)


@pytest.mark.parametrize(
    "sides",
    [
        (65528, 65528),
        (65528, 80),
        (80, 65528),
    ],
    ids=str,
)
def test_a_damaged_size_costs_no_time_or_memory(sides: tuple[int, int]) -> None:
    _, data = damaged_before("4:4:4")
    _, _, begin = read_header(data)
    damaged = write_header(made_history((*sides, 3))) + data[begin:]
    with pytest.raises(BitstreamError):
        CODEC.decode([Bitstream((damaged,))])


SCRIPT = """
import numpy as np
from haarchive.codecs.base import Bitstream
from haarchive.codecs.dct.codec import DctCodec
from haarchive.codecs.distributions.jit import kernel
from haarchive.codecs.errors import BitstreamError
from dct_models import jpeg_scene

@kernel
def past_the_end(x):
    return x[x.size]

try:
    past_the_end(np.zeros(3))
    raise SystemExit("bounds are not checked")
except IndexError:
    pass

rng = np.random.default_rng(5)
codec = DctCodec()
for kind in ("4:2:0", "rgb", "grey"):
    picture = jpeg_scene(kind, (72, 80), 60)[3:, 5:].copy()
    picture[40:43, 30:33] = 7
    (bitstream,) = codec.encode([picture])
    assert np.array_equal(codec.decode([bitstream])[0], picture)
    for _ in range(25):
        band = bytearray(bitstream.bands[0])
        for _ in range(rng.integers(1, 4)):
            band[rng.integers(8, len(band))] ^= 1 << int(rng.integers(8))
        try:
            codec.decode([Bitstream((bytes(band),))])
        except BitstreamError:
            pass
print("in bounds")
"""


def test_damage_never_leads_out_of_bounds() -> None:
    environment = os.environ | {
        "NUMBA_BOUNDSCHECK": "1",
        "NUMBA_CACHE_DIR": str(Path(os.environ["NUMBA_CACHE_DIR"]) / "numba_boundscheck"),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(Path(__file__).parent),
    }
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "in bounds\n", done.stderr[-2000:]
