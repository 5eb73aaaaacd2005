"""Object storage: one small class over local folders, S3 and memory."""

from haarchive.pipeline.storage.store import ObjectStore, StoreStats, open_store

__all__ = ["ObjectStore", "StoreStats", "open_store"]
