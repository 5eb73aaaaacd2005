"""Codecs by name."""

from __future__ import annotations

from haarchive.codecs.base import Codec
from haarchive.codecs.errors import CodecError
from haarchive.codecs.haar.presets import DEFAULT_PRESET, Preset

__all__ = ["CODECS_WITH_TABLES", "CODEC_NAMES", "get_codec"]

CODEC_NAMES = ("dct", "dwt", "haar", "haar-audio", "idf", "idf-audio", "jpeg", "jpeg-xl", "jpeg-xl-pixels", "stored")
"""Every codec that a manifest of format version 1 may name."""

CODECS_WITH_TABLES = frozenset({"jpeg", "jpeg-xl"})
"""Those that take the JPEG tables of a plane."""


def get_codec(
    name: str,
    *,
    model: bytes | None = None,
    device: str = "cpu",
    preset: Preset = DEFAULT_PRESET,
    tables: bytes = b"",
) -> Codec:
    """Make the codec that a plane or a manifest names.

    Parameters
    ----------
    name : str
        One of `CODEC_NAMES`.
    model : bytes, optional
        A model file's content, for learned codecs; None takes the one shipped with haarchive.
    device : str
        Torch device for a learned codec's networks, such as 'cpu' or 'cuda:0'.
    preset : {'fast', 'balanced', 'max'}
        For the flows: how much time to take for fewer bytes when encoding. Decoding reads it from the bitstream.
    tables : bytes
        For 'jpeg' and 'jpeg-xl': the JPEGTables of the page that the tiles belong to. For 'jpeg' also the header of
        the JPEG file that they are restart intervals of.

    Raises
    ------
    CodecError
        If there is no codec of that name.
    ModelError
        If the model is malformed or this device does not reproduce its golden vectors.
    """
    match name:
        case "dct":
            from haarchive.codecs.dct.codec import DctCodec

            return DctCodec()
        case "dwt":
            from haarchive.codecs.dwt.codec import DwtCodec

            return DwtCodec()
        case "haar":
            from haarchive.codecs.haar.image import HaarCodec

            return HaarCodec.load(model, device=device, preset=preset)
        case "haar-audio":
            from haarchive.codecs.haar.audio import HaarAudioCodec

            return HaarAudioCodec.load(model, device=device, preset=preset)
        case "idf":
            from haarchive.codecs.idf.codec import IdfCodec

            return IdfCodec.load(model, device=device, preset=preset)
        case "idf-audio":
            from haarchive.codecs.idf.audio import IdfAudioCodec

            return IdfAudioCodec.load(model, device=device, preset=preset)
        case "jpeg":
            from haarchive.codecs.jpeg.codec import JpegCodec

            return JpegCodec(tables)
        case "jpeg-xl":
            from haarchive.codecs.jpegxl import JpegXLTranscoder

            return JpegXLTranscoder(tables)
        case "jpeg-xl-pixels":
            from haarchive.codecs.jpegxl import JpegXLPixels

            return JpegXLPixels()
        case "stored":
            from haarchive.codecs.stored import StoredCodec

            return StoredCodec()
        case _:
            raise CodecError(f"no codec is named {name!r}; there are {', '.join(CODEC_NAMES)}")
