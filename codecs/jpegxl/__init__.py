"""JPEG tiles as reversible JPEG XL: smaller, and back to the very bytes they were."""

from haarchive.codecs.jpegxl.transcoder import JpegXLTranscoder

__all__ = ["JpegXLTranscoder"]
