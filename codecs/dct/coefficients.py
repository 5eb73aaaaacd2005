"""Coding of quantised coefficients, frequency by frequency from coarse to fine, one component after the other.

When a coefficient is coded, both sides know the same frequency of the blocks before it in reading order, all coarser
frequencies of all blocks, and this frequency of all blocks of the components before it. From these, dequantised, a
linear predictor says where to expect it (`location`).

What the predictor misses is coded by mixed binary decisions (`mixing`), under contexts of how large misses were
nearby, in the other components and in the coarser frequencies of the block; of the fraction of the prediction; of
neighbouring coefficients themselves; and of how many coefficients of the block were not zero so far. Cells stay from
one frequency to the next, but adapt as fast as young ones again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.dct.location import FIRST_USUAL, earlier_predictors, learn, look, predictors, sweep, worth
from haarchive.codecs.dct.mixing import Mixer, code_integer, code_quiet, forget
from haarchive.codecs.dct.transform import ZIGZAG
from haarchive.codecs.distributions.jit import kernel, leaf
from haarchive.codecs.rans.kernels import add_bits, take_bits
from haarchive.codecs.rans.stream import OperationList, WordReader

__all__ = ["LARGEST_COEFFICIENT", "code_coefficients", "half_octaves", "sign_of"]

LARGEST_COEFFICIENT = 1 << 15
"""Bound of a coefficient's magnitude, and of a dequantised one's."""

_SIZES = (400, 64, 24**3, 240, 144, 25 * 16, 81, 16 * 3 * 16)
"""Contexts of each input of the mixer."""
_KEPT = (0, 1, 3, 4, 5, 6)
"""Inputs whose cells belong to a frequency."""
_YOUNG = 10
_VALUES = 3
"""Room for the operations of an integer, in that of `values.add_value`."""
_MOST_MISSED = 4095
_QUIET = 24
"""In 1/16 step: where less than this was missed nearby, and all that predicts is zero, nearly every coefficient is."""
_RARELY = 1 << 12


def code_coefficients(
    components: Sequence[NDArray[np.int32]],
    steps: NDArray[np.int64],
    stream: OperationList | WordReader,
    *,
    known: Sequence[NDArray[np.int32]] = (),
    cut: NDArray[np.bool_] | None = None,
    earlier: bool = False,
) -> None:
    """Code the coefficients of components whose blocks lie on one grid.

    Parameters
    ----------
    components : sequence of ndarray, shape (64, h, w), int32
        By frequency ``8 * vertical + horizontal``; read when encoding, filled when decoding.
    steps : ndarray, shape (C, 64), int64
    stream : OperationList or WordReader
    known : sequence of ndarray, shape (64, h, w), int32
        Dequantised coefficients that predictors may see all of.
    cut : ndarray, shape (h, w), bool, optional
        Blocks of which a picture's edge leaves only a part: predictors do not learn from them.
    earlier : bool
        Whether the coefficients were coded by the predictors of earlier bitstreams, which saw nothing that was known.
    """
    _, height, width = components[0].shape
    padded = np.zeros((len(components) + len(known), 64, height + 2, width + 2), np.int32)
    inner = padded[:, :, 1:-1, 1:-1]
    if not stream.decoding:
        for n, component in enumerate(components):
            inner[n] = component
    for n, component in enumerate(known, len(components)):
        inner[n] = component
    sizes = np.concatenate([steps, np.ones((len(known), 64), np.int64)])
    features, counts = earlier_predictors(len(components)) if earlier else predictors(len(components), len(known))
    missed = np.zeros((len(components), *padded.shape[1:]), np.int32)
    filled = np.zeros((len(components), height + 2, width + 2), np.int64)
    learning = _learning(np.zeros((height, width), np.bool_) if cut is None or earlier else cut)
    mixers = [Mixer.fresh(_SIZES, 64, 32) for _ in components]
    for order, frequency in enumerate(ZIGZAG):
        for n in range(len(components)):
            mixer = mixers[n]
            seen = features[n, frequency, : counts[n, frequency]]
            stream.resume(
                *_code_frequency(
                    padded, missed, filled, n, int(frequency), order, sizes, seen, learning, earlier, *mixer.arrays,
                    stream.decoding, *stream.suspend(_VALUES * height * width + 1),
                )
            )  # fmt: skip
    if stream.decoding:
        for n, component in enumerate(components):
            component[:] = inner[n]


def _learning(cut: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The blocks that are not cut, nor next to one that is."""
    height, width = cut.shape
    padded = np.pad(cut, 1)
    near: NDArray[np.bool_] = np.any(
        [padded[i : i + height, j : j + width] for i in range(3) for j in range(3)], axis=0
    )
    return ~near


