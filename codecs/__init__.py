"""Learned integer-flow codecs: arrays of samples in, bitstreams out, and back, exactly."""

from haarchive.codecs.base import Bitstream, Codec, Samples
from haarchive.codecs.registry import CODECS_WITH_TABLES, get_codec

__all__ = ["CODECS_WITH_TABLES", "Bitstream", "Codec", "Samples", "get_codec"]
