"""Blocks, frequencies, and the forward transform, held against scipy."""

from __future__ import annotations

import jpeg_writer
import numpy as np
from scipy.fft import dctn

from haarchive.codecs.dct.transform import ZIGZAG, basis, coefficients_of


def test_zigzag_is_the_order_of_the_standard() -> None:
    assert tuple(ZIGZAG) == jpeg_writer.ZIGZAG


def test_the_forward_transform_is_that_of_scipy() -> None:
    blocks = np.random.default_rng(0).integers(-128, 128, (5, 7, 8, 8)).astype(np.float32)
    expected = dctn(blocks.astype(np.float64), axes=(2, 3), norm="ortho")
    assert np.abs(coefficients_of(blocks) - expected).max() < 1e-3
    assert np.allclose(basis() @ basis().T, np.eye(8), atol=1e-6)
