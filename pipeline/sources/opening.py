"""From a path to an open source: which format it is, and what happens when it is none."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from haarchive.codecs.errors import (
    ConfigError,
    SourceChangedError,
    SourceError,
    SourceFormatError,
    StorageError,
    TruncatedSourceError,
)
from haarchive.pipeline.guarantees import LOSSLESS, dropped_bands
from haarchive.pipeline.layout import SourceLayout
from haarchive.pipeline.sources.base import Source
from haarchive.pipeline.sources.file import FileSource
from haarchive.pipeline.sources.files import SourceBytes
from haarchive.pipeline.sources.places import find_place
from haarchive.pipeline.sources.ref import SourceRef
from haarchive.pipeline.sources.scan import Scan, make_layout
from haarchive.pipeline.sources.truncation import what_is_missing
from haarchive.pipeline.sources.verbatim import scan_verbatim

__all__ = ["open_source"]

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_WAVE = (b"RIFF", b"RIFX", b"RF64", b"BW64")


def open_source(
    ref: SourceRef, *, guarantee: str = "file-exact", layout: SourceLayout | None = None, keep_damaged: bool = False
) -> Source:
    """Open a source.

    Parameters
    ----------
    ref : SourceRef
    guarantee : str
        'file-exact', 'sample-exact', or one that `lossy_guarantee` names.
    layout : SourceLayout, optional
        What an earlier `Source.layout` of the same source said; then it is not scanned again.
    keep_damaged : bool
        Whether a file that ends before data that its headers promise is a source too: what is there of it, with
        ``layout.attrs["damaged"]`` saying what is not.

    Returns
    -------
    Source
        A file that is malformed, or of no known format, is a source too: its bytes are archived as they are, and
        ``layout.attrs["note"]`` says why. Asking for its `layout` the first time raises `TruncatedSourceError` where
        it was cut short.

    Raises
    ------
    SourceNotFoundError, SourceUnreadableError, StoragePermissionError
    SourceChangedError
        If it is no longer the version that `ref` names.
    ConfigError
        If there is no such guarantee.
    """
    levels = dropped_bands(guarantee)
    if guarantee not in LOSSLESS and not levels:
        raise ConfigError(f"no guarantee is named {guarantee!r}; there are 'file-exact' and 'sample-exact'")
    place = find_place(ref, layout.originals if layout else ())
    if ref.version and place.mark not in ("", ref.version):
        raise SourceChangedError(f"{ref.path}: changed since it was listed; archive it again at rest")
    files = SourceBytes(place)
    files.file()
    scanner = partial(_scan_file_exact, path=ref.path, keep_damaged=keep_damaged)
    if guarantee == "file-exact":
        return FileSource(ref, files, layout, scanner)
    if levels:
        from haarchive.pipeline.sources.lossy import LossySource

        return LossySource(ref, files, layout, scanner, levels)
    from haarchive.pipeline.sources.conversion import SampleExactSource

    return SampleExactSource(ref, files, layout, scanner)


def _scan_file_exact(files: SourceBytes, name: str, *, path: str, keep_damaged: bool) -> SourceLayout:
    """Scan for a layout that reproduces every byte; what cannot be understood is kept verbatim."""
    kind = _kind(files, files.peek(0, 12))
    missing = what_is_missing(files, kind)
    if not missing:
        return make_layout(name, files.members(), _scan(files, kind))
    missing = f"{missing}, but the file ends at byte {files.size}"
    if not keep_damaged:
        raise TruncatedSourceError(
            f"{path}: is cut short: {missing}; copy or repair it, or archive what is there with --keep-damaged"
        )
    scan = _scan(files, kind)
    note = "; ".join(filter(None, (f"cut short: {missing}", scan.attrs.get("note", ""))))
    return make_layout(name, files.members(), replace(scan, attrs={**scan.attrs, "note": note, "damaged": missing}))


def _scan(files: SourceBytes, kind: str) -> Scan:
    scan = _scan_as(files, kind)
    files.check_reads()
    return scan


def _scan_as(files: SourceBytes, kind: str) -> Scan:
    try:
        match kind:
            case "tiff":
                from haarchive.pipeline.sources.tiff import scan_tiff

                return scan_tiff(files)
            case "wav":
                from haarchive.pipeline.sources.audio import scan_wav

                return scan_wav(files)
            case "aiff":
                from haarchive.pipeline.sources.audio import scan_aiff

                return scan_aiff(files)
            case "png":
                from haarchive.pipeline.sources.png import scan_png

                return scan_png(files)
            case "zarr":
                from haarchive.pipeline.sources.zarr import scan_zarr

                return scan_zarr(files)
            case "dicom":
                from haarchive.pipeline.sources.dicom import scan_dicom

                return scan_dicom(files)
            case "jpeg" | "verbatim":
                from haarchive.pipeline.sources.embedded import scan_embedded

                return scan_embedded(files, kind)
            case _:
                return scan_verbatim(kind=kind)
    except SourceFormatError as error:
        return scan_verbatim(f"not a well-formed {kind} file: {error}")
    except (SourceError, StorageError):
        raise
    except Exception as error:
        # A broken file can make a format's reader fail in any way; it still has to be archived.
        return scan_verbatim(f"not a well-formed {kind} file: {type(error).__name__}: {error}")


def _kind(files: SourceBytes, head: bytes) -> str:
    if files.paths != ("",):
        return "zarr"
    if head[:4] in _TIFF:
        return "tiff"
    if head[:4] in _WAVE and head[8:12] == b"WAVE":
        return "wav"
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return "aiff"
    if head[:8] == b"\x89PNG\r\n\x1a\n":
        return "png"
    if head[:4] == b"fLaC":
        return "flac"
    if head[:3] == b"\xff\xd8\xff":
        return "jpeg"
    if files.peek(128, 4) == b"DICM":
        return "dicom"
    return "verbatim"
