"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real slides and recordings; tests that need it are skipped without it."""
    path = Path(os.environ.get("HAARCHIVE_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not path.is_dir():
        pytest.skip("the real data is not here (set HAARCHIVE_DATA to its folder)")
    return path