_HALF_OCTAVES = np.array(
    [2 * (x.bit_length() - 1) + (x > 1 and x >> (x.bit_length() - 2) & 1) for x in range(1, 3 << 14 | 1)], np.uint8
)


@leaf
def half_octaves(x: Any, most: int) -> Any:
    """How many half octaves ``x + 1`` spans, at most `most`, which is at most 31; x is not negative."""
    return min(np.int64(_HALF_OCTAVES[min(x, _HALF_OCTAVES.size - 1)]), most)


@leaf
def sign_of(x: Any) -> Any:
    """0 of what is negative, 1 of 0, 2 of what is positive."""
    return min(max(int(x), -1), 1) + 1


@kernel
def _look_around(k, missed, c, frequency, i, cross, coarser, others, before):  # type: ignore[no-untyped-def]
    """Fill parts of contexts ``(w,)`` that are known of a row of blocks before it is coded."""
    width = cross.size
    down, across = frequency // 8, frequency % 8
    cross[:], others[:], coarser[:], before[:] = 0, 0, 0, 0
    for q in range(max(0, c - 2), c):
        over, other, under, line = (
            missed[q, frequency, i - 1],
            missed[q, frequency, i],
            missed[q, frequency, i + 1],
            k[q, frequency, i],
        )
        for j in range(width):
            cross[j] += 4 * other[j + 1] + other[j] + other[j + 2] + over[j + 1] + under[j + 1]
            others[j] = 5 * others[j] + min(max(line[j + 1], -2), 2) + 2
    if across:
        other, under, line = missed[c, frequency - 1, i], missed[c, frequency - 1, i + 1], k[c, frequency - 1, i]
        for j in range(width):
            coarser[j] += 3 * other[j + 1] + other[j + 2] + under[j + 1]
            before[j] = sign_of(line[j + 1])
    if down:
        other, under, line = missed[c, frequency - 8, i], missed[c, frequency - 8, i + 1], k[c, frequency - 8, i]
        for j in range(width):
            coarser[j] += 3 * other[j + 1] + other[j + 2] + under[j + 1]
            before[j] = 3 * before[j] + sign_of(line[j + 1])
    if across and down:
        other = missed[c, frequency - 9, i]
        for j in range(width):
            coarser[j] += 2 * other[j + 1]


