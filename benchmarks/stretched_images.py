"""Pictures some of whose values are rare: ``python benchmarks/stretched_images.py --data DIR``.

Validation pictures (the middle 512 x 512) as software and cameras leave them that stretch contrast, balance white, or
apply gamma in 8 bits, and as frames of video whose luma has 219 levels. Each is coded by `haar`, decoded and compared.

/ e9: bytes in relation to JPEG XL's effort 9, of all files together; / without: to `haar` of the same preset without
packing and without weights of sample values. ``--preset NAME ...``; ``--side N``.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from unittest import mock

import imagecodecs
import numpy as np
from _common import find_files, on_one_thread, options, refuse
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from haarchive.codecs.haar import image
from haarchive.codecs.haar.image import HaarCodec
from haarchive.codecs.haar.plans import PLANS
from haarchive.codecs.haar.presets import PRESETS
from haarchive.codecs.haar.ycbcr import to_rgb

SETS = ("glas",)


def main() -> None:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--preset", nargs="+", choices=PRESETS, default=list(PRESETS), help="default: all")
    parser.add_argument("--side", type=int, default=512, metavar="N", help="rows and columns; default: 512")
    on_one_thread()
    chosen = options(__doc__, SETS, parents=[parser])
    pictures = [
        middle(imagecodecs.imread(path)[..., :3], chosen.side)
        for name in chosen.sets
        for path in find_files(chosen.data / "histology/val" / name, chosen.limit or 4)
    ]
    rows = []
    for kind in track(KINDS, "pictures", console=Console(stderr=True)):
        made = [np.ascontiguousarray(KINDS[kind](picture)) for picture in pictures]
        best = sum(len(imagecodecs.jpegxl_encode(one, lossless=True, effort=9, numthreads=1)) for one in made)
        row: dict[str, str | float] = {"kind": kind}
        for preset in chosen.preset:
            ours = coded(HaarCodec.load(preset=preset), made)
            with mock.patch.object(image, "find_maps", return_value=()):
                without = coded(HaarCodec.load(plan=replace(PLANS[preset], occurrences=math.inf)), made)
            row |= {f"{preset} / e9": round(ours / best, 3), "/ without" + " " * len(row): round(ours / without, 3)}
        rows.append(row)
    table = Table(title=f"{', '.join(chosen.sets)}, files: {len(pictures)}", title_justify="left")
    for head in rows[0]:
        table.add_column(head.strip(), justify="left" if head == "kind" else "right")
    for row in rows:
        table.add_row(*(str(cell) for cell in row.values()))
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    if chosen.json:
        chosen.json.write_text(json.dumps(rows, indent=1) + "\n")


def coded(codec: HaarCodec, pictures: list[NDArray[np.uint8]]) -> int:
    """Bytes of all pictures."""
    total = 0
    for picture in pictures:
        (bitstream,) = codec.encode([picture])
        if not np.array_equal(codec.decode([bitstream])[0], picture):
            refuse("a picture came back otherwise")
        total += bitstream.nbytes
    return total


def middle(picture: NDArray[np.uint8], side: int) -> NDArray[np.float64]:
    rows, columns = (slice(max(0, (n - side) // 2), (n + side) // 2) for n in picture.shape[:2])
    return picture[rows, columns].astype(np.float64)


def rounded(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.floor(values + 0.5).clip(0, 255).astype(np.uint8)


def video(picture: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Y of 219 levels, spread over 256; Cb and Cr of half the width."""
    red, green, blue = np.moveaxis(picture, 2, 0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    chroma = np.stack([(blue - luma) / 1.772, (red - luma) / 1.402])
    chroma = chroma.reshape(2, len(luma), -1, 2).mean(3).repeat(2, 2)
    levels = np.rint(luma * 219 / 255) * 255 / 219
    ycc = np.rint(np.concatenate([levels[None], chroma])).astype(np.int32)
    return np.moveaxis(to_rgb("ycbcr", ycc), 0, 2).astype(np.uint8)


KINDS: dict[str, Callable[[NDArray[np.float64]], NDArray[np.uint8]]] = {
    "as it is": rounded,
    "contrast x 1.25": lambda x: rounded((x - 128) * 1.25 + 128),
    "white balance 1.3, 1, 1.15": lambda x: rounded((x - 20) * (1.3, 1.0, 1.15)),
    "gamma 0.8": lambda x: rounded(255 * (x / 255) ** 0.8),
    "grey, contrast x 1.25": lambda x: rounded((x.mean(2, keepdims=True).round() - 128) * 1.25 + 128),
    "video": video,
}


if __name__ == "__main__":
    main()
