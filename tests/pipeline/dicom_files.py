"""DICOM files for tests."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import encaps, uid
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence

TILE = 64


def tiles_of(picture: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Tiles of 64 x 64 in reading order, edges padded with zeros."""
    high, wide = (-(-n // TILE) * TILE for n in picture.shape[:2])
    padded = np.zeros((high, wide, *picture.shape[2:]), picture.dtype)
    padded[: picture.shape[0], : picture.shape[1]] = picture
    return [padded[y : y + TILE, x : x + TILE] for y in range(0, high, TILE) for x in range(0, wide, TILE)]


def jpeg(tile: NDArray[np.uint8], **options: Any) -> bytes:
    """A tile as JPEG."""
    file = io.BytesIO()
    Image.fromarray(tile).save(file, "JPEG", **{"quality": 80, "subsampling": 0, **options})
    return file.getvalue()


def write_dicom(
    path: Path, picture: NDArray[Any], syntax: str = uid.JPEGBaseline8Bit, fragments: int = 1, **changes: Any
) -> list[bytes]:
    """Write a slide's level, or whatever `changes` make of it (None leaves an attribute out); its frames."""
    tiles = tiles_of(picture)
    channels = picture.shape[2] if picture.ndim == 3 else 1
    header = FileDataset(str(path), {}, file_meta=FileMetaDataset(), preamble=b"\0" * 128)
    header.file_meta.TransferSyntaxUID = syntax
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID = uid.VLWholeSlideMicroscopyImageStorage
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID = uid.generate_uid(entropy_srcs=["test"])
    measures = Dataset()
    measures.PixelSpacing = [0.00025, 0.00025]
    shared = Dataset()
    shared.PixelMeasuresSequence = Sequence([measures])
    values = {
        "Manufacturer": "Scanner Works",
        "ImageType": ["DERIVED", "PRIMARY", "VOLUME", "NONE"],
        "DimensionOrganizationType": "TILED_FULL",
        "TotalPixelMatrixRows": picture.shape[0],
        "TotalPixelMatrixColumns": picture.shape[1],
        "NumberOfFrames": len(tiles),
        "Rows": TILE,
        "Columns": TILE,
        "SamplesPerPixel": channels,
        "PlanarConfiguration": 0,
        "PhotometricInterpretation": "YBR_FULL" if channels == 3 else "MONOCHROME2",
        "BitsAllocated": 8 * picture.dtype.itemsize,
        "BitsStored": 8 * picture.dtype.itemsize,
        "HighBit": 8 * picture.dtype.itemsize - 1,
        "PixelRepresentation": 0,
        "SharedFunctionalGroupsSequence": Sequence([shared]),
        **changes,
    }
    for name, value in values.items():
        if value is not None:
            setattr(header, name, value)
    frames = [_frame(tile, syntax, values["PhotometricInterpretation"]) for tile in tiles]
    native = syntax in (uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian)
    header.PixelData = b"".join(frames) if native else encaps.encapsulate(frames, fragments_per_frame=fragments)
    header["PixelData"].VR = "OW" if picture.dtype.itemsize > 1 else "OB"
    header.save_as(path)
    return frames


def _frame(tile: NDArray[Any], syntax: str, photometric: str) -> bytes:
    if syntax == uid.JPEGBaseline8Bit:
        return jpeg(tile, **({"keep_rgb": True} if photometric == "RGB" else {}))
    if syntax == uid.JPEG2000Lossless:
        return bytes(imagecodecs.jpeg2k_encode(tile, level=0, codecformat="j2k"))
    return tile.tobytes()
