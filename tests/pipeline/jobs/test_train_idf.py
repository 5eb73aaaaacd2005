"""Training flows of the codec idf on pictures: from a folder to a model file that codes, and on from there."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray

from haarchive.codecs.errors import ConfigError, ModelError
from haarchive.codecs.idf.codec import IdfCodec
from haarchive.codecs.intnet.modelfile import ModelFile
from haarchive.pipeline.jobs.train import TrainProgress, train
from haarchive.pipeline.jobs.train_config import (
    FlowConfig,
    IdfFlowConfig,
    NetworkConfig,
    TrainConfig,
    load_train_config,
)
from haarchive.pipeline.jobs.train_data import load_corpus

RESNET = NetworkConfig(kind="resnet", depth=1, channels=4, context=True)
DENSENET = NetworkConfig(kind="densenet", depth=2, channels=4, high=255)
CONFIG = TrainConfig(
    name="tiny",
    codec="idf",
    train=("pictures",),
    validation=("pictures",),
    flows=(
        IdfFlowConfig(
            planes=3, levels=2, couplings=0, transform="haar", triangular=True, colour="ycocg-r", coupling=RESNET,
            prior=RESNET,
        ),
        IdfFlowConfig(planes=1, levels=2, couplings=2, coupling=DENSENET, prior=DENSENET),
    ),
    crop=(16, 16),
    batch=2,
    steps=4,
    validate_every=2,
    degrade=0.5,
)  # fmt: skip


def picture(side: int = 48, seed: int = 0) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    y, x, c = np.ogrid[:side, :side, :3]
    return (120 + 60 * np.sin(x / 7 + c) + 30 * np.cos(y / 5) + rng.normal(0, 3, (side, side, 3))).astype(np.uint8)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two pictures."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "pictures").mkdir()
    for n in range(2):
        imagecodecs.imwrite(str(folder / "pictures" / f"{n}.png"), picture(seed=n))
    return folder


def test_a_run_gives_a_model_that_codes_pictures(data: Path, tmp_path: Path) -> None:
    reports: list[TrainProgress] = []
    path = train(CONFIG, data, tmp_path / "run", progress=reports.append)
    assert [report.step for report in reports] == [1, 2, 3, 4]
    assert set(reports[-1].validation) == {"p3/pictures", "p1/pictures"}
    for adaptive in (False, True):
        codec = IdfCodec.load(path.read_bytes(), adaptive=adaptive)
        for one in (picture(40), picture(33)[..., :1], picture(20, 3)):
            assert np.array_equal(codec.decode(codec.encode([one]))[0], one)


def test_an_interrupted_run_goes_on_to_the_same_model(data: Path, tmp_path: Path) -> None:
    whole = train(CONFIG, data, tmp_path / "whole").read_bytes()

    def stop(report: TrainProgress) -> None:
        if report.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(CONFIG, data, tmp_path / "cut", progress=stop)
    assert train(CONFIG, data, tmp_path / "cut").read_bytes() == whole


def test_fine_tuning_begins_with_the_model_that_was_given(data: Path, tmp_path: Path) -> None:
    first = train(CONFIG, data, tmp_path / "first")
    still = CONFIG.model_copy(update={"steps": 1, "learning_rate": 1e-12})
    again = ModelFile.from_bytes(train(still, data, tmp_path / "again", start_from=first).read_bytes())
    model = ModelFile.from_bytes(first.read_bytes())
    for flow, same_flow in zip(model.structure["flows"].values(), again.structure["flows"].values(), strict=True):
        assert flow["steps"] == same_flow["steps"]
        for field, parameters in flow["prior"].items():  # shares of the mixture go through a logarithm and back
            assert np.abs(np.subtract(parameters, same_flow["prior"][field])).max() <= 16
    for name, network in model.networks.items():
        for weight, same in zip(network.weights, again.networks[name].weights, strict=True):
            assert np.array_equal(weight, same)


def test_a_flow_of_another_layout_cannot_be_started_from(data: Path, tmp_path: Path) -> None:
    first = train(CONFIG, data, tmp_path / "first")
    deeper = CONFIG.flows[1].model_copy(update={"couplings": 1})
    with pytest.raises(ModelError, match="laid out otherwise"):
        train(CONFIG.model_copy(update={"flows": (CONFIG.flows[0], deeper)}), data, tmp_path / "run", start_from=first)
    single = CONFIG.model_copy(update={"flows": CONFIG.flows[1:], "name": "single"})
    of_one = train(single, data, tmp_path / "single")
    with pytest.raises(ConfigError, match="no flow of 3 planes"):
        train(CONFIG, data, tmp_path / "other", start_from=of_one)


def test_flows_must_be_those_of_the_codec() -> None:
    with pytest.raises(ValueError, match="those of 'idf' have other fields"):
        TrainConfig(name="x", codec="idf", train=("a",), steps=1, flows=(FlowConfig(planes=3, channels=4, blocks=0),))


def test_degraded_examples_carry_the_traces_of_a_lossy_codec(data: Path) -> None:
    def high(degrade: float) -> float:
        corpus = load_corpus(CONFIG.model_copy(update={"degrade": degrade}), ("pictures",), data)
        rng = np.random.default_rng(3)
        batches = [corpus.batch(rng, 3, "ycocg-r")[0] for _ in range(20)]
        return float(np.abs(np.diff(np.concatenate(batches), n=2, axis=3)).mean())

    assert high(1.0) < 0.9 * high(0.0)  # noise goes first


def test_examples_as_of_other_cameras_are_asked_for(data: Path) -> None:
    def batch(**changes: float) -> NDArray[np.int32]:
        corpus = load_corpus(CONFIG.model_copy(update={"degrade": 0.0, "batch": 16, **changes}), ("pictures",), data)
        return corpus.batch(np.random.default_rng(7), 3, "ycocg-r")[0]

    assert np.array_equal(batch(), batch(camera=0.0))
    shifts = np.abs(batch(camera=1.0)[:, 0].mean(axis=(1, 2)) - batch()[:, 0].mean(axis=(1, 2)))
    assert shifts.max() > 15  # exposed otherwise


def test_examples_as_ycbcr_are_given_as_the_codec_gives_what_decoders_made(data: Path) -> None:
    whole = CONFIG.model_copy(update={"ycbcr": 1.0, "degrade": 0.0, "crop": (48, 48), "batch": 8})
    x, _ = load_corpus(whole, ["pictures"], data).batch(np.random.default_rng(1), 3, "ycocg-r")
    # Both pictures, turned and mirrored in eight ways.
    pictures = [
        np.rot90(picture(seed=n), turn)[:, ::step].astype(np.float64)
        for n in (0, 1)
        for turn in range(4)
        for step in (1, -1)
    ]
    subsampled = 0
    for luma, cr, cb in -x.astype(np.float64) * np.array([-1, 1, 1])[:, None, None]:
        luma = luma + 128
        rgb = np.stack([luma + 1.402 * cr, luma - 0.344136 * cb - 0.714136 * cr, luma + 1.772 * cb], 2)
        off = min((np.abs(rgb - original) for original in pictures), key=np.mean)
        # Rounded Y, Cb, Cr are within some 1.5 of the colours; with chroma of half the size luma still is.
        subsampled += bool(off.max() > 2)
        assert np.abs(off @ np.array([0.299, 0.587, 0.114])).mean() < 6
    assert 0 < subsampled < len(x)


def test_ycbcr_is_for_flows_that_know_differences_of_colours() -> None:
    with pytest.raises(ValueError, match="ycocg-r"):
        TrainConfig(**{**dict(CONFIG), "ycbcr": 0.5, "flows": (CONFIG.flows[0].model_copy(update={"colour": "none"}),)})
    with pytest.raises(ValueError, match="ycocg-r"):
        TrainConfig(
            name="tiny",
            codec="haar",
            train=("a",),
            flows=(FlowConfig(planes=3, channels=4, blocks=0),),
            steps=1,
            ycbcr=0.5,
        )


@pytest.mark.parametrize("name", ["idf-histology", "idf-small", "idf-paper", "idf-cifar10", "idf-audio"])
def test_shipped_configurations_are_valid(name: str) -> None:
    config = load_train_config(name)
    assert config.name == name
    assert all(isinstance(flow, IdfFlowConfig) for flow in config.flows)
    assert all(side % config.divisor == 0 for side in config.crop if side > 1)
