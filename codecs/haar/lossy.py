"""From lossless to lossy: a picture without its finest details."""

from __future__ import annotations

from dataclasses import replace

from haarchive.codecs.base import Bitstream
from haarchive.codecs.haar.image_header import ImageHeader

__all__ = ["drop_bands", "dropped_bands"]


def drop_bands(bitstream: Bitstream, levels: int) -> Bitstream:
    """Leave out the bands of the finest levels; what is left decodes to a full-size picture with details expected.

    Each band of details is coded for itself, so that nothing is decoded or coded again. The header says what is
    missing: nothing takes the bitstream for a lossless one.

    Parameters
    ----------
    bitstream : Bitstream
        Of `HaarCodec`.
    levels : int
        How many; of a picture of fewer levels, all.

    Returns
    -------
    Bitstream

    Raises
    ------
    BitstreamError
        If the header is damaged.
    ValueError
        If `levels` is negative.
    """
    if levels < 0:
        raise ValueError(f"{levels} bands cannot be dropped: give how many levels of details to leave out, 0 or more")
    header = ImageHeader.from_bytes(bitstream.bands[0] if bitstream.bands else b"")
    dropped = max(header.dropped, min(levels, header.levels))
    # Outliers and weights of values are with the finest details, and go with them.
    kept = replace(
        header, dropped=dropped, outliers=header.outliers and not dropped, weighed=header.weighed and not dropped
    )
    first = kept.to_bytes() + bitstream.bands[0][ImageHeader.SIZE :]
    return Bitstream((first, *bitstream.bands[1 : header.levels + 1 - dropped]))


def dropped_bands(bitstream: Bitstream) -> int:
    """How many levels of finest details a bitstream lacks; 0 of a lossless one.

    Raises
    ------
    BitstreamError
        If the header is damaged.
    """
    return ImageHeader.from_bytes(bitstream.bands[0] if bitstream.bands else b"").dropped
