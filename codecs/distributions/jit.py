"""How the kernels of this package are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit

__all__ = ["inlined", "kernel"]


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


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function in place wherever a `kernel` calls it.

    An array is seven arguments to machine code: a kernel that takes a dozen of them for every sample spends more time
    on the call than on the work. Compiling takes as long as if the function were written out at each call.
    """
    return njit(nogil=True, inline="always")(function)  # type: ignore[no-any-return]
