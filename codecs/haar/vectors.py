"""How the encoder's kernels in floating point are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit

__all__ = ["vector_kernel"]


def vector_kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Like `kernel`, for loops that fill vector registers: sums may be split over lanes, divisions are not checked.

    What comes out may differ in the last digits between processors, so decoders must not depend on it.
    """
    options = {"nogil": True, "fastmath": {"reassoc", "contract"}, "error_model": "numpy"}
    try:
        compiled = njit(cache=True, **options)(function)
    except RuntimeError:
        compiled = njit(**options)(function)
    return compiled  # type: ignore[no-any-return]
