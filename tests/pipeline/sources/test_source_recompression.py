"""LZW and deflate streams are made again exactly, and never otherwise than they were."""

import zlib

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from haarchive.codecs.errors import SourceFormatError
from haarchive.pipeline.sources.deflate import deflate, find_recipes, inflate
from haarchive.pipeline.sources.lzw import lzw_encode, recipes

RECIPES = list(recipes())


def some_bytes(n, spread, seed):
    steps = np.random.default_rng(seed).integers(-spread, spread + 1, n)
    return np.cumsum(steps).astype(np.uint8).tobytes()


raw_bytes = st.builds(some_bytes, st.integers(0, 30_000), st.integers(0, 120), st.integers(0, 2**32 - 1))


@given(raw_bytes, st.sampled_from(RECIPES))
@settings(max_examples=60, deadline=None)
def test_every_lzw_variant_is_read_back_by_an_independent_decoder(raw, recipe):
    coded = lzw_encode(raw, **recipe)
    assert bytes(imagecodecs.lzw_decode(coded, out=len(raw))) == raw


@given(raw_bytes)
@settings(max_examples=40, deadline=None)
def test_what_imagecodecs_writes_is_one_of_the_variants(raw):
    coded = imagecodecs.lzw_encode(raw)
    assert any(lzw_encode(raw, **recipe) == coded for recipe in RECIPES)


def test_lzw_clears_its_table_when_a_long_run_of_good_compression_ends():
    raw = bytes(40_000) + some_bytes(40_000, 100, 1)
    variants = {lzw_encode(raw, **recipe) for recipe in RECIPES if recipe["full"] == 4094}
    assert len(variants) > 1  # watching the ratio matters here
    assert all(bytes(imagecodecs.lzw_decode(coded))[: len(raw)] == raw for coded in variants)


@pytest.mark.parametrize("strategy", [zlib.Z_DEFAULT_STRATEGY, zlib.Z_FILTERED, zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE])
@pytest.mark.parametrize(("level", "window", "memory"), [(1, 15, 8), (4, 15, 9), (6, 12, 8), (9, 15, 8)])
def test_what_zlib_writes_is_made_again(level, window, memory, strategy):
    raw = some_bytes(150_000, 30, 2)
    stream = zlib.compressobj(level, zlib.DEFLATED, window, memory, strategy)
    data = stream.compress(raw) + stream.flush()
    recipe = next(find_recipes(data, raw))
    assert deflate(raw, recipe) == data


@given(raw_bytes, st.integers(1, 9))
@settings(max_examples=30, deadline=None)
def test_the_body_of_a_gzip_stream_is_made_again(raw, level):
    stream = zlib.compressobj(level, zlib.DEFLATED, 31)
    body = (stream.compress(raw) + stream.flush())[10:]
    recipe = next(find_recipes(body, raw, "gzip-body"))
    assert deflate(raw, recipe, "gzip-body") == body
    assert inflate(body, len(raw), "gzip-body") == raw


def test_what_another_library_writes_has_no_recipe():
    raw = some_bytes(100_000, 30, 3)
    assert not list(find_recipes(imagecodecs.deflate_encode(raw, level=7), raw))


def test_a_bomb_is_not_inflated():
    bomb = zlib.compress(bytes(50_000_000))
    assert len(inflate(bomb, 1000)) == 1001


@pytest.mark.parametrize(
    "damage", [b"", b"\x78", b"junk" * 20, zlib.compress(b"abc" * 99)[:-3], zlib.compress(b"abc") + b"x"]
)
def test_damaged_streams_are_refused(damage):
    with pytest.raises(SourceFormatError):
        inflate(damage, 1000)
