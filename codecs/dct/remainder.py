"""What complete blocks do not give: samples that decode to something else, and the frame around them.

Where the blocks of a picture do not begin at its edges, a frame of up to seven (or fifteen) rows and columns is left.
It is coded outward from the blocks, strip by strip, each plane by a linear predictor from samples nearer the blocks and
from the planes before; its weights are least squares over what is coded so far, as for coefficients.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.dct.coefficients import half_octaves
from haarchive.codecs.dct.history import Region
from haarchive.codecs.dct.mixing import Mixer, code_integer
from haarchive.codecs.distributions.jit import kernel, leaf
from haarchive.codecs.idf.adaptive import accumulate, solve
from haarchive.codecs.rans.kernels import add_bits, take_bits
from haarchive.codecs.rans.stream import OperationList, WordReader

__all__ = ["code_frame", "code_misses"]

_KNOWN = 2
"""Rows of known samples that a strip begins with."""
_FRAME_SIZES = (24 * 24, 24 * 16, 24 * 24, 32 * 3)
_OWN, _OTHER = 5, 3
_RIDGE = 64
_SOLVE_EVERY = 32
_MOST_MISSED = 4095
_TOP = 255
_FLAG_SIZES = (4, 9)
_MISS_SIZES = (3 * 25, 25 * 5, 3 * 4 * 4)
_VALUES = 3


def code_frame(planes: NDArray[np.int32], region: Region, stream: OperationList | WordReader) -> None:
    """Code all samples outside of a region.

    Parameters
    ----------
    planes : ndarray, shape (C, H, W), int32
        0 to 255; what is inside is known. Read when encoding, filled when decoding.
    region : Region
    stream : OperationList or WordReader
    """
    count = len(planes)
    features = _OWN + _OTHER * (count - 1)
    grams, moments = np.zeros((count, features, features), np.int64), np.zeros((count, features), np.int64)
    mixer = Mixer.fresh(_FRAME_SIZES, count, 32)
    for strip in _strips(planes, region):
        if strip.shape[1] == _KNOWN:
            continue
        outward = np.ascontiguousarray(strip)
        stream.resume(
            *_code_strip(
                outward, grams, moments, *mixer.arrays, stream.decoding, *stream.suspend(_VALUES * outward.size)
            )
        )
        strip[:] = outward


def code_misses(samples: NDArray[np.int32], decoded: NDArray[np.int32], stream: OperationList | WordReader) -> None:
    """Code where samples differ from what the blocks decode to, and by how much.

    Parameters
    ----------
    samples : ndarray, shape (C, H, W), int32
        Read when encoding, filled when decoding; sides are multiples of 8.
    decoded : ndarray of the same shape, int32
    stream : OperationList or WordReader
    """
    left = np.zeros_like(decoded) if stream.decoding else samples - decoded
    flags, misses = Mixer.fresh(_FLAG_SIZES, 1, 1), Mixer.fresh(_MISS_SIZES, len(samples), 1)
    stream.resume(
        *_code_misses(
            left, *flags.arrays[:5], *misses.arrays, stream.decoding, *stream.suspend(_VALUES * 2 * left.size + 1)
        )
    )
    if stream.decoding:
        samples[:] = np.clip(decoded + left, 0, _TOP)


def _strips(planes: NDArray[np.int32], region: Region) -> Iterator[NDArray[np.int32]]:
    """Views ``(C, 2 + n, length)`` of the frame: two known rows, then outward; sides first, then above and below."""
    middle = planes[:, region.top : region.bottom]
    yield middle[:, :, : region.left + _KNOWN][:, :, ::-1].swapaxes(1, 2)
    yield middle[:, :, region.right - _KNOWN :].swapaxes(1, 2)
    yield planes[:, : region.top + _KNOWN][:, ::-1]
    yield planes[:, region.bottom - _KNOWN :]


@kernel
def _code_strip(  # type: ignore[no-untyped-def]
    x, grams, moments, chances, visits, offsets, first, second, chance_of, logit_of,
    decoding, start, freq, n, state, words, pos,
):  # fmt: skip
    """Code a strip ``(C, 2 + n, length)``, plane by plane, row by row."""
    planes, height, length = x.shape
    errors = np.zeros(x.shape, np.int64)
    contexts = np.zeros(offsets.size - 1, np.int64)
    inputs = np.zeros(offsets.size - 1, np.int64)
    for c in range(planes):
        count = _OWN + _OTHER * c
        seen = np.zeros(count, np.int32)
        weights = np.zeros(count, np.int64)
        full = np.zeros((count, count), np.int64)
        gram, moment = grams[c, :count, :count], moments[c, :count]
        error = errors[c]
        for i in range(_KNOWN, height):
            if decoding and pos > words.size:  # a damaged stream must not cost time
                return n, state, pos
            here, above, over = x[c, i], x[c, i - 1], x[c, i - 2]
            for j in range(length):
                if j % _SOLVE_EVERY == 0:
                    for a in range(count):
                        for b in range(a, count):
                            full[a, b] = full[b, a] = gram[a, b]
                    solve(full, np.int64(_RIDGE), moment, weights, count)
                west, east = max(j - 1, 0), min(j + 1, length - 1)
                north = int(above[j])
                behind = np.int64(here[j - 1]) if j else north
                seen[0] = behind - north
                seen[1] = np.int64(above[west]) - north
                seen[2] = np.int64(above[east]) - north
                seen[3] = np.int64(over[j]) - north
                seen[4] = (np.int64(here[j - 2]) if j > 1 else behind) - north
                cross = np.int64(0)
                for q in range(c):
                    other, base = x[q, i], np.int64(x[q, i - 1, j])
                    at = _OWN + _OTHER * q
                    seen[at] = other[j] - base
                    seen[at + 1] = other[west] - base
                    seen[at + 2] = other[east] - base
                    cross += 2 * errors[q, i, j] + errors[q, i, west] + errors[q, i, east]
                acc = 0
                for f in range(count):
                    acc += weights[f] * seen[f]
                place = min(max((north << 4) + (acc >> 12), 0), _TOP << 4)
                whole = (place + 8) >> 4
                part = place - 16 * whole + 8
                near = 2 * error[i, west] + error[i - 1, j] + error[i - 1, east] + error[i, max(j - 2, 0)]
                rough = 16 * (abs(seen[0]) + abs(seen[1]) + abs(seen[2]) + abs(seen[3]))
                by_near, by_cross = half_octaves(near, 23), half_octaves(cross, 23)
                contexts[0] = by_near * 24 + by_cross
                contexts[1] = by_near * 16 + part
                contexts[2] = by_cross * 24 + half_octaves(rough, 23)
                contexts[3] = half_octaves(near + cross + rough, 31) * 3 + c
                left, n, state, pos = code_integer(
                    np.int64(here[j]) - whole, contexts, c, half_octaves(near + cross, 31), inputs,
                    chances, visits, offsets, first, second, chance_of, logit_of,
                    decoding, start, freq, n, state, words, pos,
                )  # fmt: skip
                value = whole + left
                if decoding:
                    value = min(max(value, 0), _TOP)
                    here[j] = value
                error[i, j] = min(abs(16 * value - place), _MOST_MISSED)
                goal = value - north
                for f in range(count):
                    moment[f] += goal * seen[f]
                accumulate(gram, seen)
    return n, state, pos


@leaf
def _near_zero(x: Any) -> Any:
    return min(max(x, -2), 2) + 2


@kernel
def _code_misses(  # type: ignore[no-untyped-def]
    left, flag_chances, flag_visits, flag_offsets, flag_first, flag_second,
    chances, visits, offsets, first, second, chance_of, logit_of, decoding, start, freq, n, state, words, pos,
):  # fmt: skip
    """Code whether there is any, which blocks have some, and the differences ``(C, H, W)`` in those."""
    planes, height, width = left.shape
    if decoding:
        some, state, pos = take_bits(1, state, words, pos)
    else:
        some = np.int64(np.any(left))
        n = add_bits(some, 1, start, freq, n)
    if not some:
        return n, state, pos
    flags = np.zeros((height // 8 + 1, width // 8 + 2), np.int64)
    flag_contexts, flag_inputs = np.zeros(flag_offsets.size - 1, np.int64), np.zeros(flag_offsets.size - 1, np.int64)
    contexts, inputs = np.zeros(offsets.size - 1, np.int64), np.zeros(offsets.size - 1, np.int64)
    for top in range(0, height, 8):
        if decoding and pos > words.size:  # a damaged stream must not cost time
            return n, state, pos
        for side in range(0, width, 8):
            i, j = top // 8 + 1, side // 8 + 1
            down = 0 if top == 0 else 1 if top + 8 < height else 2
            across = 0 if side == 0 else 1 if side + 8 < width else 2
            flag = np.int64(0)
            if not decoding:
                flag = np.int64(np.any(left[:, top : top + 8, side : side + 8]))
            flag_contexts[0] = 2 * flags[i, j - 1] + flags[i - 1, j]
            flag_contexts[1] = 3 * down + across
            flag, n, state, pos = code_integer(
                flag, flag_contexts, 0, 0, flag_inputs, flag_chances, flag_visits, flag_offsets, flag_first,
                flag_second, chance_of, logit_of, decoding, start, freq, n, state, words, pos,
            )  # fmt: skip
            flags[i, j] = flag != 0
            if not flag:
                continue
            for y in range(top, top + 8):
                for x in range(side, side + 8):
                    edge = np.int64(y == 0 or y == height - 1) + 2 * np.int64(x == 0 or x == width - 1)
                    for c in range(planes):
                        behind = left[c, y, x - 1] if x else 0
                        above = left[c, y - 1, x] if y else 0
                        one = left[c - 1, y, x] if c else 0
                        two = left[c - 2, y, x] if c > 1 else 0
                        contexts[0] = (c * 5 + _near_zero(behind)) * 5 + _near_zero(above)
                        contexts[1] = (_near_zero(one) * 5 + _near_zero(two)) * 5 + _near_zero(behind + above)
                        contexts[2] = (c * 4 + edge) * 4 + 2 * (y & 1) + (x & 1)
                        value, n, state, pos = code_integer(
                            np.int64(left[c, y, x]), contexts, c, 0, inputs, chances, visits, offsets, first, second,
                            chance_of, logit_of, decoding, start, freq, n, state, words, pos,
                        )  # fmt: skip
                        left[c, y, x] = value
    return n, state, pos
