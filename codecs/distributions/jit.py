"""How the kernels of this package are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit
from numba.core.options import DefaultOptions

__all__ = ["LEAF_OPTIONS", "kernel", "leaf"]

LEAF_OPTIONS: dict[str, Any] = {"forceinline": True} | ({"_nrt": False} if hasattr(DefaultOptions, "_nrt") else {})
"""Of numba: into the machine code of callers, and without counting references (see `leaf`)."""


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function with numba at its first call, without the GIL, and keep the machine code on disk.

    Where there is no place to keep it (a read-only installation and no home folder, as in some containers),
    each process compiles anew.

    Notes
    -----
    numba discards kept code when the file of the function changes, not when a kernel that it calls changes in
    another file. After editing such a kernel delete the ``__pycache__`` folders, or set ``NUMBA_CACHE_DIR``
    to a new folder.
    """
    try:
        compiled = njit(nogil=True, cache=True)(function)
    except RuntimeError:
        compiled = njit(nogil=True)(function)
    return compiled  # type: ignore[no-any-return]


def leaf(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function that `kernel` functions call for every sample, into each of them.

    It may neither allocate arrays nor return them. Then numba need not count references to the arrays that it is
    given, which takes two atomic operations an array and call: more than the work itself, where loops and branches
    keep numba from seeing that they cancel out (numba issues 1204, 2345, 2350). The option has no public name; should
    a release of numba lack it, the code is the same, and slower.
    """
    return njit(nogil=True, **LEAF_OPTIONS)(function)  # type: ignore[no-any-return]
