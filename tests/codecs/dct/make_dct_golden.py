"""Writes tests/golden/dct.json anew: ``python tests/codecs/dct/make_dct_golden.py``.

Only after a deliberate change of the bitstream, which is a new version of it: archives hold the old one.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from dct_models import made_components, made_history
from numpy.typing import NDArray

from haarchive.codecs.dct.codec import DctCodec

GOLDEN = Path(__file__).parents[2] / "golden" / "dct.json"


def made_picture(
    shape: tuple[int, int, int],
    quality: int,
    sampling: tuple[int, int],
    converted: bool,
    cropped: tuple[int, int],
    inverse: str = "libjpeg",
) -> NDArray[np.uint8]:
    """A JPEG of made-up coefficients, decoded by our own integers, cropped, with a few other pixels."""
    history = replace(made_history(shape, quality, sampling, converted=converted), inverse=inverse)
    planes = history.decode(made_components(history))[:, cropped[0] :, cropped[1] :]
    picture = np.ascontiguousarray(np.moveaxis(planes, 0, 2)).astype(np.uint8)
    picture[20:22, 30:33] ^= 3
    return picture


PICTURES = {
    "4:2:0": made_picture((112, 128, 3), 85, (2, 2), True, (3, 5)),
    "4:4:4": made_picture((64, 80, 3), 80, (1, 1), True, (0, 0)),
    "intel": made_picture((72, 80, 3), 80, (1, 1), True, (4, 0), "intel"),
    "grey": made_picture((72, 64, 1), 85, (1, 1), False, (0, 7)),
    "rgb": made_picture((64, 72, 3), 85, (1, 1), False, (6, 0)),
}

WHOLE = ("4:2:0", "grey", "intel")
"""Pictures whose bitstreams are kept as they are, to decode."""


def record() -> dict[str, Any]:
    """Sizes and digests of all bitstreams, some whole; what earlier encoders wrote stays."""
    result: dict[str, Any] = {"earlier": json.loads(GOLDEN.read_text())["earlier"]}
    for name, bitstream in zip(PICTURES, DctCodec().encode(list(PICTURES.values())), strict=True):
        (band,) = bitstream.bands
        result[name] = {"size": len(band), "sha256": hashlib.sha256(band).hexdigest()}
        if name in WHOLE:
            result[name]["band"] = base64.b64encode(band).decode()
    return result


def main() -> None:
    GOLDEN.write_text(json.dumps(record(), indent=1) + "\n")


if __name__ == "__main__":
    main()
