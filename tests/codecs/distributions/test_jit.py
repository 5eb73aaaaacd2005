"""Compiling kernels."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba.core.errors import TypingError

from haarchive.codecs.distributions import jit
from haarchive.codecs.distributions.jit import kernel, leaf

_BUMP = """
def made(cells, at, by):
    row = cells[at]
    if by > 2:
        for i in range(by):
            row[i % row.size] += 1
    return row[0]
"""
_ALLOCATING = """
def made(n):
    return np.zeros(n, np.int64).sum()
"""


def made_of(code: str) -> Any:
    """A function without a file, as numba keeps no machine code of such: it is compiled each time."""
    names: dict[str, Any] = {"np": np}
    exec(compile(code, "<nowhere>", "exec"), names)
    return names["made"]


def test_a_kernel_compiles_where_its_code_cannot_be_kept() -> None:
    # As where no folder can be written.
    assert kernel(made_of("def made(x): return 2 * x"))(21) == 42


def test_code_is_kept_until_the_source_of_any_kernel_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "kept_kernel.py"
    path.write_text("from haarchive.codecs.distributions.jit import kernel\n@kernel\ndef twice(x):\n    return 2 * x\n")

    def misses(sources: str) -> int:
        monkeypatch.setattr(jit, "_sources", lambda: sources)
        spec = importlib.util.spec_from_file_location("kept_kernel", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        assert module.twice(21) == 42
        return int(sum(module.twice.stats.cache_misses.values()))

    assert [misses(sources) for sources in ("one", "one", "another")] == [1, 0, 1]


def test_code_is_kept_until_its_own_file_changes_wherever_that_is(tmp_path: Path) -> None:
    path = tmp_path / "own_kernel.py"

    def result(factor: int) -> tuple[int, int]:
        path.write_text(
            f"from haarchive.codecs.distributions.jit import kernel\n@kernel\ndef times(x):\n    return {factor} * x\n"
        )
        jit._of_file.cache_clear()
        spec = importlib.util.spec_from_file_location("own_kernel", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.times(10), int(sum(module.times.stats.cache_misses.values()))

    # The same name on the same line, which is all that numba's files are told apart by.
    assert [result(factor) for factor in (2, 2, 3)] == [(20, 1), (20, 0), (30, 1)]


def test_leaves_count_no_references() -> None:
    plain, free = kernel(made_of(_BUMP)), leaf(made_of(_BUMP))
    cells = np.zeros((3, 4), np.int64)
    assert [free(cells, 1, by) for by in (1, 5)] == [0, 2]
    assert [plain(cells, 2, by) for by in (1, 5)] == [0, 2]
    counted = ["call void @NRT_" in of.inspect_llvm(of.signatures[0]) for of in (plain, free)]
    assert counted == [True, False]


def test_a_leaf_cannot_allocate() -> None:
    assert kernel(made_of(_ALLOCATING))(3) == 0
    with pytest.raises(TypingError):
        leaf(made_of(_ALLOCATING))(3)
