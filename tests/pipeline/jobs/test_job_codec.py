"""Archiving with another family of flows than 'haar': what goes to it, what the archive says, what comes back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import imagecodecs
import numpy as np
import pytest
import soundfile
import tifffile

from haarchive.codecs import Codec
from haarchive.codecs.errors import ConfigError
from haarchive.codecs.haar.presets import Preset
from haarchive.codecs.idf.codec import IdfCodec
from haarchive.codecs.registry import CODEC_NAMES
from haarchive.pipeline import archive, open_archive
from haarchive.pipeline.archive.geometry import halved
from haarchive.pipeline.config import ArchiveConfig
from haarchive.pipeline.flows import FLOWS, route
from haarchive.pipeline.jobs import JobReport, restore, verify
from haarchive.pipeline.sources import SourceRef, open_source

CONFIG = ArchiveConfig(codec="idf", preset="fast", threads=1)

ROUTES = {
    "grey.png": "idf",
    "jpeg.tif": "jpeg-xl",
    "notes.txt": None,
    "raw.tif": "idf",
    "take.wav": "idf-audio",
    "wide.tif": "stored",
}
"""What the chunks of each source go to, the skeleton's apart."""


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def codec_of(url: Path, name: str) -> str | None:
    """The codec of a source's samples, by its manifest."""
    planes = open_archive(url / name).manifest.layout.planes
    assert planes[0].codec == "stored"
    return planes[1].codec if len(planes) > 1 else None


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    """A third of a second of stereo with some noise, (3000, 2) int16."""
    t = np.arange(3000) / 8000
    waves = np.stack([np.sin(1400 * t), np.cos(900 * t)], axis=1) * 9000
    return (waves + np.random.default_rng(5).normal(0, 40, waves.shape)).astype(np.int16)


