"""Bitstreams that must stay as they are: archives hold such.

`make_idf_golden` writes the file, after a deliberate change of the format only.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import numpy as np
import pytest
from idf_models import KINDS, made_codec, made_model
from make_idf_golden import GOLDEN, PICTURES, WHOLE

from haarchive.codecs.base import Bitstream
from haarchive.codecs.idf.header import IdfHeader


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    result: dict[str, Any] = json.loads(GOLDEN.read_text())
    return result


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_file_has_its_golden_bytes(golden: dict[str, Any], kind: str) -> None:
    assert hashlib.sha256(made_model(kind)).hexdigest() == golden[kind]["model"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["plain", "adaptive"])
def test_pictures_give_their_golden_bitstreams(golden: dict[str, Any], kind: str, how: str) -> None:
    bitstreams = made_codec(kind, how == "adaptive").encode(list(PICTURES.values()))
    for name, bitstream in zip(PICTURES, bitstreams, strict=True):
        expected = golden[kind][how][name]
        assert [len(band) for band in bitstream.bands] == expected["sizes"], name
        assert hashlib.sha256(b"".join(bitstream.bands)).hexdigest() == expected["sha256"], name


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["plain", "adaptive"])
@pytest.mark.parametrize("name", WHOLE)
def test_a_picture_of_old_decodes_to_its_samples(golden: dict[str, Any], kind: str, how: str, name: str) -> None:
    bands = tuple(base64.b64decode(band) for band in golden[kind][how][name]["bands"])
    assert not IdfHeader.from_bytes(bands[0])[0].raw
    (decoded,) = made_codec(kind).decode([Bitstream(bands)])
    assert np.array_equal(decoded, PICTURES[name])
    assert decoded.dtype == PICTURES[name].dtype


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["rgb", "from Y, Cb, Cr"])
def test_headers_were_longer_once(kind: str, name: str) -> None:
    codec, picture = made_codec(kind), PICTURES[name]
    (bitstream,) = codec.encode([picture])
    first = bitstream.bands[0]
    assert first[0] >> 4 == 3
    header, rest = IdfHeader.from_bytes(first)
    assert max(header.shape) < 128
    version = bytes([0x10 | first[0] & 10, 8] if header.conversion is None else [0x20 | first[0] & 10, 8, 1])
    before = version + bytes([1, *header.shape]) + rest
    (decoded,) = codec.decode([Bitstream((before, *bitstream.bands[1:]))])
    assert np.array_equal(decoded, picture)
