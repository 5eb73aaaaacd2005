"""Object storage: one small class over local folders, S3 and memory."""

from haarchive.pipeline.storage.store import ObjectInfo, ObjectStore, StoreStats, open_store

__all__ = ["ObjectInfo", "ObjectStore", "StoreStats", "open_store"]
