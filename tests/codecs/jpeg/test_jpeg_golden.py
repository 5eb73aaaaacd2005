"""Bitstreams that must stay as they are: archives hold such.

`make_jpeg_golden` writes the file, after a deliberate change of the format only.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest
from jpeg_models import as_chunk
from make_jpeg_golden import CHUNKS, GOLDEN

from haarchive.codecs.base import Bitstream
from haarchive.codecs.jpeg.codec import JpegCodec
from haarchive.codecs.jpeg.text import Text


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    result: dict[str, Any] = json.loads(GOLDEN.read_text())
    return result


@pytest.mark.parametrize("name", CHUNKS)
def test_a_chunk_of_old_decodes_to_its_bytes(golden: dict[str, Any], name: str) -> None:
    tables, chunk = CHUNKS[name]
    (decoded,) = JpegCodec(tables).decode([Bitstream((base64.b64decode(golden[name]["band"]),))])
    assert hashlib.sha256(decoded.tobytes()).hexdigest() == golden[name]["sha256"]
    assert decoded.tobytes() == chunk


@pytest.mark.parametrize("name", CHUNKS)
def test_what_an_earlier_encoder_wrote_decodes_to_its_bytes(golden: dict[str, Any], name: str) -> None:
    tables, chunk = CHUNKS[name]
    band = base64.b64decode(golden["earlier"][name])
    assert band[0] == 1
    (decoded,) = JpegCodec(tables).decode([Bitstream((band,))])
    assert decoded.tobytes() == chunk


@pytest.mark.parametrize("name", CHUNKS)
def test_chunks_give_the_coefficients_of_their_golden_bitstreams(golden: dict[str, Any], name: str) -> None:
    tables, chunk = CHUNKS[name]
    (bitstream,) = JpegCodec(tables).encode([as_chunk(chunk)])
    (band,) = bitstream.bands
    kept = base64.b64decode(golden[name]["band"])
    text, rest = Text.unpack(band[1:])
    kept_text, kept_rest = Text.unpack(kept[1:])
    assert band[0] == kept[0]
    assert rest == kept_rest
    assert text == kept_text
    # How a text is compressed differs between builds of zlib, but not by much.
    assert len(band) - len(rest) < golden[name]["text"] + 20


def test_every_golden_chunk_is_made(golden: dict[str, Any]) -> None:
    assert set(golden) - {"earlier"} == set(golden["earlier"]) == set(CHUNKS)
