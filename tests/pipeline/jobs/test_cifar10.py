"""CIFAR-10 from files as its makers publish them: pickles of Python 2, made here opcode by opcode."""

from __future__ import annotations

import io
import pickle
import struct
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from haarchive.codecs.errors import ConfigError, SourceUnreadableError
from haarchive.codecs.idf.architecture import INPUT_LIMIT
from haarchive.codecs.idf.steps import Coupling, FactorOut
from haarchive.codecs.intnet.training import TrainableNetwork
from haarchive.pipeline.jobs.cifar10 import read_cifar10
from haarchive.pipeline.jobs.train import train
from haarchive.pipeline.jobs.train_config import IdfFlowConfig, NetworkConfig, TrainConfig, load_train_config
from haarchive.pipeline.jobs.train_data import load_corpus

PER_BATCH = 4
NAMES = {"train": [f"data_batch_{n}" for n in range(1, 6)], "test": ["test_batch"]}
SMALL = NetworkConfig(kind="densenet", depth=1, channels=4)
TINY = TrainConfig(
    name="tiny-cifar10",
    codec="idf",
    train=("cifar10:train",),
    validation=("cifar10:test",),
    flows=(IdfFlowConfig(planes=3, levels=2, couplings=1, coupling=SMALL, prior=SMALL),),
    crop=(32, 32),
    batch=2,
    steps=1,
)


def text(value: bytes) -> bytes:
    """What Python 2 wrote for a str: the bytes as they are."""
    if len(value) < 256:
        return b"U" + bytes([len(value)]) + value
    return b"T" + struct.pack("<i", len(value)) + value


