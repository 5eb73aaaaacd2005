"""Pictures in new containers: TIFF and PNG files whose compressed pixels cannot be made again, as BigTIFF."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import tifffile

from haarchive.pipeline.layout import Member
from haarchive.pipeline.sources.containers import Conversion, Page, Tag, baseline_tags, big_tiff
from haarchive.pipeline.sources.file import FileSource
from haarchive.pipeline.sources.files import SourceBytes
from haarchive.pipeline.sources.png import scan_png
from haarchive.pipeline.sources.ref import SourceRef
from haarchive.pipeline.sources.scan import Scan, make_layout
from haarchive.pipeline.sources.tiff import scan_tiff, tiff_pages

__all__ = ["convert_png", "convert_tiff"]

_ITEM_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 16: 8, 17: 8}
_WRITTEN = (
    259,
    273,
    279,
    317,
    324,
    325,
    330,
)  # by us: compression, predictor, where segments and SubIFDs lie
_POINTERS = (34665, 34853, 40965)  # to Exif, GPS and interoperability directories, which do not move along


def convert_tiff(ref: SourceRef, files: SourceBytes) -> Conversion | None:
    """Keep all pages and tags of a TIFF file and leave its pixels uncompressed; None where some cannot be
    read.
    """
    scan = scan_tiff(files, prove=False)
    with tifffile.TiffFile(files.file(), _useframes=False, _multifile=False) as tif:
        if tif.is_ndpi:
            return None
        order = tif.byteorder
        pages = [(_tags(files, page), bool(page.tilewidth), parent) for _, page, parent in tiff_pages(tif)]
    if len(pages) != len(scan.planes) or any(found.plane.kind != "image" for found in scan.planes):
        return None
    container = big_tiff(
        order,
        [
            Page(tags, found.plane, tiled, found.segment, parent)
            for (tags, tiled, parent), found in zip(pages, scan.planes, strict=True)
        ],
    )
    return Conversion(".tif", container, _inner(ref, files, scan).read_region, scan.attrs)


def convert_png(ref: SourceRef, files: SourceBytes) -> Conversion | None:
    """Put the pixels of a PNG file into a BigTIFF; None where it has a palette or the like."""
    scan = scan_png(files, prove=False)
    if not scan.planes:
        return None
    plane = scan.planes[0].plane
    height, width, _ = plane.shape
    rows = plane.chunk_shape[0]
    strips = -(-height // rows)
    packer: Mapping[str, Any] = {
        "name": "raw",
        "rows": rows,
        "cols": width,
        "grid": [strips, 1],
        "planar": False,
    }
    plane = replace(plane, packer=packer)
    container = big_tiff("<", [Page(baseline_tags("<", plane), plane, False, np.arange(strips))])
    return Conversion(".tif", container, _inner(ref, files, scan).read_region, scan.attrs)


def _inner(ref: SourceRef, files: SourceBytes, scan: Scan) -> FileSource:
    """The file that is there, to be read from only."""
    layout = make_layout(ref.name, (Member("", files.size, ""),), scan)
    return FileSource(ref, files, layout, lambda _files, _name: layout)


def _tags(files: SourceBytes, page: Any) -> list[Tag]:
    return [
        Tag(
            tag.code,
            int(tag.dtype),
            tag.count,
            files.read(tag.valueoffset, tag.count * _ITEM_BYTES[int(tag.dtype)]),
        )
        for tag in page.tags
        if tag.code not in _WRITTEN + _POINTERS and int(tag.dtype) in _ITEM_BYTES
    ]
