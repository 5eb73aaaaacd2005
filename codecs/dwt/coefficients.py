"""Coding of quantised coefficients, band by band, by mixed binary decisions (`dct.mixing`)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.dct.coefficients import half_octaves, sign_of
from haarchive.codecs.dct.mixing import Mixer, code_integer, code_quiet, forget
from haarchive.codecs.distributions.jit import kernel, leaf
from haarchive.codecs.dwt.axis import LEVELS
from haarchive.codecs.dwt.steps import LARGEST_COEFFICIENT
from haarchive.codecs.dwt.surroundings import Surroundings
from haarchive.codecs.rans.kernels import add_bits, take_bits
from haarchive.codecs.rans.stream import OperationList, WordReader

__all__ = ["code_band", "fresh_mixer"]

_SIZES = (14 * 14, 14 * 14, 4 * 4 * 3 * 3, 14 * 14, 14 * 14, 3 * 3 * 5 * 5, 11 * 3 * 3, 5 * 24, 16 * 9)
_YOUNG = 12
_VALUES = 3
_RARELY = 1 << 11


def fresh_mixer() -> Mixer:
    """For one band of one component, at all levels."""
    return Mixer.fresh(_SIZES, LEVELS, 32)


def code_band(
    numbers: NDArray[np.int32], level: int, around: Surroundings, mixer: Mixer, stream: OperationList | WordReader
) -> None:
    """Code the coefficients of a band.

    Parameters
    ----------
    numbers : ndarray, shape (h, w), int32
        Quantised; read when encoding, filled when decoding.
    level : int
        From 1, the finest.
    around : Surroundings
    mixer : Mixer
        Of the band at the levels before, or a fresh one.
    stream : OperationList or WordReader
    """
    if not numbers.size:
        return
    padded = np.zeros((numbers.shape[0] + 2, numbers.shape[1] + 3), np.int32)
    padded[2:, 2:-1] = numbers
    stream.resume(
        *_code_band(
            padded, level - 1, *around.arrays, *mixer.arrays,
            stream.decoding, *stream.suspend(_VALUES * numbers.size + 1),
        )
    )  # fmt: skip
    numbers[:] = padded[2:, 2:-1]


@leaf
def _grade(x: Any) -> Any:
    """0 to 10: the size and sign of a third difference."""
    size = half_octaves(abs(x), 9) // 2 + (x != 0)
    return 5 + (min(size, 5) if x > 0 else -min(size, 5))


@kernel
def _code_band(  # type: ignore[no-untyped-def]
    k, level, coarser, beside, others, slope, component_one, component_two,
    chances, visits, offsets, first, second, chance_of, logit_of, decoding, start, freq, n, state, words, pos,
):  # fmt: skip
    """Code whether there is any, then all in reading order; `k` has two rows above, two columns before, one behind."""
    height, width = k.shape[0] - 2, k.shape[1] - 3
    if decoding:
        some, state, pos = take_bits(1, state, words, pos)
    else:
        some = np.int64(np.any(k))
        n = add_bits(some, 1, start, freq, n)
    if not some:
        return n, state, pos
    for which in range(offsets.size - 1):
        forget(visits, offsets, which, _YOUNG)
    contexts, inputs = np.zeros(offsets.size - 1, np.int64), np.zeros(offsets.size - 1, np.int64)
    quiet, quiet_visits = np.full(1, _RARELY, np.uint16), np.zeros(1, np.uint8)
    for i in range(height):
        if decoding and pos > words.size:  # a damaged stream must not cost time
            return n, state, pos
        above, here = k[i + 1], k[i + 2]
        over = k[i]
        for j in range(width):
            west, north = int(here[j + 1]), int(above[j + 2])
            north_west, north_east = int(above[j + 1]), int(above[j + 3])
            near = (
                2 * (abs(west) + abs(north)) + abs(north_west) + abs(north_east)
                + abs(np.int64(here[j])) + abs(np.int64(over[j + 2]))
            )  # fmt: skip
            up, side, other = np.int64(coarser[i, j]), np.int64(beside[i, j]), np.int64(others[i, j])
            steep = np.int64(slope[i, j])
            by_steep = half_octaves(abs(steep), 13)
            if near + side + other + up + by_steep == 0:
                bit, n, state, pos = code_quiet(
                    np.int64(here[j + 2] != 0), 0, quiet, quiet_visits, decoding, start, freq, n, state, words, pos
                )  # fmt: skip
                if not bit:
                    continue
            by_near, by_up = half_octaves(4 * near, 13), half_octaves(up, 13)
            by_side, by_other = half_octaves(side, 13), half_octaves(other, 13)
            signs = 3 * sign_of(west) + sign_of(north)
            one, two = min(max(np.int64(component_one[i, j]), -2), 2), min(max(np.int64(component_two[i, j]), -2), 2)
            total = 4 * near + up + side + other
            contexts[0] = by_near * 14 + by_up
            contexts[1] = by_near * 14 + by_side
            contexts[2] = (
                (min(abs(west), 3) * 4 + min(abs(north), 3)) * 3 + min(abs(north_west), 2)
            ) * 3 + min(abs(north_east), 2)  # fmt: skip
            contexts[3] = by_up * 14 + by_steep
            contexts[4] = by_near * 14 + by_other
            contexts[5] = (signs * 5 + one + 2) * 5 + two + 2
            contexts[6] = _grade(steep) * 9 + signs
            contexts[7] = level * 24 + half_octaves(total, 23)
            contexts[8] = half_octaves(2 * side + up, 15) * 9 + min(half_octaves(other, 8), 8)
            value, n, state, pos = code_integer(
                np.int64(here[j + 2]), contexts, level, half_octaves(total, 31), inputs,
                chances, visits, offsets, first, second, chance_of, logit_of,
                decoding, start, freq, n, state, words, pos,
            )  # fmt: skip
            here[j + 2] = min(max(value, -LARGEST_COEFFICIENT), LARGEST_COEFFICIENT)
    return n, state, pos
