"""What all sources of a job come to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from haarchive.pipeline.jobs.report import SourceReport

__all__ = ["Totals"]


@dataclass(frozen=True)
class Totals:
    """Sums over sources.

    Parameters
    ----------
    archived, unchanged, failed : int
        Sources.
    bytes, archived_bytes : int
        Of those that are in the archive: of their files, and of storage.
    model_bytes : int
        Of models, which sources share.
    codecs : dict
        Chunks, raw bytes and coded bytes by codec.
    fallbacks : dict
        Chunks that were stored instead, by reason.
    """

    archived: int = 0
    unchanged: int = 0
    failed: int = 0
    bytes: int = 0
    archived_bytes: int = 0
    model_bytes: int = 0
    codecs: dict[str, dict[str, int]] = field(default_factory=dict)
    fallbacks: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, reports: Iterable[SourceReport]) -> Totals:
        """Add reports up."""
        count: Counter[str] = Counter()
        fallbacks: Counter[str] = Counter()
        codecs: dict[str, Counter[str]] = {}
        models: dict[str, int] = {}
        for report in reports:
            count[report.status] += 1
            if report.status == "failed":
                continue
            count["bytes"] += report.bytes
            count["archived_bytes"] += report.archived_bytes
            fallbacks.update(report.fallbacks)
            models.update(report.model_bytes)
            for name, totals in report.codecs.items():
                codecs.setdefault(name, Counter()).update(
                    {"chunks": totals.chunks, "raw_bytes": totals.raw_bytes, "bytes": totals.bytes}
                )
        return cls(
            archived=count["archived"],
            unchanged=count["unchanged"],
            failed=count["failed"],
            bytes=count["bytes"],
            archived_bytes=count["archived_bytes"],
            model_bytes=sum(models.values()),
            codecs={name: dict(counts) for name, counts in sorted(codecs.items())},
            fallbacks=dict(sorted(fallbacks.items())),
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {"totals": asdict(self)}
