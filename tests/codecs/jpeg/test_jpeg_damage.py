"""Damaged files and bitstreams: an error of ours, or bytes that are what they should be; never a crash."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jpeg_models import KINDS, abbreviated, as_chunk, check_if_taken, intervals_of, jpeg_of, made

from haarchive.codecs.base import Bitstream
from haarchive.codecs.errors import BitstreamError, UnsupportedSamplesError
from haarchive.codecs.jpeg.codec import JpegCodec
from haarchive.codecs.jpeg.syntax import read_frame
from haarchive.codecs.jpeg.text import Text
from haarchive.codecs.rans.stream import OperationList

SAMPLES = [*KINDS, "restarts", "several", "abbreviated", "intervals"]
Edits = list[tuple[str, float, bytes]]
EDITS = st.lists(
    st.tuples(
        st.sampled_from(["flip", "put", "insert", "delete", "cut", "repeat"]),
        st.floats(0, 1, exclude_max=True),
        st.one_of(st.binary(min_size=1, max_size=4), st.sampled_from([b"\xff", b"\0", b"\xff\xd8\xff", b"\xff\xd9"])),
    ),
    min_size=1,
    max_size=3,
)
"""What happens, where (of the whole), and with which bytes."""


@lru_cache
def sample(name: str) -> tuple[JpegCodec, bytes, bytes]:
    """A codec, a chunk of it, and the chunk's only band."""
    codec = JpegCodec()
    if name == "intervals":
        header, intervals = intervals_of(made("4:2:0", 64, 48, restart_marker_rows=1))
        codec, data = JpegCodec(header), b"".join(intervals)
    elif name == "abbreviated":
        tables, data = abbreviated(made("4:2:0", 24, 24))
        codec, data = JpegCodec(tables), data + data
    elif name == "several":
        data = made("grey", 16, 24) + b"\0\0" + made("4:2:0", 16, 24, quality=30, optimize=True) + made("grey", 16, 24)
    else:
        data = made("4:2:2", 40, 40, restart_marker_blocks=2) if name == "restarts" else made(name, 24, 32)
    (bitstream,) = codec.encode([as_chunk(data)])
    return codec, data, bitstream.bands[0]


def damaged(data: bytes, edits: Edits) -> bytes:
    """Bytes after what happened to them."""
    out = bytearray(data)
    for what, place, more in edits:
        at = int(place * len(out))
        if what == "flip" and out:
            out[at] ^= 1 << more[0] % 8
        elif what == "put":
            out[at : at + len(more)] = more
        elif what == "insert":
            out[at:at] = more
        elif what == "delete":
            del out[at : at + len(more)]
        elif what == "cut":
            del out[at:]
        else:
            out[at:at] = out[at : at + 10 * len(more)]
    return bytes(out)


def noticed(codec: JpegCodec, band: bytes) -> bool:
    """Whether damage of a band was noticed; anything but a `BitstreamError`, or bytes, fails the test."""
    try:
        (decoded,) = codec.decode([Bitstream((band,))])
    except BitstreamError:
        return True
    assert decoded.dtype == np.uint8
    return False


