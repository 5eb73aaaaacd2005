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
from make_golden import GOLDEN, PICTURES

from haarchive.codecs.base import Bitstream
from haarchive.codecs.haar.image import HaarCodec


def golden(kind: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((GOLDEN / f"haar-{kind}.json").read_text())
    return result


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_gives_its_golden_bitstream(tiny: HaarCodec, name: str) -> None:
    (bitstream,) = tiny.encode([PICTURES[name]])
    expected = golden("image")[name]
    assert [len(band) for band in bitstream.bands] == expected["sizes"]
    assert hashlib.sha256(b"".join(bitstream.bands)).hexdigest() == expected["sha256"]


@pytest.mark.parametrize("name", [name for name, entry in golden("image").items() if "bands" in entry])
def test_a_bitstream_of_old_decodes_to_its_picture(tiny: HaarCodec, name: str) -> None:
    bands = tuple(base64.b64decode(band) for band in golden("image")[name]["bands"])
    (decoded,) = tiny.decode([Bitstream(bands)])
    assert np.array_equal(decoded, PICTURES[name])
    assert decoded.dtype == PICTURES[name].dtype
