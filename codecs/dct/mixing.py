"""Binary decisions coded with mixed predictions, in integers: kernels for encoder and decoder alike.

Each decision has a chance from every one of several adaptive cells that its contexts name. Their logits are added with
weights that are learned online, by gradient descent on the code length ("gated linear mixing": Mahoney, "Adaptive
weighing of context models for lossless data compression", Florida Tech. TR CS-2005-16, 2005; Veness et al., "Gated
linear networks", 2021). Two sets of weights, chosen by different contexts, are averaged.

Chances are in 2**-16, logits in 1/256 nat, weights in 2**-16. The table of the logistic function is computed in
fixed-point integers (`distributions.fixed_point`), so that all machines have the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.distributions.fixed_point import MASS_BITS, tail_masses
from haarchive.codecs.distributions.jit import kernel, leaf
from haarchive.codecs.rans.kernels import add_gamma, advance, slot, take_gamma

__all__ = ["NODES", "Mixer", "code_integer", "forget", "mixing_tables"]

NODES = 16
"""Decisions of an integer that have cells of their own: whether it is zero, its sign, whether it exceeds 1, ... 14."""

_LOGIT_ONE = 256
_SCALE_INDEX = 72
"""Of `tail_masses`, so that its steps are 1/256: 16 * 2**((72 - 40) / 8)."""
_TOP = 12 * _LOGIT_ONE
_CELL_TOP = 8 * _LOGIT_ONE - 1
_CHANCE_BITS = 16
_LEAST = 16
_LOOKUP_BITS = 12
_VISITS = 250
_FIRST_WEIGHT = 14 * (1 << 16) // 100
_RATE = 9
_RATE_BITS = 18
_LARGEST = 1 << 17

_STEP = np.array([(1 << 17) // (2 * min(n, _VISITS) + 3) for n in range(256)], np.int64)
"""Of a cell's chance after n visits: 1 / (n + 1.5), in 2**-16."""


@lru_cache(maxsize=1)
def mixing_tables() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Chances of logits, and logits of chances.

    Returns
    -------
    chances : ndarray, shape (6145,), int64
        Of the logits -12 to 12 nats in steps of 1/256, in 2**-16.
    logits : ndarray, shape (4096,), int64
        The least logit whose chance is not below ``(16 i + 8) / 2**16``, for each i; within 8 nats.
    """
    tail = np.zeros(_TOP + 1, np.int64)
    masses = tail_masses(_SCALE_INDEX)[: _TOP + 1]
    tail[: masses.size] = masses
    below = np.maximum(tail >> (MASS_BITS - _CHANCE_BITS), _LEAST)
    chances = np.concatenate([below[:0:-1], (1 << _CHANCE_BITS) - below])
    chances[_TOP] = 1 << (_CHANCE_BITS - 1)
    middles = (np.arange(1 << _LOOKUP_BITS) << (_CHANCE_BITS - _LOOKUP_BITS)) + 8
    return chances, np.clip(np.searchsorted(chances, middles) - _TOP, -_CELL_TOP, _CELL_TOP)


@dataclass(frozen=True, eq=False)
class Mixer:
    """Cells and weights of one kind of decisions, as the kernels take them.

    Parameters
    ----------
    sizes : tuple of int
        How many contexts each input tells apart.
    first, second : int
        How many contexts each of the two sets of weights tells apart.
    """

    chances: NDArray[np.uint16]
    visits: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    first: NDArray[np.int64]
    second: NDArray[np.int64]

    @classmethod
    def fresh(cls, sizes: tuple[int, ...], first: int, second: int) -> Mixer:
        """Make one that knows nothing."""
        total = sum(sizes) * NODES
        return cls(
            np.full(total, 1 << (_CHANCE_BITS - 1), np.uint16),
            np.zeros(total, np.uint8),
            np.cumsum([0, *sizes]).astype(np.int64) * NODES,
            np.full((first * NODES, len(sizes)), _FIRST_WEIGHT, np.int64),
            np.full((second * NODES, len(sizes)), _FIRST_WEIGHT, np.int64),
        )

    @property
    def arrays(self) -> tuple[NDArray[np.generic], ...]:
        """``chances, visits, offsets, first, second`` and the two tables, for kernels."""
        return self.chances, self.visits, self.offsets, self.first, self.second, *mixing_tables()


@kernel
def forget(visits, offsets, which, most):  # type: ignore[no-untyped-def]
    """Make an input's cells adapt as fast as after `most` visits."""
    cells = visits[offsets[which] : offsets[which + 1]]
    cells[:] = np.minimum(cells, np.uint8(most))


