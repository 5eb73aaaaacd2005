"""What training minimises is what the exported flow costs."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
import torch
from idf_models import KINDS, architecture, picture, placed
from numpy.typing import NDArray
from scipy.stats import logistic

from haarchive.codecs.errors import ModelError
from haarchive.codecs.haar import colour
from haarchive.codecs.idf.codec import IdfCodec
from haarchive.codecs.idf.flow import Flow
from haarchive.codecs.idf.objective import TrainableFlow
from haarchive.codecs.idf.steps import Coupling
from haarchive.codecs.intnet import IntegerNetwork
from haarchive.codecs.intnet.modelfile import ModelFile

PLANES = 3


def soft(side: int, seed: int) -> NDArray[np.integer]:
    """A picture without edges: what a model expects least costs some bits more or less than the logistic says."""
    return picture(side, side, PLANES, seed=seed, edges=0)


def batch(transform: str, n: int = 2, side: int = 32) -> NDArray[np.int32]:
    """Centred planes ``(N, 3, H, W)`` of pictures."""
    pictures = [np.moveaxis(soft(side, seed).astype(np.int32), 2, 0) for seed in range(n)]
    x = np.stack([colour.forward(transform, one) for one in pictures])
    x[:, : PLANES if transform == "none" else 1] -= 128
    return x


@lru_cache
def trained(kind: str, planes: int = PLANES) -> TrainableFlow:
    """A flow that was trained for a moment, so that nothing of it is as it began."""
    torch.manual_seed(3)
    flow = TrainableFlow(f"p{planes}", architecture(kind, planes))
    x = torch.from_numpy(batch(flow.architecture.colour)[:, :planes])
    optimiser = torch.optim.Adam(flow.parameters(), 0.01)
    for _ in range(15):
        optimiser.zero_grad()
        flow(x).backward()
        optimiser.step()
        flow.project()
    # Scales of the mixture onto their table, as export rounds them: far from the optimum that costs some bits.
    flow.load(*flow.export())
    return flow.requires_grad_(False)


def tail_bits(distance: NDArray[np.float64], scale: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bits of integers at a distance from the location of a discretised logistic (equation 8), in float64."""
    mass = logistic.sf((distance - 0.5) / scale) - logistic.sf((distance + 0.5) / scale)
    result: NDArray[np.float64] = -np.log2(np.maximum(mass, 1e-300))
    return result