def number(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def array(rows: NDArray[Any]) -> bytes:
    """An array, as NumPy 1 and Python 2 wrote it in protocol 2."""
    dtype = b"cnumpy\ndtype\n" + text(rows.dtype.str[1:].encode()) + number(0) + number(1) + b"\x87R"
    dtype += b"(" + number(3) + text(rows.dtype.str[:1].encode()) + b"NNN" + number(-1) + number(-1) + number(0) + b"tb"
    made = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n" + number(0) + b"\x85" + text(b"b") + b"\x87R"
    shape = number(rows.shape[0]) + number(rows.shape[1]) + b"\x86"
    return made + b"(" + number(1) + shape + dtype + b"\x89" + text(rows.tobytes()) + b"tb"


def batch(rows: NDArray[Any], labels: int | None = None) -> bytes:
    """A batch file: a dictionary of the batch's name, labels, data and file names."""
    count = len(rows) if labels is None else labels
    numbers = b"](" + b"".join(number(n % 10) for n in range(count)) + b"e"
    names = b"](" + b"".join(text(b"leptodactylus_pentadactylus_s_%06d.png" % n) for n in range(count)) + b"e"
    entries = [
        text(b"batch_label") + text(b"training batch 1 of 5"),
        text(b"labels") + numbers,
        text(b"data") + array(rows),
        text(b"filenames") + names,
    ]
    return b"\x80\x02}(" + b"".join(entries) + b"u."


@pytest.fixture
def pictures() -> NDArray[np.uint8]:
    """Pictures ``(N, 32, 32, 3)`` of all batches, the test batch's last."""
    rng = np.random.default_rng(0)
    ramp = np.add.outer(np.arange(32) * 3, np.arange(32) * 2)[None, :, :, None]
    level = ramp + rng.integers(0, 90, (6 * PER_BATCH, 1, 1, 3)) + rng.integers(0, 9, (6 * PER_BATCH, 32, 32, 3))
    return level.astype(np.uint8)


@pytest.fixture
def data(tmp_path: Path, pictures: NDArray[np.uint8]) -> Path:
    """A folder with the folder of batches."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    rows = pictures.transpose(0, 3, 1, 2).reshape(6, PER_BATCH, 3072)
    for name, part in zip([*NAMES["train"], *NAMES["test"]], rows, strict=True):
        (folder / name).write_bytes(batch(part))
    (folder / "batches.meta").write_bytes(b"\x80\x02}.")
    return tmp_path


@pytest.fixture
def packed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the archive of the same batches, in another order as the published one has them."""
    out = tmp_path_factory.mktemp("packed")
    with tarfile.open(out / "cifar-10-python.tar.gz", "w:gz") as tar:
        for path in sorted((data / "cifar-10-batches-py").iterdir(), reverse=True):
            tar.add(path, f"cifar-10-batches-py/{path.name}")
    return out


def test_batches_give_pictures_with_channels_last_in_the_order_of_the_files(
    data: Path, pictures: NDArray[np.uint8]
) -> None:
    trained = read_cifar10(data, "train")
    assert trained.dtype == np.uint8
    assert np.array_equal(trained, pictures[: 5 * PER_BATCH])
    assert np.array_equal(read_cifar10(data / "cifar-10-batches-py", "test"), pictures[5 * PER_BATCH :])


def test_the_made_batches_are_pickles_that_say_the_same_to_an_ordinary_reader(data: Path) -> None:
    """Else the other tests would prove nothing of the published files."""
    content = (data / "cifar-10-batches-py" / "test_batch").read_bytes()
    names: list[str] = []

    class Reader(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            names.append(f"{module}.{name}")
            if name == "_reconstruct":
                return np.empty(0).__reduce__()[0]
            # NumPy deprecates the numbers that old pickles have for dtype's flags.
            return (lambda kind, *_: np.dtype(kind)) if name == "dtype" else super().find_class(module, name)

    plain = Reader(io.BytesIO(content), encoding="bytes").load()
    assert names == ["numpy.core.multiarray._reconstruct", "numpy.ndarray", "numpy.dtype"]
    assert plain[b"data"].shape == (PER_BATCH, 3072)
    by_us = read_cifar10(data, "test").transpose(0, 3, 1, 2).reshape(PER_BATCH, 3072)
    assert np.array_equal(plain[b"data"], by_us)
    assert plain[b"labels"] == [0, 1, 2, 3]


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_archive_gives_what_its_folder_gives(data: Path, packed: Path, split: Any) -> None:
    expected = read_cifar10(data, split)
    assert np.array_equal(read_cifar10(packed, split), expected)
    assert np.array_equal(read_cifar10(packed / "cifar-10-python.tar.gz", split), expected)


def test_a_pickle_that_asks_for_anything_else_runs_nothing(data: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    evil = b"\x80\x02cos\nmkdir\n" + text(str(victim).encode()) + b"\x85R."
    (data / "cifar-10-batches-py" / "test_batch").write_bytes(evil)
    with pytest.raises(SourceUnreadableError, match=r"test_batch.*os\.mkdir"):
        read_cifar10(data, "test")
    assert not victim.exists()


def test_other_functions_of_numpy_are_refused_too(data: Path) -> None:
    evil = b"\x80\x02cnumpy\nfromfile\n" + text(b"/etc/hostname") + b"\x85R."
    (data / "cifar-10-batches-py" / "test_batch").write_bytes(evil)
    with pytest.raises(SourceUnreadableError, match=r"numpy\.fromfile"):
        read_cifar10(data, "test")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<!DOCTYPE html>",
        b"\x80\x02}.",
        b"\x80\x02](K\x01e.",
        batch(np.zeros((2, 3072), np.uint8), labels=3),
        batch(np.zeros((2, 1024), np.uint8)),
        batch(np.zeros((2, 3072), np.int16)),
        batch(np.zeros((2, 3072), np.uint8))[:-4000],
    ],
    ids=["empty", "a page", "no data", "a list", "labels", "grey", "wide", "cut"],
)
def test_what_is_no_batch_is_named(data: Path, content: bytes) -> None:
    (data / "cifar-10-batches-py" / "data_batch_3").write_bytes(content)
    with pytest.raises(SourceUnreadableError, match="data_batch_3: is no batch of CIFAR-10"):
        read_cifar10(data, "train")
    assert len(read_cifar10(data, "test")) == PER_BATCH


def test_a_missing_batch_is_named(data: Path, packed: Path) -> None:
    (data / "cifar-10-batches-py" / "data_batch_5").unlink()
    with pytest.raises(SourceUnreadableError, match="data_batch_5: is missing"):
        read_cifar10(data, "train")
    with tarfile.open(packed / "cifar-10-python.tar.gz", "w:gz") as tar:
        for path in (data / "cifar-10-batches-py").iterdir():
            tar.add(path)
    with pytest.raises(SourceUnreadableError, match="lacks data_batch_5"):
        read_cifar10(packed, "train")


@pytest.mark.parametrize("keep", [0, 100, 0.5, 0.99], ids=str)
def test_an_archive_that_was_cut_short_is_an_error_that_names_it(packed: Path, keep: float) -> None:
    path = packed / "cifar-10-python.tar.gz"
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if isinstance(keep, float) else keep])
    with pytest.raises(SourceUnreadableError, match=r"cifar-10-python\.tar\.gz"):
        read_cifar10(packed, "train")


