"""Training runs: from made pictures and recordings to model files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import soundfile
import torch

from haarchive.codecs.errors import ConfigError, ModelError, SourceUnreadableError
from haarchive.codecs.haar.image import HaarCodec
from haarchive.codecs.intnet.modelfile import ModelFile
from haarchive.pipeline.jobs.train import TrainProgress, _denormals_flushed, train
from haarchive.pipeline.jobs.train_config import FlowConfig, TrainConfig, load_train_config

IMAGE = TrainConfig(
    name="tiny",
    codec="haar",
    train=("pictures",),
    validation=("pictures",),
    flows=(FlowConfig(planes=3, channels=4, blocks=1), FlowConfig(planes=1, channels=4, blocks=0)),
    levels=2,
    crop=(16, 16),
    batch=2,
    steps=3,
    validate_every=1,
    licences={"pictures": "CC0"},
)
SOUND = TrainConfig(
    name="tiny-sound",
    codec="haar-audio",
    train=("sounds",),
    flows=(FlowConfig(planes=1, channels=4, blocks=0, kernel=(1, 5)),),
    levels=2,
    crop=(1, 256),
    batch=2,
    steps=2,
    validate_every=1,
)


class Interrupted(Exception):  # noqa: N818  # it is no error
    """What stops a run in the middle."""


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    """The same sums in the same order, whatever else the cores do."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of pictures and sounds."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    (folder / "pictures").mkdir()
    for n, (height, width) in enumerate([(24, 40), (33, 20)]):
        ramp = np.add.outer(np.arange(height) * 3, np.arange(width) * 2)[..., None] + np.array([0, 40, 80])
        image = (ramp % 200 + rng.integers(0, 20, (height, width, 3))).astype(np.uint8)
        imagecodecs.imwrite(str(folder / "pictures" / f"{n}.png"), image)
    (folder / "sounds").mkdir()
    wave = np.sin(np.arange(2000)[:, None] / (7, 9)) * 8000 + rng.normal(0, 50, (2000, 2))
    soundfile.write(folder / "sounds" / "a.flac", wave.astype(np.int16), 8000, subtype="PCM_16")
    soundfile.write(folder / "sounds" / "b.wav", (wave[:, :1] / 20000), 8000, subtype="PCM_24")
    return folder


def stop_after(step: int) -> Callable[[TrainProgress], None]:
    def stop(progress: TrainProgress) -> None:
        if progress.step == step:
            raise Interrupted

    return stop


def test_a_run_gives_a_model_that_the_codec_takes(data: Path, tmp_path: Path) -> None:
    model = train(IMAGE, data, tmp_path / "run")
    assert model == tmp_path / "run" / "tiny.safetensors"
    codec = HaarCodec.load(model.read_bytes())
    image = imagecodecs.imread(str(data / "pictures" / "0.png"))
    assert np.array_equal(codec.decode(codec.encode([image]))[0], image)


def test_a_run_of_sound_gives_a_model(data: Path, tmp_path: Path) -> None:
    parsed = ModelFile.from_bytes(train(SOUND, data, tmp_path / "run").read_bytes())
    assert parsed.codec == "haar-audio"
    assert set(parsed.networks) == {"p1.h"}


def test_a_run_reports_every_step_and_logs_its_validations(data: Path, tmp_path: Path) -> None:
    reports: list[TrainProgress] = []
    train(IMAGE, data, tmp_path / "run", progress=reports.append)
    assert [report.step for report in reports] == [1, 2, 3]
    assert all(np.isfinite(report.loss) and report.loss > 0 for report in reports)
    assert set(reports[-1].validation) == {"p3/pictures", "p1/pictures"}
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3]
    assert lines[-1]["validation"] == reports[-1].validation


def test_the_model_card_names_data_and_licences(data: Path, tmp_path: Path) -> None:
    model = ModelFile.from_bytes(train(IMAGE, data, tmp_path / "run").read_bytes())
    assert model.card["data"] == {"pictures": "CC0"}
    assert model.card["config"]["steps"] == 3
    sound = ModelFile.from_bytes(train(SOUND, data, tmp_path / "sound").read_bytes())
    assert sound.card["data"] == {"sounds": "not stated"}


def test_the_same_run_gives_the_same_model(data: Path, tmp_path: Path) -> None:
    first, second = (train(IMAGE, data, tmp_path / name).read_bytes() for name in ("a", "b"))
    assert first == second
    other = train(IMAGE.model_copy(update={"seed": 1}), data, tmp_path / "c").read_bytes()
    a, b = (ModelFile.from_bytes(content).networks["p3.v"].weights[0] for content in (first, other))
    assert not np.array_equal(a, b)


@pytest.mark.parametrize("config", [IMAGE, SOUND], ids=["pictures", "sounds"])
def test_a_resumed_run_gives_the_model_of_an_undisturbed_one(data: Path, tmp_path: Path, config: TrainConfig) -> None:
    undisturbed = train(config, data, tmp_path / "undisturbed").read_bytes()
    with pytest.raises(Interrupted):
        train(config, data, tmp_path / "run", progress=stop_after(1))
    assert not list((tmp_path / "run").glob("*.safetensors"))
    reports: list[TrainProgress] = []
    resumed = train(config, data, tmp_path / "run", progress=reports.append).read_bytes()
    assert reports[0].step == 2
    assert resumed == undisturbed


