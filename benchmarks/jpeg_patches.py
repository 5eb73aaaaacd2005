"""Patches cut from slides whose tiles are JPEG: ``python benchmarks/jpeg_patches.py --data DIR``.

Validation pictures are saved as JPEG tiles of 256 x 256, as slides have them, decoded again, and a patch is cut at a
place that has nothing to do with the tiles: so data sets of PNG patches are made. Each is coded by `dct` where that
takes it, else by `haar` with the preset `fast`, as archives do; decoded and compared.

/ e9, / e7, / haar, / jpeg: bytes in relation to JPEG XL's lossless efforts 9 and 7, to `haar` alone, and to the tiles'
JPEG data (without their headers) for as many pixels. MB/s: of raw samples, of `dct`. ``--side N`` of the patches.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from _common import find_files, on_one_thread, options, processor_time, refuse
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table

from haarchive.codecs import get_codec
from haarchive.codecs.dct.codec import DctCodec
from haarchive.codecs.errors import UnsupportedSamplesError

SETS = ("glas",)
TILE = 256
QUALITIES = (30, 50, 70, 80, 90)
SAMPLINGS = {"4:4:4": 0, "4:2:2": 1, "4:2:0": 2}


def main() -> None:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--side", type=int, default=384, metavar="N", help="rows and columns of a patch; default: 384")
    on_one_thread()
    chosen = options(__doc__, SETS, parents=[parser])
    files = [
        path for name in chosen.sets for path in find_files(chosen.data / "histology/val" / name, chosen.limit or 4)
    ]
    kinds = [(sampling, quality) for sampling in SAMPLINGS for quality in QUALITIES]
    rows = [_row(files, *kind, chosen.side) for kind in track(kinds, "patches", console=Console(stderr=True))]
    table = Table(title=f"{', '.join(chosen.sets)}, files: {len(files)}", title_justify="left")
    for head in rows[0]:
        table.add_column(head, justify="right")
    for row in rows:
        table.add_row(*(str(cell) for cell in row.values()))
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    if chosen.json:
        chosen.json.write_text(json.dumps(rows, indent=1) + "\n")


def _row(files: list[Path], sampling: str, quality: int, side: int) -> dict[str, Any]:
    """All patches of one kind together."""
    rng = np.random.Generator(np.random.PCG64(quality))
    dct, haar = DctCodec(), get_codec("haar", preset="fast")
    sizes = dict.fromkeys(("ours", "e7", "e9", "haar", "jpeg"), 0.0)
    taken, seconds, samples = 0, np.zeros(2), 0
    for path in files:
        picture = imagecodecs.imread(path)[..., :3]
        tiled, jpeg = _as_tiles(picture, quality, sampling)
        top, left = (int(rng.integers(0, max(1, n - side))) for n in picture.shape[:2])
        patch = np.ascontiguousarray(tiled[top : top + side, left : left + side])
        (by_haar,) = haar.encode([patch])
        begin = processor_time()
        try:
            (bitstream,) = dct.encode([patch])
        except UnsupportedSamplesError:
            bitstream = by_haar
        else:
            encoded = processor_time()
            (decoded,) = dct.decode([bitstream])
            seconds += encoded - begin, processor_time() - encoded
            if not np.array_equal(decoded, patch):
                refuse(f"{path.name} came back otherwise")
            taken, samples = taken + 1, samples + patch.size
        sizes["ours"] += bitstream.nbytes
        sizes["haar"] += by_haar.nbytes
        sizes["e7"] += len(imagecodecs.jpegxl_encode(patch, lossless=True, effort=7, numthreads=1))
        sizes["e9"] += len(imagecodecs.jpegxl_encode(patch, lossless=True, effort=9, numthreads=1))
        sizes["jpeg"] += jpeg * patch[..., 0].size / picture[..., 0].size
    return {
        "chroma": sampling, "quality": quality, "by dct": f"{taken} of {len(files)}",
        "/ e9": round(sizes["ours"] / sizes["e9"], 3), "/ e7": round(sizes["ours"] / sizes["e7"], 3),
        "/ haar": round(sizes["ours"] / sizes["haar"], 3), "/ jpeg": round(sizes["ours"] / sizes["jpeg"], 3),
        "encode MB/s": round(samples / seconds[0] / 1e6, 2) if taken else None,
        "decode MB/s": round(samples / seconds[1] / 1e6, 2) if taken else None,
    }  # fmt: skip


def _as_tiles(picture: NDArray[np.uint8], quality: int, sampling: str) -> tuple[NDArray[np.uint8], int]:
    """A picture whose tiles went through JPEG, and how many bytes their data take."""
    decoded, size = np.empty_like(picture), 0
    for top in range(0, picture.shape[0], TILE):
        for left in range(0, picture.shape[1], TILE):
            tile = picture[top : top + TILE, left : left + TILE]
            file = io.BytesIO()
            Image.fromarray(tile).save(file, "JPEG", quality=quality, subsampling=SAMPLINGS[sampling])
            size += len(file.getvalue()) - file.getvalue().index(b"\xff\xda")
            decoded[top : top + TILE, left : left + TILE] = np.asarray(Image.open(file))
    return decoded, size


if __name__ == "__main__":
    main()
