"""Training a flow for sound: stereo examples, amplitude shifts, and the loss against real bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from idf_sound_models import recording
from numpy.typing import NDArray

from haarchive.codecs.errors import ConfigError
from haarchive.codecs.haar.sound_band import amplitude_shift
from haarchive.codecs.idf.audio import IdfAudioCodec
from haarchive.codecs.idf.flow import Flow
from haarchive.codecs.idf.objective import TrainableFlow
from haarchive.codecs.intnet.modelfile import ModelFile
from haarchive.pipeline.jobs.train import train
from haarchive.pipeline.jobs.train_config import IdfFlowConfig, NetworkConfig, TrainConfig, load_train_config
from haarchive.pipeline.jobs.train_data import load_corpus

_NETWORK = NetworkConfig(kind="resnet", depth=1, channels=4, kernel=(1, 5))
CONFIG = TrainConfig(
    name="tiny",
    codec="idf-audio",
    train=("stereo", "mono"),
    validation=("stereo", "mono"),
    flows=tuple(
        IdfFlowConfig(planes=n, levels=3, couplings=0, transform="haar", coupling=_NETWORK, prior=_NETWORK)
        for n in (2, 1)
    ),
    crop=(1, 256),
    batch=2,
    steps=2,
    validate_every=1,
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a stereo recording, and one of a mono recording."""
    folder = tmp_path_factory.mktemp("data")
    for name, channels in (("stereo", 2), ("mono", 1)):
        (folder / name).mkdir()
        soundfile.write(folder / name / "a.flac", recording(3000, channels), 8000, subtype="PCM_16")
    return folder


def test_a_run_gives_a_model_that_codes_one_and_two_channels(data: Path, tmp_path: Path) -> None:
    codec = IdfAudioCodec.load(train(CONFIG, data, tmp_path / "run").read_bytes(), adaptive=False)
    for channels in (1, 2, 3):
        sound = recording(1000, channels)
        assert np.array_equal(codec.decode(codec.encode([sound]))[0], sound)


def test_pairs_are_drawn_from_recordings_of_two_channels_only(data: Path) -> None:
    corpus = load_corpus(CONFIG, CONFIG.train, data)
    pairs, shift = corpus.batch(np.random.default_rng(0), 2, "none")
    assert pairs.shape == (2, 2, 1, 256)
    assert shift.shape == (2, 1, 1, 1)
    assert shift[0, 0, 0, 0] == amplitude_shift(pairs[0])
    assert corpus.batch(np.random.default_rng(0), 1, "none")[0].shape == (2, 1, 1, 256)
    assert set(corpus.fixed(2)) == {"stereo"}
    assert set(corpus.fixed(1)) == {"stereo", "mono"}


def test_pairs_need_a_recording_of_two_channels(data: Path) -> None:
    with pytest.raises(ConfigError, match="none of the recordings has the 2 channels"):
        load_corpus(CONFIG, ("mono",), data)


def shipped_flow(planes: int) -> TrainableFlow:
    """The shipped flow of so many channels, as if in training."""
    shipped = ModelFile.from_bytes(IdfAudioCodec.load().model or b"")
    (config,) = (flow for flow in load_train_config("idf-audio").flows if flow.planes == planes)
    assert isinstance(config, IdfFlowConfig)
    flow = TrainableFlow(f"p{planes}", config.architecture(1, 0))
    flow.load(Flow.from_description(shipped.structure["flows"][f"p{planes}"]), shipped.networks)
    return flow


def loss(flow: TrainableFlow, sound: NDArray[np.integer], shift: int) -> float:
    """Bits per sample, as training has it."""
    x = torch.from_numpy(np.ascontiguousarray(sound.T)[None, :, None].astype(np.int32))
    with torch.no_grad():
        return float(flow(x, torch.tensor(shift).reshape(1, 1, 1, 1)))


def noise(planes: int) -> NDArray[np.int16]:
    """Quiet noise of low frequencies."""
    white = np.random.default_rng(0).normal(0, 4, (planes, 1 << 15))
    return np.stack([np.convolve(one, 0.9 ** np.arange(60), "same") for one in white], 1).astype(np.int16)


@pytest.mark.parametrize("planes", [1, 2])
def test_the_loss_agrees_with_real_bytes(planes: int) -> None:
    sound = noise(planes)
    bits = loss(shipped_flow(planes), sound, amplitude_shift(sound)) * sound.size
    real = IdfAudioCodec.load(adaptive=False).encode([sound])[0].nbytes * 8
    assert real == pytest.approx(bits, rel=0.01)


@pytest.mark.parametrize("planes", [1, 2])
def test_sound_that_is_eight_times_as_loud_costs_three_bits_more(planes: int) -> None:
    flow, sound = shipped_flow(planes), noise(planes) * 8
    assert loss(flow, sound * 8, 6) - loss(flow, sound, 3) == pytest.approx(3, abs=0.01)


def test_the_configuration_of_the_shipped_model_is_valid() -> None:
    config = load_train_config("idf-audio")
    assert config.sound
    assert {flow.planes for flow in config.flows} == {1, 2}
