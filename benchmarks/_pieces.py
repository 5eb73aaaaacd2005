"""Pictures cut into pieces that are coded each for itself, and who codes them: idf, and peers a piece at a time."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from _common import Contender, Item, Measurement
from numpy.typing import NDArray

from haarchive.codecs.base import Bitstream, Codec
from haarchive.codecs.idf.analytic import analytic_picture_bits
from haarchive.codecs.idf.codec import IdfCodec
from haarchive.codecs.idf.shipped import load_flows

__all__ = ["PATCHES", "PATCH_SIDE", "analytic_rows", "chunks", "coder", "each", "flif", "patches"]

PATCH_SIDE = 80
PATCHES = (3, 4)
"""Rows and columns of patches a picture."""


def patches(item: Item) -> Item:
    """Patches on a regular grid from edge to edge of a picture, ``(12, 80, 80, C)``."""
    tops, lefts = (
        [round(n * (size - PATCH_SIDE) / (count - 1)) for n in range(count)]
        for size, count in zip(item.samples.shape, PATCHES, strict=False)
    )
    return _pieces(item, [(top, left) for top in tops for left in lefts], PATCH_SIDE, "patches of 80 x 80")


def chunks(item: Item, side: int = 256) -> Item:
    """The complete chunks of a picture, on the grid from its upper left corner, ``(N, side, side, C)``."""
    height, width, _ = item.samples.shape
    places = [(y, x) for y in range(0, height - side + 1, side) for x in range(0, width - side + 1, side)]
    return _pieces(item, places, side, f"chunks of {side} x {side}")


def _pieces(item: Item, places: Sequence[tuple[int, int]], side: int, what: str) -> Item:
    samples = np.stack([item.samples[y : y + side, x : x + side] for y, x in places])
    return replace(item, set=f"{item.set}, {what}", samples=samples, raw_bytes=samples.nbytes)


def coder(name: str, codec: Codec) -> Contender:
    """One of ours: each piece is a bitstream of its own; networks see several at once."""

    def decode(bitstreams: list[Bitstream], _: Item) -> NDArray[np.uint8]:
        return np.stack(codec.decode(bitstreams))

    return Contender(name, lambda item: codec.encode(list(item.samples)), decode, _total)


def _total(bitstreams: Sequence[Bitstream]) -> int:
    return sum(bitstream.nbytes for bitstream in bitstreams)


def each(peer: Contender) -> Contender:
    """A peer that codes one picture, for pieces."""

    def encode(item: Item) -> list[bytes]:
        return [peer.encode(replace(item, samples=piece)) for piece in item.samples]

    def decode(encoded: list[bytes], item: Item) -> NDArray[np.uint8]:
        pairs = zip(encoded, item.samples, strict=True)
        return np.stack([peer.decode(one, replace(item, samples=piece)) for one, piece in pairs])

    return Contender(peer.name, encode, decode, lambda encoded: sum(map(len, encoded)))


def flif() -> list[Contender]:
    """FLIF at its largest effort, where there is an executable of this name; RGB only."""
    if (program := shutil.which("flif")) is None:
        return []

    def encode(item: Item) -> bytes:
        height, width, _ = item.samples.shape
        return run("-e", b"P6\n%d %d\n255\n" % (width, height) + item.samples.tobytes(), "--effort=100")

    def decode(encoded: bytes, item: Item) -> NDArray[np.uint8]:
        samples = run("-d", encoded)[-item.samples.size :]  # behind the head of a PPM or PAM
        return np.frombuffer(samples, np.uint8).reshape(item.samples.shape)

    def run(way: str, data: bytes, *more: str) -> bytes:
        return subprocess.run([program, way, *more, "-", "-"], input=data, stdout=subprocess.PIPE, check=True).stdout

    return [Contender("FLIF", encode, decode)]


def analytic_rows(
    items: Sequence[Item], codecs: Mapping[str, IdfCodec], measurements: Sequence[Measurement], device: str = "cpu"
) -> list[dict[str, Any]]:
    """The analytic code length of each set's pieces beside what real bytes took without adaptive couplings.

    Parameters
    ----------
    items : sequence of Item
        What was measured.
    codecs : mapping of str to IdfCodec
        By their contenders' names; those without adaptive couplings.
    measurements : sequence of Measurement
    device : str
        Of the networks.
    """
    rows: list[dict[str, Any]] = []
    for name in dict.fromkeys(item.set for item in items):
        samples = sum(item.samples.size for item in items if item.set == name)
        for contender, codec in codecs.items():
            flows, _ = load_flows(codec.name, codec.model, device)
            bits = sum(analytic_picture_bits(flows, item.samples) for item in items if item.set == name)
            analytic = bits / samples
            real = 8 * sum(m.bytes for m in measurements if (m.set, m.contender) == (name, contender)) / samples
            rows.append(
                {
                    "set": name,
                    "contender": contender,
                    "analytic_bits_per_sample": analytic,
                    "real_bits_per_sample": real,
                    "excess": real / analytic - 1,
                }
            )
    return rows
