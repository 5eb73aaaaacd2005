"""How the kernels of this package are compiled."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from numba import njit
from numba.core.options import DefaultOptions

__all__ = ["LEAF_OPTIONS", "kept", "kernel", "leaf"]

LEAF_OPTIONS: dict[str, Any] = {"forceinline": True} | ({"_nrt": False} if hasattr(DefaultOptions, "_nrt") else {})
"""Of numba: into the machine code of callers, and without counting references (see `leaf`)."""


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function with numba at its first call, without the GIL, and keep the machine code on disk."""
    return kept(function)


def kept(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """Compile a function with numba's options, and keep the machine code for as long as no kernel's source changes.

    Where there is no place to keep it (a read-only installation and no home folder, as in some containers), each
    process compiles anew.

    Notes
    -----
    numba discards kept code when the file of the function changes, not when a kernel that it calls changes in
    another file: after an update in place a codec could go on writing what the version before wrote. So the code is
    stamped with the sources of all codecs, and with its own file, which may belong to none. The stamp has no public
    name; should a release of numba lack it, numba's own rule holds.
    """
    try:
        compiled = njit(nogil=True, cache=True, **options)(function)
    except RuntimeError:
        return njit(nogil=True, **options)(function)  # type: ignore[no-any-return]
    with suppress(AttributeError, OSError):
        compiled._cache._cache_file._source_stamp = _sources() + _of_file(Path(function.__code__.co_filename))
    return compiled  # type: ignore[no-any-return]


@lru_cache(maxsize=1)
def _sources() -> str:
    """A digest of every module of a codec, any of which may hold kernels."""
    return _digest(sorted(Path(__file__).parents[1].rglob("*.py")))


@lru_cache
def _of_file(path: Path) -> str:
    """A digest of one module."""
    return _digest([path])


def _digest(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def leaf(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function that `kernel` functions call for every sample, into each of them.

    It may neither allocate arrays nor return them. Then numba need not count references to the arrays that it is
    given, which takes two atomic operations an array and call: more than the work itself, where loops and branches
    keep numba from seeing that they cancel out (numba issues 1204, 2345, 2350). The option has no public name; should
    a release of numba lack it, the code is the same, and slower.
    """
    return kept(function, **LEAF_OPTIONS)  # some are called from Python, too, and must not be compiled by every process
