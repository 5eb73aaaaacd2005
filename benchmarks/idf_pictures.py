"""Progressive pictures and samples of the codec idf: ``python benchmarks/idf_pictures.py --data DIR --out FOLDER``.

For 256 x 256 pixels from the middle of each validation picture, what its first 5, 15, 30, 60 and 100 % of bytes give,
the rest drawn from the prior (section 6.3 and figure 8 of the paper): the mean PSNR of each set is printed, and a PNG
strip of its first picture written. Samples (section 6.4) are what the model makes of random bits.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import imagecodecs
import numpy as np
from _common import find_files, on_one_thread
from numpy.typing import NDArray

from haarchive.codecs.idf.codec import IdfCodec

SETS = ("glas", "monuseg", "breakhis")
FRACTIONS = (0.05, 0.15, 0.3, 0.6, 1.0)
SIDE = 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with histology/val")
    parser.add_argument("--out", type=Path, required=True, help="folder for the pictures")
    parser.add_argument("--limit", type=int, help="pictures of each set")
    parser.add_argument("--model", type=Path, help="model file (default: the one of the preset max)")
    chosen = parser.parse_args()
    on_one_thread()
    model = chosen.model.read_bytes() if chosen.model else None
    codec = IdfCodec.load(model, preset="max")
    chosen.out.mkdir(parents=True, exist_ok=True)
    print("PSNR in dB     " + "".join(f"{f:>8.0%}" for f in FRACTIONS))
    for name in SETS:
        paths = find_files(chosen.data / "histology" / "val" / name, chosen.limit)
        strips = [strip(codec, middle(imagecodecs.imread(str(path)))) for path in paths]
        print(f"{name:<15}" + "".join(f"{decibels:>8.1f}" for decibels in np.mean([s[1] for s in strips], axis=0)))
        write(chosen.out / f"progressive-{name}.png", strips[0][0])
    plain = IdfCodec.load(model, preset="max", adaptive=False)
    write(chosen.out / "samples.png", np.concatenate([plain.sample((SIDE, SIDE, 3), seed=n) for n in range(4)], axis=1))


def middle(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    y, x = ((n - SIDE) // 2 for n in picture.shape[:2])
    return np.ascontiguousarray(picture[y : y + SIDE, x : x + SIDE, :3])


def strip(codec: IdfCodec, picture: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], list[float]]:
    """What each fraction of the bytes gives, side by side, and its PSNR in dB (of all bytes: infinite)."""
    (bitstream,) = codec.encode([picture])
    stages = [codec.preview(bitstream, round(fraction * bitstream.nbytes), seed=1) for fraction in FRACTIONS]
    assert np.array_equal(stages[-1], picture)
    squares = [np.square(stage.astype(float) - picture).mean() for stage in stages]
    return np.concatenate(stages, axis=1), [10 * np.log10(255**2 / s) if s else np.inf for s in squares]


def write(path: Path, picture: NDArray[np.uint8]) -> None:
    path.write_bytes(imagecodecs.png_encode(picture))
    print(path)


if __name__ == "__main__":
    main()
