"""Tuning models to a user's own sources: what is learned from, what comes of it."""

from __future__ import annotations

import json
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import soundfile
import tifffile
import torch
from numpy.typing import NDArray
from typer.testing import CliRunner, Result

import haarchive.pipeline
from haarchive.codecs.errors import ConfigError, ModelError, SourceNotFoundError
from haarchive.codecs.haar import ycbcr
from haarchive.codecs.idf.codec import IdfCodec
from haarchive.codecs.intnet.modelfile import ModelFile
from haarchive.pipeline import archive, open_archive
from haarchive.pipeline.cli import app, tuning
from haarchive.pipeline.jobs import tune_data
from haarchive.pipeline.jobs.durable.record import load_job
from haarchive.pipeline.jobs.models import find_model
from haarchive.pipeline.jobs.train import TrainProgress, train
from haarchive.pipeline.jobs.train_config import IdfFlowConfig, NetworkConfig, TrainConfig
from haarchive.pipeline.jobs.tune import TuneReport, tune
from haarchive.pipeline.jobs.tune_data import gather
from haarchive.pipeline.storage import open_store

LEAST = (96, 96)


def tissue(height: int, width: int, seed: int, channels: int = 3) -> NDArray[np.uint8]:
    """Smooth colours with noise, nothing that any JPEG gives."""
    rng = np.random.default_rng(seed)
    y, x, c = np.ogrid[:height, :width, :channels]
    smooth = 130 + 50 * np.sin(x / 17 + c + seed) + 40 * np.cos(y / 11 + x / 29)
    return (smooth + rng.normal(0, 3, (height, width, channels))).clip(0, 255).astype(np.uint8)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six sources that flows code."""
    folder = tmp_path_factory.mktemp("slides")
    for n in range(5):
        imagecodecs.imwrite(str(folder / f"{n}.png"), tissue(200, 240, n))
    tifffile.imwrite(folder / "slide.tif", tissue(700, 600, 9), tile=(256, 256), photometric="rgb")
    return folder


@pytest.fixture(scope="module")
def tiny(slides: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of few weights, hardly trained, so that tuning must help."""
    small = NetworkConfig(kind="resnet", depth=1, channels=4, context=True)
    config = TrainConfig(
        name="tiny", codec="idf", train=(slides.name,), crop=(32, 32), batch=2, steps=2, learning_rate=0.02,
        ycbcr=0.3, camera=0.2, licences={slides.name: "CC0"},
        flows=tuple(
            IdfFlowConfig(planes=planes, levels=2, couplings=0, transform="haar", triangular=planes > 1,
                          colour="ycocg-r" if planes > 1 else "none", coupling=small, prior=small)
            for planes in (3, 1)
        ),
    )  # fmt: skip
    data = tmp_path_factory.mktemp("data")
    (data / slides.name).mkdir()
    for n in range(2):
        imagecodecs.imwrite(str(data / slides.name / f"{n}.png"), tissue(64, 64, 40 + n))
    return train(config, data, data / "run")


def test_one_of_five_sources_is_not_learned_from(slides: Path) -> None:
    own = gather([str(slides)], "idf", LEAST)
    assert own.sources == 6
    assert own.apart
    assert not own.left_out
    assert len(own.held) == 1
    assert np.array_equal(own.held[0], tissue(200, 240, 1))
    assert all(chunk.dtype == np.uint8 and chunk.shape[2] == 3 for chunk in own.learn)
    whole = tifffile.imread(slides / "slide.tif")
    assert any(np.array_equal(chunk, whole[: chunk.shape[0], : chunk.shape[1]]) for chunk in own.learn)


def test_the_same_sources_give_the_same_chunks(slides: Path) -> None:
    first, second = (gather([str(slides)], "idf", LEAST) for _ in range(2))
    assert all(map(np.array_equal, first.learn, second.learn))
    assert all(map(np.array_equal, first.held, second.held))


