"""From sources to archives in object storage, and back: jobs, storage, format, command line.

>>> from haarchive.pipeline import archive, open_archive, tune
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from haarchive.pipeline.archive.reader import open_archive
    from haarchive.pipeline.jobs.archive import archive
    from haarchive.pipeline.jobs.tune import tune

__all__ = ["archive", "open_archive", "tune"]

_HOMES = {
    "archive": "haarchive.pipeline.jobs.archive",
    "open_archive": "haarchive.pipeline.archive.reader",
    "tune": "haarchive.pipeline.jobs.tune",
}

# Python binds a subpackage's name here when it first imports it. The name `archive` belongs to the function
# that users import from here, so the subpackage is imported now and its binding dropped; its full name works.
importlib.import_module("haarchive.pipeline.archive")
globals().pop("archive")


def __getattr__(name: str) -> Any:
    """Import the public functions when they are first asked for: most commands need only one of them."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
