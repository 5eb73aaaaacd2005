"""The integer tables of the scale adaptation."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import logistic

from haarchive.codecs.errors import ModelError
from haarchive.codecs.haar import scales
from haarchive.codecs.haar.scales import GRADIENT_ONE, GRADIENT_ROWS, gradient_row, half_octaves, scale_tables


def code_length(distance: NDArray[np.float64], s: float) -> NDArray[np.float64]:
    """Nats of an integer at a distance from the location; stable far out."""
    inner, outer = logistic.logsf((distance - 0.5) / s), logistic.logsf((distance + 0.5) / s)
    return np.asarray(-(inner + np.log1p(-np.exp(outer - inner))))


@pytest.mark.parametrize("row", range(0, GRADIENT_ROWS, 3))
def test_the_gradient_is_the_derivative_of_the_code_length(row: int) -> None:
    distance = np.arange(512) / 16
    octaves, step = row / 8 - 5, 1e-4
    longer = code_length(distance, 2.0 ** (octaves + step / math.log(2)))
    shorter = code_length(distance, 2.0 ** (octaves - step / math.log(2)))
    expected = np.clip(-(longer - shorter) / (2 * step), -1, 4) * GRADIENT_ONE
    assert np.abs(scale_tables().gradient[row] - expected).max() <= 0.51


@pytest.mark.parametrize("scale", [47, 48, 55, 56, 72, 120, 180])
def test_gradients_of_large_scales_are_those_of_halved_distances(scale: int) -> None:
    gradient = scale_tables().gradient
    s = 2.0 ** (scale / 8 - 5)
    for quantile in (0.0, 0.3, 1.0, 2.0, 3.5):
        distance = quantile * s
        # The cell is as small as it is for the row that is looked up.
        octaves = max(0, (scale - 40) >> 3)
        exact = np.array([distance / 2**octaves])
        step = 1e-4
        slope = code_length(exact, s / 2**octaves * math.exp(step)) - code_length(
            exact, s / 2**octaves * math.exp(-step)
        )
        expected = float(np.clip(-slope[0] / (2 * step), -1, 4)) * GRADIENT_ONE
        assert gradient_row(scale, int(16 * distance), gradient) == pytest.approx(expected, abs=0.1 * GRADIENT_ONE)


def test_half_octaves_are_logarithms() -> None:
    log = scale_tables().log
    for value in (*range(300), 1023, 1024, 4094, 4095):
        assert half_octaves(value, log) == math.floor(2 * math.log2(value + 1))
    for value in (4096, 5000, 65535, 65536, 1 << 20, 1 << 24, (1 << 36) + 5):
        assert abs(half_octaves(value, log) - 2 * math.log2(value + 1)) <= 1.1


def test_half_octaves_never_fall() -> None:
    log = scale_tables().log
    steps = [half_octaves(value, log) for value in range(0, 200_000, 7)]
    assert steps == sorted(steps)


def test_the_first_visits_count_most() -> None:
    rate = scale_tables().rate
    assert rate[0] == (1 << 17) // 3
    assert rate[1] == (1 << 17) // 5
    assert rate[-1] == (1 << 16) // 40
    assert (np.diff(rate) <= 0).all()


def test_the_tables_are_those_that_archives_were_written_with() -> None:
    tables = scale_tables()
    digest = hashlib.sha256()
    for array, dtype in (
        (tables.gradient, "<i2"),
        (tables.log, "u1"),
        (tables.rate, "<i4"),
        (tables.fine, "u1"),
    ):
        digest.update(array.astype(dtype).tobytes())
    assert digest.hexdigest() == "8f56afb34be6ca4a69defd57cdbd072e13631db9dd7aaa1b9bd277614123a4b7"


def test_fine_logarithms_are_rounded_down() -> None:
    m = np.arange(1024)
    assert np.array_equal(scale_tables().fine, np.floor(64 * np.log2(1 + m / 1024)))


def test_a_machine_that_builds_other_tables_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    built = scale_tables().gradient.copy()
    built[7, 7] += 1
    monkeypatch.setattr(scales, "_gradient", lambda: built)
    with pytest.raises(ModelError, match="scale tables came out"):
        scale_tables.__wrapped__()