@pytest.fixture(scope="module")
def corpus(picture: np.ndarray, sound: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of every route."""
    folder = tmp_path_factory.mktemp("codec")
    tifffile.imwrite(folder / "raw.tif", picture, photometric="rgb", tile=(128, 128))
    tifffile.imwrite(folder / "jpeg.tif", picture, photometric="rgb", tile=(128, 128), compression="jpeg")
    tifffile.imwrite(folder / "wide.tif", picture[..., 0].astype(np.uint32) * 70001)
    (folder / "grey.png").write_bytes(imagecodecs.png_encode(picture[:90, :70, 0].copy(), level=6))
    soundfile.write(folder / "take.wav", sound, 8000, subtype="PCM_16")
    (folder / "notes.txt").write_text("stained 14 May\n" * 50)
    return folder


@pytest.fixture(scope="module")
def url(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("archive") / "a"


@pytest.fixture(scope="module")
def report(corpus: Path, url: Path) -> JobReport:
    """The corpus, archived with 'idf' at `url`."""
    return archive(sorted(corpus.iterdir()), url, config=CONFIG).raise_for_failures()


def test_every_file_comes_back_byte_for_byte(corpus: Path, url: Path, report: JobReport, tmp_path: Path) -> None:
    restore(url, tmp_path / "out").raise_for_failures()
    assert tree(tmp_path / "out") == tree(corpus)
    assert verify(url, deep=True).ok


def test_manifests_name_the_codec_for_what_a_flow_can_code_and_leave_the_rest(url: Path, report: JobReport) -> None:
    assert {name: codec_of(url, name) for name in ROUTES} == ROUTES
    by_name = {one.source: one for one in report.sources}
    assert by_name["raw.tif"].codecs["idf"].chunks >= 1
    assert by_name["take.wav"].codecs["idf-audio"].chunks >= 1
    assert {one.source for one in report.sources if one.preset == "fast"} == {"grey.png", "raw.tif", "take.wav"}


def test_the_archive_holds_the_models_that_it_needs(url: Path, report: JobReport) -> None:
    kept = {path.name.removesuffix(".safetensors") for path in (url / "models").iterdir()}
    models = {one.source: one.models for one in report.sources}
    assert set(models["raw.tif"]) == {"idf"}
    assert set(models["take.wav"]) == {"idf-audio"}
    assert kept == {*models["raw.tif"].values(), *models["take.wav"].values()}
    assert open_archive(url / "raw.tif").manifest.models == models["raw.tif"]


def test_regions_and_spans_are_read_without_naming_the_codec(
    picture: np.ndarray, sound: np.ndarray, url: Path, report: JobReport
) -> None:
    slide = open_archive(url / "raw.tif")
    np.testing.assert_array_equal(slide.read_region((100, 60), 0, (90, 130)), picture[60:190, 100:190])
    take = open_archive(url / "take.wav")
    np.testing.assert_array_equal(take.read_frames(700, 900), sound[700:1600])


def test_lower_resolutions_are_served_as_with_haar(picture: np.ndarray, url: Path, report: JobReport) -> None:
    slide = open_archive(url / "raw.tif")
    assert slide.level_dimensions == ((300, 240), (150, 120), (75, 60))
    expected = halved(picture)
    for level in (1, 2):
        height, width = expected.shape[:2]
        coarse = slide.read_region((0, 0), level, (width, height))
        assert np.abs(coarse.astype(int) - expected).mean() <= 8
        expected = halved(expected)


def test_archiving_again_with_another_codec_changes_nothing(corpus: Path, url: Path, report: JobReport) -> None:
    before = tree(url)
    again = archive(sorted(corpus.iterdir()), url, codec="haar", preset="fast")
    assert {one.status for one in again.sources} == {"unchanged"}
    assert [one.models for one in again.sources] == [one.models for one in report.sources]
    assert tree(url) == before


def test_small_sources_of_a_lot_go_to_the_codec_too(sound: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in range(16):
        soundfile.write(tmp_path / "in" / f"{number:02}.wav", sound[number * 9 :][:400], 8000, subtype="PCM_16")
    archive(tmp_path / "in", tmp_path / "a", config=CONFIG, engine="local").raise_for_failures()
    assert (tmp_path / "a" / "packs").is_dir()
    assert {codec_of(tmp_path / "a", name) for name in open_archive(tmp_path / "a")} == {"idf-audio"}
    restore(tmp_path / "a", tmp_path / "out").raise_for_failures()
    assert tree(tmp_path / "out" / "in") == tree(tmp_path / "in")


def test_samples_in_a_new_container_go_to_the_codec_too(sound: np.ndarray, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "take.flac", sound, 8000, subtype="PCM_16")
    config = CONFIG.model_copy(update={"guarantee": "sample-exact"})
    archive(tmp_path / "take.flac", tmp_path / "a", config=config).raise_for_failures()
    assert codec_of(tmp_path / "a", "take.flac") == "idf-audio"
    (one,) = restore(tmp_path / "a", tmp_path / "out").raise_for_failures().sources
    np.testing.assert_array_equal(soundfile.read(one.path, dtype="int16")[0], sound)


def test_the_smallest_preset_tries_jpeg_xl_beside_every_flow(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:200, :200]
    waves = np.sin(x / 9) + np.cos(y / 7) + rng.normal(0, 0.6, x.shape)
    few_colours = rng.integers(0, 256, (6, 3))[(waves * 1.5 + 3).clip(0, 5).astype(int)].astype(np.uint8)
    tifffile.imwrite(tmp_path / "drawn.tif", few_colours, photometric="rgb")
    (one,) = archive(tmp_path / "drawn.tif", tmp_path / "a", codec="idf", preset="max").raise_for_failures().sources
    assert "jpeg-xl-pixels" in one.codecs
    assert codec_of(tmp_path / "a", "drawn.tif") == "idf"


class Loads(IdfCodec):
    """Remembers what it was loaded with."""

    seen: ClassVar[list[tuple[str, str]]] = []

    @classmethod
    def load(cls, model: bytes | None = None, *, device: str = "cpu", preset: Preset = "balanced") -> Codec:
        cls.seen.append((device, preset))
        return IdfCodec.load(model, preset=preset)


def test_device_and_preset_reach_the_codec(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("haarchive.codecs.idf.codec.IdfCodec", Loads)
    config = CONFIG.model_copy(update={"device": "cuda"})
    archive(corpus / "grey.png", tmp_path / "a", config=config).raise_for_failures()
    assert Loads.seen == [("cuda", "fast")]


def test_a_model_file_takes_the_place_of_the_shipped_one(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.safetensors").write_bytes(b"no model at all")
    config = CONFIG.model_copy(update={"models": {"idf": tmp_path / "mine.safetensors"}})
    done = archive([corpus / "grey.png", corpus / "take.wav"], tmp_path / "a", config=config)
    assert [one.source for one in done.failed] == ["grey.png"]


def test_a_kept_job_goes_on_with_its_codec_and_no_other(corpus: Path, tmp_path: Path) -> None:
    archive(corpus / "grey.png", tmp_path / "a", config=CONFIG, job="one").raise_for_failures()
    assert codec_of(tmp_path / "a", "grey.png") == "idf"
    with pytest.raises(ConfigError, match="another job"):
        archive(corpus / "grey.png", tmp_path / "a", config=CONFIG, codec="haar", job="one")


def test_a_codec_that_is_not_there_is_refused_before_anything_is_written(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="codec"):
        archive(corpus / "grey.png", tmp_path / "a", codec="wavelets")  # type: ignore[arg-type]
    assert not (tmp_path / "a").exists()


def test_routing_changes_codecs_and_nothing_else(corpus: Path) -> None:
    with open_source(SourceRef(str(corpus / "raw.tif"), "raw.tif")) as source:
        scanned = source.layout
    routed = route(scanned, "idf")
    assert [plane.codec for plane in routed.planes] == ["stored", "idf"]
    back = [replace(plane, codec=was.codec) for plane, was in zip(routed.planes, scanned.planes, strict=True)]
    assert replace(routed, planes=tuple(back)) == scanned
    assert route(scanned, "haar") == scanned


def test_every_flow_is_a_codec() -> None:
    assert set(CODEC_NAMES) >= FLOWS
