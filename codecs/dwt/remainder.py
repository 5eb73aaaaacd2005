"""What coefficients do not give: samples that come out otherwise, and those of the coarsest level."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.dct.coefficients import half_octaves, sign_of
from haarchive.codecs.dct.mixing import Mixer, code_integer, code_quiet
from haarchive.codecs.distributions.jit import kernel
from haarchive.codecs.dwt.axis import LEVELS, Axis
from haarchive.codecs.dwt.synthesis import FRACTION_BITS
from haarchive.codecs.rans.stream import OperationList, WordReader

__all__ = ["LARGEST_SAMPLE", "code_coarsest", "code_remainder", "remainder_mixer"]

LARGEST_SAMPLE = 1 << 12
"""Bound of a low coefficient's magnitude."""

_SIZES = (20 * 9, 32 * 4 * 3, 3 * 3 * 3 * 4, 9 * 9, 20 * 4, 9 * 4 * 32)
_COARSEST_SIZES = (24, 24 * 3)
_RIM = 8
_PARTS = 1 << FRACTION_BITS
_VALUES = 3
_RARELY = 1 << 11


def remainder_mixer() -> Mixer:
    """For all levels of a component."""
    return Mixer.fresh(_SIZES, LEVELS, 9)


def code_coarsest(samples: NDArray[np.int32], stream: OperationList | WordReader) -> None:
    """Code the low coefficients of the coarsest level, each by its neighbours.

    Parameters
    ----------
    samples : ndarray, shape (h, w), int32
        Read when encoding, filled when decoding.
    stream : OperationList or WordReader
    """
    mixer = Mixer.fresh(_COARSEST_SIZES, 1, 1)
    stream.resume(*_code_coarsest(samples, *mixer.arrays, stream.decoding, *stream.suspend(_VALUES * samples.size + 1)))


def code_remainder(
    left: NDArray[np.int32],
    fine: NDArray[np.int32],
    level: int,
    axes: tuple[Axis, Axis],
    mixer: Mixer,
    stream: OperationList | WordReader,
) -> None:
    """Code the differences of samples from what their coefficients give.

    Parameters
    ----------
    left : ndarray, shape (h, w), int32
        Read when encoding, filled when decoding.
    fine : ndarray of the same shape, int32
        What `pyramid.expected` gave, in 2**-5.
    level : int
        Of the coefficients, from 1, the finest.
    axes : tuple of Axis
        Of the samples.
    mixer : Mixer
        Of the levels before, or a fresh one.
    stream : OperationList or WordReader
    """
    parity = np.array([axis.begin & 1 for axis in axes], np.int64)
    stream.resume(
        *_code_remainder(
            left, fine, level - 1, parity, *mixer.arrays, stream.decoding, *stream.suspend(2 * _VALUES * left.size + 1)
        )
    )


@kernel
def _code_coarsest(  # type: ignore[no-untyped-def]
    x, chances, visits, offsets, first, second, chance_of, logit_of, decoding, start, freq, n, state, words, pos
):  # fmt: skip
    """The median of west, north and their sum less north-west predicts (Weinberger et al., LOCO-I, 2000, eq. 1)."""
    height, width = x.shape
    contexts, inputs = np.zeros(offsets.size - 1, np.int64), np.zeros(offsets.size - 1, np.int64)
    for i in range(height):
        if decoding and pos > words.size:  # a damaged stream must not cost time
            return n, state, pos
        for j in range(width):
            west = np.int64(x[i, j - 1]) if j else (np.int64(x[i - 1, j]) if i else np.int64(0))
            north = np.int64(x[i - 1, j]) if i else west
            corner = np.int64(x[i - 1, j - 1]) if i and j else north
            place = max(min(west, north), min(max(west, north), west + north - corner))
            rough = half_octaves(abs(west - corner) + abs(north - corner), 23)
            contexts[0] = rough
            contexts[1] = rough * 3 + (2 if i == 0 and j == 0 else np.int64(i == 0 or j == 0))
            value, n, state, pos = code_integer(
                np.int64(x[i, j]) - place, contexts, 0, 0, inputs, chances, visits, offsets, first, second,
                chance_of, logit_of, decoding, start, freq, n, state, words, pos,
            )  # fmt: skip
            x[i, j] = min(max(place + value, -LARGEST_SAMPLE), LARGEST_SAMPLE)
    return n, state, pos


@kernel
def _code_remainder(  # type: ignore[no-untyped-def]
    left, fine, level, parity, chances, visits, offsets, first, second, chance_of, logit_of,
    decoding, start, freq, n, state, words, pos,
):  # fmt: skip
    height, width = left.shape
    contexts, inputs = np.zeros(offsets.size - 1, np.int64), np.zeros(offsets.size - 1, np.int64)
    quiet, quiet_visits = np.full(4 * _PARTS, _RARELY, np.uint16), np.zeros(4 * _PARTS, np.uint8)
    for i in range(height):
        if decoding and pos > words.size:  # a damaged stream must not cost time
            return n, state, pos
        down = (i + parity[0]) & 1
        rim_row = min(i, height - 1 - i, _RIM)
        for j in range(width):
            west = int(left[i, j - 1]) if j else 0
            north = int(left[i - 1, j]) if i else 0
            north_west = int(left[i - 1, j - 1]) if i and j else 0
            north_east = int(left[i - 1, j + 1]) if i and j + 1 < width else 0
            near = 2 * (abs(west) + abs(north)) + abs(north_west) + abs(north_east)
            if j > 1:
                near += abs(int(left[i, j - 2]))
            if i > 1:
                near += abs(int(left[i - 2, j]))
            rim_column = min(j, width - 1 - j, _RIM)
            rim = min(rim_row, rim_column)
            part = (fine[i, j] + _PARTS // 2) & (_PARTS - 1)
            place = 2 * down + ((j + parity[1]) & 1)
            if near == 0 and rim == _RIM:
                bit, n, state, pos = code_quiet(
                    np.int64(left[i, j] != 0), place * _PARTS + part, quiet, quiet_visits,
                    decoding, start, freq, n, state, words, pos,
                )  # fmt: skip
                if not bit:
                    left[i, j] = 0
                    continue
            by_near = half_octaves(4 * near, 19)
            side = np.int64(rim_row < _RIM) + 2 * np.int64(rim_column < _RIM)
            contexts[0] = by_near * 9 + rim
            contexts[1] = (part * 4 + place) * 3 + min(near, 2)
            contexts[2] = ((sign_of(west) * 3 + sign_of(north)) * 3 + sign_of(north_east)) * 4 + side
            contexts[3] = (min(max(west, -4), 4) + 4) * 9 + min(max(north, -4), 4) + 4
            contexts[4] = by_near * 4 + place
            contexts[5] = (rim * 4 + side) * 32 + part
            value, n, state, pos = code_integer(
                np.int64(left[i, j]), contexts, level, rim, inputs, chances, visits, offsets, first, second,
                chance_of, logit_of, decoding, start, freq, n, state, words, pos,
            )  # fmt: skip
            left[i, j] = min(max(value, -2 * LARGEST_SAMPLE), 2 * LARGEST_SAMPLE)
    return n, state, pos
