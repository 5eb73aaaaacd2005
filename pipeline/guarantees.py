"""What restoring a source gives back, by the name that its manifest has for it."""

from __future__ import annotations

import re

__all__ = ["LOSSLESS", "MOST_DROPPED", "dropped_bands", "lossy_guarantee"]

LOSSLESS = ("file-exact", "sample-exact")
"""Every byte of the file; every sample, in a new container."""

MOST_DROPPED = 4
"""Levels of details that pictures can be archived without: one is left of the five that 'haar' has."""

_LOSSY = re.compile(rf"lossy-drop-bands-([1-{MOST_DROPPED}])")


def lossy_guarantee(levels: int) -> str:
    """The name of: pictures without the details of so many finest levels, everything else as it was."""
    return f"lossy-drop-bands-{levels}"


def dropped_bands(guarantee: str) -> int:
    """How many levels of details pictures lack under a guarantee; 0 under a lossless one."""
    found = _LOSSY.fullmatch(guarantee)
    return int(found[1]) if found else 0
