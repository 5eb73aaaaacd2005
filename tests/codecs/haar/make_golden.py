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
from haar_models import combed, converted, picture, recording, stretched, tiny_codec, tiny_model, with_foreign
from numpy.typing import NDArray

from haarchive.codecs.base import Bitstream
from haarchive.codecs.haar.audio import HaarAudioCodec
from haarchive.codecs.haar.presets import PRESETS

GOLDEN = Path(__file__).parents[2] / "golden"


def blocks(height: int, width: int) -> NDArray[np.uint8]:
    """Slopes that bend, and noise that is loud, at the edges of blocks of eight, as in what was a JPEG.

    Large enough for the long list of taps, and for weights of their own of each phase.
    """
    y, x, c = np.ogrid[:height, :width, :3]
    slopes = 90 + (x // 8 * 37 + y // 8 * 53 + c * 11) % 23 + ((x % 8) * (y // 8 % 5) + (y % 8) * (x // 8 % 3)) // 4
    edge = (y % 8 == 0) | (x % 8 == 0)
    noise = np.random.Generator(np.random.PCG64(8)).integers(-4, 5, slopes.shape)
    return (slopes + np.where(edge, noise, noise // 4)).astype(np.uint8)


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
    "blocks": blocks(132, 140),
    "converted": with_foreign(converted(70, 83), 5),
    "coarse": converted(48, 50, 4, "ycbcr-coarse"),
    "combed": combed(picture(100, 107)),
    "combed, grey": combed(picture(120, 131, 1)),
    "packed": stretched(picture(70, 83)),
    "packed, 16 bits": picture(128, 130, 2).astype(np.uint16) ** 2,
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


WHOLE = ("three channels", "sparse", "shifted")
"""Sounds whose bitstreams are kept as they are, to decode; pictures all are."""


def record_sounds() -> dict[str, Any]:
    """Sizes and digests of all bitstreams, and some bitstreams as they are."""
    codec = HaarAudioCodec.load(tiny_model("haar-audio"))
    result: dict[str, Any] = {}
    for name, bitstream in zip(SOUNDS, codec.encode(list(SOUNDS.values())), strict=True):
        result[name] = {
            "sizes": [len(band) for band in bitstream.bands],
            "sha256": hashlib.sha256(b"".join(bitstream.bands)).hexdigest(),
        }
        if name in WHOLE:
            result[name]["bands"] = _text(bitstream)
    return result


def record_pictures() -> dict[str, Any]:
    """Bitstreams of each preset. What an encoder of pictures writes rests on its fits in floating point: only what
    decoders make of it must be the same on every machine."""
    result: dict[str, Any] = {}
    for preset in PRESETS:
        codec = tiny_codec(preset)
        bitstreams = codec.encode(list(PICTURES.values()))
        result[preset] = {name: _text(bitstream) for name, bitstream in zip(PICTURES, bitstreams, strict=True)}
    return result


def _text(bitstream: Bitstream) -> list[str]:
    return [base64.b64encode(band).decode() for band in bitstream.bands]


def main() -> None:
    for kind, content in (("image", record_pictures()), ("audio", record_sounds())):
        (GOLDEN / f"haar-{kind}.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
