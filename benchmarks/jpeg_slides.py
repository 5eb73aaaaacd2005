"""Slides that are JPEG already: ``python benchmarks/jpeg_slides.py --data DIR``.

The slides at hand, and pictures of the validation sets saved as TIFF in JPEG tiles of 256 x 256, in Y, Cb, Cr with
4:4:4 and 4:2:0. All their JPEG data, without what is around it, goes through codec `jpeg` by the chunks of archives,
and is compared with what comes back; and through JPEG XL's reversible transcoding, each tile for itself, kept as
it is where that is not larger (of NDPI each page, as JPEG XL cannot cut it).

of JPEG: bytes in relation to the JPEG data. XL of JPEG: the same of JPEG XL. / XL: of `jpeg` in relation to JPEG XL.
MB/s: of JPEG data, on one core; in brackets JPEG XL's.
"""

from __future__ import annotations

import base64
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from _common import find_files, on_one_thread, options, processor_time, refuse
from rich.console import Console
from rich.progress import track
from rich.table import Table

from haarchive.codecs import Samples, get_codec
from haarchive.codecs.jpeg.files import split_files
from haarchive.pipeline.layout import SourceLayout
from haarchive.pipeline.sources import SourceRef, open_source

SETS = ("slides", "glas", "monuseg")
QUALITIES = (30, 50, 70, 80, 90)
SAMPLINGS = {"4:4:4": (1, 1), "4:2:0": (2, 2)}


def main() -> None:
    on_one_thread()
    chosen = options(__doc__, SETS)
    rows: list[dict[str, Any]] = []
    screen = Console(stderr=True)
    with tempfile.TemporaryDirectory() as folder:
        works = [work for name in chosen.sets for work in _works(name, chosen.data, chosen.limit, Path(folder))]
        for work in track(works, "slides", console=screen, disable=not screen.is_terminal):
            row = work()
            rows += [row] if row else []
    table = Table(title="JPEG slides", title_justify="left")
    for head in rows[0]:
        table.add_column(head, justify="left" if head == "source" else "right")
    for row in rows:
        table.add_row(*(str(cell) for cell in row.values()))
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    if chosen.json:
        chosen.json.write_text(json.dumps(rows, indent=1) + "\n")


def _works(name: str, data: Path, limit: int | None, folder: Path) -> Iterator[Callable[[], dict[str, Any] | None]]:
    """What is to be measured: each slide, or all pictures of a set at each quality."""
    if name == "slides":
        for path in find_files(data / "slides", limit):
            yield lambda path=path: _row(path.name, [path])
        return
    pictures = find_files(data / "histology/val" / name, limit or 4)
    for sampling, factors in SAMPLINGS.items():
        for quality in QUALITIES:
            head = f"{name}, {len(pictures)} pictures, quality {quality}, {sampling}"
            yield lambda head=head, q=quality, f=factors: _row(head, [_tiled(p, folder, q, f) for p in pictures])


def _tiled(path: Path, folder: Path, quality: int, factors: tuple[int, int]) -> Path:
    """A picture as a slide has it."""
    out = folder / f"{path.stem}.tif"
    tifffile.imwrite(
        out, imagecodecs.imread(path)[..., :3], tile=(256, 256), compression="jpeg", subsampling=factors,
        compressionargs={"level": quality}, photometric="rgb",
    )  # fmt: skip
    return out


def _row(head: str, paths: Sequence[Path]) -> dict[str, Any] | None:
    """All JPEG data of some files together; None where there is none."""
    sizes = dict.fromkeys(("jpeg", "ours", "xl"), 0)
    ours, theirs = np.zeros(2), np.zeros(2)
    for path in paths:
        with open_source(SourceRef(str(path), path.name)) as source:
            layout = source.layout
            for number, plane in enumerate(layout.planes):
                if plane.codec not in ("jpeg", "jpeg-xl"):
                    continue
                tables = base64.b64decode(plane.attrs.get("jpeg_tables", ""))
                chunks = [source.read_chunk(number, chunk) for chunk in range(plane.n_chunks)]
                sizes["jpeg"] += sum(chunk.nbytes for chunk in chunks)
                coded, seconds = _coded("jpeg", tables, chunks)
                sizes["ours"] += sum(coded)
                ours += seconds
                files = [np.frombuffer(file, np.uint8) for chunk in chunks for file in split_files(chunk.tobytes())]
                if plane.codec == "jpeg":
                    files, tables = [_page(path, layout, number)], b""
                coded, seconds = _coded("jpeg-xl", tables, files)
                sizes["xl"] += sum(min(*pair) for pair in zip(coded, map(len, files), strict=True))
                theirs += seconds
    if not sizes["jpeg"]:
        return None
    speeds = [
        f"{sizes['jpeg'] / a / 1e6:.2f} ({sizes['jpeg'] / b / 1e6:.2f})" for a, b in zip(ours, theirs, strict=True)
    ]
    return {
        "source": head, "JPEG kB": round(sizes["jpeg"] / 1000), "of JPEG": f"{sizes['ours'] / sizes['jpeg']:.3f}",
        "XL of JPEG": f"{sizes['xl'] / sizes['jpeg']:.3f}", "/ XL": f"{sizes['ours'] / sizes['xl']:.3f}",
        "encode MB/s": speeds[0], "decode MB/s": speeds[1],
    }  # fmt: skip


def _coded(name: str, tables: bytes, chunks: Sequence[Samples]) -> tuple[list[int], tuple[float, float]]:
    """Bytes of each chunk, and the seconds that encoding and decoding took."""
    codec = get_codec(name, tables=tables)
    codec.decode(codec.encode(chunks[:1]))  # compiles kernels
    begin = processor_time()
    streams = codec.encode(chunks)
    middle = processor_time()
    decoded = codec.decode(streams)
    end = processor_time()
    if not all(map(np.array_equal, decoded, chunks)):
        refuse(f"{name}: a chunk came back otherwise")
    return [stream.nbytes for stream in streams], (middle - begin, end - middle)


def _page(path: Path, layout: SourceLayout, number: int) -> Samples:
    """The JPEG file that a plane of restart intervals is."""
    with tifffile.TiffFile(path) as tif:
        page = tif.pages[layout.planes[number].attrs["page"]["index"]]
        offset, length = (int(np.ravel(page.tags[tag].value)[0]) for tag in (273, 279))
    return np.fromfile(path, np.uint8, length, offset=offset)


if __name__ == "__main__":
    main()
