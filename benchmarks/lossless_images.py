"""How lossless image codecs do on histology: ``python benchmarks/lossless_images.py --data DIR``.

Ours is measured as the archive uses it: every chunk of the archive's grid for itself, real bitstreams, checksums and
index not counted; the codec haar by each preset (or some: ``--preset NAME ...``), the codec idf by `fast` and `max`
(or others: ``--idf NAME ...``, or none: ``--idf``). Chunks that are decoded JPEG go to the codec dct instead, and but
under `fast` those that are decoded JPEG 2000 to dwt, unless ``--flows-alone``. The peers get the whole picture at once,
and one thread as we do.

The sets are raw-like (glas, breakhis: no traces of lossy compression) or lossy-derived (monuseg: made from
JPEG and JPEG 2000 slides) and never averaged together: a codec can profit from such traces.

bpd: bits a sub-pixel, mean and median over a set's files. / e9, / e7: bytes in relation to JPEG XL's of these efforts,
mean and median of the files' ratios; below 1 is smaller. x e7: speed in relation to that of effort 7, median of the
files' ratios. Other rows than a set's are means of sets.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from _common import (
    Column,
    Contender,
    Item,
    Reference,
    find_files,
    measure,
    on_one_thread,
    options,
    print_columns,
    refuse,
    summarise,
    write_json,
)
from numpy.typing import NDArray

from haarchive.codecs import Bitstream, Codec, get_codec
from haarchive.codecs.dwt.axis import LEVELS, Axis
from haarchive.codecs.dwt.pairs import Halved, to_planes
from haarchive.codecs.dwt.pyramid import build, expected, rounded
from haarchive.codecs.dwt.steps import Steps
from haarchive.codecs.errors import UnsupportedSamplesError
from haarchive.codecs.haar.presets import PRESETS, Preset
from haarchive.pipeline.flows import specialists_of
from haarchive.pipeline.sources.grid import image_chunk

GROUPS = {"raw-like, mean": ("glas", "breakhis"), "lossy-derived, mean": ("monuseg",)}
SETS = tuple(name for names in GROUPS.values() for name in names)
E9, E7 = "JPEG XL e9", "JPEG XL e7"
REFERENCES = (Reference(E9, "/ e9"), Reference(E7, "/ e7"))
COLUMNS = (
    Column("bpd", "bits_per_sample"),
    Column("median", "bits_per_sample_median"),
    Column("/ e9", "relative_mean", E9),
    Column("median", "relative_median", E9),
    Column("/ e7", "relative_mean", E7),
    Column("median", "relative_median", E7),
    Column("enc MB/s", "encode_mb_per_s", digits=2),
    Column("x e7", "encode_relative_speed", E7, digits=2),
    Column("dec MB/s", "decode_mb_per_s", digits=2),
    Column("x e7", "decode_relative_speed", E7, digits=2),
)


def main() -> None:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--preset", nargs="+", choices=PRESETS, default=list(PRESETS), help="default: all")
    parser.add_argument(
        "--idf", nargs="*", choices=PRESETS, default=["fast", "max"], help="presets of the codec idf; default: fast max"
    )
    parser.add_argument(
        "--flows-alone", action="store_true", help="code decoded JPEG and JPEG 2000 as any other pixels"
    )
    chosen = options(__doc__, SETS, parents=[parser])
    on_one_thread()
    wanted = [*(("haar", preset) for preset in chosen.preset), *(("idf", preset) for preset in chosen.idf)]
    contenders = [ours(name, preset, alone=chosen.flows_alone) for name, preset in wanted]
    measurements = measure(find_pictures(chosen), read, [*contenders, *peers()], warm_up())
    rows = summarise(measurements, REFERENCES, GROUPS)
    print_columns(rows, COLUMNS)
    if chosen.json:
        write_json(chosen.json, rows, measurements, libraries())


def find_pictures(chosen: argparse.Namespace) -> list[tuple[str, Path]]:
    """The files of the chosen sets; exits with status 2 where one has none."""
    folder = chosen.data / "histology" / "val"
    for name in chosen.sets:
        if not (folder / name).is_dir():
            refuse(f"there is no set {name!r} in {folder}")
    return [(name, path) for name in chosen.sets for path in find_files(folder / name, chosen.limit)]


def read(name: str, path: Path) -> Item:
    image = imagecodecs.imread(str(path))
    image = np.ascontiguousarray(image[..., None] if image.ndim == 2 else image)
    return Item(name, path.name, image, image.nbytes)


def ours(name: str, preset: Preset, *, alone: bool) -> Contender:
    """A preset of one of our flows; those of haar, the default, go by their own name."""
    codecs = [get_codec(name, preset=preset)]
    if not alone:
        specialists = [get_codec(one) for one in specialists_of(preset)]
        for one in specialists:  # compile what the warm-up would not reach
            one.decode(one.encode([{"dct": was_jpeg, "dwt": was_jpeg_2000}[one.name]()]))
        codecs[0].decode(codecs[0].encode([was_jpeg_2000()]))  # Y, Cb, Cr and grids, and their tables
        codecs = [*specialists, *codecs]
    return Contender(
        f"haarchive {preset}" if name == "haar" else f"haarchive {name} {preset}",
        partial(encode_chunks, codecs),
        decode_chunks,
        lambda bits: sum(b.nbytes for _, b in bits),
    )


def peers() -> list[Contender]:
    return [
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


def encode_chunks(codecs: list[Codec], item: Item) -> list[tuple[Codec, Bitstream]]:
    return [_encode(codecs, item.samples[region]) for region in _regions(item.samples.shape)]


def decode_chunks(coded: list[tuple[Codec, Bitstream]], item: Item) -> NDArray[Any]:
    out = np.empty_like(item.samples)
    for region, (codec, bitstream) in zip(_regions(out.shape), coded, strict=True):
        out[region] = codec.decode([bitstream])[0]
    return out


def _encode(codecs: list[Codec], chunk: NDArray[Any]) -> tuple[Codec, Bitstream]:
    """By the first codec that takes it."""
    for codec in codecs[:-1]:
        with suppress(UnsupportedSamplesError):
            return codec, codec.encode([chunk])[0]
    return codecs[-1], codecs[-1].encode([chunk])[0]


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


def warm_up() -> Item:
    smooth = np.random.default_rng(0).integers(0, 256, (8, 8, 3)).repeat(32, 0).repeat(32, 1).astype(np.uint8)
    return Item("", "", smooth, smooth.nbytes)


def was_jpeg() -> NDArray[np.uint8]:
    y, x = np.mgrid[:128, :128]
    picture = np.stack([128 + 60 * np.sin(x / 9 + n) + 50 * np.cos(y / 7) for n in range(3)], 2)
    noisy = (picture + np.random.default_rng(0).normal(0, 12, picture.shape)).clip(0, 255).astype(np.uint8)
    decoded = imagecodecs.jpeg8_decode(imagecodecs.jpeg8_encode(noisy, level=80, subsampling="444"))
    return np.ascontiguousarray(decoded[3:, 3:])  # blocks that edges cut, too


def was_jpeg_2000() -> NDArray[np.uint8]:
    """A picture of quantised wavelet coefficients."""
    y, x = np.mgrid[:256, :256]
    side, noise = Axis(0, 256, 256), np.random.default_rng(0).normal(0, 6, (256, 256))
    plane = np.rint(60 * np.sin(x / 9) + 40 * np.cos(y / 7) + noise).astype(np.int32)
    steps = Steps((10649, 5396, 2575, 1024, 1024), (21299, 22528, 10342, 5018, 2488))
    components = []
    for axes, samples in (((side, side), plane), ((side, side.halved()), plane[:, ::2] // 6)):
        pyramid = build(samples, *axes, steps)
        low = pyramid.samples[LEVELS]
        for level in range(LEVELS, 0, -1):
            rows, columns = (axis.at_level(level - 1) for axis in axes)
            low = rounded(expected(low, pyramid.numbers[level - 1], level, steps, rows, columns), level)
        components.append(low)
    return np.moveaxis(to_planes(Halved(components[0] + 128, components[1], components[1]), 0), 0, 2).astype(np.uint8)


def libraries() -> dict[str, str]:
    names = ("png", "webp", "jpeg2k", "jpegxl")
    return {name: getattr(imagecodecs, f"{name}_version")() for name in names}


if __name__ == "__main__":
    main()
