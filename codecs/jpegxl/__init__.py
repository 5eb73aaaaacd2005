"""JPEG XL: for JPEG tiles, back to the very bytes they were, and for pixels."""

from haarchive.codecs.jpegxl.pixels import JpegXLPixels
from haarchive.codecs.jpegxl.transcoder import JpegXLTranscoder

__all__ = ["JpegXLPixels", "JpegXLTranscoder"]
