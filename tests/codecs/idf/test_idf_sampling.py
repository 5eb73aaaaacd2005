"""Pictures from the first bytes of a bitstream, and from none."""

from __future__ import annotations

import numpy as np
import pytest
from idf_models import FOREIGN, converted, picture
from idf_models import made_codec as codec
from numpy.typing import NDArray

from haarchive.codecs import Bitstream
from haarchive.codecs.distributions import mixture_tables
from haarchive.codecs.errors import BitstreamError
from haarchive.codecs.idf.entropy import code_mixture
from haarchive.codecs.idf.sampling import cut_streams
from haarchive.codecs.rans.stream import WordReader

PICTURE = picture(128, 120, 3)


@pytest.mark.parametrize("adaptive", [False, True])
def test_all_bytes_give_the_picture_itself(adaptive: bool) -> None:
    of = codec("pyramid", adaptive)
    for one in (PICTURE, PICTURE[:40, :40], PICTURE[..., :1], converted(128, 120, foreign=3), converted(40, 41)):
        (bitstream,) = of.encode([np.ascontiguousarray(one)])
        assert np.array_equal(of.preview(bitstream, bitstream.nbytes), one)


@pytest.mark.parametrize("kind", ["pyramid", "paper"])
def test_fewer_bytes_give_a_picture_of_the_same_shape_that_the_seed_decides(kind: str) -> None:
    of = codec(kind, False)
    (bitstream,) = of.encode([PICTURE])
    for nbytes in (0, 5, 40, bitstream.nbytes // 3, bitstream.nbytes - 1):
        drawn = of.preview(bitstream, nbytes, seed=1)
        assert drawn.shape == PICTURE.shape
        assert drawn.dtype == np.uint8
        assert np.array_equal(drawn, of.preview(bitstream, nbytes, seed=1))
    assert not np.array_equal(of.preview(bitstream, 40, seed=1), of.preview(bitstream, 40, seed=2))


def test_foreign_pixels_come_with_the_last_byte_only() -> None:
    of = codec("pyramid", False)
    image = converted(128, 120, foreign=3)
    (bitstream,) = of.encode([image])
    for one, nbytes in ((bitstream, bitstream.nbytes - 1), (Bitstream(bitstream.bands[:-1]), bitstream.nbytes)):
        drawn = of.preview(one, nbytes)
        assert drawn.shape == image.shape
        assert not (drawn == np.array(FOREIGN)).all(axis=2).any()


@pytest.mark.parametrize("image", [PICTURE, converted(128, 120, foreign=3)], ids=["plain", "converted"])
def test_the_leading_bands_alone_give_the_same_preview(image: NDArray[np.uint8]) -> None:
    of = codec("pyramid", True)
    (bitstream,) = of.encode([image])
    assert len(bitstream.bands) > 2
    leading = Bitstream(bitstream.bands[:-1])
    assert np.array_equal(of.preview(leading, leading.nbytes), of.preview(bitstream, leading.nbytes))


def test_what_is_known_stays_as_it_is() -> None:
    """The bands that are all there decide the lower resolution, whatever is drawn for the others."""
    of = codec("pyramid", False)
    (bitstream,) = of.encode([PICTURE])
    known = sum(map(len, bitstream.bands[:-1]))
    (low,) = of.decode([Bitstream(bitstream.bands[:-1])], reduce=1)
    for seed in range(3):
        drawn = of.preview(bitstream, known, seed=seed).astype(int)
        mean = (drawn[0::2, 0::2] + drawn[0::2, 1::2] + drawn[1::2, 0::2] + drawn[1::2, 1::2]) / 4
        inside = ((drawn > 0) & (drawn < 255)).reshape(64, 2, 60, 2, 3).all(axis=(1, 3))  # not clipped
        assert inside.mean() > 0.2
        assert np.abs(mean - low)[inside].max() <= 3  # roundings of the steps and of the colours


def test_random_bits_decode_to_symbols_as_frequent_as_the_prior_says() -> None:
    tables = mixture_tables([[45000, 20536]], [[-80, 64]], [[44, 52]])
    (stream,) = cut_streams([b""], 0, 100_000, seed=0)
    z = np.zeros((1, 1, 100_000), np.int32)
    code_mixture(z, tables, 0, WordReader(stream))
    expected = tables.frequencies(0) / 2**15
    entries = z.ravel() - int(tables.low[0])
    inside = entries[(entries >= 0) & (entries < len(expected) - 1)]  # the last entry is the escape
    seen = np.bincount(inside, minlength=len(expected)) / z.size
    assert (np.abs(seen - expected)[:-1] < 5 * np.sqrt(expected[:-1] / z.size) + 1e-5).all()


def test_samples_differ_by_seed_and_repeat() -> None:
    of = codec("pyramid", False)
    first = of.sample((48, 33, 3), seed=5)
    assert first.shape == (48, 33, 3)
    assert np.array_equal(first, of.sample((48, 33, 3), seed=5))
    assert not np.array_equal(first, of.sample((48, 33, 3), seed=6))


def test_a_stream_of_another_model_has_no_preview() -> None:
    (bitstream,) = codec("pyramid", False).encode([PICTURE])
    with pytest.raises(BitstreamError, match="another model"):
        codec("paper", False).preview(bitstream, 100)
