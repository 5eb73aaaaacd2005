"""The header of a DICOM file, through pydicom, and where its pixels begin."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import pydicom
from pydicom import uid

from haarchive.codecs.errors import SourceFormatError
from haarchive.pipeline.sources.files import SourceBytes

__all__ = ["UNDEFINED", "read_dicom_header"]

UNDEFINED = 0xFFFFFFFF
"""The length of pixels that are in fragments."""
_PIXEL_DATA = bytes.fromhex("e07f1000")


def read_dicom_header(files: SourceBytes, tags: Sequence[str]) -> tuple[Any, int, int]:
    """Read some attributes of a DICOM file.

    Returns
    -------
    pydicom.Dataset
    begin : int
        The first byte of the pixels.
    length : int
        Their bytes; `UNDEFINED` where they are encapsulated (PS3.5, 7.1 and A.4).

    Raises
    ------
    SourceFormatError
        If it has no pixels.
    Exception
        Whatever pydicom raises on a header that is damaged.
    """
    file = files.file()
    with warnings.catch_warnings(), pydicom.config.disable_value_validation():
        warnings.simplefilter("ignore")  # values that the standard forbids are no concern of ours
        header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=list(tags))
    size = 8 if header.file_meta.TransferSyntaxUID == uid.ImplicitVRLittleEndian else 12
    at = file.tell()
    head = files.peek(at, size)
    if len(head) < size or head[:4] != _PIXEL_DATA:
        raise SourceFormatError("it has no pixels")
    return header, at + size, int.from_bytes(head[-4:], "little")
