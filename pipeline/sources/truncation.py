"""Files that were cut short: what a container's own headers promise, and the file does not hold.

Only promises count that nothing but a cut explains. What writers are known to leave wrong in whole files
(sizes that a streaming recorder never filled in, trailing garbage, a strip's size rounded up) is no promise.
"""

from __future__ import annotations

from typing import Literal

from haarchive.pipeline.sources.files import SourceBytes
from haarchive.pipeline.sources.truncation_flac import missing_in_flac
from haarchive.pipeline.sources.truncation_tiff import missing_in_tiff

__all__ = ["what_is_missing"]

_UNKNOWN_SIZES = frozenset({0, 0xFFFFFFFF, 0x80000000, 0x7FFFFFFF, 0x7FFFF000, 0xFFFFFFFFFFFFFFFF})
"""What writers that cannot go back leave as a size: nothing, all ones, 2 GiB (ALSA), a little less (SoX)."""
_MISCOUNTED = 8
"""Bytes by which a form's size may be wrong: it should count neither itself nor the eight bytes before it."""


def what_is_missing(files: SourceBytes, kind: str) -> str:
    """What a file's headers promise beyond its end.

    Parameters
    ----------
    files : SourceBytes
    kind : str
        'tiff', 'png', 'wav', 'aiff', 'flac' or 'dicom'; of others nothing is known.

    Returns
    -------
    str
        The first broken promise, with byte numbers: 'the data chunk at byte 36 reaches to byte 176444'. Empty
        where there is none, and where the structure is damaged rather than cut.
    """
    match kind:
        case "tiff":
            return missing_in_tiff(files)
        case "wav":
            return _missing_in_form(files, "big" if files.peek(0, 4) == b"RIFX" else "little", b"data")
        case "aiff":
            return _missing_in_form(files, "big", b"SSND")
        case "png":
            return _missing_in_png(files)
        case "flac":
            return missing_in_flac(files)
        case "dicom":
            from haarchive.pipeline.sources.truncation_dicom import missing_in_dicom

            return missing_in_dicom(files)
        case _:
            return ""


def _missing_in_form(files: SourceBytes, order: Literal["big", "little"], sound: bytes) -> str:
    """RIFF and its relatives: a form that says its size, made of chunks that say theirs."""
    is_long = files.peek(0, 4) in (b"RF64", b"BW64")
    form, long_sound = _number(files, 4, 4, order), 0
    position, what = 12, "the header"
    while position + 8 <= files.size and (form in _UNKNOWN_SIZES or position < 8 + form):
        name, size = files.read(position, 4), _number(files, position + 4, 4, order)
        start = position + 8
        if name == b"ds64" and is_long and start + 16 <= files.size:
            form, long_sound = _number(files, start, 8, order), _number(files, start + 8, 8, order)
        if name == sound and is_long and size == 0xFFFFFFFF:
            size = long_sound
        what = f"the {name.decode('latin-1').strip()!r} chunk at byte {position}"
        if name == sound and (size in _UNKNOWN_SIZES or form in _UNKNOWN_SIZES):
            # A stream that was never finished: there is sound as far as the file goes, and nothing behind it.
            return ""
        if start + size > files.size and (name == sound or _is_cut_form(files, form)) and _is_name(name):
            return f"{what} reaches to byte {start + size}"
        position = start + size + size % 2
    if form in _UNKNOWN_SIZES:
        return ""
    ends_within_chunk = position < files.size < 8 + form
    if 8 + form > files.size + (0 if ends_within_chunk else _MISCOUNTED):
        return f"the {files.peek(0, 4).decode()} form reaches to byte {8 + form}, and the last of it is {what}"
    return ""


def _is_cut_form(files: SourceBytes, form: int) -> bool:
    """Whether a chunk beyond the end was cut; where the whole form is there, it is garbage instead."""
    return form in _UNKNOWN_SIZES or 8 + form > files.size


def _is_name(name: bytes) -> bool:
    return all(32 <= byte < 127 for byte in name)


def _missing_in_png(files: SourceBytes) -> str:
    position = 8
    while position + 8 <= files.size:
        size, name = _number(files, position, 4, "big"), files.read(position + 4, 4)
        if not name.isalpha():
            return ""
        if position + 12 + size > files.size:
            return f"the {name.decode()} chunk at byte {position} reaches to byte {position + 12 + size}"
        if name == b"IEND":
            return ""
        position += 12 + size
    return f"there must be another chunk at byte {position}, and an IEND chunk at the end"


def _number(files: SourceBytes, start: int, length: int, order: Literal["big", "little"]) -> int:
    return int.from_bytes(files.peek(start, length), order)
