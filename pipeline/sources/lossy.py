"""The guarantees 'lossy-drop-bands-N': pictures without their finest details, in containers that need none of them.

Pixels that are not those of the file have room only where a segment's length does not depend on them: uncompressed
ones keep their container, others get an uncompressed one. All that is no TIFF or PNG with pictures for the codec
'haar' loses nothing and is archived file-exactly; so are zarr stores, whose chunks may have checksums.
"""

from __future__ import annotations

from dataclasses import replace

from haarchive.pipeline.layout import Plane, SourceLayout
from haarchive.pipeline.sources.conversion import SampleExactSource, Scanner, left_as_it_is
from haarchive.pipeline.sources.files import SourceBytes
from haarchive.pipeline.sources.ref import SourceRef

__all__ = ["LossySource"]

_PICTURES = ("tiff", "png")


class LossySource(SampleExactSource):
    """A file whose pictures may lose details.

    Its layout has ``attrs["original"]``, members without a SHA-256, and planes with ``attrs["dropped_bands"]`` if and
    only if details will be lost. Samples are read as they are: it is the encoder that drops details.

    Parameters
    ----------
    ref : SourceRef
    files : SourceBytes
    layout : SourceLayout, optional
    scanner : callable
    levels : int
        How many levels of details to drop.
    """

    def __init__(
        self, ref: SourceRef, files: SourceBytes, layout: SourceLayout | None, scanner: Scanner, levels: int
    ) -> None:
        super().__init__(ref, files, layout, scanner)
        self._levels = levels

    def scan(self) -> SourceLayout:
        """Scan file-exactly, find an uncompressed container where one is needed, and mark what loses details."""
        exact = self._scanner(self._files, self.ref.name)
        if exact.kind not in _PICTURES:
            return exact
        layout = exact
        compressed = any(plane.codec == "haar" and not _has_room(plane) for plane in exact.planes)
        if (compressed and "damaged" not in exact.attrs) or left_as_it_is(exact):
            layout = self.converted(exact) or exact
        if not any(_has_room(plane) for plane in layout.planes):
            self._reader = None
            return exact
        return replace(
            layout,
            members=tuple(replace(member, sha256="") for member in layout.members),
            planes=tuple(self._marked(plane) if _has_room(plane) else plane for plane in layout.planes),
            attrs={**layout.attrs, "original": [[was.path, was.size, was.sha256] for was in exact.members]},
        )

    def _marked(self, plane: Plane) -> Plane:
        return replace(plane, attrs={**plane.attrs, "dropped_bands": self._levels})


def _has_room(plane: Plane) -> bool:
    """Whether a picture may have any pixels without its container becoming another."""
    return plane.codec == "haar" and plane.packer.get("name") == "raw"
