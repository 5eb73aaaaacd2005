"""Who computes when: networks of a batch on the device, the entropy coding of its chunks on threads beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch

__all__ = ["Schedule"]

_AT_ONCE = 2
"""Batches, so that the device computes one while the other's entropy is coded."""


class Schedule:
    """Runs the work of one call to a codec.

    Parameters
    ----------
    device : torch.device
        Of the networks.
    threads : int, optional
        Threads that code entropy. By default none but the caller's where networks are computed on the CPU too, and
        as many as torch may use (`torch.get_num_threads`) beside any other device: jobs keep torch to one thread, as
        their workers are as many as the cores.
    """

    def __init__(self, device: torch.device, threads: int | None = None) -> None:
        self._device = device
        self._threads = threads

    @property
    def threads(self) -> int:
        """Threads that code entropy now."""
        if self._threads is not None:
            return self._threads
        return 1 if self._device.type == "cpu" else torch.get_num_threads()

    def each(self, task: Callable[[int], None], count: int) -> None:
        """Run a task for each number below a count. An error ends the call once the tasks that had begun have ended."""
        if (threads := min(self.threads, count)) <= 1:
            for n in range(count):
                task(n)
            return
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(task, range(count)))

    def overlap(self, task: Callable[[list[int]], None], batches: Sequence[list[int]]) -> None:
        """Run a task for each batch: two at a time, if there are threads for it."""
        if min(self.threads, len(batches)) <= 1:
            for batch in batches:
                task(batch)
            return
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(task, batches))
