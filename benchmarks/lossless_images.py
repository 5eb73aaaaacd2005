"""How lossless image codecs do on histology: ``python benchmarks/lossless_images.py --data DIR``.

Ours is measured as the archive uses it: every chunk of the archive's grid for itself, real bitstreams,
checksums and index not counted. The peers get the whole picture at once, and one thread as we do.

The sets are raw-like (glas, breakhis: no traces of lossy compression) or lossy-derived (monuseg: made from
JPEG and JPEG 2000 slides) and never averaged together: a codec can profit from such traces.

bpd: bits a sub-pixel. / e9, / e7: bytes in relation to JPEG XL's of these efforts; below 1 is smaller.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from _common import (
    Contender,
    Item,
    Reference,
    find_files,
    measure,
    options,
    print_tables,
    refuse,
    summarise,
    write_json,
)
from numpy.typing import NDArray

from haarchive.codecs import Bitstream, get_codec
from haarchive.pipeline.sources.grid import image_chunk

GROUPS = {"raw-like, mean": ("glas", "breakhis"), "lossy-derived, mean": ("monuseg",)}
REFERENCES = (Reference("JPEG XL e9", "/ e9"), Reference("JPEG XL e7", "/ e7"))


def main() -> None:
    chosen = options(__doc__, [name for names in GROUPS.values() for name in names])
    folder = chosen.data / "histology" / "val"
    for name in chosen.sets:
        if not (folder / name).is_dir():
            refuse(f"there is no set {name!r} in {folder}")
    files = [(name, path) for name in chosen.sets for path in find_files(folder / name, chosen.limit)]
    measurements = measure(files, read, contenders(), _warm_up())
    rows = summarise(measurements, REFERENCES, GROUPS)
    print_tables(rows, REFERENCES, "bpd")
    if chosen.json:
        write_json(chosen.json, rows, measurements, _libraries())


def read(name: str, path: Path) -> Item:
    image = imagecodecs.imread(str(path))
    image = np.ascontiguousarray(image[..., None] if image.ndim == 2 else image)
    return Item(name, path.name, image, image.nbytes)


def contenders() -> list[Contender]:
    return [
        Contender("haarchive", encode_chunks, decode_chunks, lambda bits: sum(b.nbytes for b in bits)),
        _peer(
            "PNG",
            partial(imagecodecs.png_encode, level=9, filter=imagecodecs.PNG.FILTER.ALL),
            imagecodecs.png_decode,
        ),
        _peer(
            "WebP",
            partial(imagecodecs.webp_encode, lossless=True, level=100, method=6, numthreads=1),
            imagecodecs.webp_decode,
        ),
        _peer(
            "JPEG 2000",
            partial(imagecodecs.jpeg2k_encode, level=0, reversible=True, codecformat="j2k", numthreads=1),
            partial(imagecodecs.jpeg2k_decode, numthreads=1),
        ),
        *(
            _peer(
                f"JPEG XL e{effort}",
                partial(imagecodecs.jpegxl_encode, lossless=True, effort=effort, numthreads=1),
                partial(imagecodecs.jpegxl_decode, numthreads=1),
            )
            for effort in (3, 7, 9)
        ),
    ]


def encode_chunks(item: Item) -> list[Bitstream]:
    codec = get_codec("haar")
    return [codec.encode([item.samples[region]])[0] for region in _regions(item.samples.shape)]


def decode_chunks(bitstreams: list[Bitstream], item: Item) -> NDArray[Any]:
    codec = get_codec("haar")
    out = np.empty_like(item.samples)
    for region, bitstream in zip(_regions(out.shape), bitstreams, strict=True):
        out[region] = codec.decode([bitstream])[0]
    return out


def _regions(shape: tuple[int, ...]) -> Iterator[tuple[slice, slice]]:
    """The chunks that the archive cuts a picture into."""
    height, width, _ = image_chunk((shape[0], shape[1], shape[2]))
    for y in range(math.ceil(shape[0] / height)):
        for x in range(math.ceil(shape[1] / width)):
            yield slice(y * height, (y + 1) * height), slice(x * width, (x + 1) * width)


def _peer(name: str, encode: Any, decode: Any) -> Contender:
    def same_shape(data: bytes, item: Item) -> NDArray[Any]:
        return np.asarray(decode(data)).reshape(item.samples.shape)

    return Contender(name, lambda item: encode(item.samples), same_shape)


def _warm_up() -> Item:
    smooth = np.random.default_rng(0).integers(0, 256, (8, 8, 3)).repeat(32, 0).repeat(32, 1).astype(np.uint8)
    return Item("", "", smooth, smooth.nbytes)


def _libraries() -> dict[str, str]:
    names = ("png", "webp", "jpeg2k", "jpegxl")
    return {name: getattr(imagecodecs, f"{name}_version")() for name in names}


if __name__ == "__main__":
    main()
