"""Progressive pictures and samples of the codec idf: ``python benchmarks/idf_pictures.py --data DIR --out FOLDER``.

For 256 x 256 pixels from the middle of each validation picture, what its first 5, 15, 30, 60 and 100 % of bytes give,
the rest drawn from the prior (section 6.3 and figure 8 of the paper): the mean PSNR of each set is printed, and a PNG
strip of its first picture written. Draws are two from the coarsest band alone, two from the coarsest two, without
adaptive couplings, and the picture. Samples (section 6.4) are what the model makes of nothing but random bits.

Without ``--data`` the picture is one that comes with scikit-image (CMMI, no known copyright restrictions), and strips
are JPEG: those of docs/codecs/idf.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import imagecodecs
import numpy as np
from _common import find_files, on_one_thread
from numpy.typing import NDArray
from skimage import data as skimage_data

from haarchive.codecs.idf.codec import IdfCodec

SETS = ("glas", "monuseg", "breakhis")
FRACTIONS = (0.05, 0.15, 0.3, 0.6, 1.0)
SIDE = 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with histology/val; default: a picture of scikit-image")
    parser.add_argument("--out", type=Path, required=True, help="folder for the pictures")
    parser.add_argument("--limit", type=int, help="pictures of each set")
    parser.add_argument("--model", type=Path, help="model file (default: the one of the preset max)")
    chosen = parser.parse_args()
    on_one_thread()
    model = chosen.model.read_bytes() if chosen.model else None
    codec, plain = (IdfCodec.load(model, preset="max", adaptive=adaptive) for adaptive in (True, False))
    chosen.out.mkdir(parents=True, exist_ok=True)
    print("PSNR in dB     " + "".join(f"{f:>8.0%}" for f in FRACTIONS))
    kind = "png" if chosen.data else "jpg"
    for name, pictures in find_pictures(chosen.data, chosen.limit).items():
        strips = [strip(codec, middle(picture)) for picture in pictures]
        print(f"{name:<15}" + "".join(f"{decibels:>8.1f}" for decibels in np.mean([s[1] for s in strips], axis=0)))
        write(chosen.out / f"idf-progressive-{name}.{kind}", strips[0][0])
        write(chosen.out / f"idf-draws-{name}.{kind}", draws(plain, middle(pictures[0])))
    samples = [plain.sample((SIDE, SIDE, 3), seed=n) for n in range(len(FRACTIONS))]
    write(chosen.out / f"idf-samples.{kind}", np.concatenate(samples, axis=1))


def find_pictures(data: Path | None, limit: int | None) -> dict[str, list[NDArray[np.uint8]]]:
    """Pictures by set."""
    if data is None:
        return {"tissue": [skimage_data.immunohistochemistry()]}
    folders = {name: data / "histology" / "val" / name for name in SETS}
    return {
        name: [imagecodecs.imread(str(path)) for path in find_files(folder, limit)] for name, folder in folders.items()
    }


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


def draws(codec: IdfCodec, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What the model adds to the coarsest bands of a picture, twice each, and the picture."""
    (bitstream,) = codec.encode([picture])
    coarsest = np.cumsum([len(band) for band in bitstream.bands[:2]])
    print("draws from " + " and ".join(f"{nbytes / bitstream.nbytes:.1%}" for nbytes in coarsest) + " of the bytes")
    drawn = [codec.preview(bitstream, int(nbytes), seed=seed) for nbytes in coarsest for seed in (1, 2)]
    return np.concatenate([*drawn, picture], axis=1)


def write(path: Path, picture: NDArray[np.uint8]) -> None:
    path.write_bytes(
        imagecodecs.png_encode(picture) if path.suffix == ".png" else imagecodecs.jpeg8_encode(picture, level=85)
    )
    print(path)


if __name__ == "__main__":
    main()