@contextmanager
def memory_below(most: int) -> Iterator[None]:
    """Fails where more bytes than `most` are allocated at once."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < most


# Files


@settings(max_examples=150)
@given(name=st.sampled_from(SAMPLES), edits=EDITS)
def test_damaged_files_come_back_or_are_refused(name: str, edits: Edits) -> None:
    codec, data, _ = sample(name)
    changed = damaged(data, edits)
    if changed:
        check_if_taken(changed, codec)


@settings(max_examples=100)
@given(name=st.sampled_from([*KINDS, "restarts", "several"]), edits=EDITS)
def test_files_with_damaged_headers_come_back_or_are_refused(name: str, edits: Edits) -> None:
    codec, data, _ = sample(name)
    _, at = read_frame(data)
    check_if_taken(damaged(data[:at], edits) + data[at:], codec)


@settings(max_examples=100)
@given(name=st.sampled_from(SAMPLES), data=st.binary(min_size=1, max_size=80))
def test_any_bytes_come_back_or_are_refused(name: str, data: bytes) -> None:
    codec, whole, _ = sample(name)
    check_if_taken(data, codec)
    check_if_taken(whole + data, codec)
    if name != "intervals":
        check_if_taken(b"\xff\xd8\xff" + data, codec)
        check_if_taken(whole[: read_frame(made("4:2:0"))[1]] + data, codec)


@settings(max_examples=60)
@given(header=EDITS, data=st.binary(min_size=1, max_size=40))
def test_intervals_of_damaged_headers_come_back_or_are_refused(header: Edits, data: bytes) -> None:
    whole, intervals = intervals_of(made("4:2:0", 64, 48, restart_marker_rows=1))
    try:
        codec = JpegCodec(damaged(whole, header))
    except UnsupportedSamplesError:
        return
    check_if_taken(b"".join(intervals), codec)
    check_if_taken(data, codec)


@pytest.mark.parametrize("name", SAMPLES)
def test_every_cut_of_a_file_comes_back_or_is_refused(name: str) -> None:
    codec, data, _ = sample(name)
    taken = [check_if_taken(data[:length], codec) for length in range(1, len(data) + 1)]
    assert taken[-1]
    assert sum(taken) < 20


def test_scans_of_noise_come_back_or_are_refused() -> None:
    rng = np.random.default_rng(0)
    taken = 0
    for name in ("grey", "4:2:0", "restarts"):
        codec, data, _ = sample(name)
        _, at = read_frame(data)
        for size in (1, 5, 40, 300):
            for _ in range(20):
                taken += check_if_taken(data[:at] + rng.bytes(size), codec)
    assert taken < 24


# Bitstreams


@settings(max_examples=150)
@given(name=st.sampled_from(SAMPLES), edits=EDITS)
def test_damaged_bitstreams_are_noticed_or_give_bytes(name: str, edits: Edits) -> None:
    codec, _, band = sample(name)
    noticed(codec, damaged(band, edits))


@settings(max_examples=100)
@given(
    name=st.sampled_from(SAMPLES), which=st.integers(0, 2), edits=EDITS,
    columns=st.lists(st.integers(0, 3), max_size=3), room=st.integers(-9, 9),
    what=st.sampled_from(["head", "tail", "columns", "room", "more", "fewer", "pads"]),
)  # fmt: skip
def test_damaged_texts_are_noticed_or_give_bytes(
    name: str, which: int, edits: Edits, columns: list[int], room: int, what: str
) -> None:
    codec, _, band = sample(name)
    text, rest = Text.unpack(band[1:])
    heads, tails, pads = list(text.heads), list(text.tails), list(text.pads)
    which %= len(heads)
    if what == "head":
        heads[which] = damaged(heads[which], edits)
    elif what == "tail":
        tails[which] = damaged(tails[which], edits)
    elif what == "pads":
        pads[which] ^= 1
    elif what == "more":
        heads, tails, pads = heads + heads[:1], tails + tails[:1], pads + pads[:1]
    elif what == "fewer":
        heads, tails, pads = heads[1:], tails[1:], pads[1:]
    changed = Text(text.room, heads, tails, pads, columns if what == "columns" else text.columns)
    if what == "room":
        changed = replace(changed, room=max(0, text.room + room))
    noticed(codec, band[:1] + changed.pack() + rest)


@pytest.mark.parametrize("name", ["4:2:0", "several", "intervals"])
def test_flipped_bits_of_coefficients_are_noticed(name: str) -> None:
    codec, _, band = sample(name)
    _, rest = Text.unpack(band[1:])
    bits = np.random.default_rng(0).integers(8 * (len(band) - len(rest)), 8 * len(band), 60)
    found = 0
    for bit in bits.tolist():
        changed = bytearray(band)
        changed[bit // 8] ^= 1 << bit % 8
        found += noticed(codec, bytes(changed))
    assert found > 57


@pytest.mark.parametrize("name", SAMPLES)
def test_cut_bitstreams_are_noticed(name: str) -> None:
    codec, _, band = sample(name)
    _, rest = Text.unpack(band[1:])
    ends = len(band) - len(rest)
    for length in {*range(0, len(band), 7), 1, 2, ends - 1, ends, ends + 1, ends + 4, len(band) - 2, len(band) - 1}:
        assert noticed(codec, band[:length])


@pytest.mark.parametrize("more", [b"\0", b"\0\0", b"\x01\x02\x03\x04"])
def test_bitstreams_that_are_too_long_are_noticed(more: bytes) -> None:
    codec, _, band = sample("4:2:0")
    assert noticed(codec, band + more)


def test_any_number_of_bands_but_one_is_refused() -> None:
    codec, _, band = sample("grey")
    for bands in ((), (band, band), (band, b""), (b"",)):
        with pytest.raises(BitstreamError):
            codec.decode([Bitstream(bands)])


@pytest.mark.parametrize("version", [0, 3, 255])
def test_another_version_is_refused(version: int) -> None:
    codec, _, band = sample("grey")
    with pytest.raises(BitstreamError, match="update haarchive"):
        codec.decode([Bitstream((bytes([version]) + band[1:],))])


@pytest.mark.parametrize("data", [b"\x01", b"\x01\x00", b"\x01" * 12, b"\x01" + b"\0" * 40, b"\x01" + b"\xff" * 64])
def test_what_is_no_bitstream_is_refused(data: bytes) -> None:
    assert noticed(JpegCodec(), data)


@pytest.mark.parametrize("name", SAMPLES)
def test_noise_instead_of_coefficients_is_refused(name: str) -> None:
    codec, _, band = sample(name)
    _, rest = Text.unpack(band[1:])
    for seed in range(6):
        assert noticed(codec, band[: -len(rest)] + np.random.default_rng(seed).bytes(len(rest)))
    assert noticed(codec, band[: -len(rest)])
    assert noticed(codec, band[: -len(rest)] + bytes(len(rest)))
    assert noticed(codec, band[: -len(rest)] + b"\xff" * len(rest))


def test_one_damaged_bitstream_of_a_batch_is_noticed() -> None:
    streams = [Bitstream((sample(kind)[2],)) for kind in KINDS]
    streams[2] = Bitstream((streams[2].bands[0][:-2],))
    with pytest.raises(BitstreamError):
        JpegCodec().decode(streams)


@pytest.mark.parametrize("name", ["abbreviated", "intervals"])
def test_bitstreams_under_other_tables_are_noticed_or_give_bytes(name: str) -> None:
    _, _, band = sample(name)
    others = made("4:2:0", 64, 48, quality=20, optimize=True, restart_marker_rows=1)
    for tables in (b"", abbreviated(others)[0], intervals_of(others)[0]):
        noticed(JpegCodec(tables), band)
    assert noticed(JpegCodec(), band)


@pytest.mark.parametrize("name", ["4:2:0", "intervals"])
def test_the_coefficients_of_another_picture_are_noticed_or_give_a_third(name: str) -> None:
    codec, _, band = sample(name)
    other = made("4:2:0", 24, 32, seed=5)
    if name == "intervals":
        other = b"".join(intervals_of(made("4:2:0", 64, 48, seed=5, restart_marker_rows=1))[1])
    theirs = codec.encode([as_chunk(other)])[0].bands[0]
    text, _ = Text.unpack(band[1:])
    _, rest = Text.unpack(theirs[1:])
    assert noticed(codec, band[:1] + text.pack() + rest)


# What damage costs


@pytest.mark.parametrize("room", [2**32 - 1, 2**31, 2**29])
def test_a_damaged_size_of_scans_costs_no_memory(room: int) -> None:
    codec, _, band = sample("4:2:0")
    text, rest = Text.unpack(band[1:])
    with memory_below(64 << 20):
        assert noticed(codec, band[:1] + replace(text, room=room).pack() + rest)


def test_parts_with_more_blocks_than_their_scans_have_room_for_cost_no_memory() -> None:
    # A block takes two bits at least; these half a million would have to share a hundred bytes.
    data = jpeg_of(np.full((8, 8, 3), 128, np.uint8), mode="L")
    _, at = read_frame(data)
    sof = data.index(b"\xff\xc0")
    head = data[: sof + 5] + (5792).to_bytes(2) * 2 + data[sof + 9 : at]
    operations = OperationList()
    for _ in range(64):
        operations.add_bits(0, 1)
    band = b"\1" + Text(100, [head], [b""], [1], [1]).pack() + operations.to_bytes()
    with memory_below(64 << 20):
        assert noticed(JpegCodec(), band)


def test_blocks_beyond_the_most_are_refused_at_once() -> None:
    codec, data, band = sample("grey")
    text, rest = Text.unpack(band[1:])
    sof = data.index(b"\xff\xc0")
    head = text.heads[0][: sof + 5] + b"\xff\xff\xff\xff" + text.heads[0][sof + 9 :]
    with memory_below(16 << 20):
        assert noticed(codec, band[:1] + replace(text, heads=[head]).pack() + rest)


SCRIPT = """
import numpy as np
from haarchive.codecs.base import Bitstream
from haarchive.codecs.distributions.jit import kernel
from haarchive.codecs.errors import BitstreamError, UnsupportedSamplesError
from haarchive.codecs.jpeg.syntax import read_frame
from haarchive.codecs.jpeg.text import Text
from jpeg_models import as_chunk
from test_jpeg_damage import sample

@kernel
def past_the_end(x):
    return x[x.size]

try:
    past_the_end(np.zeros(3))
    raise SystemExit("bounds are not checked")
except IndexError:
    pass

def mutated(data, begin):
    out = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(begin, len(out)))
        if rng.random() < 0.7:
            out[at] ^= 1 << int(rng.integers(8))
        elif rng.random() < 0.5:
            out[at:at] = rng.bytes(2)
        else:
            del out[at : at + 2]
    return bytes(out)

rng = np.random.default_rng(5)
for name in ("4:2:0", "cmyk", "restarts", "several", "abbreviated", "intervals"):
    codec, data, band = sample(name)
    assert codec.decode([Bitstream((band,))])[0].tobytes() == data
    text, rest = Text.unpack(band[1:])
    scan = read_frame(data)[1] if name not in ("abbreviated", "intervals") else 0
    for n in range(40):
        try:
            codec.encode([as_chunk(mutated(data, scan * (n % 2)))])
        except UnsupportedSamplesError:
            pass
    for n in range(25):
        begin = (len(band) - len(rest)) * (n % 3 > 0)
        try:
            codec.decode([Bitstream((mutated(band, begin),))])
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
