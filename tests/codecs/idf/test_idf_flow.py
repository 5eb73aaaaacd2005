"""What a flow is: which steps fit together, and how a model file tells of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from idf_models import KINDS, architecture, made_flow, made_model, placed

from haarchive.codecs.errors import HaarchiveError, ModelError, ModelNotFoundError
from haarchive.codecs.haar.presets import PRESETS
from haarchive.codecs.idf import shipped
from haarchive.codecs.idf.codec import IdfCodec
from haarchive.codecs.idf.flow import Flow, MixturePrior
from haarchive.codecs.idf.steps import Coupling, FactorOut, Haar, Permute, Squeeze, Step
from haarchive.codecs.intnet.modelfile import ModelFile


def prior(channels: int) -> MixturePrior:
    one = np.ones((channels, 1), np.int64)
    return MixturePrior(one << 16, one, one * 40)


def flow(steps: list[Step], left: int, planes: int = 3, colour: str = "none") -> Flow:
    return Flow(planes, colour, tuple(steps), prior(left))


@pytest.mark.parametrize("planes", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_a_description_gives_the_flow_back(kind: str, planes: int) -> None:
    made, _ = made_flow("p", architecture(kind, planes))
    again = Flow.from_description(json.loads(json.dumps(made.describe())))
    assert (again.planes, again.colour, again.steps) == (made.planes, made.colour, made.steps)
    assert again.prior.tables().sha256() == made.prior.tables().sha256()
    assert again.describe() == made.describe()


@pytest.mark.parametrize(
    ("steps", "left"),
    [
        ([Squeeze(2, 2)], 3),
        ([Squeeze(1, 1)], 3),
        ([Squeeze(0, 2)], 0),
        ([Haar(4)], 3),
        ([Squeeze(2, 2), Haar(3)], 12),
        ([Permute((0, 1))], 3),
        ([Permute((0, 1, 1))], 3),
        ([Permute((0, 1, 3))], 3),
        ([Coupling("t", 2, 2, False)], 3),
        ([Coupling("t", 3, 0, False)], 3),
        ([FactorOut("z", 2, 2, False)], 2),
        ([FactorOut("z", 0, 3, False)], 0),
        ([Squeeze(2, 2), FactorOut("z", 6, 6, False)], 12),
        ([], 2),
    ],
    ids=str,
)
def test_steps_that_do_not_fit_together_are_refused(steps: list[Step], left: int) -> None:
    with pytest.raises(ModelError):
        flow(steps, left)


@pytest.mark.parametrize(("planes", "colour"), [(1, "ycocg-r"), (4, "rgb"), (3, "xyz"), (3, "")])
def test_a_colour_transform_that_does_not_fit_is_refused(planes: int, colour: str) -> None:
    with pytest.raises(ModelError, match="colour transform"):
        flow([], planes, planes, colour)


def test_a_flow_knows_its_levels_and_networks() -> None:
    steps: list[Step] = [
        Squeeze(2, 2),
        Coupling("a", 9, 3, True),
        FactorOut("b", 8, 4, True),
        Squeeze(2, 2),
        FactorOut("c", 3, 29, False),
    ]
    made = flow(steps, 3)
    assert made.levels == 2
    assert made.factored == {1, 2}
    assert made.left == 3
    assert made.networks == {"a": (9, 3 + 3), "b": (8, 8 + 6), "c": (3, 58)}


def level(channels: int = 3) -> list[Step]:
    """A level that leaves the low band."""
    return [Squeeze(2, 2), Haar(4), FactorOut("z", channels, 3 * channels, False)]


def test_haar_lifting_alone_is_a_pyramid() -> None:
    assert flow(level(), 3).pyramid
    assert flow(level() + level(), 3).pyramid


@pytest.mark.parametrize(
    ("steps", "left"),
    [
        ([Squeeze(2, 2), Haar(4)], 12),
        ([Squeeze(2, 2), FactorOut("z", 3, 9, False)], 3),
        ([*level(), Permute((2, 1, 0))], 3),
        ([*level(), Coupling("t", 2, 1, False)], 3),
        # Nothing is factored out at the first level: what is left after it is no picture.
        ([Squeeze(2, 2), Haar(4), Squeeze(2, 2), Haar(4), FactorOut("z", 3, 45, False)], 3),
    ],
    ids=["all channels kept", "no lifting", "permuted", "coupled", "a level kept"],
)
def test_other_flows_are_no_pyramid(steps: list[Step], left: int) -> None:
    assert not flow(steps, left).pyramid


DAMAGE: dict[str, Callable[[dict[str, Any]], object]] = {
    "no planes": lambda d: d.pop("planes"),
    "no steps": lambda d: d.pop("steps"),
    "no prior": lambda d: d.pop("prior"),
    "planes of text": lambda d: d.update(planes="three"),
    "planes of nothing": lambda d: d.update(planes=None),
    "steps of a number": lambda d: d.update(steps=7),
    "a step of text": lambda d: d["steps"].append("haar"),
    "a step of a list": lambda d: d["steps"].append([]),
    "a step of no name": lambda d: d["steps"][0].pop("step"),
    "a step of another name": lambda d: d["steps"][0].update(step="actnorm"),
    "a step whose name is a list": lambda d: d["steps"][0].update(step=["squeeze"]),
    "a step of more": lambda d: d["steps"][0].update(depth=3),
    "a step lost": lambda d: d["steps"].pop(0),
    "a step twice": lambda d: d["steps"].append(d["steps"][-1]),
    "rows of text": lambda d: d["steps"][0].update(rows="2"),
    "rows that are no integer": lambda d: d["steps"][0].update(rows=2.0),
    "a channel that is no integer": lambda d: d["steps"][-1].update(kept=2.5, taken=3.5),
    "no order": lambda d: d["steps"].insert(0, {"step": "permute", "order": 5}),
    "no weights": lambda d: d["prior"].pop("weights"),
    "weights of text": lambda d: d["prior"].update(weights="heavy"),
    "weights of one row": lambda d: d["prior"].update(weights=d["prior"]["weights"][0]),
    "rows of several lengths": lambda d: d["prior"]["locations"][0].pop(),
    "a channel too many": lambda d: [rows.append(rows[0]) for rows in d["prior"].values()],
    "a number of many digits": lambda d: d["prior"]["scales"][0].__setitem__(0, 1 << 80),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_description_is_refused(damage: Callable[[dict[str, Any]], object]) -> None:
    description = made_flow("p", architecture("pyramid", 3))[0].describe()
    damage(description)
    with pytest.raises(ModelError):
        Flow.from_description(description)


@pytest.mark.parametrize("description", [None, [], "flow", {}, 5])
def test_what_describes_no_flow_is_refused(description: Any) -> None:
    with pytest.raises(ModelError):
        Flow.from_description(description)


@pytest.mark.parametrize(("part", "value"), [("weights", 5), ("weights", -1), ("locations", 1 << 30), ("scales", 999)])
def test_a_mixture_out_of_range_is_refused(part: str, value: int) -> None:
    description = prior(3).describe()
    description[part][1] = [value]
    with pytest.raises(ModelError, match="mixture"):
        MixturePrior.from_description(description).tables()


def test_a_flow_whose_network_is_missing_or_another_is_refused() -> None:
    made, networks = made_flow("p", architecture("pyramid", 3))
    first, second, *_ = networks
    with pytest.raises(ModelError, match=first):
        placed(made, {name: network for name, network in networks.items() if name != first})
    with pytest.raises(ModelError, match="no network"):
        placed(made, networks | {first: networks[second]})


def remade(change: Callable[[dict[str, Any]], object], codec: str = "idf") -> bytes:
    """A model file that differs in its structure."""
    model = ModelFile.from_bytes(made_model("pyramid"))
    structure = json.loads(json.dumps(dict(model.structure)))
    change(structure)
    return ModelFile(codec, model.networks, model.card, structure=structure).to_bytes()


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.pop("flows"),
        lambda s: s["flows"].pop("p1"),
        lambda s: s["flows"].update(p2=s["flows"]["p3"]),
        lambda s: s["flows"].update(p3=s["flows"]["p1"]),
        lambda s: s["flows"].update(p1=None),
        lambda s: s["flows"]["p1"]["steps"].pop(),
        lambda s: s.update(flows=[]),
        lambda s: s.update(flows="p1"),
    ],
    ids=["no flows", "no p1", "p2 of three", "p3 of one", "no flow", "a step lost", "a list", "text"],
)
def test_a_model_whose_structure_is_damaged_is_refused(change: Callable[[dict[str, Any]], object]) -> None:
    with pytest.raises(ModelError):
        IdfCodec.load(remade(change))


def test_a_model_of_another_codec_is_refused() -> None:
    with pytest.raises(ModelError, match="belongs to codec 'haar'"):
        IdfCodec.load(remade(lambda s: s, codec="haar"))


def test_a_model_file_that_is_damaged_is_refused() -> None:
    data = bytearray(made_model("pyramid"))
    data[-5] ^= 4
    with pytest.raises(ModelError):
        IdfCodec.load(bytes(data))


@pytest.mark.parametrize("preset", PRESETS)
def test_a_model_that_is_not_installed_is_reported(monkeypatch: pytest.MonkeyPatch, preset: str) -> None:
    monkeypatch.setitem(shipped._FILES, "idf", dict.fromkeys(PRESETS, "idf-nowhere"))
    shipped.shipped_model.cache_clear()
    try:
        with pytest.raises(ModelNotFoundError, match=r"idf-nowhere\.safetensors is missing: reinstall") as caught:
            IdfCodec.load(preset=preset)  # type: ignore[arg-type]
    finally:
        shipped.shipped_model.cache_clear()
    assert isinstance(caught.value, HaarchiveError)
    assert isinstance(caught.value, FileNotFoundError)