@kernel
def _code_frequency(  # type: ignore[no-untyped-def]
    k, missed, filled, c, frequency, order, steps, features, learning, earlier,
    chances, visits, offsets, first, second, chance_of, logit_of, decoding, start, freq, n, state, words, pos,
):  # fmt: skip
    """Code one frequency of a component: whether there is any, then all blocks in reading order."""
    height, width = k.shape[2] - 2, k.shape[3] - 2
    here, miss = k[c, frequency], missed[c, frequency]
    step = steps[c, frequency]
    if decoding:
        some, state, pos = take_bits(1, state, words, pos)
    else:
        some = np.int64(np.any(here))
        n = add_bits(some, 1, start, freq, n)
    if not some:
        return n, state, pos
    for which in _KEPT:
        forget(visits, offsets, which, _YOUNG)
    count = len(features)
    gram = np.zeros((count, count), np.int64)
    moment = np.zeros(count, np.int64)
    weights = np.zeros(count, np.int64)
    seen, alive = np.zeros((count, width), np.int32), np.ones(count, np.bool_)
    known, any_known = np.empty(width, np.int64), np.empty(width, np.int32)
    cross, coarser = np.empty(width, np.int32), np.empty(width, np.int32)
    others, before = np.empty(width, np.int32), np.empty(width, np.int32)
    worths, usual = np.empty(width, np.int32), np.int64(FIRST_USUAL)
    quiet = np.full(16, _RARELY, np.uint16)
    quiet_visits = np.zeros(16, np.uint8)
    contexts = np.zeros(offsets.size - 1, np.int64)
    inputs = np.zeros(offsets.size - 1, np.int64)
    for i in range(1, height + 1):
        if decoding and pos > words.size:  # a damaged stream must not cost time
            return n, state, pos
        if i > 1:
            sweep(gram, moment, weights, step, i, usual, earlier)
        look(k, i, features, steps, seen, alive)
        _look_around(k, missed, c, frequency, i, cross, coarser, others, before)
        known[:], any_known[:], worths[:] = 0, 0, earlier
        for f in range(1, count):
            if not alive[f]:
                continue
            weight, line = weights[f], seen[f]
            for j in range(width):
                known[j] += weight * np.int64(line[j])
                any_known[j] |= line[j]
        row, fill, fill_above, fill_below = here[i], filled[c, i], filled[c, i - 1], filled[c, i + 1]
        missed_row, missed_above = miss[i], miss[i - 1]
        for j in range(1, width + 1):
            behind = np.int32(row[j - 1] * np.int32(step))
            seen[0, j - 1] = behind
            silent = behind == 0 and any_known[j - 1] == 0
            place = (known[j - 1] + weights[0] * np.int64(behind)) >> 12
            place = (
                min(max(place // step, -16 * LARGEST_COEFFICIENT), 16 * LARGEST_COEFFICIENT) if place else np.int64(0)
            )
            whole = (place + 8) >> 4
            part = place - 16 * whole + 8
            near = 2 * (np.int64(missed_row[j - 1]) + missed_above[j]) + missed_above[j - 1] + missed_above[j + 1]
            by_others = np.int64(cross[j - 1])
            by_coarse = np.int64(coarser[j - 1])
            around = fill[j - 1] + fill_above[j] + fill[j + 1] + fill_below[j]
            if silent and near + by_others + by_coarse < _QUIET:
                bit, n, state, pos = code_quiet(
                    np.int64(row[j] != 0), min(fill[j], 3) * 4 + min(around >> 1, 3), quiet, quiet_visits,
                    decoding, start, freq, n, state, words, pos,
                )  # fmt: skip
                if not bit:
                    continue
            by_near, by_cross, by_coarser = (
                half_octaves(near, 23),
                half_octaves(by_others, 23),
                half_octaves(by_coarse, 23),
            )
            contexts[0] = min(by_near, 19) * 20 + min(by_cross, 19)
            contexts[1] = part * 4 + min(abs(whole), 3)
            contexts[2] = (by_near * 24 + by_cross) * 24 + by_coarser
            contexts[3] = min(by_coarser, 19) * 12 + min(by_near, 19) * 12 // 20
            contexts[4] = min(fill[j], 11) * 12 + min(around >> 1, 11)
            contexts[5] = others[j - 1] * 16 + part
            contexts[6] = (sign_of(row[j - 1]) * 3 + sign_of(here[i - 1, j])) * 9 + before[j - 1]
            contexts[7] = (part * 3 + min(abs(whole), 2)) * 16 + (half_octaves(near + by_others + by_coarse, 31) >> 1)
            left, n, state, pos = code_integer(
                np.int64(row[j]) - whole, contexts, order, half_octaves(near + 2 * by_others + by_coarse, 31), inputs,
                chances, visits, offsets, first, second, chance_of, logit_of,
                decoding, start, freq, n, state, words, pos,
            )  # fmt: skip
            value = whole + left
            if decoding:
                value = min(max(value, -LARGEST_COEFFICIENT), LARGEST_COEFFICIENT)
                row[j] = value
            fill[j] += value != 0
            own = min(abs(16 * value - place), _MOST_MISSED)
            missed_row[j] = own
            if not earlier and learning[i - 1, j - 1]:
                worths[j - 1], usual = worth(near + by_others + by_coarse + 4 * own, usual)
        learn(seen, alive, row, step, worths, gram, moment)
    return n, state, pos
