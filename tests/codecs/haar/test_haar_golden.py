"""Bitstreams that must stay as they are: archives hold such.

`make_golden` writes the files, after a deliberate change of the format only.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import numpy as np
import pytest
from haar_models import tiny_model
from make_golden import GOLDEN, PICTURES, SOUNDS
from numpy.typing import NDArray

from haarchive.codecs.base import Bitstream, Codec
from haarchive.codecs.haar.audio import HaarAudioCodec
from haarchive.codecs.haar.image import HaarCodec


def golden(kind: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((GOLDEN / f"haar-{kind}.json").read_text())
    return result


CHUNKS: dict[str, dict[str, NDArray[np.integer]]] = {"image": PICTURES, "audio": SOUNDS}
ALL = [(kind, name) for kind, chunks in CHUNKS.items() for name in chunks]
WHOLE = [(kind, name) for kind, name in ALL if "bands" in golden(kind)[name]]


@pytest.fixture(scope="module")
def codecs(tiny: HaarCodec) -> dict[str, Codec]:
    return {"image": tiny, "audio": HaarAudioCodec.load(tiny_model("haar-audio"))}


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_samples_give_their_golden_bitstream(codecs: dict[str, Codec], kind: str, name: str) -> None:
    (bitstream,) = codecs[kind].encode([CHUNKS[kind][name]])
    expected = golden(kind)[name]
    assert [len(band) for band in bitstream.bands] == expected["sizes"]
    assert hashlib.sha256(b"".join(bitstream.bands)).hexdigest() == expected["sha256"]


@pytest.mark.parametrize(("kind", "name"), WHOLE)
def test_a_bitstream_of_old_decodes_to_its_samples(codecs: dict[str, Codec], kind: str, name: str) -> None:
    bands = tuple(base64.b64decode(band) for band in golden(kind)[name]["bands"])
    (decoded,) = codecs[kind].decode([Bitstream(bands)])
    assert np.array_equal(decoded, CHUNKS[kind][name])
    assert decoded.dtype == CHUNKS[kind][name].dtype
