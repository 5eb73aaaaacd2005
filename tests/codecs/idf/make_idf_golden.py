"""Writes tests/golden/idf.json anew: ``python tests/codecs/idf/make_idf_golden.py``.

Only after a deliberate change of the bitstream, which is a new version of it: archives hold the old one.
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from idf_models import KINDS, converted, made_codec, made_model, picture

GOLDEN = Path(__file__).parents[2] / "golden" / "idf.json"

PICTURES = {
    "rgb": picture(110, 103),
    "small": picture(17, 40),
    "grey": picture(64, 40, 1),
    "12 bits": picture(28, 30, 3, 12),
    "16 bits": picture(33, 35, 1, 16),
    "five planes": picture(24, 27, 5),
    "thin": picture(3, 200, 3),
    "flat": np.full((64, 64, 3), 77, np.uint8),
    "one sample": np.full((1, 1, 1), 200, np.uint8),
    "empty": np.zeros((0, 9, 3), np.uint8),
    "from Y, Cb, Cr": converted(70, 83),
    "from coarse Y, Cb, Cr, with foreign pixels": converted(24, 29, 4, "ycbcr-coarse", foreign=2),
    "noise": np.random.Generator(np.random.PCG64(1)).integers(0, 256, (20, 21, 3)).astype(np.uint8),
}

WHOLE = ("five planes", "12 bits", "from Y, Cb, Cr", "from coarse Y, Cb, Cr, with foreign pixels")
"""Pictures whose bitstreams are kept as they are, to decode."""


def record() -> dict[str, Any]:
    """For each small model, with adaptive couplings and without: sizes and digests of all bitstreams, some whole."""
    result: dict[str, Any] = {}
    for kind in KINDS:
        result[kind] = {"model": hashlib.sha256(made_model(kind)).hexdigest()}
        for adaptive in (False, True):
            codec = made_codec(kind, adaptive)
            of_pictures = result[kind]["adaptive" if adaptive else "plain"] = {}
            for name, bitstream in zip(PICTURES, codec.encode(list(PICTURES.values())), strict=True):
                of_pictures[name] = {
                    "sizes": [len(band) for band in bitstream.bands],
                    "sha256": hashlib.sha256(b"".join(bitstream.bands)).hexdigest(),
                }
                if name in WHOLE:
                    of_pictures[name]["bands"] = [base64.b64encode(band).decode() for band in bitstream.bands]
    return result


def main() -> None:
    GOLDEN.write_text(json.dumps(record(), indent=1) + "\n")


if __name__ == "__main__":
    main()
