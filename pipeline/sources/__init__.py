"""Sources: slides, recordings and arrays as they come, taken apart into planes of samples and a skeleton.

`discover` lists what the user named, `open_source` opens one of them, its `layout` says what it is made of
(see `pipeline.layout`), its `read_chunk` reads what is to be coded, and `assemble` makes the bytes of the
source again. Once a source has a layout, no file format is involved any more: packers turn segments into
samples and back.
"""

from haarchive.pipeline.sources.assemble import ReadRegion, assemble, skeleton_size
from haarchive.pipeline.sources.base import Source
from haarchive.pipeline.sources.discover import discover
from haarchive.pipeline.sources.files import open_bytes
from haarchive.pipeline.sources.opening import open_source
from haarchive.pipeline.sources.packers import Packer, get_packer
from haarchive.pipeline.sources.ref import SourceRef

__all__ = [
    "Packer",
    "ReadRegion",
    "Source",
    "SourceRef",
    "assemble",
    "discover",
    "get_packer",
    "open_bytes",
    "open_source",
    "skeleton_size",
]