def analytic_bits(flow: Flow, networks: dict[str, IntegerNetwork], x: NDArray[np.int32]) -> float:
    """Code length of latents under the exported priors, as equations 8 and 9 have it."""
    *parts, last = placed(flow, networks).analyse(torch.from_numpy(x), 0)
    total = 0.0
    for part in parts:
        assert isinstance(part, tuple)
        step, out = part[0].step, part[0].parameters.numpy().astype(np.float64)
        z = part[1].numpy().astype(np.float64)
        for i in range(step.taken):
            location = out[:, i] / 16
            for j in range(i if step.triangular else 0):
                location = location + out[:, 2 * step.taken + i * (i - 1) // 2 + j] / 128 * z[:, j]
            scale = 2.0 ** np.clip(out[:, step.taken + i] / 64, -5, 8)
            total += tail_bits(np.abs(z[:, i] - location), scale).sum()
    assert isinstance(last, torch.Tensor)
    prior = flow.prior
    for c, z in enumerate(last.numpy().astype(np.float64).transpose(1, 0, 2, 3)):
        mass = np.zeros(z.shape)
        for k in range(prior.weights.shape[1]):
            distance = np.abs(z - prior.locations[c, k] / 16)
            scale = np.array(2.0 ** (prior.scales[c, k] / 8 - 5))
            mass += prior.weights[c, k] / 65536 * 2.0 ** -tail_bits(distance, scale)
        total -= np.log2(mass).sum()
    return total / x.size


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_the_code_length_of_the_exported_flow(kind: str) -> None:
    flow = trained(kind)
    x = batch(flow.architecture.colour)
    assert flow(torch.from_numpy(x)).item() == pytest.approx(analytic_bits(*flow.export(), x), rel=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_what_bitstreams_cost(kind: str) -> None:
    flow, single = trained(kind), trained(kind, 1)
    flows, networks = {}, {}
    for one in (flow, single):
        exported, of_flow = one.export()
        flows[one.name] = exported.describe()
        networks |= of_flow
    codec = IdfCodec.load(ModelFile("idf", networks, structure={"flows": flows}).to_bytes(), adaptive=False)
    image = soft(256, seed=7)
    x = colour.forward(flow.architecture.colour, np.moveaxis(image.astype(np.int32), 2, 0))
    x[: PLANES if flow.architecture.colour == "none" else 1] -= 128
    (bitstream,) = codec.encode([image])
    assert len(bitstream.bands) > 1  # not raw
    assert 8 * bitstream.nbytes / image.size == pytest.approx(flow(torch.from_numpy(x[None])).item(), rel=5e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_fine_tuning_starts_from_the_loss_it_is_given(kind: str) -> None:
    start = trained(kind)
    exported, networks = start.export()
    torch.manual_seed(9)
    flow = TrainableFlow("p3", architecture(kind, PLANES))
    x = torch.from_numpy(batch(flow.architecture.colour))
    before = flow(x).item()
    flow.load(exported, networks)
    assert flow(x).item() == pytest.approx(start(x).item(), rel=1e-3)
    assert before != pytest.approx(start(x).item(), rel=1e-2)
    # Nothing is lost on the way, but for logarithms of weights.
    again, of_again = flow.export()
    assert np.abs(again.prior.weights - exported.prior.weights).max() <= 5
    for part in ("locations", "scales"):
        assert np.array_equal(getattr(again.prior, part), getattr(exported.prior, part))
    for name, network in networks.items():
        assert all(np.array_equal(a, b) for a, b in zip(network.weights, of_again[name].weights, strict=True))


def test_fine_tuning_refuses_a_flow_that_is_laid_out_otherwise() -> None:
    exported, networks = trained("pyramid").export()
    with pytest.raises(ModelError, match="laid out otherwise"):
        TrainableFlow("p3", architecture("coupled", PLANES)).load(exported, networks)
    other_colour = replace(architecture("pyramid", PLANES), colour="rgb")
    with pytest.raises(ModelError, match="laid out otherwise"):
        TrainableFlow("p3", other_colour).load(exported, networks)
    with pytest.raises(ModelError, match="another mixture"):
        TrainableFlow("p3", replace(architecture("pyramid", PLANES), mixture=4)).load(exported, networks)
    wider = replace(architecture("pyramid", PLANES), prior=replace(architecture("pyramid", 3).prior, channels=5))
    with pytest.raises(ModelError, match="other layers"):
        TrainableFlow("p3", wider).load(exported, networks)


@pytest.mark.parametrize("kind", ["paper", "coupled"])
def test_a_flow_begins_as_the_identity_but_for_its_fixed_steps(kind: str) -> None:
    torch.manual_seed(0)
    exported, networks = TrainableFlow("p3", architecture(kind, PLANES)).export()
    fixed = tuple(step for step in exported.steps if not isinstance(step, Coupling))
    without = Flow(exported.planes, exported.colour, fixed, exported.prior)
    x = torch.from_numpy(batch("none"))
    for ours, plain in zip(
        placed(exported, networks).analyse(x, 0), placed(without, networks).analyse(x, 0), strict=True
    ):
        one, other = (part[1] if isinstance(part, tuple) else part for part in (ours, plain))
        assert torch.equal(one, other)


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_of_a_flow_has_gradients_for_every_parameter(kind: str) -> None:
    torch.manual_seed(0)
    flow = TrainableFlow("p3", architecture(kind, PLANES))
    with torch.no_grad():
        for parameter in flow.parameters():  # gradients of what is behind a weight of zero are zero
            parameter += 0.05 * torch.randn_like(parameter)
    loss = flow(torch.from_numpy(batch(flow.architecture.colour)))
    loss.backward()
    assert 0 < loss.item() < 60
    for name, parameter in flow.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.any(), name


def test_training_keeps_networks_inside_their_bound() -> None:
    torch.manual_seed(0)
    flow = TrainableFlow("p3", architecture("paper", PLANES))
    with torch.no_grad():
        for name, parameter in flow.networks.named_parameters():
            if name.endswith("weight"):
                parameter *= 1e4
    with pytest.raises(ModelError, match=r"past the 2\*\*24"):
        flow.export()
    flow.project()
    flow.export()


@pytest.mark.parametrize("logits", [[0.0, 0.0, 0.0], [50.0, -50.0, 0.0], [-1e-3, 1e-3, 0.4]], ids=str)
def test_exported_weights_of_a_mixture_add_up_to_one(logits: list[float]) -> None:
    flow = TrainableFlow("p3", architecture("pyramid", PLANES))
    with torch.no_grad():
        flow.logits.copy_(torch.tensor(logits).repeat(PLANES, 1))
    exported, _ = flow.export()
    assert exported.prior.weights.sum(axis=1).tolist() == [1 << 16] * PLANES
    assert exported.prior.weights[0] / 65536 == pytest.approx(np.exp(logits) / np.exp(logits).sum(), abs=1e-4)
    exported.prior.tables()
