"""Writes tests/golden/haar-*.json anew: ``python tests/codecs/haar/make_golden.py``.

Only after a deliberate change of the bitstream, which is a new version of it: archives hold the old one.
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from haar_models import picture, recording, tiny_model
from numpy.typing import NDArray

from haarchive.codecs.base import Codec
from haarchive.codecs.haar.audio import HaarAudioCodec
from haarchive.codecs.haar.image import HaarCodec

GOLDEN = Path(__file__).parents[2] / "golden"

PICTURES = {
    "rgb": picture(70, 83),
    "grey": picture(64, 40, 1),
    "12 bits": picture(48, 50, 3, 12),
    "16 bits": picture(33, 35, 1, 16),
    "five planes": picture(34, 37, 5),
    "thin": picture(3, 120, 3),
    "flat": np.full((64, 64, 3), 77, np.uint8),
    "one sample": np.full((1, 1, 1), 200, np.uint8),
    "empty": np.zeros((0, 9, 3), np.uint8),
}

SOUNDS = {
    "stereo": recording(3000, 2),
    "three channels": recording(700, 3),
    "24 bits": recording(2100, 1).astype(np.int32) * 251,
    "sparse": (recording(4000, 1) >> 8) * 7,
    "shifted": recording(600, 2).astype(np.int32) << 8,
    "silence": np.zeros((5000, 2), np.int16),
    "one sample": np.full((1, 1), -5, np.int16),
    "empty": np.zeros((0, 2), np.int16),
}


def record(codec: Codec, chunks: dict[str, NDArray[np.integer]], whole: tuple[str, ...]) -> dict[str, Any]:
    """Sizes and digests of all bitstreams, and some bitstreams as they are, to decode."""
    result: dict[str, Any] = {}
    for name, bitstream in zip(chunks, codec.encode(list(chunks.values())), strict=True):
        result[name] = {
            "sizes": [len(band) for band in bitstream.bands],
            "sha256": hashlib.sha256(b"".join(bitstream.bands)).hexdigest(),
        }
        if name in whole:
            result[name]["bands"] = [base64.b64encode(band).decode() for band in bitstream.bands]
    return result


def main() -> None:
    pictures = record(HaarCodec.load(tiny_model()), PICTURES, ("grey", "16 bits", "five planes"))
    (GOLDEN / "haar-image.json").write_text(json.dumps(pictures, indent=1) + "\n")
    sounds = record(HaarAudioCodec.load(tiny_model("haar-audio")), SOUNDS, ("three channels", "sparse", "shifted"))
    (GOLDEN / "haar-audio.json").write_text(json.dumps(sounds, indent=1) + "\n")


if __name__ == "__main__":
    main()
