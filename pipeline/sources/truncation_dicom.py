"""DICOM files that were cut short: the pixels that they announce, and do not hold."""

from __future__ import annotations

from haarchive.pipeline.sources.dicom_header import UNDEFINED, read_dicom_header
from haarchive.pipeline.sources.files import SourceBytes

__all__ = ["missing_in_dicom"]

_ITEM = bytes.fromhex("feff00e0")


def missing_in_dicom(files: SourceBytes) -> str:
    """What of a DICOM file's pixels lies beyond its end; see `what_is_missing`."""
    try:
        header, begin, length = read_dicom_header(files, ["NumberOfFrames"])
        frames = int(header.get("NumberOfFrames") or 1)
    except Exception:  # whatever pydicom raises on a header that is damaged, which is no sign of a cut
        return ""
    if length == UNDEFINED:
        return _missing_in_items(files, begin, frames)
    return f"the pixels at byte {begin} reach to byte {begin + length}" if begin + length > files.size else ""


def _missing_in_items(files: SourceBytes, at: int, frames: int) -> str:
    """A table, and fragments of frames, up to a mark that says that there are no more (PS3.5, A.4)."""
    count = -1
    while at + 8 <= files.size:
        tag, length = files.read(at, 4), int.from_bytes(files.read(at + 4, 4), "little")
        if tag != _ITEM:  # their end, or damage
            return ""
        if at + 8 + length > files.size:
            return f"the fragment of a frame at byte {at} reaches to byte {at + 8 + length}"
        at += 8 + length
        count += 1
    if at == files.size and count >= frames:  # some writers leave the mark out
        return ""
    return f"after {max(count, 0)} fragments of {frames} frames, at byte {at}, there should be more, or their end"
