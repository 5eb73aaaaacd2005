"""How the encoder's kernels in floating point are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit

from haarchive.codecs.distributions.jit import LEAF_OPTIONS

__all__ = ["vector_kernel", "vector_leaf"]

_OPTIONS: dict[str, Any] = {"nogil": True, "fastmath": {"reassoc", "contract"}, "error_model": "numpy"}


def vector_kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Like `kernel`, for loops that fill vector registers: sums may be split over lanes, divisions are not checked.

    What comes out may differ in the last digits between processors, so decoders must not depend on it.
    """
    try:
        compiled = njit(cache=True, **_OPTIONS)(function)
    except RuntimeError:
        compiled = njit(**_OPTIONS)(function)
    return compiled  # type: ignore[no-any-return]


def vector_leaf(function: Callable[..., Any]) -> Callable[..., Any]:
    """Like `leaf`, for the same loops."""
    return njit(**_OPTIONS, **LEAF_OPTIONS)(function)  # type: ignore[no-any-return]
