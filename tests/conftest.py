"""Fixtures that every test may use."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings


def _kernel_cache() -> str:
    """A folder for numba's machine code that outlasts this checkout, as compiling takes minutes."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = caches / "haarchive-tests" / "numba"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:  # no home, or not ours
        return tempfile.mkdtemp(prefix="haarchive-numba-")
    return str(folder)


# Before anything imports numba; worker processes of pytest and Ray, and the commands under test, inherit it.
os.environ["NUMBA_CACHE_DIR"] = _kernel_cache()


# No deadlines: a test's time depends on what else the machine does, and on what numba compiles on the way.
settings.register_profile("haarchive", deadline=None)
settings.load_profile("haarchive")


LONGEST = (
    "test_k8s_image.py", "test_haar_damage.py", "test_job_ray.py", "test_job_restore_ray.py", "test_dct_damage.py",
    "test_haar_audio.py", "test_dct_codec.py", "test_haar_band.py", "test_job_cluster.py",
)  # fmt: skip
"""Files that take longest. Workers that take a file each begin with these, so that none is left with one at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real slides and recordings; tests that need it are skipped without it."""
    path = Path(os.environ.get("HAARCHIVE_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not path.is_dir():
        pytest.skip("the real data is not here (set HAARCHIVE_DATA to its folder)")
    return path
