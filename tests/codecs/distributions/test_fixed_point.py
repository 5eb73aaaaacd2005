"""What the tables are computed with, against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from haarchive.codecs.distributions.fixed_point import (
    MASS_BITS,
    PHASES,
    SCALE_LOG2_MIN,
    SCALES_PER_OCTAVE,
    mass_below,
    normalised,
    tail_masses,
)
from haarchive.codecs.distributions.mixture import MAX_MIXTURE_SCALE
from haarchive.codecs.distributions.tables import PROBABILITY_ONE

SCALES = [*range(0, MAX_MIXTURE_SCALE, 13), MAX_MIXTURE_SCALE]


@pytest.mark.parametrize("scale", SCALES)
def test_the_cumulative_distribution_is_that_of_scipy_rounded_and_never_falls(scale: int) -> None:
    tail = tail_masses(scale)
    edges = np.arange(-tail.size - 5, tail.size + 6)
    below = mass_below(tail, edges)
    ideal = special.expit(edges / PHASES / 2.0 ** (SCALE_LOG2_MIN + scale / SCALES_PER_OCTAVE)) * 2**MASS_BITS
    np.testing.assert_allclose(below, ideal, rtol=0, atol=0.50001)
    assert np.all(np.diff(below) >= 0)
    assert (below[0], below[-1]) == (0, 1 << MASS_BITS)


def test_frequencies_are_positive_and_in_proportion_as_long_as_there_are_slots() -> None:
    half = 1 << (MASS_BITS - 1)
    even, lopsided, full = normalised(
        [np.array([half, half]), np.array([0, 2 * half - 1, 1]), np.full(PROBABILITY_ONE, 2 * half // PROBABILITY_ONE)]
    )
    assert even.tolist() == [PROBABILITY_ONE // 2] * 2
    assert lopsided.tolist() == [1, PROBABILITY_ONE - 2, 1]
    assert np.all(full == 1)
