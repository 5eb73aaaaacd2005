"""Patches of slides that were JPEG 2000: ``python benchmarks/jpeg_2000_patches.py --data DIR``.

Those pictures of a set's training and validation files (default: monuseg) that `dwt` takes are cut into patches, at
places that have nothing to do with their tiles. Each patch is coded by `dwt` where that takes it, else by `haar` with
the preset `balanced`, as archives do; decoded and compared.

/ e9, / e7, / haar: bytes in relation to JPEG XL's lossless efforts 9 and 7, and to `haar` alone; all patches together.
MB/s: of raw samples, of `dwt`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from _common import find_files, on_one_thread, options, processor_time, refuse
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from haarchive.codecs import get_codec
from haarchive.codecs.errors import UnsupportedSamplesError

SETS = ("monuseg",)
PARTS = ("train", "val")
SIDES = (64, 96, 128, 256, 384, 512)
PATCHES = 8


def main() -> None:
    on_one_thread()
    chosen = options(__doc__, SETS)
    kinds = []
    for part in PARTS:
        files = [
            path for name in chosen.sets for path in find_files(chosen.data / "histology" / part / name, chosen.limit)
        ]
        pictures = list(_taken(files))
        kinds += [(part, pictures, side) for side in SIDES if pictures]
    rows = [_row(*kind) for kind in track(kinds, "patches", console=Console(stderr=True))]
    if not rows:
        refuse("none of the pictures was JPEG 2000, as far as can be seen")
    table = Table(title=f"{', '.join(chosen.sets)}: {PATCHES} patches of each picture", title_justify="left")
    for head in rows[0]:
        table.add_column(head, justify="right")
    for row in rows:
        table.add_row(*(str(cell) for cell in row.values()))
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    if chosen.json:
        chosen.json.write_text(json.dumps(rows, indent=1) + "\n")


def _taken(files: list[Path]) -> Iterator[NDArray[np.uint8]]:
    """The pictures that `dwt` takes."""
    for path in files:
        picture = np.ascontiguousarray(imagecodecs.imread(path)[..., :3])
        try:
            get_codec("dwt").encode([picture])
        except UnsupportedSamplesError:
            continue
        yield picture


def _row(part: str, pictures: list[NDArray[np.uint8]], side: int) -> dict[str, Any]:
    """All patches of one size together."""
    rng = np.random.Generator(np.random.PCG64(side))
    dwt, haar = get_codec("dwt"), get_codec("haar", preset="balanced")
    sizes = dict.fromkeys(("ours", "haar", "e7", "e9"), 0)
    taken, seconds, samples = 0, np.zeros(2), 0
    for picture in pictures:
        for _ in range(PATCHES):
            top, left = (int(rng.integers(0, max(1, n - side))) for n in picture.shape[:2])
            patch = np.ascontiguousarray(picture[top : top + side, left : left + side])
            (by_haar,) = haar.encode([patch])
            begin = processor_time()
            try:
                (bitstream,) = dwt.encode([patch])
            except UnsupportedSamplesError:
                bitstream = by_haar
            else:
                encoded = processor_time()
                (decoded,) = dwt.decode([bitstream])
                seconds += encoded - begin, processor_time() - encoded
                if not np.array_equal(decoded, patch):
                    refuse(f"a patch of {side} x {side} came back otherwise")
                taken, samples = taken + 1, samples + patch.size
            sizes["ours"] += bitstream.nbytes
            sizes["haar"] += by_haar.nbytes
            for effort in (7, 9):
                sizes[f"e{effort}"] += len(imagecodecs.jpegxl_encode(patch, lossless=True, effort=effort, numthreads=1))
    return {
        "files": f"{part}, {len(pictures)}", "side": side, "by dwt": f"{taken} of {PATCHES * len(pictures)}",
        "/ e9": round(sizes["ours"] / sizes["e9"], 3), "/ e7": round(sizes["ours"] / sizes["e7"], 3),
        "/ haar": round(sizes["ours"] / sizes["haar"], 3),
        "encode MB/s": round(samples / seconds[0] / 1e6, 2) if taken else None,
        "decode MB/s": round(samples / seconds[1] / 1e6, 2) if taken else None,
    }  # fmt: skip


if __name__ == "__main__":
    main()
