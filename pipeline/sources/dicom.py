"""DICOM: whole-slide images (Supplement 145) and other pictures, through pydicom.

A slide's level is one file, whose frames are tiles, each usually a JPEG. pydicom reads what the picture is; where the
bytes of frames lie is settled here.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import encaps, uid

from haarchive.codecs.errors import SourceFormatError
from haarchive.pipeline.layout import Plane
from haarchive.pipeline.sources.dicom_header import UNDEFINED, read_dicom_header
from haarchive.pipeline.sources.embedded import scan_embedded
from haarchive.pipeline.sources.files import SourceBytes
from haarchive.pipeline.sources.grid import image_chunk
from haarchive.pipeline.sources.scan import PlaneScan, Scan
from haarchive.pipeline.sources.tiles import MAX_SEGMENT, opaque_tiles, tiles_per_chunk

__all__ = ["scan_dicom"]

_TAGS = (
    "BitsAllocated", "Columns", "DimensionOrganizationType", "ImageType", "Manufacturer", "NumberOfFrames",
    "PhotometricInterpretation", "PixelRepresentation", "PixelSpacing", "PlanarConfiguration", "Rows",
    "SamplesPerPixel", "SharedFunctionalGroupsSequence", "TotalPixelMatrixColumns", "TotalPixelMatrixRows",
)  # fmt: skip
_ITEM_HEAD = 8
_NATIVE = (uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian)
_JPEG = (uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit)
_READABLE = {
    **dict.fromkeys(_JPEG, "jpeg"),
    **dict.fromkeys((uid.JPEG2000Lossless, uid.JPEG2000), "jpeg2k"),
}
"""What decodes frames, by transfer syntax."""
_WHOLE_PICTURES = frozenset({"LABEL", "OVERVIEW", "THUMBNAIL"})


def scan_dicom(files: SourceBytes) -> Scan:
    """Find the frames of a DICOM file; see `scan_tiff` for what is returned.

    Where the file is another than we understand, the JPEG files in it are found by their markers.
    """
    try:
        return _scan(files)
    except (SourceFormatError, ValueError, TypeError, KeyError, AttributeError, EOFError, NotImplementedError) as error:
        found = scan_embedded(files, "dicom")
        return replace(found, attrs={**found.attrs, "note": f"its frames are not understood: {error}"})


def _scan(files: SourceBytes) -> Scan:
    header, begin, length = read_dicom_header(files, _TAGS)
    syntax = header.file_meta.TransferSyntaxUID
    size = int(header.Rows), int(header.Columns)
    if min(size) < 1:
        raise SourceFormatError("it has no picture")
    count = int(header.get("NumberOfFrames") or 1)
    matrix = int(header.get("TotalPixelMatrixRows") or 0), int(header.get("TotalPixelMatrixColumns") or 0)
    grid = math.ceil(matrix[0] / size[0]), math.ceil(matrix[1] / size[1])
    # Only then frames are in reading order (PS3.3, C.7.6.17.3); further focal planes and optical paths would follow.
    if not (count == 1 or (header.get("DimensionOrganizationType") == "TILED_FULL" and math.prod(grid) == count)):
        grid, matrix = (count, 1), (0, 0)
    elif count == 1:
        grid, matrix = (1, 1), size
    attrs = _attrs(header, size, matrix, grid)
    if length == UNDEFINED:
        plane = _encapsulated(files, begin, header, syntax, grid, attrs)
    elif syntax in _NATIVE:
        plane = _native(header, begin, length, grid, attrs)
    else:
        raise SourceFormatError(f"transfer syntax {syntax} with pixels that are not encapsulated")
    return Scan("dicom", [plane] if plane else [], _facts(header))


def _attrs(header: Any, size: tuple[int, int], matrix: tuple[int, int], grid: tuple[int, int]) -> dict[str, Any]:
    if not min(matrix):
        return {}
    role = str((list(header.get("ImageType") or []) + [""] * 3)[2]).upper()
    return {
        **({"associated": role.lower()} if role in _WHOLE_PICTURES else {"level": 0}),
        "size": list(matrix),
        "segment": {"height": size[0], "width": size[1], "rows": grid[0], "cols": grid[1]},
    }


def _encapsulated(
    files: SourceBytes, begin: int, header: Any, syntax: Any, grid: tuple[int, int], attrs: dict[str, Any]
) -> PlaneScan | None:
    """Frames in fragments (PS3.5, A.4), which are one each."""
    file = files.file()
    file.seek(begin)
    encaps.parse_basic_offsets(file)
    count, heads = encaps.parse_fragments(file)
    if count != math.prod(grid) or not count:
        raise SourceFormatError(f"{math.prod(grid)} frames in {count} fragments")
    offset = np.array(heads, np.int64) + _ITEM_HEAD
    if heads[-1] + _ITEM_HEAD > files.size:
        raise SourceFormatError("it ends within its frames")
    last = int.from_bytes(files.read(heads[-1] + 4, 4), "little")
    if offset[-1] + last > files.size:
        raise SourceFormatError("it ends within its frames")
    length = np.append(np.diff(offset) - _ITEM_HEAD, last)
    decoder = _READABLE.get(syntax)
    if decoder and int(header.BitsAllocated) == 8:
        rgb = str(header.PhotometricInterpretation) == "RGB"
        attrs |= {"frames": {"decoder": decoder, "rgb": rgb, "channels": int(header.SamplesPerPixel)}}
    else:
        attrs = {key: value for key, value in attrs.items() if key != "level"}
    down, across = tiles_per_chunk(int(header.Rows), int(header.Columns))
    codec, chunk = ("jpeg-xl", (down, across)) if syntax in _JPEG else ("stored", (2 * down, 2 * across))
    found = opaque_tiles(codec, attrs, offset, length, files.size, grid=grid, chunk=chunk)
    if found is None or not len(found.offset):
        return None
    if len(found.offset) < count:  # tiles are numbered by what there is: nobody could tell where they lie
        return replace(found, plane=replace(found.plane, attrs={}))
    return found


def _native(header: Any, begin: int, length: int, grid: tuple[int, int], attrs: dict[str, Any]) -> PlaneScan:
    """Frames that are not compressed, one behind the other."""
    rows, columns, channels = int(header.Rows), int(header.Columns), int(header.SamplesPerPixel)
    bits = int(header.BitsAllocated)
    nbytes = rows * columns * channels * bits // 8
    count = math.prod(grid)
    planar = channels > 1 and int(header.get("PlanarConfiguration") or 0) == 1
    unsigned = bits in (8, 16) and int(header.get("PixelRepresentation") or 0) == 0
    subsampled = "42" in str(header.PhotometricInterpretation)
    if planar or subsampled or not unsigned or not 0 < nbytes <= MAX_SEGMENT or length < nbytes * count:
        raise SourceFormatError(f"{count} frames of {rows} x {columns} x {channels}, {bits} bits, in {length} bytes")
    shape = grid[0] * rows, grid[1] * columns, channels
    plane = Plane(
        kind="image",
        shape=shape,
        dtype=f"uint{bits}",
        chunk_shape=image_chunk(shape),
        codec="haar",
        packer={
            "name": "raw", "rows": rows, "cols": columns, "grid": list(grid), "planar": False, "order": "<",
            "predictor": 1,
        },
        attrs=attrs,
    )  # fmt: skip
    offset: NDArray[np.int64] = begin + nbytes * np.arange(count, dtype=np.int64)
    return PlaneScan(plane, np.arange(count), offset, np.full(count, nbytes, np.int64))


def _facts(header: Any) -> dict[str, Any]:
    """Facts for readers: microns per pixel, and who made the scanner."""
    facts: dict[str, Any] = {}
    if header.get("Manufacturer"):
        facts["vendor"] = str(header.Manufacturer).lower()
    for group in header.get("SharedFunctionalGroupsSequence") or []:
        for measures in group.get("PixelMeasuresSequence") or []:
            spacing = [float(step) for step in measures.get("PixelSpacing") or []]
            if spacing and 1e-5 <= spacing[0] <= 0.1:  # in mm
                facts["mpp"] = round(1000 * spacing[0], 6)
    return facts
