"""How flows are laid out."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from idf_models import DENSENET, RESNET, architecture, made_flow, picture
from idf_models import placed as placed_flow

from haarchive.codecs.errors import ConfigError
from haarchive.codecs.idf.architecture import Architecture, NetworkShape
from haarchive.codecs.idf.codec import IdfCodec
from haarchive.codecs.idf.objective import TrainableFlow
from haarchive.codecs.idf.steps import Coupling, FactorOut, Haar, Permute, Squeeze
from haarchive.codecs.intnet.modelfile import ModelFile
from haarchive.codecs.intnet.spec import layer_widths
from haarchive.pipeline.jobs.train_config import load_train_config


def paper(planes: int = 3, levels: int = 3, couplings: int = 8, triangular: bool = False) -> Architecture:
    return Architecture(planes, "none", levels, couplings, "none", 2, triangular, 5, DENSENET, DENSENET)


def haar(rows: int = 2, couplings: int = 0, planes: int = 3, levels: int = 2) -> Architecture:
    return Architecture(planes, "none", levels, couplings, "haar", rows, False, 5, RESNET, RESNET)


def test_a_level_of_the_paper_squeezes_permutes_and_couples_then_factors_out() -> None:
    steps = paper(levels=2, couplings=2).steps("p3")
    kinds = [type(step) for step in steps]
    level = [Squeeze, Permute, Coupling, Permute, Coupling]
    assert kinds == [*level, FactorOut, *level]


@pytest.mark.parametrize(("levels", "couplings"), [(1, 1), (3, 8), (2, 5)])
def test_there_are_so_many_levels_and_couplings(levels: int, couplings: int) -> None:
    steps = paper(levels=levels, couplings=couplings).steps("p3")
    assert sum(isinstance(step, Squeeze) for step in steps) == levels
    assert sum(isinstance(step, Coupling) for step in steps) == levels * couplings
    # The last level keeps all of its channels for the mixture.
    assert sum(isinstance(step, FactorOut) for step in steps) == levels - 1


def test_couplings_of_the_paper_change_a_quarter_and_half_is_factored_out() -> None:
    steps = paper().steps("p3")
    couplings = [(step.kept, step.changed) for step in steps if isinstance(step, Coupling)]
    assert couplings == [(9, 3)] * 8 + [(18, 6)] * 8 + [(36, 12)] * 8
    assert [(step.kept, step.taken) for step in steps if isinstance(step, FactorOut)] == [(6, 6), (12, 12)]


def test_permutations_are_those_of_the_seed() -> None:
    orders = [
        [step.order for step in replace(paper(), seed=seed).steps("p3") if isinstance(step, Permute)]
        for seed in (0, 0, 1)
    ]
    assert orders[0] == orders[1] != orders[2]
    assert len(set(orders[0])) == 24


def test_a_level_on_haar_lifting_factors_out_its_three_details_one_after_the_other() -> None:
    steps = haar().steps("p3")
    assert [type(step) for step in steps] == [Squeeze, Haar, FactorOut, FactorOut, FactorOut] * 2
    factored = [(step.network, step.kept, step.taken) for step in steps if isinstance(step, FactorOut)]
    assert factored[:3] == [("p3.l1.ho", 9, 3), ("p3.l1.he", 6, 3), ("p3.l1.v", 3, 3)]
    assert [name for name, *_ in factored[3:]] == ["p3.l2.ho", "p3.l2.he", "p3.l2.v"]


def test_a_level_of_sound_halves_its_length_only() -> None:
    steps = haar(rows=1, planes=1).steps("p1")
    assert steps[:3] == (Squeeze(1, 2), Haar(2), FactorOut("p1.l1.h", 1, 1, False))
    assert len(steps) == 6


def test_couplings_on_haar_lifting_change_the_bands_in_turn_and_leave_their_order() -> None:
    steps = haar(couplings=5, levels=1).steps("p3")
    x = torch.arange(12).reshape(1, 12, 1, 1)
    changed = []
    for before, coupling, after in zip(steps[2::3], steps[3::3], steps[4::3], strict=False):
        if not isinstance(coupling, Coupling):
            break
        assert isinstance(before, Permute)
        assert isinstance(after, Permute)
        y = before.forward(x)
        changed.append(y[0, coupling.kept :, 0, 0].tolist())
        assert torch.equal(after.forward(y), x)
    bands = [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]
    assert changed == [*bands, bands[0]]


def test_names_of_networks_are_all_different() -> None:
    for of in (paper(), haar(couplings=3)):
        names = [step.network for step in of.steps("p3") if isinstance(step, Coupling | FactorOut)]
        assert len(set(names)) == len(names)
        assert all(name.startswith("p3.") for name in names)


def test_too_few_channels_for_a_coupling_are_refused() -> None:
    with pytest.raises(ConfigError, match="only 2"):
        replace(paper(planes=1), rows=1).steps("p1")


def test_a_densenet_adds_its_channels_in_layers_and_keeps_what_it_was_given() -> None:
    layers = NetworkShape("densenet", 5, 64).layers(9, 7)
    widths = layer_widths(layers)
    entering = widths[:-1:2]  # of each pointwise layer, and of the last one
    assert entering[0] == 9
    assert entering[-1] == 9 + 64
    assert [b - a for a, b in itertools.pairwise(entering)] == [12, 13, 13, 13, 13]
    assert [layer.kernel for layer in layers] == [(1, 1), (3, 3)] * 5 + [(3, 3)]
    assert widths[-1] == 7


def test_a_resnet_has_residual_layers_that_see_the_whole_picture_where_asked() -> None:
    layers = replace(RESNET, depth=3).layers(9, 7)
    assert [layer.residual for layer in layers] == [False, True, True, True, False]
    assert [layer.context for layer in layers] == [False, True, True, True, False]
    assert not any(layer.context for layer in replace(RESNET, context=False).layers(9, 7))


def test_the_papers_preset_has_its_size() -> None:
    of = load_train_config("idf-paper").flows[0].architecture(2, 0)  # type: ignore[union-attr]
    assert (of.levels, of.couplings, of.coupling.depth, of.coupling.channels) == (3, 8, 12, 512)
    assert (of.transform, of.triangular, of.mixture) == ("none", False, 5)
    parameters, products, level = 0, 0.0, 0
    for step in of.steps("p3"):
        level += isinstance(step, Squeeze)
        if isinstance(step, Coupling | FactorOut):
            layers = of.network_layers(step)
            weights = sum(layer.out_channels * layer.in_channels * math.prod(layer.kernel) for layer in layers)
            parameters += weights + sum(layer.out_channels for layer in layers)
            products += weights / 4**level  # a level has a quarter of the places of the one before
    assert parameters == pytest.approx(58e6, rel=0.02)
    assert products == pytest.approx(6.3e6, rel=0.02)


def test_the_papers_preset_trains_and_codes_at_a_reduced_size() -> None:
    torch.manual_seed(0)
    image = picture(48, 64)
    flows, networks = {}, {}
    for config in load_train_config("idf-paper").flows:
        of = config.architecture(2, 0)  # type: ignore[union-attr]
        of = replace(of, couplings=1, coupling=replace(of.coupling, depth=1, channels=4))
        flow = TrainableFlow(f"p{of.planes}", replace(of, prior=replace(of.prior, depth=1, channels=4)))
        x = np.moveaxis(image[..., : of.planes].astype(np.int32) - 128, 2, 0)[None]
        optimiser = torch.optim.Adam(flow.parameters(), 0.03)
        losses = []
        for _ in range(25):
            optimiser.zero_grad()
            loss = flow(torch.from_numpy(x.copy()))
            loss.backward()
            optimiser.step()
            flow.project()
            losses.append(loss.item())
        assert losses[-1] < 7.5 < losses[0]
        exported, of_flow = flow.export()
        flows[flow.name] = exported.describe()
        networks |= of_flow
    codec = IdfCodec.load(ModelFile("idf", networks, structure={"flows": flows}).to_bytes(), adaptive=False)
    for one in (image, picture(48, 64, 4, seed=2)):
        (bitstream,) = codec.encode([one])
        assert len(bitstream.bands) in (1, 3)
        assert np.array_equal(codec.decode([bitstream])[0], one)


@pytest.mark.parametrize("of", [paper(levels=2, couplings=2), haar(couplings=4), architecture("coupled", 3)], ids=str)
def test_what_is_laid_out_can_be_made(of: Architecture) -> None:
    flow, networks = made_flow("p3", of)
    assert set(flow.networks) == set(networks)
    placed_flow(flow, networks)