def test_a_finished_run_gives_its_model_again(data: Path, tmp_path: Path) -> None:
    first = train(IMAGE, data, tmp_path / "run").read_bytes()
    reports: list[TrainProgress] = []
    assert train(IMAGE, data, tmp_path / "run", progress=reports.append).read_bytes() == first
    assert reports == []


def test_another_configuration_in_the_same_folder_is_refused(data: Path, tmp_path: Path) -> None:
    train(IMAGE, data, tmp_path / "run")
    other = IMAGE.model_copy(update={"learning_rate": 0.5})
    with pytest.raises(ConfigError, match=r"run of another configuration; choose another --out"):
        train(other, data, tmp_path / "run")


def test_fine_tuning_starts_from_the_integers_of_a_model(data: Path, tmp_path: Path) -> None:
    start = train(IMAGE, data, tmp_path / "start")
    # Steps too small to move any weight to another integer.
    still = IMAGE.model_copy(update={"learning_rate": 1e-12, "steps": 1, "seed": 5})
    tuned = train(still, data, tmp_path / "tuned", start_from=start)
    fresh = train(still, data, tmp_path / "fresh")
    networks = [ModelFile.from_bytes(path.read_bytes()).networks for path in (start, tuned, fresh)]
    for name in networks[0]:
        weights = [network[name].weights for network in networks]
        assert all(np.array_equal(a, b) for a, b in zip(weights[0], weights[1], strict=True))
        assert not all(np.array_equal(a, b) for a, b in zip(weights[0], weights[2], strict=True))


def test_fine_tuning_moves_the_weights(data: Path, tmp_path: Path) -> None:
    start = train(IMAGE, data, tmp_path / "start")
    fast = IMAGE.model_copy(update={"learning_rate": 0.5})
    tuned = train(fast, data, tmp_path / "tuned", start_from=start)
    a, b = (ModelFile.from_bytes(path.read_bytes()).networks["p3.v"].weights for path in (start, tuned))
    assert not all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_fine_tuning_refuses_a_model_of_other_layers(data: Path, tmp_path: Path) -> None:
    start = train(IMAGE, data, tmp_path / "start")
    wider = IMAGE.model_copy(update={"flows": (FlowConfig(planes=3, channels=6, blocks=1), IMAGE.flows[1])})
    with pytest.raises(ModelError, match="other layers"):
        train(wider, data, tmp_path / "tuned", start_from=start)


def test_no_partial_files_are_left(data: Path, tmp_path: Path) -> None:
    train(IMAGE, data, tmp_path / "run")
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "checkpoint.pt",
        "log.jsonl",
        "tiny.safetensors",
    ]


def test_a_missing_data_folder_is_a_clear_error(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no training files there; is --data right"):
        train(IMAGE.model_copy(update={"train": ("elsewhere",)}), data, tmp_path / "run")


def test_files_smaller_than_a_crop_are_a_clear_error(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="as large as a crop"):
        train(IMAGE.model_copy(update={"crop": (64, 64)}), data, tmp_path / "run")


def test_a_file_that_is_no_picture_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "broken.png").write_bytes(b"no picture")
    with pytest.raises(SourceUnreadableError, match=r"broken\.png: cannot be read for training"):
        train(IMAGE, tmp_path, tmp_path / "run")


def test_a_crop_that_the_levels_do_not_divide_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="divisible"):
        train(IMAGE.model_copy(update={"crop": (18, 16)}), data, tmp_path / "run")


@pytest.mark.parametrize("name", ["haar-image", "haar-audio"])
def test_the_configurations_of_the_shipped_models_are_valid(name: str) -> None:
    config = load_train_config(name)
    assert config.name == name
    assert set(config.licences) >= set(config.train)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name: [", "not valid YAML"),
        ("name: x\ncodec: haar\n", "train: Field required"),
        (
            "name: x\ncodec: mp3\ntrain: [a]\nsteps: 1\nflows: [{planes: 3, channels: 8, blocks: 1}]\n",
            "codec",
        ),
        (
            "name: x\ncodec: haar\ntrain: [a]\nsteps: 0\nflows: [{planes: 3, channels: 8, blocks: 1}]\n",
            "steps",
        ),
        (
            "name: x\ncodec: haar\ntrain: [a]\nsteps: 1\nspeed: 9\nflows: []\n",
            "speed",
        ),
    ],
)
def test_a_configuration_that_is_not_valid_is_a_clear_error(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=says):
        load_train_config(path)


def test_a_missing_configuration_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        load_train_config(tmp_path / "nowhere.yaml")


def test_training_leaves_the_process_able_to_hold_denormals():
    with _denormals_flushed():
        pass
    assert np.float64(5e-324) * 1.0 > 0
