"""The archive format: shards, manifests, and archives that are read without unpacking them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from haarchive.pipeline.archive.manifest import CodecTotals, Manifest
    from haarchive.pipeline.archive.pyramid import Level
    from haarchive.pipeline.archive.reader import Archive, open_archive
    from haarchive.pipeline.archive.shard import EncodedChunk, Shard, ShardRef, build_shard, samples_digest
    from haarchive.pipeline.archive.source import ArchivedSource
    from haarchive.pipeline.archive.verify import VerifyReport
    from haarchive.pipeline.archive.writer import ArchiveWriter

__all__ = [
    "Archive",
    "ArchiveWriter",
    "ArchivedSource",
    "CodecTotals",
    "EncodedChunk",
    "Level",
    "Manifest",
    "Shard",
    "ShardRef",
    "VerifyReport",
    "build_shard",
    "open_archive",
    "samples_digest",
]

_HOMES = {
    "Archive": "reader",
    "ArchivedSource": "source",
    "ArchiveWriter": "writer",
    "CodecTotals": "manifest",
    "EncodedChunk": "shard",
    "Level": "pyramid",
    "Manifest": "manifest",
    "Shard": "shard",
    "ShardRef": "shard",
    "VerifyReport": "verify",
    "build_shard": "shard",
    "open_archive": "reader",
    "samples_digest": "shard",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for: `haarchive.pipeline` imports this package and must stay quick to import."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
