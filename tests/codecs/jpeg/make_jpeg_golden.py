"""Writes tests/golden/jpeg.json anew: ``python tests/codecs/jpeg/make_jpeg_golden.py``.

Only after a deliberate change of the bitstream, which is a new version of it: archives hold the old one.
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from jpeg_models import abbreviated, as_chunk, intervals_of
from numpy.typing import NDArray
from scan_writer import file_of, shapes_of

from haarchive.codecs.jpeg.codec import JpegCodec
from haarchive.codecs.jpeg.text import Text

GOLDEN = Path(__file__).parents[2] / "golden" / "jpeg.json"

Factors = list[tuple[int, int]]


def made_components(factors: Factors, units: tuple[int, int], seed: int) -> list[NDArray[np.int32]]:
    """Coefficients as pictures have them, of integers only, so that they are the same everywhere."""
    rng = np.random.Generator(np.random.PCG64(seed))
    fall = (np.add.outer(np.arange(8), np.arange(8)).ravel() + 1)[:, None, None]
    components = []
    for shape in shapes_of(factors, units):
        draws = rng.integers(-40, 41, shape) // fall * (rng.integers(0, fall * fall, shape) < 4)
        draws[0] = np.cumsum(rng.integers(-9, 10, shape[1:]), axis=1)
        components.append(draws.astype(np.int32))
    return components


def made_file(factors: Factors, units: tuple[int, int], restart: int = 0, seed: int = 1, pad: int = 1) -> bytes:
    """A file of made-up coefficients."""
    steps = [3 + k // 8 + k % 8 for k in range(64)]
    return file_of(made_components(factors, units, seed), factors, units, restart, [pad], steps)


GREY, COLOUR, HALVED, FOUR = [(1, 1)], [(1, 1)] * 3, [(2, 2), (1, 1), (1, 1)], [(1, 1)] * 4
ABBREVIATED = [abbreviated(made_file(HALVED, (4, 4), seed=seed)) for seed in range(4)]
INTERVALS = intervals_of(made_file(HALVED, (6, 8), 8))

CHUNKS: dict[str, tuple[bytes, bytes]] = {
    "grey": (b"", made_file(GREY, (9, 11), pad=0)),
    "colour": (b"", made_file(COLOUR, (8, 7), 5)),
    "half chroma": (b"", made_file(HALVED, (4, 5))),
    "four": (b"", made_file(FOUR, (3, 5)) + b"trailing"),
    "several": (
        b"",
        made_file(GREY, (5, 5)) + b"\0\0" + made_file(GREY, (5, 5), seed=2) + made_file(COLOUR, (3, 5)) + b"\xff",
    ),
    "abbreviated": (ABBREVIATED[0][0], b"".join(tile for _, tile in ABBREVIATED)),
    "intervals": (INTERVALS[0], b"".join(INTERVALS[1])),
}
"""Tables and chunks, by name."""


def record() -> dict[str, Any]:
    """Of each chunk its digest and its whole bitstream; what earlier encoders wrote stays."""
    result: dict[str, Any] = {"earlier": json.loads(GOLDEN.read_text())["earlier"]}
    for name, (tables, chunk) in CHUNKS.items():
        (bitstream,) = JpegCodec(tables).encode([as_chunk(chunk)])
        (band,) = bitstream.bands
        _, rest = Text.unpack(band[1:])
        result[name] = {
            "sha256": hashlib.sha256(chunk).hexdigest(),
            "text": len(band) - len(rest),
            "band": base64.b64encode(band).decode(),
        }
    return result


def main() -> None:
    GOLDEN.write_text(json.dumps(record(), indent=1) + "\n")


if __name__ == "__main__":
    main()