def test_a_folder_without_cifar10_is_a_wrong_setting(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no CIFAR-10.*cifar-10-python\.tar\.gz"):
        read_cifar10(tmp_path, "train")
    with pytest.raises(ConfigError, match="there is no CIFAR-10"):
        train(TINY, tmp_path, tmp_path / "run")


def test_sound_is_not_trained_on_pictures(data: Path) -> None:
    sound = TINY.model_copy(update={"codec": "idf-audio", "crop": (1, 256)})
    with pytest.raises(ConfigError, match="cifar10:train: pictures"):
        load_corpus(sound, sound.train, data)


def test_flows_train_on_cifar10_like_on_any_folder(data: Path, tmp_path: Path) -> None:
    measured: dict[str, float] = {}
    model = train(TINY, data, tmp_path / "run", progress=lambda report: measured.update(report.validation))
    assert model.is_file()
    assert list(measured) == ["p3/cifar10:test"]


def test_validation_sees_each_picture_once(data: Path, pictures: NDArray[np.uint8]) -> None:
    corpus = load_corpus(TINY, TINY.validation, data)
    x, _ = corpus.fixed(3, "none")["cifar10:test"]
    assert np.array_equal(x, pictures[5 * PER_BATCH :].transpose(0, 3, 1, 2).astype(np.int32) - 128)


def test_all_planes_are_centred_where_there_is_no_colour_transform_and_else_the_first(data: Path) -> None:
    """As the codec does: else networks would be trained on other numbers than they get."""
    corpus = load_corpus(TINY, TINY.validation, data)
    plain = corpus.fixed(3, "none")["cifar10:test"][0] + 128
    lifted = corpus.fixed(3, "rgb")["cifar10:test"][0]
    assert np.array_equal(lifted[:, 0] + 128, plain[:, 0])
    assert np.array_equal(lifted[:, 1], plain[:, 1] - plain[:, 0])


def test_the_shipped_configuration_is_the_paper_s_architecture() -> None:
    config = load_train_config("idf-cifar10")
    flow = config.flows[0]
    assert isinstance(flow, IdfFlowConfig)
    assert (flow.planes, flow.levels, flow.couplings, flow.mixture) == (3, 3, 8, 5)
    assert (flow.transform, flow.triangular, flow.colour) == ("none", False, "none")
    for network in (flow.coupling, flow.prior):
        assert (network.kind, network.depth, network.channels) == ("densenet", 12, 512)
    assert config.crop == (32, 32)
    assert 1 in {flow.planes for flow in config.flows}, "a model file needs a flow for single planes"


def test_the_paper_s_networks_are_exact_without_smaller_weights() -> None:
    flow = load_train_config("idf-cifar10").flows[0]
    assert isinstance(flow, IdfFlowConfig)
    architecture = flow.architecture(2, 0)
    steps = [step for step in architecture.steps("p3") if isinstance(step, Coupling | FactorOut)]
    for step in {(type(step), step.kept): step for step in steps}.values():
        network = TrainableNetwork(architecture.network_layers(step), -INPUT_LIMIT, INPUT_LIMIT)
        before = {name: weights.clone() for name, weights in network.state_dict().items()}
        network.project()
        assert all(bool((weights == before[name]).all()) for name, weights in network.state_dict().items())
        network.export()  # proves the bound of every sum


def test_photographs_stay_upright_in_training(data: Path, pictures: NDArray[np.uint8]) -> None:
    corpus = load_corpus(TINY, TINY.train, data)
    known = pictures[: 5 * PER_BATCH].transpose(0, 3, 1, 2).astype(np.int32) - 128
    flipped = 0
    for n in range(8):
        x, _ = corpus.batch(np.random.default_rng(n), 3, "none")
        for one in x:
            as_it_was = any(np.array_equal(one, of) for of in known)
            assert as_it_was or any(np.array_equal(one[..., ::-1], of) for of in known)
            flipped += not as_it_was
    assert 0 < flipped < 16
