"""Sources, archived by the pieces that the jobs use, without the jobs."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tifffile

from haarchive.codecs.errors import UnsupportedSamplesError
from haarchive.codecs.registry import CODECS_WITH_TABLES, get_codec
from haarchive.codecs.stored import StoredCodec
from haarchive.pipeline.archive import ArchiveWriter, EncodedChunk, Manifest, build_shard, samples_digest
from haarchive.pipeline.archive.small import embed
from haarchive.pipeline.sources import SourceRef, open_source


def encode(plane, number, chunks, codecs):
    """Encode (number, samples) pairs with the plane's codec where it is one of `codecs`, stored otherwise."""
    codec = StoredCodec()
    if plane.codec in codecs:
        tables = base64.b64decode(plane.attrs.get("jpeg_tables", "")) if plane.codec in CODECS_WITH_TABLES else b""
        codec = get_codec(plane.codec, tables=tables)
    made = []
    for chunk, samples in chunks:
        try:
            name, stream = codec.name, codec.encode([samples])[0]
        except UnsupportedSamplesError:
            name, stream = "stored", StoredCodec().encode([samples])[0]
        made.append(
            EncodedChunk(
                number,
                chunk,
                name,
                stream.bands,
                samples.nbytes,
                samples_digest(samples),
                "" if name == plane.codec else "unsupported",
            )
        )
    return made, codec


def _put_source(url, path: Path, name: str = "", *, codecs=("jpeg-xl",), shard_chunks: int = 8) -> Manifest:
    """Archive one file or folder under `url`, `shard_chunks` chunks to a shard; 0 puts them into the manifest."""
    writer = ArchiveWriter(url)
    models = {}
    with open_source(SourceRef(str(path), name or path.name)) as source:
        layout = source.layout
        chunks = []
        for number, plane in enumerate(layout.planes):
            samples = ((i, source.read_chunk(number, i)) for i in range(plane.n_chunks))
            made, codec = encode(plane, number, samples, codecs)
            chunks += made
            if codec.model_digest is not None:
                models[codec.name] = writer.put_model(codec.model)
    parts = [] if shard_chunks else [embed(chunks)]
    for start in range(0, len(chunks), shard_chunks) if shard_chunks else ():
        shard = build_shard(chunks[start : start + shard_chunks])
        writer.put_shard(shard)
        parts.append((shard.ref, shard.index))
    manifest = Manifest.build(layout, "file-exact", parts, models)
    writer.commit(manifest)
    return manifest


@pytest.fixture(scope="session")
def picture() -> np.ndarray:
    """A smooth picture with some noise, (700, 900, 3) uint8."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[:700, :900]
    base = 128 + 60 * np.sin(x / 97)[..., None] * np.cos(y / 61)[..., None] * np.array([1, 0.8, -0.6])
    return np.clip(base + rng.normal(0, 3, (700, 900, 3)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def slide(tmp_path_factory, picture) -> Path:
    """A tiled, pyramidal TIFF of raw pixels with a label, some of it sparse-free and padded at the edges."""
    path = tmp_path_factory.mktemp("slides") / "slide.tif"
    with tifffile.TiffWriter(path) as tiff:
        options = {"tile": (256, 256), "photometric": "rgb"}
        tiff.write(picture, subifds=1, **options)
        tiff.write(picture[::2, ::2], subfiletype=1, **options)
        tiff.write(picture[:64, :96], photometric="rgb", metadata=None)
    return path


@pytest.fixture(scope="session")
def jpeg_slide(tmp_path_factory, picture) -> Path:
    """A tiled TIFF of JPEG tiles with shared tables."""
    path = tmp_path_factory.mktemp("slides") / "jpeg.tif"
    tifffile.imwrite(path, picture, tile=(128, 128), photometric="rgb", compression="jpeg")
    return path


@pytest.fixture(scope="session")
def recording(tmp_path_factory) -> Path:
    """Stereo, 24 bits, 44.1 kHz, ten seconds: two chunks."""
    path = tmp_path_factory.mktemp("recordings") / "take.wav"
    t = np.arange(441_000) / 44_100
    sound = np.stack([np.sin(2200 * t), np.sin(3300 * t + 1)], axis=1) * 0.6
    sound += np.random.default_rng(3).normal(0, 1e-3, sound.shape)
    soundfile.write(path, sound, 44_100, subtype="PCM_24")
    return path


@pytest.fixture(scope="session")
def put_source():
    """The function that archives one file or folder."""
    return _put_source
