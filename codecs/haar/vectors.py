"""How the encoder's kernels in floating point are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from haarchive.codecs.distributions.jit import LEAF_OPTIONS, kept

__all__ = ["vector_kernel", "vector_leaf"]

_OPTIONS: dict[str, Any] = {"fastmath": {"reassoc", "contract"}, "error_model": "numpy"}


def vector_kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Like `kernel`, for loops that fill vector registers: sums may be split over lanes, divisions are not checked.

    What comes out may differ in the last digits between processors, so decoders must not depend on it.
    """
    return kept(function, **_OPTIONS)


def vector_leaf(function: Callable[..., Any]) -> Callable[..., Any]:
    """Like `leaf`, for the same loops."""
    return kept(function, **_OPTIONS, **LEAF_OPTIONS)
