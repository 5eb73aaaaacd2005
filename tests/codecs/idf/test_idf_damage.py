"""Damaged bitstreams: an error of ours or other samples, never a crash."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from idf_models import converted, made_codec, picture
from numpy.typing import NDArray

from haarchive.codecs.base import Bitstream
from haarchive.codecs.errors import BitstreamError
from haarchive.codecs.idf.codec import IdfCodec
from haarchive.codecs.idf.header import IdfHeader


@pytest.fixture(autouse=True)
def in_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small pictures in bands, as large ones are."""
    monkeypatch.setattr("haarchive.codecs.idf.codec._SMALL", 0)


def flipped(bitstream: Bitstream, band: int, bit: int) -> Bitstream:
    bands = [bytearray(b) for b in bitstream.bands]
    bands[band][bit // 8] ^= 1 << bit % 8
    return Bitstream(tuple(bytes(b) for b in bands))


def noticed(codec: IdfCodec, bitstream: Bitstream) -> bool:
    """Whether damage was noticed; anything but a `BitstreamError`, or samples, fails the test."""
    try:
        codec.decode([bitstream])
    except BitstreamError:
        return True
    return False


def beginning(bitstream: Bitstream) -> int:
    """Bytes of the header and the model's tag."""
    _, rest = IdfHeader.from_bytes(bitstream.bands[0])
    return len(bitstream.bands[0]) - len(rest) + 2


@pytest.mark.parametrize("bits", [8, 16])
def test_flipped_bits_are_noticed_or_give_other_samples(made: IdfCodec, bits: int) -> None:
    image = picture(40, 48, 3, bits)
    (bitstream,) = made.encode([image])
    rng = np.random.default_rng(0)
    for band in range(len(bitstream.bands)):
        begin = 8 * beginning(bitstream) if band == 0 else 0
        count = 0
        for _ in range(12):
            damaged = flipped(bitstream, band, int(rng.integers(begin, 8 * len(bitstream.bands[band]))))
            if noticed(made, damaged):
                count += 1
            else:
                assert not np.array_equal(made.decode([damaged])[0], image)
        # The state at the end of a stream gives nearly all of them away, but for bits that go as they are.
        assert count > (9 if bits == 8 else 3)


def test_damage_is_noticed_at_lower_resolution_too(adapting: IdfCodec) -> None:
    (bitstream,) = adapting.encode([picture(40, 48)])
    for band in range(len(bitstream.bands) - 1):
        with pytest.raises(BitstreamError):
            adapting.decode([flipped(bitstream, band, 8 * len(bitstream.bands[band]) - 3)], reduce=1)


def test_one_damaged_bitstream_of_a_batch_is_noticed(adapting: IdfCodec) -> None:
    bitstreams = adapting.encode([picture(24, 24, seed=n) for n in range(3)])
    bitstreams[1] = flipped(bitstreams[1], 0, 8 * len(bitstreams[1].bands[0]) - 3)
    with pytest.raises(BitstreamError):
        adapting.decode(bitstreams)


@pytest.mark.parametrize("image", [picture(20, 24), converted(20, 24, foreign=1)], ids=["plain", "converted"])
def test_every_bit_of_the_beginning_is_noticed_or_gives_another_picture(
    made: IdfCodec, image: NDArray[np.uint8]
) -> None:
    (bitstream,) = made.encode([image])
    for bit in range(8 * beginning(bitstream)):
        damaged = flipped(bitstream, 0, bit)
        if not noticed(made, damaged):
            (decoded,) = made.decode([damaged])
            assert decoded.dtype != image.dtype or not np.array_equal(decoded, image)


def test_headers_of_noise_are_refused_or_harmless(adapting: IdfCodec) -> None:
    (bitstream,) = adapting.encode([picture(20, 24)])
    begin = beginning(bitstream) - 2
    rng = np.random.default_rng(2)
    for _ in range(80):
        head = bytearray(bitstream.bands[0])
        for at in rng.integers(0, begin, 2):
            head[at] = rng.integers(256)
        noticed(adapting, Bitstream((bytes(head), *bitstream.bands[1:])))


@pytest.mark.parametrize("image", [picture(40, 48), converted(40, 48, foreign=3)], ids=["plain", "converted"])
def test_truncated_bands_are_noticed(made: IdfCodec, image: NDArray[np.uint8]) -> None:
    (bitstream,) = made.encode([image])
    for band, data in enumerate(bitstream.bands):
        # An empty band is one whose latents are all zero.
        for length in sorted({1, 2, 3, 4, 7, 9, 12, len(data) // 2, len(data) - 2, len(data) - 1}):
            cut = Bitstream((*bitstream.bands[:band], data[:length], *bitstream.bands[band + 1 :]))
            with pytest.raises(BitstreamError):
                made.decode([cut])


def test_bands_that_are_too_long_are_noticed(made: IdfCodec) -> None:
    (bitstream,) = made.encode([picture(40, 48)])
    for band in range(len(bitstream.bands)):
        for more in (b"\0", b"\0\0"):
            longer = [b + more if n == band else b for n, b in enumerate(bitstream.bands)]
            with pytest.raises(BitstreamError):
                made.decode([Bitstream(tuple(longer))])


def test_a_missing_band_is_noticed(made: IdfCodec) -> None:
    (bitstream,) = made.encode([picture(40, 48)])
    for count in range(len(bitstream.bands)):
        with pytest.raises(BitstreamError):
            made.decode([Bitstream(bitstream.bands[:count])])


@pytest.mark.parametrize(
    "bands", [(), (b"",), (b"\x10",), (b"\x10" * 5,), (b"\0" * 30,), (b"\xff" * 64,), (b"\x10\x08\x01",)], ids=str
)
def test_what_is_no_bitstream_is_refused(adapting: IdfCodec, bands: tuple[bytes, ...]) -> None:
    with pytest.raises(BitstreamError):
        adapting.decode([Bitstream(bands)])


def test_noise_instead_of_bands_is_refused(made: IdfCodec) -> None:
    (bitstream,) = made.encode([picture(40, 48)])
    rng = np.random.default_rng(1)
    for _ in range(5):
        noise = [rng.bytes(len(band) & ~1) for band in bitstream.bands[1:]]
        with pytest.raises(BitstreamError):
            made.decode([Bitstream((bitstream.bands[0], *noise))])


def test_raw_samples_of_another_size_are_refused(adapting: IdfCodec) -> None:
    (bitstream,) = adapting.encode([np.random.default_rng(0).integers(0, 256, (9, 9, 3), np.uint8)])
    (data,) = bitstream.bands
    for changed in (data[:-1], data + b"\0", data[:10]):
        with pytest.raises(BitstreamError, match="raw samples"):
            adapting.decode([Bitstream((changed,))])


def test_bands_of_another_picture_are_noticed_or_give_a_third(adapting: IdfCodec) -> None:
    images = picture(40, 48), picture(40, 48, seed=2)
    one, two = adapting.encode(images)
    for band in range(len(one.bands)):
        mixed = Bitstream(tuple((two if n == band else one).bands[n] for n in range(len(one.bands))))
        if not noticed(adapting, mixed):
            (decoded,) = adapting.decode([mixed])
            assert not any(np.array_equal(decoded, image) for image in images)


@pytest.mark.parametrize("shape", [(1 << 16, 1 << 16, 3), (1 << 16, 80, 3), (80, 80, (1 << 16) - 1)], ids=str)
def test_a_damaged_size_costs_no_time_or_memory(shape: tuple[int, int, int]) -> None:
    codec = made_codec("paper")
    (bitstream,) = codec.encode([picture(40, 48)])
    start = beginning(bitstream) - 2
    for raw in (False, True):
        header = IdfHeader(np.dtype(np.uint8), shape, raw=raw, adaptive=True).to_bytes()
        with pytest.raises(BitstreamError):
            codec.decode([Bitstream((header + bitstream.bands[0][start:], *bitstream.bands[1:]))])


SCRIPT = """
import numpy as np
from haarchive.codecs.base import Bitstream
from haarchive.codecs.distributions.jit import kernel
from haarchive.codecs.errors import BitstreamError
from idf_models import KINDS, converted, made_codec, picture

@kernel
def past_the_end(x):
    return x[x.size]

try:
    past_the_end(np.zeros(3))
    raise SystemExit("bounds are not checked")
except IndexError:
    pass

rng = np.random.default_rng(5)
for kind in KINDS:
    codec = made_codec(kind)
    chunks = picture(18, 21, 4, 16), converted(18, 21, 4, foreign=1)
    for chunk, bitstream in zip(chunks, codec.encode(chunks), strict=True):
        assert np.array_equal(codec.decode([bitstream])[0], chunk)
        for _ in range(10):
            bands = [bytearray(band) for band in bitstream.bands]
            band = bands[rng.integers(len(bands))]
            for _ in range(rng.integers(1, 4)):
                if len(band) > 9:
                    band[rng.integers(9, len(band))] ^= 1 << int(rng.integers(8))
            try:
                codec.decode([Bitstream(tuple(map(bytes, bands)))])
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
