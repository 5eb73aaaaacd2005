"""Settings of torch under which float32 sums of products are what they say."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any

import torch

__all__ = ["exact_float32"]

_BACKENDS: Any = torch.backends  # whose annotations lack what is used here


class _ExactFloat32:
    """A context in which torch neither rounds factors nor takes other products.

    A process may have allowed TF32 or bfloat16 within float32 products (`torch.set_float32_matmul_precision` and the
    like; cuDNN allows TF32 unless told otherwise), and NNPACK, which torch takes on CPUs without oneDNN for batches of
    16 and more, has Winograd's algorithm: it adds rounded fractions, not the products. These settings are the
    process's. So they are changed when the first thread enters and put back when the last one leaves; a thread that
    put back what it had found while another computes would spoil that one's sums.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._nnpack = True
        self._precisions: list[tuple[Any, str]] = []

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                (self._nnpack,) = _BACKENDS.nnpack.set_flags(False)
                self._precisions = [(setting, setting.fp32_precision) for setting in _settings()]
                for setting, _ in self._precisions:
                    setting.fp32_precision = "ieee"
            self._inside += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                _BACKENDS.nnpack.set_flags(self._nnpack)
                for setting, before in self._precisions:
                    setting.fp32_precision = before


def _settings() -> tuple[Any, ...]:
    return (_BACKENDS.mkldnn.conv, _BACKENDS.mkldnn.matmul, _BACKENDS.cuda.matmul, _BACKENDS.cudnn.conv)


exact_float32 = _ExactFloat32()
"""``with exact_float32:`` around float32 products that must be exact; from any number of threads, also nested."""