def test_of_one_slide_other_places_are_held(slides: Path) -> None:
    own = gather([str(slides / "slide.tif")], "idf", LEAST)
    assert not own.apart
    assert own.sources == 1
    assert own.learn
    assert own.held
    for held in own.held:
        assert not any(np.array_equal(held, chunk) for chunk in own.learn)


def test_sources_that_no_flow_sees_are_named_with_the_reason(tmp_path: Path, slides: Path) -> None:
    tifffile.imwrite(
        tmp_path / "jpeg tiles.tif", tissue(256, 256, 0), tile=(128, 128), compression="jpeg", photometric="rgb"
    )
    lossy = imagecodecs.jpeg8_decode(imagecodecs.jpeg8_encode(tissue(256, 256, 0), level=70))
    imagecodecs.imwrite(str(tmp_path / "was jpeg.png"), lossy)
    imagecodecs.imwrite(str(tmp_path / "deep.png"), tissue(256, 256, 0).astype(np.uint16) * 257 + 3)
    imagecodecs.imwrite(str(tmp_path / "glass.png"), tissue(256, 256, 5) // 32 + 236)
    imagecodecs.imwrite(str(tmp_path / "small.png"), tissue(40, 256, 0))
    (tmp_path / "notes.xml").write_text("<Annotations/>")
    soundfile.write(tmp_path / "sound.wav", np.zeros((9000, 1), np.int16), 8000)
    (tmp_path / "cut.png").write_bytes((slides / "0.png").read_bytes()[:2000])
    own = gather([str(tmp_path), str(slides)], "idf", LEAST)
    reasons = {Path(name).name: reason for name, reason in own.left_out.items()}
    assert set(reasons) == {path.name for path in tmp_path.iterdir()}
    for name in ("jpeg tiles.tif", "notes.xml", "sound.wav"):
        assert reasons[name] == "archives code it without a flow"
    assert reasons["was jpeg.png"].startswith("it was JPEG or JPEG 2000")
    assert "8 bits" in reasons["deep.png"]
    assert reasons["glass.png"] == "it shows nothing"
    assert reasons["small.png"] == "it is too small"
    assert "cut.png" in reasons["cut.png"]
    assert own.sources == 6


def test_more_sources_are_given_to_flows_where_samples_are_all_that_must_come_back(tmp_path: Path) -> None:
    # The bytes of this file could not be made again: not by the deflate that it was made with.
    tifffile.imwrite(
        tmp_path / "slide.tif", tissue(600, 600, 9), tile=(256, 256), compression="zlib", compressionargs={"level": 6},
        predictor=True, photometric="rgb",
    )  # fmt: skip
    own = gather([str(tmp_path)], "idf", LEAST, guarantee="sample-exact")
    assert own.sources == 1
    assert own.held


@pytest.mark.parametrize(("limit", "value"), [("_MOST_SOURCES", 3), ("_MOST_SOURCE_BYTES", 600_000)])
def test_of_too_many_sources_some_are_read(
    monkeypatch: pytest.MonkeyPatch, slides: Path, limit: str, value: int
) -> None:
    monkeypatch.setattr(tune_data, limit, value)
    read: list[tuple[int, int]] = []
    own = gather([str(slides)], "idf", LEAST, progress=lambda *n: read.append(n))
    assert own.sources == read[-1][1] < 6
    assert sum(path.stat().st_size for path in slides.iterdir()) > 600_000


def test_glass_between_tissue_is_passed_over(tmp_path: Path) -> None:
    slide = np.full((1500, 1500, 3), 241, np.uint8)
    slide[600:1100, 600:1100] = tissue(500, 500, 3)
    tifffile.imwrite(tmp_path / "slide.tif", slide, tile=(256, 256), photometric="rgb")
    own = gather([str(tmp_path)], "idf", LEAST)
    assert all(np.ptp(chunk) > 24 for chunk in (*own.learn, *own.held))


def test_grey_pictures_and_further_planes(tmp_path: Path) -> None:
    for n, channels in enumerate((1, 1, 4)):
        imagecodecs.imwrite(str(tmp_path / f"{n}.png"), tissue(120, 120, n, channels).squeeze())
    own = gather([str(tmp_path)], "idf", LEAST)
    assert sorted(chunk.shape[2] for chunk in (*own.learn, *own.held)) == [1, 1, 3]


def test_recordings_are_chunks_of_frames(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for n in range(3):
        wave = (8000 * np.sin(np.arange(30_000) / (9 + n)) + rng.normal(0, 40, 30_000)).astype(np.int16)
        soundfile.write(tmp_path / f"{n}.wav", wave, 16_000)
    soundfile.write(tmp_path / "short.flac", wave[:900], 16_000)
    own = gather([str(tmp_path)], "haar-audio", (4096,))
    assert [chunk.shape for chunk in (*own.learn, *own.held)] == [(30_000, 1)] * 3
    assert own.learn[0].dtype == np.int32
    assert {Path(name).name for name in own.left_out} == {"short.flac"}


def test_nothing_to_learn_from_is_a_clear_error(tmp_path: Path, slides: Path) -> None:
    (tmp_path / "notes.xml").write_text("<Annotations/>")
    with pytest.raises(ConfigError, match=r"nothing to learn from \(.*notes.xml: archives code it without a flow\)"):
        gather([str(tmp_path)], "idf", LEAST)
    with pytest.raises(ConfigError, match="nothing to learn from"):
        gather([str(slides / "0.png")], "idf", LEAST)
    with pytest.raises(SourceNotFoundError):
        gather([str(tmp_path / "nothing")], "idf", LEAST)


def test_a_tuned_model_is_smaller_on_what_it_did_not_see(tiny: Path, slides: Path, tmp_path: Path) -> None:
    read: list[tuple[int, int]] = []
    steps: list[TrainProgress] = []
    report = tune(
        tiny, [str(slides)], tmp_path / "run", steps=400, progress=steps.append, reading=lambda *n: read.append(n)
    )
    assert read == [(n, 6) for n in range(1, 7)]
    assert [step.step for step in steps] == list(range(1, 401))
    assert report.after < report.before
    assert report.apart
    assert report.sources == 6
    assert Path(report.model) == tmp_path / "run" / "tiny-tuned.safetensors"
    # Measured are bytes of bitstreams.
    held = tissue(200, 240, 1)
    for path, bits in ((tiny, report.before), (Path(report.model), report.after)):
        (bitstream,) = IdfCodec.load(path.read_bytes(), preset="max").encode([held])
        assert bits == pytest.approx(8 * bitstream.nbytes / held.size)
    # Adaptive couplings make up for most of what so small a model does not know.
    plain = [IdfCodec.load(path.read_bytes(), adaptive=False) for path in (tiny, Path(report.model))]
    before, after = (codec.encode([held])[0].nbytes for codec in plain)
    assert after < before * 0.98


def test_the_card_says_what_the_model_has_seen(tiny: Path, slides: Path, tmp_path: Path) -> None:
    report = tune(tiny, [str(slides)], tmp_path / "run", steps=1, name="ours")
    first, second = ModelFile.from_bytes(tiny.read_bytes()), find_model(report.model)
    assert second.card["name"] == "ours"
    assert second.card["data"] == {"own sources": "its user's"}
    assert second.card["from"] == {"name": "tiny", "data": {slides.name: "CC0"}, "sha256": first.digest}
    assert str(slides) not in json.dumps(second.card)
    again = tune(report.model, [str(slides)], tmp_path / "again", steps=1)
    card = find_model(again.model).card
    assert card["name"] == "ours-tuned"
    assert card["from"]["from"] == second.card["from"]
    assert card["config"]["ycbcr"] == 0.0
    rates = [find_model(path).card["config"]["learning_rate"] for path in (tiny, report.model, again.model)]
    assert rates[0] == pytest.approx(3 * rates[1])
    assert rates[2] == rates[1]


def test_pictures_of_y_cb_cr_are_learned_as_such(tiny: Path, tmp_path: Path) -> None:
    for n in range(5):
        ycc = np.moveaxis(tissue(120, 120, n).astype(np.int32), 2, 0)
        rgb = ycbcr.to_rgb("ycbcr", np.stack([ycc[0], (ycc[1] - 128) // 4, (ycc[2] - 128) // 4]))
        imagecodecs.imwrite(str(tmp_path / f"{n}.png"), np.ascontiguousarray(np.moveaxis(rgb, 0, 2), np.uint8))
    first = tune(tiny, [str(tmp_path / "*.png")], tmp_path / "run", steps=2)
    assert find_model(first.model).card["config"]["ycbcr"] == 1.0


def test_a_run_that_was_stopped_goes_on_to_the_same_model(tiny: Path, slides: Path, tmp_path: Path) -> None:
    whole = tune(tiny, [str(slides)], tmp_path / "whole", steps=10)

    def stop(report: TrainProgress) -> None:
        if report.step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(tiny, [str(slides)], tmp_path / "run", steps=10, progress=stop)
    seen: list[int] = []
    report = tune(tiny, [str(slides)], tmp_path / "run", steps=10, progress=lambda at: seen.append(at.step))
    assert seen[0] > 1
    assert Path(report.model).read_bytes() == Path(whole.model).read_bytes()
    with pytest.raises(ConfigError, match="holds a run of another configuration"):
        tune(tiny, [str(slides)], tmp_path / "run", steps=11)
    with pytest.raises(ConfigError, match="holds a run that learned from other data"):
        tune(tiny, [str(slides / "slide.tif")], tmp_path / "run", steps=10)


def test_a_run_that_started_from_another_model_is_not_gone_on_with(tiny: Path, slides: Path, tmp_path: Path) -> None:
    model = find_model(tiny)
    other = tmp_path / "other.safetensors"
    card = {**model.card, "note": "the same networks, another file"}
    other.write_bytes(ModelFile(model.codec, model.networks, card, structure=model.structure).to_bytes())
    tune(tiny, [str(slides)], tmp_path / "run", steps=1)
    with pytest.raises(ConfigError, match="holds a run that started from another model"):
        tune(other, [str(slides)], tmp_path / "run", steps=1)


def test_grey_sources_leave_the_flow_of_colours_alone(tiny: Path, tmp_path: Path) -> None:
    for n in range(5):
        imagecodecs.imwrite(str(tmp_path / f"{n}.png"), tissue(120, 120, n, 1).squeeze())
    report = tune(tiny, [str(tmp_path / "*.png")], tmp_path / "run", steps=30)
    before, after = find_model(tiny).networks, find_model(report.model).networks
    for name in before:
        same = all(map(np.array_equal, before[name].weights, after[name].weights))
        assert same == name.startswith("p3"), name


def test_a_model_that_does_not_say_how_it_was_made_is_refused(tiny: Path, slides: Path, tmp_path: Path) -> None:
    model = find_model(tiny)
    path = tmp_path / "bare.safetensors"
    path.write_bytes(ModelFile(model.codec, model.networks, {"name": "bare"}, structure=model.structure).to_bytes())
    with pytest.raises(ModelError, match=r"bare.safetensors: its card does not say how it was made"):
        tune(path, [str(slides)], tmp_path / "run", steps=1)
    assert not (tmp_path / "run").exists()


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_from_the_command_line_to_an_archive_that_holds_the_model(tiny: Path, slides: Path, tmp_path: Path) -> None:
    tuned = run("tune", tiny, slides, "--out", tmp_path / "run", "--name", "ours", "--steps", 3, "--json")
    assert tuned.exit_code == 0, tuned.output
    report = json.loads(tuned.stdout)
    assert report["codec"] == "idf"
    assert report["before"] > 0
    folder = tmp_path / "archive"
    done = run("archive", slides, folder, "--model", report["model"], "--local", "--json")
    assert done.exit_code == 0, done.output
    Path(report["model"]).unlink()
    back = run("restore", folder, tmp_path / "back")
    assert back.exit_code == 0, back.output
    for path in slides.iterdir():
        assert (tmp_path / "back" / slides.name / path.name).read_bytes() == path.read_bytes()
        assert set(open_archive(f"{folder}/{slides.name}/{path.name}").manifest.models) == {"idf"}


def test_what_tuning_prints_says_what_it_is_worth(tiny: Path, slides: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.xml").write_text("<Annotations/>")
    said = run("tune", tiny, slides, tmp_path / "notes.xml", "--out", tmp_path / "run", "--steps", 1)
    assert said.exit_code == 0, said.output
    assert "sources that it did not learn from" in said.output
    assert "not worth a model of its own" in said.output
    assert "notes.xml: left out: archives code it without a flow" in said.output


def test_a_model_that_is_worth_it_is_recommended(capsys: pytest.CaptureFixture[str]) -> None:
    report = TuneReport(
        "ours.safetensors", "idf", 4.0, 3.9, False, 2, 7, {f"{n}.xml": "it is too small" for n in range(7)}
    )
    tuning._show(report)
    said = capsys.readouterr()
    assert "4.0000 bits a sample before, 3.9000 after (-2.5%)" in said.out
    assert "other places of the same sources" in said.out
    assert "haarchive archive SOURCES ARCHIVE --model ours.safetensors\n" in said.out
    assert "4.xml: left out" in said.err
    assert "and 2 more sources left out" in said.err


def test_ctrl_c_says_how_to_go_on(tiny: Path, slides: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("haarchive.pipeline.jobs.tune.fit", stopped)
    said = run("tune", tiny, slides, "--out", tmp_path / "run")
    assert said.exit_code == 130
    assert "goes on from the last checkpoint" in said.output


def test_a_model_and_other_flows_exclude_each_other(tiny: Path, slides: Path, tmp_path: Path) -> None:
    said = run("archive", slides, tmp_path / "archive", "--model", tiny, "--codec", "haar")
    assert said.exit_code == 2
    assert "tiny.safetensors: of idf, but 'haar' was asked for" in " ".join(said.output.split())
    assert not (tmp_path / "archive").exists()


def test_a_submitted_job_keeps_a_model_of_ones_own_in_the_archive(tiny: Path, slides: Path, tmp_path: Path) -> None:
    said = run("submit", "--address", "127.0.0.1:9", "--job", "one", "--model", tiny, slides, tmp_path / "archive")
    assert "no Ray job server answers" in said.stderr
    record = load_job(open_store(tmp_path / "archive"), "one")
    assert record.config["codec"] == "idf"
    assert record.models == {"idf": find_model(tiny).digest}
    assert str(tiny) not in json.dumps(record.config)


def test_a_name_that_is_no_files_is_told_before_anything_is_trained(tiny: Path, slides: Path, tmp_path: Path) -> None:
    steps: list[TrainProgress] = []
    for name in ("ours/second", "..", "/ours"):
        with pytest.raises(ConfigError, match="cannot name a folder"):
            tune(tiny, slides, tmp_path / "run", name=name, steps=1, progress=steps.append)
    assert not steps
    assert not (tmp_path / "run").exists()


def test_models_of_ones_own_in_python(tiny: Path, slides: Path, tmp_path: Path) -> None:
    report = archive(slides / "0.png", tmp_path / "archive", models=tiny)
    assert report.sources[0].status == "archived"
    with pytest.raises(ConfigError, match="'haar' was asked for"):
        archive(slides / "0.png", tmp_path / "other", models=[tiny], codec="haar")
    assert set(open_archive(tmp_path / "archive" / "0.png").manifest.models) == {"idf"}
    assert haarchive.pipeline.tune is tune


def test_a_model_that_is_not_there_is_told(slides: Path, tmp_path: Path) -> None:
    said = run("tune", "idf-large", slides, "--out", tmp_path / "run")
    assert said.exit_code == 1
    assert "those that come with haarchive are" in " ".join(said.output.split())
