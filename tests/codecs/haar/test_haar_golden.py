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
from make_golden import GOLDEN, PICTURES, SOUNDS, WHOLE
from numpy.typing import NDArray

from haarchive.codecs.base import Bitstream, Codec
from haarchive.codecs.haar.audio import HaarAudioCodec
from haarchive.codecs.haar.image import HaarCodec
from haarchive.codecs.haar.presets import PRESETS


def golden(kind: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((GOLDEN / f"haar-{kind}.json").read_text())
    return result


@pytest.fixture(scope="module")
def sound_codec() -> HaarAudioCodec:
    return HaarAudioCodec.load(tiny_model("haar-audio"))


@pytest.mark.parametrize("name", SOUNDS)
def test_sound_gives_its_golden_bitstream(sound_codec: HaarAudioCodec, name: str) -> None:
    (bitstream,) = sound_codec.encode([SOUNDS[name]])
    expected = golden("audio")[name]
    assert [len(band) for band in bitstream.bands] == expected["sizes"]
    assert hashlib.sha256(b"".join(bitstream.bands)).hexdigest() == expected["sha256"]


@pytest.mark.parametrize("name", WHOLE)
def test_sound_of_old_decodes_to_its_samples(sound_codec: HaarAudioCodec, name: str) -> None:
    check_decodes(sound_codec, golden("audio")[name]["bands"], SOUNDS[name])


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("preset", PRESETS)
def test_a_picture_of_old_decodes_to_its_samples(everything: HaarCodec, preset: str, name: str) -> None:
    check_decodes(everything, golden("image")[preset][name], PICTURES[name])


def check_decodes(codec: Codec, bands: list[str], samples: NDArray[np.integer]) -> None:
    (decoded,) = codec.decode([Bitstream(tuple(base64.b64decode(band) for band in bands))])
    assert np.array_equal(decoded, samples)
    assert decoded.dtype == samples.dtype
