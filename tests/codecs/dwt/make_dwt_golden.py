"""Writes tests/golden/dwt.json anew: ``python tests/codecs/dwt/make_dwt_golden.py``.

Only after a deliberate change of the bitstream, which is a new version of it: archives hold the old one.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
from dwt_models import CUT, made_picture
from numpy.typing import NDArray

from haarchive.codecs.dwt.axis import Axis
from haarchive.codecs.dwt.codec import DwtCodec

GOLDEN = Path(__file__).parents[2] / "golden" / "dwt.json"


def with_others(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A few pixels that no luma and chroma give, and a fourth plane."""
    picture = picture.copy()
    picture[20:22, 30:33] ^= 3
    return np.concatenate([picture, np.full((*picture.shape[:2], 1), 255, np.uint8)], axis=2)


PICTURES = {
    "cut": made_picture(CUT),
    "whole": made_picture((Axis(0, 256, 256), Axis(0, 256, 256)), 0.3),
    "no edge": made_picture((Axis(6, 6 + 100, 0), Axis(17, 17 + 120, 0)), 0.5),
    "clipped": with_others(made_picture((Axis(240, 240 + 90, 256), Axis(3, 100, 256)), 0.7, 128)),
}


def record() -> dict[str, Any]:
    """Sizes and bitstreams."""
    result: dict[str, Any] = {}
    for name, bitstream in zip(PICTURES, DwtCodec().encode(list(PICTURES.values())), strict=True):
        (band,) = bitstream.bands
        result[name] = {
            "size": len(band),
            "band": base64.b64encode(band).decode(),
        }
    return result


def main() -> None:
    GOLDEN.write_text(json.dumps(record(), indent=1) + "\n")


if __name__ == "__main__":
    main()
