"""Prepared pictures through flows, into streams."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from haarchive.codecs.idf.header import IdfHeader
from haarchive.codecs.idf.placed import PlacedFlow, to_numpy
from haarchive.codecs.idf.planes import Prepared, centred, flow_units
from haarchive.codecs.idf.streams import ChunkWriter, Coding

__all__ = ["Each", "batches", "coding_of", "levels_of", "one_by_one", "write"]

Each = Callable[[Callable[[int], None], int], None]
"""Runs a task for each number below a count."""

_BATCH_SAMPLES = {"cpu": 1 << 18, "cuda": 1 << 25}
"""Samples that a flow is given at once: what stays in a CPU's cache, and what a GPU has memory for."""

_LIMIT_BITS = 2 + 4
"""Locations are bounded by the samples' range, two bits for details of colour differences, and 1/16."""


def batches(headers: Sequence[IdfHeader], device: torch.device) -> list[list[int]]:
    """Numbers of pictures of one shape and number of bits, no more together than a device should be given."""
    alike: dict[tuple[tuple[int, int, int], int], list[int]] = defaultdict(list)
    for n, header in enumerate(headers):
        alike[header.shape, header.bits].append(n)
    batches = []
    for (shape, _), numbers in alike.items():
        step = max(1, _BATCH_SAMPLES.get(device.type, _BATCH_SAMPLES["cpu"]) // max(1, shape[0] * shape[1] * 3))
        batches += [numbers[at : at + step] for at in range(0, len(numbers), step)]
    return batches


def levels_of(flows: Mapping[str, PlacedFlow], planes: int) -> list[int]:
    """The levels that factor something out, coarsest first: a band each."""
    return sorted({level for placed, _ in flow_units(flows, planes) for level in placed.flow.factored}, reverse=True)


def coding_of(placed: PlacedFlow, header: IdfHeader) -> Coding:
    """How the latents of a flow are coded."""
    planes = placed.flow.planes if placed.flow.pyramid else 0
    return Coding(planes, header.shift, 1 << (header.bits + _LIMIT_BITS), header.adaptive)


def one_by_one(task: Callable[[int], None], count: int) -> None:
    """On this thread."""
    for n in range(count):
        task(n)


def write(flows: Mapping[str, PlacedFlow], prepared: Sequence[Prepared], each: Each = one_by_one) -> list[ChunkWriter]:
    """Streams of pictures of one shape and number of bits, all of which adapt, or none.

    Parameters
    ----------
    flows : Mapping of str to PlacedFlow
    prepared : sequence of Prepared
    each : Each
    """
    header = prepared[0].header
    planes = header.shape[2]
    writers = [ChunkWriter(levels_of(flows, planes)) for _ in prepared]
    if 0 not in header.shape:
        for placed, part in flow_units(flows, planes):
            _write_unit(placed, part, prepared, writers, each)
    for one, writer in zip(prepared, writers, strict=True):
        writer.append(one.outliers)
    return writers


def _write_unit(
    placed: PlacedFlow,
    part: slice,
    prepared: Sequence[Prepared],
    writers: Sequence[ChunkWriter],
    each: Each,
) -> None:
    """Encode planes that go through one flow."""
    header = prepared[0].header
    coding = coding_of(placed, header)
    x = np.stack([centred(one, placed, part) for one in prepared])
    parts, last = placed.latents(torch.from_numpy(x).to(placed.device), header.shift)
    ends = to_numpy(last)
    items = [(of.step, of.level, to_numpy(of.given), to_numpy(of.parameters), to_numpy(z)) for of, z in parts]

    def add(n: int) -> None:
        of_chunk = [(step, level, given[n], out[n], z[n]) for step, level, given, out, z in items]
        writers[n].add(coding, ends[n], placed.tables, of_chunk)

    each(add, len(prepared))
