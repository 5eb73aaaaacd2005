"""Damaged bitstreams: an error of ours or other samples, never a crash."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from dwt_models import STEPS, made_picture
from numpy.typing import NDArray

from haarchive.codecs.base import Bitstream
from haarchive.codecs.dwt.axis import Axis
from haarchive.codecs.dwt.codec import DwtCodec
from haarchive.codecs.dwt.header import Header, read_header, write_header
from haarchive.codecs.errors import BitstreamError

CODEC = DwtCodec()


@lru_cache
def damaged_before() -> tuple[NDArray[np.uint8], bytes]:
    """A small picture with a few pixels of other colours, and its only band."""
    picture = made_picture((Axis(220, 220 + 80, 256), Axis(201, 201 + 96, 256)))
    picture[40:43, 30:33] ^= 5
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


def test_flipped_bits_are_noticed_or_give_other_samples() -> None:
    picture, data = damaged_before()
    _, begin = read_header(data)
    found = 0
    for bit in np.random.default_rng(0).integers(8 * begin, 8 * len(data), 60).tolist():
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        found += noticed(bytes(damaged), picture)
    # The state at the end of a stream gives nearly all of them away.
    assert found > 54


def test_every_bit_of_the_header_but_those_of_unused_steps_is_noticed_or_gives_another_picture() -> None:
    picture, data = damaged_before()
    _, begin = read_header(data)
    same = []
    for bit in range(8 * begin):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            noticed(bytes(damaged), picture)
        except AssertionError:
            same.append(bit // 8)
    # A step that is a little larger may stand for the same integers.
    assert min(same, default=13) >= 13


def test_headers_of_noise_are_refused_or_harmless() -> None:
    picture, data = damaged_before()
    rng = np.random.default_rng(2)
    for _ in range(40):
        damaged = bytearray(data)
        for at in rng.choice(13, 2, replace=False):
            damaged[at] = rng.integers(256)
        if bytes(damaged) != data:
            noticed(bytes(damaged), picture)


def test_cut_streams_are_noticed() -> None:
    _, data = damaged_before()
    _, begin = read_header(data)
    for length in (0, 1, 7, begin - 1, begin, begin + 1, begin + 4, len(data) // 2, len(data) - 2, len(data) - 1):
        with pytest.raises(BitstreamError):
            CODEC.decode([Bitstream((data[:length],))])


@pytest.mark.parametrize("more", [b"\0", b"\0\0", b"\x01\x02\x03\x04"])
def test_streams_that_are_too_long_are_noticed(more: bytes) -> None:
    with pytest.raises(BitstreamError):
        CODEC.decode([Bitstream((damaged_before()[1] + more,))])


def test_any_number_of_bands_but_one_is_refused() -> None:
    _, data = damaged_before()
    for bands in ((), (data, data), (data, b"")):
        with pytest.raises(BitstreamError, match="has 1 band"):
            CODEC.decode([Bitstream(bands)])


@pytest.mark.parametrize("data", [b"", b"\x10", b"\x11" * 53, b"\0" * 80, b"\xff" * 90], ids=str)
def test_what_is_no_bitstream_is_refused(data: bytes) -> None:
    with pytest.raises(BitstreamError):
        CODEC.decode([Bitstream((data,))])


def test_noise_instead_of_a_stream_is_refused() -> None:
    _, data = damaged_before()
    _, begin = read_header(data)
    for seed in range(10):
        noise = np.random.default_rng(seed).bytes((len(data) - begin) & ~1)
        with pytest.raises(BitstreamError):
            CODEC.decode([Bitstream((data[:begin] + noise,))])


@pytest.mark.parametrize("sides", [(65536, 256), (256, 65536), (4096, 4096)], ids=str)
def test_a_damaged_size_costs_no_time_or_memory(sides: tuple[int, int]) -> None:
    _, data = damaged_before()
    _, begin = read_header(data)
    header = Header(Axis(0, sides[0], 256), Axis(0, sides[1], 256), STEPS, None, False)
    with pytest.raises(BitstreamError):
        CODEC.decode([Bitstream((write_header(header) + data[begin:],))])


SCRIPT = """
import numpy as np
from haarchive.codecs.base import Bitstream
from haarchive.codecs.dwt.axis import Axis
from haarchive.codecs.dwt.codec import DwtCodec
from haarchive.codecs.distributions.jit import kernel
from haarchive.codecs.errors import BitstreamError
from dwt_models import made_picture

@kernel
def past_the_end(x):
    return x[x.size]

try:
    past_the_end(np.zeros(3))
    raise SystemExit("bounds are not checked")
except IndexError:
    pass

rng = np.random.default_rng(5)
codec = DwtCodec()
for axes in ((Axis(220, 290, 256), Axis(201, 281, 256)), (Axis(6, 76, 0), Axis(9, 90, 0))):
    picture = made_picture(axes, 1.0, 128)
    picture[40:43, 30:33] ^= 5
    (bitstream,) = codec.encode([picture])
    assert np.array_equal(codec.decode([bitstream])[0], picture)
    for _ in range(60):
        band = bytearray(bitstream.bands[0])
        for _ in range(rng.integers(1, 4)):
            band[rng.integers(1, len(band))] ^= 1 << int(rng.integers(8))
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
