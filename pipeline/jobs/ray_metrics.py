"""Counters that Ray exports to Prometheus, from every worker."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from haarchive.pipeline.archive import EncodedChunk
from haarchive.pipeline.jobs.proving import is_alarming
from haarchive.pipeline.jobs.report import SourceReport

__all__ = ["Metrics"]


class Metrics:
    """Bytes, chunks, fallbacks, proof failures and seconds by stage of one worker.

    Ray's exporter puts ``ray_`` before their names and ``_total`` behind.
    """

    def __init__(self) -> None:
        from ray.util.metrics import Counter

        self._raw = Counter("haarchive_raw_bytes", "Bytes of samples that were encoded.", ("codec",))
        self._coded = Counter("haarchive_coded_bytes", "Bytes of bitstreams.", ("codec",))
        self._chunks = Counter("haarchive_chunks", "Chunks that were encoded and proven.", ("codec",))
        self._fallbacks = Counter("haarchive_fallbacks", "Chunks that were stored instead.", ("reason",))
        self._proofs = Counter(
            "haarchive_proof_failures", "Chunks whose codec failed, or made what does not decode to them."
        )
        self._seconds = Counter("haarchive_stage_seconds", "Wall time by stage.", ("stage",))

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Count the seconds that the block takes."""
        started = time.monotonic()
        try:
            yield
        finally:
            self._seconds.inc(max(1e-9, time.monotonic() - started), {"stage": stage})

    def encoded(self, chunks: Iterable[EncodedChunk]) -> None:
        """Count chunks of a shard."""
        for chunk in chunks:
            self._add(chunk.codec, 1, chunk.raw_bytes, sum(len(band) for band in chunk.bands))
            if chunk.fallback:
                self._fell_back(chunk.fallback, 1)

    def archived(self, report: SourceReport) -> None:
        """Count chunks of a small source that was archived at once."""
        if report.status != "archived":
            return
        for codec, totals in report.codecs.items():
            self._add(codec, totals.chunks, totals.raw_bytes, totals.bytes)
        for reason, count in report.fallbacks.items():
            self._fell_back(reason, count)

    def _add(self, codec: str, chunks: int, raw: int, coded: int) -> None:
        for counter, amount in ((self._chunks, chunks), (self._raw, raw), (self._coded, coded)):
            if amount:
                counter.inc(amount, {"codec": codec})

    def _fell_back(self, reason: str, count: int) -> None:
        # Messages of errors would make a time series each.
        self._fallbacks.inc(count, {"reason": reason.partition(":")[0]})
        if is_alarming(reason):
            self._proofs.inc(count)