@leaf
def _decide(bit, width, decoding, start, freq, n, state, words, pos):  # type: ignore[no-untyped-def]
    """Code or decode a decision; the interval of "yes", `width` of 2**15 slots, comes first."""
    if decoding:
        here = slot(state)
        bit = np.int64(here < width)
        if bit:
            state, pos = advance(state, here, 0, width, words, pos)
        else:
            state, pos = advance(state, here, width, (1 << 15) - width, words, pos)
    else:
        start[n] = 0 if bit else width
        freq[n] = width if bit else (1 << 15) - width
        n += 1
    return bit, n, state, pos


@leaf
def _code_bit(  # type: ignore[no-untyped-def]
    bit, node, cells, one, two, inputs, chances, visits, first, second, chance_of, logit_of,
    decoding, start, freq, n, state, words, pos,
):  # fmt: skip
    """Code or decode one decision; returns ``bit, n, state, pos``."""
    count = cells.size
    one = one * NODES + node
    two = two * NODES + node
    dot_one, dot_two = 0, 0
    for i in range(count):
        at = cells[i] + node
        inputs[i] = logit_of[chances[at] >> (_CHANCE_BITS - _LOOKUP_BITS)]
        dot_one += first[one, i] * inputs[i]
        dot_two += second[two, i] * inputs[i]
    dot_one = min(max(dot_one >> 16, -_TOP), _TOP)
    dot_two = min(max(dot_two >> 16, -_TOP), _TOP)
    width = chance_of[((dot_one + dot_two) >> 1) + _TOP] >> 1
    bit, n, state, pos = _decide(bit, width, decoding, start, freq, n, state, words, pos)
    target = bit << _CHANCE_BITS
    miss_one = (target - chance_of[dot_one + _TOP]) * _RATE
    miss_two = (target - chance_of[dot_two + _TOP]) * _RATE
    for i in range(count):
        at = cells[i] + node
        seen = np.int64(visits[at])
        chance = np.int64(chances[at])
        chances[at] = chance + (((target - bit - chance) * _STEP[seen]) >> 16)
        visits[at] = min(seen + 1, _VISITS)
    # A loop for each set, so that they fill vector registers.
    own = first[one]
    for i in range(count):
        own[i] += (inputs[i] * miss_one + (1 << (_RATE_BITS - 1))) >> _RATE_BITS
    own = second[two]
    for i in range(count):
        own[i] += (inputs[i] * miss_two + (1 << (_RATE_BITS - 1))) >> _RATE_BITS
    return bit, n, state, pos


@leaf
def code_quiet(  # type: ignore[no-untyped-def]
    bit, at, chances, visits, decoding, start, freq, n, state, words, pos
):  # fmt: skip
    """Code or decode a decision by the chance of one cell alone, which is quick; returns ``bit, n, state, pos``."""
    chance = int(chances[at])
    width = min(max(chance >> 1, 1), (1 << 15) - 1)
    bit, n, state, pos = _decide(bit, width, decoding, start, freq, n, state, words, pos)
    seen = np.int64(visits[at])
    chances[at] = chance + ((((bit << _CHANCE_BITS) - bit - chance) * _STEP[seen]) >> 16)
    if seen < _VISITS:
        visits[at] = seen + 1
    return bit, n, state, pos


@leaf
def code_integer(  # type: ignore[no-untyped-def]
    value, contexts, one, two, inputs, chances, visits, offsets, first, second, chance_of, logit_of,
    decoding, start, freq, n, state, words, pos,
):  # fmt: skip
    """Code or decode an integer: whether it is zero, its sign, its magnitude in unary up to 15, the rest as a gamma.

    Parameters
    ----------
    value : int
        Ignored when decoding.
    contexts : (I,) int64
        Of each input, below its size. What comes back in it are the places of the cells.
    one, two : int
        Of the two sets of weights.
    inputs : (I,) int64
        Scratch.
    chances, visits, offsets, first, second, chance_of, logit_of
        `Mixer.arrays`.
    decoding : bool
    start, freq, n, state, words, pos
        The encoder's list of operations, and the decoder.

    Returns
    -------
    value, n, state, pos : int
    """
    for i in range(contexts.size):
        contexts[i] = offsets[i] + contexts[i] * NODES
    size, negative, reached, node = abs(value), np.int64(0), np.int64(0), np.int64(0)
    while node < NODES:  # one call, as it is compiled in place
        bit = np.int64(value < 0 if node == 1 else size > reached)
        bit, n, state, pos = _code_bit(
            bit, node, contexts, one, two, inputs, chances, visits, first, second, chance_of, logit_of,
            decoding, start, freq, n, state, words, pos,
        )  # fmt: skip
        if node == 1:
            negative = bit
        elif bit:
            reached += 1
        else:
            break
        node += 1
    if reached == 0:
        return np.int64(0), n, state, pos
    if reached == NODES - 1:
        if decoding:
            rest, state, pos = take_gamma(state, words, pos)
            reached += min(rest, _LARGEST)
        else:
            n = add_gamma(size - reached, start, freq, n)
            reached = size
    return -reached if negative else reached, n, state, pos
