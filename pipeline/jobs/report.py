"""What a job says about each source, and about all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Event
from typing import Any, Literal, Protocol

from haarchive.codecs.errors import HaarchiveError, JobError
from haarchive.pipeline.archive import CodecTotals

__all__ = ["JobReport", "Progress", "Quiet", "SourceReport", "Status", "Stoppable", "explain"]

Status = Literal["archived", "unchanged", "restored", "verified", "failed"]


@dataclass(frozen=True)
class SourceReport:
    """What became of one source.

    Parameters
    ----------
    source : str
        Its name in the archive; its path where it has no name yet.
    status : {'archived', 'unchanged', 'restored', 'verified', 'failed'}
        ``unchanged``: the archive has this very content already.
    bytes : int
        Size of the source.
    archived_bytes : int
        Size of every object that exists for it: shards with their skeleton and checksums, and the manifest.
    guarantee : str
        'file-exact' or 'sample-exact'; empty where it is not known.
    codecs : Mapping of str to CodecTotals
    fallbacks : Mapping of str to int
        Chunks that were stored instead, by reason; see `haarchive.pipeline.jobs.proving`.
    models : Mapping of str to str
        SHA-256 of the models that decoding needs, by codec; the archive's sources share them.
    model_bytes : Mapping of str to int
        Size of each model object, by SHA-256, at the first source of a job that needs it. Not part of
        `archived_bytes`.
    preset : str
        That of the flows, where a source was archived now and a flow was of use.
    seconds : float
        Wall time from the first look at the source to its commit.
    path : str
        Where it was restored to.
    note : str
        What a reader should know, such as why a TIFF was archived as opaque bytes.
    error : str
        Why it failed, in one line.
    """

    source: str
    status: Status
    bytes: int = 0
    archived_bytes: int = 0
    guarantee: str = ""
    codecs: Mapping[str, CodecTotals] = field(default_factory=dict)
    fallbacks: Mapping[str, int] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)
    model_bytes: Mapping[str, int] = field(default_factory=dict)
    preset: str = ""
    seconds: float = 0.0
    path: str = ""
    note: str = ""
    error: str = ""

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, without what is empty, except the fields that readers of ``--json`` rely on."""
        record: dict[str, Any] = {
            "source": self.source,
            "status": self.status,
            "bytes": self.bytes,
            "archived_bytes": self.archived_bytes,
            "guarantee": self.guarantee,
            "codecs": {
                name: {"chunks": codec.chunks, "raw_bytes": codec.raw_bytes, "bytes": codec.bytes}
                for name, codec in self.codecs.items()
            },
            "seconds": round(self.seconds, 3),
        }
        optional = {
            "fallbacks": dict(self.fallbacks),
            "models": dict(self.models),
            "model_bytes": dict(self.model_bytes),
            "preset": self.preset,
            "path": self.path,
            "note": self.note,
            "error": self.error,
        }
        return record | {name: value for name, value in optional.items() if value}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> SourceReport:
        """The report that `to_dict` made `record` of."""
        codecs = {
            name: CodecTotals(totals["chunks"], totals["raw_bytes"], totals["bytes"])
            for name, totals in record["codecs"].items()
        }
        return cls(**{**record, "codecs": codecs})


@dataclass(frozen=True)
class JobReport:
    """What became of all sources of a job, in the order they were given.

    Parameters
    ----------
    sources : tuple of SourceReport
    seconds : float
    """

    sources: tuple[SourceReport, ...]
    seconds: float = 0.0

    @property
    def failed(self) -> tuple[SourceReport, ...]:
        """The sources that failed."""
        return tuple(report for report in self.sources if report.status == "failed")

    @property
    def ok(self) -> bool:
        """Whether no source failed."""
        return not self.failed

    def raise_for_failures(self) -> JobReport:
        """Return self if no source failed.

        Raises
        ------
        JobError
            Naming the sources that failed, and why.
        """
        if self.failed:
            reasons = "; ".join(f"{report.source}: {report.error}" for report in self.failed)
            raise JobError(f"{len(self.failed)} of {len(self.sources)} sources failed: {reasons}")
        return self


class Progress(Protocol):
    """Who is told how a job goes. Calls may come from several threads."""

    def planned(self, source: str, raw_bytes: int) -> None:
        """A source was looked at and has so many raw bytes to code."""

    def advanced(self, source: str, raw_bytes: int) -> None:
        """So many more raw bytes of a source are coded."""

    def finished(self, report: SourceReport) -> None:
        """A source is done, well or badly."""


class Quiet:
    """A `Progress` that tells nobody."""

    def planned(self, source: str, raw_bytes: int) -> None:
        """Do nothing."""

    def advanced(self, source: str, raw_bytes: int) -> None:
        """Do nothing."""

    def finished(self, report: SourceReport) -> None:
        """Do nothing."""


class Stoppable:
    """A `Progress` that passes calls on, and ends the work of other threads once `stop` was called.

    Parameters
    ----------
    progress : Progress
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._stopped = Event()

    def stop(self) -> None:
        """Let every later `advanced` raise."""
        self._stopped.set()

    def planned(self, source: str, raw_bytes: int) -> None:
        """Pass on."""
        self._progress.planned(source, raw_bytes)

    def advanced(self, source: str, raw_bytes: int) -> None:
        """Pass on.

        Raises
        ------
        InterruptedError
            If the job was stopped.
        """
        if self._stopped.is_set():
            raise InterruptedError("the job was stopped")
        self._progress.advanced(source, raw_bytes)

    def finished(self, report: SourceReport) -> None:
        """Pass on."""
        self._progress.finished(report)


def explain(error: BaseException) -> str:
    """An error in one line: our own as they are, others with their type."""
    text = " ".join(str(error).split())
    if isinstance(error, HaarchiveError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
