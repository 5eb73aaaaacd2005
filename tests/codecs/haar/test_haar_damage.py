"""Damaged bitstreams: an error of ours or other samples, never a crash."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from haar_models import picture, tiny_codec

from haarchive.codecs.base import Bitstream
from haarchive.codecs.errors import BitstreamError, HaarchiveError
from haarchive.codecs.haar.image import HaarCodec
from haarchive.codecs.haar.image_header import _HEADER
from haarchive.codecs.haar.presets import PRESETS, Preset

HEADER = _HEADER.size
"""Bytes of the header of a picture's bitstream."""


def flipped(bitstream: Bitstream, band: int, bit: int) -> Bitstream:
    bands = [bytearray(b) for b in bitstream.bands]
    bands[band][bit // 8] ^= 1 << bit % 8
    return Bitstream(tuple(bytes(b) for b in bands))


def survives(codec: HaarCodec, bitstream: Bitstream) -> bool:
    """Whether damage was noticed; anything but one of our errors, or samples, fails the test."""
    try:
        codec.decode([bitstream])
    except HaarchiveError:
        return True
    return False


@pytest.mark.parametrize("bits", [8, 16])
def test_flipped_bits_are_noticed_or_give_other_samples(tiny: HaarCodec, bits: int) -> None:
    (bitstream,) = tiny.encode([picture(40, 48, 3, bits)])
    rng = np.random.default_rng(0)
    noticed = 0
    for _ in range(60):
        band = int(rng.integers(len(bitstream.bands)))
        begin = 8 * HEADER if band == 0 else 0
        noticed += survives(tiny, flipped(bitstream, band, int(rng.integers(begin, 8 * len(bitstream.bands[band])))))
    # The state at the end of a stream gives nearly all of them away.
    assert noticed > 50


FIELDS = ("version", "dtype", "transform", "levels", "depth", "flags", "divisor", "divisor", "planes", "planes",
          *["height"] * 4, *["width"] * 4, *["frequency"] * 8, "classes", "classes")  # fmt: skip
"""What each byte of the header holds."""

HARMLESS = {"dtype", "transform", "depth", "divisor", "frequency", "classes", "flags"}
"""Damage to these may go unnoticed in small pictures: other samples come out, or the same."""


@pytest.mark.parametrize("byte", range(HEADER))
def test_a_damaged_header_is_noticed_or_gives_another_picture(tiny: HaarCodec, byte: int) -> None:
    assert len(FIELDS) == HEADER
    (bitstream,) = tiny.encode([picture(20, 24)])
    head, *rest = bitstream.bands
    for value in {head[byte] ^ (1 << bit) for bit in range(8)} | {0, 255} - {head[byte]}:
        damaged = Bitstream((head[:byte] + bytes([value]) + head[byte + 1 :], *rest))
        if not survives(tiny, damaged):
            assert FIELDS[byte] in HARMLESS


def test_headers_of_noise_are_refused(everything: HaarCodec) -> None:
    (bitstream,) = everything.encode([picture(20, 24)])
    rng = np.random.default_rng(2)
    for _ in range(300):
        head = bytearray(bitstream.bands[0])
        for at in rng.integers(1, 10, 3):
            head[at] = rng.integers(256)
        head[18:HEADER] = rng.bytes(HEADER - 18)
        survives(everything, Bitstream((bytes(head), *bitstream.bands[1:])))


@pytest.mark.parametrize("band", range(3))
def test_truncated_bands_are_noticed(tiny: HaarCodec, band: int) -> None:
    (bitstream,) = tiny.encode([picture(40, 48)])
    data = bitstream.bands[band]
    for length in sorted(
        {1, 3, 4, HEADER - 1, HEADER, HEADER + 1, HEADER + 4, len(data) // 2, len(data) - 2, len(data) - 1}
    ):
        cut = Bitstream((*bitstream.bands[:band], data[:length], *bitstream.bands[band + 1 :]))
        with pytest.raises(BitstreamError):
            tiny.decode([cut])


@pytest.mark.parametrize("band", range(3))
def test_bands_that_are_too_long_are_noticed(tiny: HaarCodec, band: int) -> None:
    (bitstream,) = tiny.encode([picture(40, 48)])
    longer = [b + b"\0\0" if n == band else b for n, b in enumerate(bitstream.bands)]
    with pytest.raises(BitstreamError):
        tiny.decode([Bitstream(tuple(longer))])


@pytest.mark.parametrize(
    "bands", [(), (b"",), (b"\2",), (b"\2" * (HEADER - 1),), (b"\0" * HEADER,), (b"\xff" * 64,)], ids=str
)
def test_what_is_no_bitstream_is_refused(everything: HaarCodec, bands: tuple[bytes, ...]) -> None:
    with pytest.raises(BitstreamError):
        everything.decode([Bitstream(bands)])


def test_noise_instead_of_bands_is_refused(tiny: HaarCodec) -> None:
    (bitstream,) = tiny.encode([picture(40, 48)])
    rng = np.random.default_rng(1)
    for _ in range(10):
        noise = [rng.bytes(len(band) & ~1) for band in bitstream.bands[1:]]
        with pytest.raises(BitstreamError):
            tiny.decode([Bitstream((bitstream.bands[0], *noise))])


def test_a_newer_bitstream_is_refused_and_says_what_to_do(everything: HaarCodec) -> None:
    (bitstream,) = everything.encode([picture(20, 20)])
    newer = Bitstream((b"\x04" + bitstream.bands[0][1:], *bitstream.bands[1:]))
    with pytest.raises(BitstreamError, match="update haarchive"):
        everything.decode([newer])


def test_a_missing_band_is_noticed(tiny: HaarCodec) -> None:
    (bitstream,) = tiny.encode([picture(70, 70)])
    for count in range(len(bitstream.bands)):
        with pytest.raises(BitstreamError):
            tiny.decode([Bitstream(bitstream.bands[:count])])


@pytest.mark.parametrize("preset", PRESETS)
def test_bands_of_another_picture_are_noticed_or_give_a_third(preset: Preset) -> None:
    codec = tiny_codec(preset)
    images = picture(40, 48), picture(40, 48, seed=2)
    one, two = codec.encode(images)
    for band in range(len(one.bands)):
        mixed = [(two if n == band else one).bands[n] for n in range(len(one.bands))]
        if not survives(codec, Bitstream(tuple(mixed))):
            (decoded,) = codec.decode([Bitstream(tuple(mixed))])
            assert not any(np.array_equal(decoded, image) for image in images)


def test_a_damaged_size_costs_no_time_or_memory(tiny: HaarCodec) -> None:
    (bitstream,) = tiny.encode([picture(64, 64)])
    for byte in (FIELDS.index(field) + 1 for field in ("planes", "height", "width")):
        with pytest.raises(BitstreamError):
            tiny.decode([flipped(bitstream, 0, 8 * byte + 7)])


SCRIPT = """
import numba
import numpy as np
from haarchive.codecs.base import Bitstream
from haarchive.codecs.distributions.jit import kernel
from haarchive.codecs.errors import HaarchiveError
from haarchive.codecs.haar.audio import HaarAudioCodec
from haarchive.codecs.haar import ycbcr
from haarchive.codecs.haar.image import HaarCodec
from haar_models import combed, converted, picture, recording, stretched, tiny_codec, tiny_model, with_foreign

@kernel
def past_the_end(x):
    return x[x.size]

try:
    past_the_end(np.zeros(3))
    raise SystemExit("bounds are not checked")
except IndexError:
    pass
if numba.config.DISABLE_JIT:  # only encoders have this table, and 2**24 colours take minutes to interpret
    ycbcr._clipped = lambda conversion: np.full((6, 256, 256, 3), ycbcr._NONE, np.int16)
def chunks(kind):
    if kind == "sounds":
        yield HaarAudioCodec.load(tiny_model("haar-audio")), recording(1030, 2)
        return
    for preset in ("fast", "balanced", "max"):
        codec = tiny_codec(preset)
        yield codec, picture(18, 21, 4, 16)
        yield codec, picture(34, 37, 2, 8)
        yield codec, with_foreign(converted(34, 37), 3)
    if not numba.config.DISABLE_JIT:  # weights of values are for pictures of some size
        yield codec, combed(picture(110, 120, 1))
        yield codec, stretched(picture(60, 70, 3))

rng = np.random.default_rng(5)
for codec, chunk in chunks("KIND"):
    (bitstream,) = codec.encode([chunk])
    assert np.array_equal(codec.decode([bitstream])[0], chunk)
    for _ in range(TRIALS):
        bands = [bytearray(band) for band in bitstream.bands]
        band = bands[rng.integers(len(bands))]
        for _ in range(rng.integers(1, 4)):
            if len(band) > 16:
                band[rng.integers(16, len(band))] ^= 1 << int(rng.integers(8))
        try:
            codec.decode([Bitstream(tuple(map(bytes, bands)))])
        except HaarchiveError:
            pass
print("in bounds")
"""


@pytest.mark.parametrize("kind", ["pictures", "sounds"])
@pytest.mark.parametrize(("variable", "trials"), [("NUMBA_BOUNDSCHECK", 40), ("NUMBA_DISABLE_JIT", 1)])
def test_damage_never_leads_out_of_bounds(kind: str, variable: str, trials: int) -> None:
    environment = os.environ | {
        variable: "1",
        "NUMBA_CACHE_DIR": str(Path(os.environ["NUMBA_CACHE_DIR"]) / variable.lower()),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(Path(__file__).parent),
    }
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT.replace("TRIALS", str(trials)).replace("KIND", kind)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "in bounds\n", done.stderr[-2000:]
