"""Compiling kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numba.core.errors import TypingError

from haarchive.codecs.distributions.jit import kernel, leaf


def _bump(cells: Any, at: Any, by: Any) -> Any:
    row = cells[at]
    if by > 2:
        for i in range(by):
            row[i % row.size] += 1
    return row[0]


def _allocating(n: Any) -> Any:
    return np.zeros(n, np.int64).sum()


def test_a_kernel_compiles_where_its_code_cannot_be_kept() -> None:
    # numba refuses to keep the code of functions without a file, as it does where no folder can be written.
    names: dict[str, Any] = {}
    exec(compile("def double(x): return 2 * x", "<nowhere>", "exec"), names)
    assert kernel(names["double"])(21) == 42


def test_leaves_count_no_references() -> None:
    plain, free = kernel(_bump), leaf(_bump)
    cells = np.zeros((3, 4), np.int64)
    assert [free(cells, 1, by) for by in (1, 5)] == [0, 2]
    assert [plain(cells, 2, by) for by in (1, 5)] == [0, 2]
    assert "call void @NRT_" not in free.inspect_llvm(free.signatures[0])  # type: ignore[attr-defined]


def test_a_leaf_cannot_allocate() -> None:
    assert kernel(_allocating)(3) == 0
    with pytest.raises(TypingError):
        leaf(_allocating)(3)
