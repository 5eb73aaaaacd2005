"""The codec that always works: raw bytes, or zstd where that is smaller."""

from haarchive.codecs.stored.codec import StoredCodec

__all__ = ["StoredCodec"]
