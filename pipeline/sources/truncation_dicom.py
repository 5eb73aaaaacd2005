"""DICOM files that were cut short: the pixels that they announce, and do not hold."""

from __future__ import annotations

import warnings

import pydicom
from pydicom import uid

from haarchive.pipeline.sources.files import SourceBytes

__all__ = ["missing_in_dicom"]

_PIXEL_DATA, _ITEM = bytes.fromhex("e07f1000"), bytes.fromhex("feff00e0")
_UNDEFINED = 0xFFFFFFFF


def missing_in_dicom(files: SourceBytes) -> str:
    """What of a DICOM file's pixels lies beyond its end; see `what_is_missing`."""
    file = files.file()
    try:
        with warnings.catch_warnings(), pydicom.config.disable_value_validation():
            warnings.simplefilter("ignore")
            header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=["NumberOfFrames"])
            implicit = header.file_meta.TransferSyntaxUID == uid.ImplicitVRLittleEndian
            frames = int(header.get("NumberOfFrames") or 1)
    except Exception:  # whatever pydicom raises on a header that is damaged, which is no sign of a cut
        return ""
    at = file.tell()
    head = 8 if implicit else 12
    if files.peek(at, 4) != _PIXEL_DATA or files.size < at + head:
        return ""
    length = _number(files, at + head - 4)
    if length != _UNDEFINED:
        return f"the pixels at byte {at} reach to byte {at + head + length}" if at + head + length > files.size else ""
    return _missing_in_items(files, at + head, frames)


def _missing_in_items(files: SourceBytes, at: int, frames: int) -> str:
    """A table, and fragments of frames, up to a mark that says that there are no more (PS3.5, A.4)."""
    count = -1
    while at + 8 <= files.size:
        tag, length = files.read(at, 4), _number(files, at + 4)
        if tag != _ITEM:  # their end, or damage
            return ""
        if at + 8 + length > files.size:
            return f"the fragment of a frame at byte {at} reaches to byte {at + 8 + length}"
        at += 8 + length
        count += 1
    if at == files.size and count >= frames:  # some writers leave the mark out
        return ""
    return f"after {max(count, 0)} fragments of {frames} frames, at byte {at}, there should be more, or their end"


def _number(files: SourceBytes, at: int) -> int:
    return int.from_bytes(files.read(at, 4), "little")
