"""The guarantee 'sample-exact': the same pixels or samples, in a new container where the old one cannot be
made again.

Only what 'file-exact' would have to store as it is gets a new container: FLAC becomes WAV, and TIFF and PNG
whose compressed pixels no known writer reproduces become uncompressed BigTIFF. Everything else is archived
file-exactly, which holds this promise too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.errors import SourceChangedError, SourceFormatError
from haarchive.pipeline.layout import Member, SourceLayout
from haarchive.pipeline.sources.assemble import ReadRegion, assemble
from haarchive.pipeline.sources.base import Source
from haarchive.pipeline.sources.containers import Conversion
from haarchive.pipeline.sources.file import FileSource
from haarchive.pipeline.sources.files import SourceBytes
from haarchive.pipeline.sources.flac import convert_flac
from haarchive.pipeline.sources.pictures import convert_png, convert_tiff
from haarchive.pipeline.sources.ref import SourceRef
from haarchive.pipeline.sources.scan import Scan, make_layout

__all__ = ["SampleExactSource", "left_as_it_is"]

Scanner = Callable[[SourceBytes, str], SourceLayout]


class SampleExactSource(Source):
    """A file of which only the samples have to come back.

    ``layout.attrs["restored_suffix"]`` is there if and only if it gets a new container; then the layout's
    member is that container, and ``attrs["original"]`` says what the file was.
    """

    def __init__(self, ref: SourceRef, files: SourceBytes, layout: SourceLayout | None, scanner: Scanner) -> None:
        super().__init__(ref, layout)
        self._files = files
        self._scanner = scanner
        self._reader: ReadRegion | None = None

    def scan(self) -> SourceLayout:
        """Scan file-exactly, and again for a new container where that leaves pixels or samples as they
        are.
        """
        exact = self._scanner(self._files, self.ref.name)
        return (self.converted(exact) if left_as_it_is(exact) else None) or exact

    def converted(self, exact: SourceLayout) -> SourceLayout | None:
        """The layout of a new container for the samples of a file; None where they cannot all be read."""
        conversion = _convert(self.ref, self._files, exact.kind)
        if conversion is None:
            return None
        attrs = {
            **conversion.attrs,
            "restored_suffix": conversion.suffix,
            "original": [[was.path, was.size, was.sha256] for was in exact.members],
        }
        size = conversion.container.size
        scan = Scan(exact.kind, conversion.container.planes, attrs)
        layout = make_layout(self.ref.name, (Member("", size, ""),), scan)
        digest = hashlib.sha256()
        reader = _reader(conversion)
        try:
            for block in assemble(layout, reader):
                digest.update(block)
        except SourceChangedError:
            self._files.check_unchanged(exact.members)
            return None  # not changed, but damaged: there are samples that cannot be read
        self._reader = reader
        return replace(layout, members=(Member("", size, digest.hexdigest()),))

    def read_region(self, plane: int, region: tuple[slice, ...]) -> NDArray[Any]:
        """Read a region from the file that is there, as it lies in the container that is not."""
        if self._reader is None:
            layout = self.layout
            if self._reader is None:
                self._reader = self._reader_of(layout)
        return self._reader(plane, region)

    def check_unchanged(self) -> None:
        """Compare the file that is there with what it was."""
        self._files.check_unchanged(self.layout.originals)

    def close(self) -> None:
        """Close the file."""
        self._files.close()

    def _reader_of(self, layout: SourceLayout) -> ReadRegion:
        if "restored_suffix" not in layout.attrs:
            return FileSource(self.ref, self._files, layout, self._scanner).read_region
        conversion = _convert(self.ref, self._files, layout.kind)
        if conversion is None:
            raise SourceChangedError(f"{self.ref.path}: changed since it was scanned")
        return _reader(conversion)


def left_as_it_is(layout: SourceLayout) -> bool:
    """Whether there are samples that a flow could code if it were not for their container.

    A damaged file never gets a new one: that would look whole.
    """
    if "damaged" in layout.attrs:
        return False
    if layout.kind in ("flac", "png"):
        return len(layout.planes) == 1
    return layout.kind == "tiff" and any(p.kind == "tiles" and p.codec == "stored" for p in layout.planes)


def _convert(ref: SourceRef, files: SourceBytes, kind: str) -> Conversion | None:
    """Find a new container for a file's samples, None where they cannot all be read."""
    convert = {"flac": convert_flac, "tiff": convert_tiff, "png": convert_png}[kind]
    try:
        return convert(ref, files)
    except SourceFormatError:
        return None
    finally:
        files.check_reads()


def _reader(conversion: Conversion) -> ReadRegion:
    skeleton = np.frombuffer(conversion.container.skeleton, np.uint8)

    def read(plane: int, region: tuple[slice, ...]) -> NDArray[Any]:
        return skeleton[region[0]] if plane == 0 else conversion.read(plane, region)

    return read
