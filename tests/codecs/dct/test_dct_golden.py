"""Bitstreams that must stay as they are: archives hold such.

`make_dct_golden` writes the file, after a deliberate change of the format only.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import numpy as np
import pytest
from make_dct_golden import GOLDEN, PICTURES, WHOLE

from haarchive.codecs.base import Bitstream
from haarchive.codecs.dct.codec import DctCodec


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    result: dict[str, Any] = json.loads(GOLDEN.read_text())
    return result


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_give_their_golden_bitstreams(golden: dict[str, Any], name: str) -> None:
    (bitstream,) = DctCodec().encode([PICTURES[name]])
    (band,) = bitstream.bands
    assert len(band) == golden[name]["size"]
    assert hashlib.sha256(band).hexdigest() == golden[name]["sha256"]


@pytest.mark.parametrize("name", WHOLE)
def test_a_picture_of_old_decodes_to_its_samples(golden: dict[str, Any], name: str) -> None:
    (decoded,) = DctCodec().decode([Bitstream((base64.b64decode(golden[name]["band"]),))])
    assert np.array_equal(decoded, PICTURES[name])


def test_what_an_earlier_encoder_wrote_decodes_to_its_samples(golden: dict[str, Any]) -> None:
    for name, band in golden["earlier"]:
        (decoded,) = DctCodec().decode([Bitstream((base64.b64decode(band),))])
        assert np.array_equal(decoded, PICTURES[name])
