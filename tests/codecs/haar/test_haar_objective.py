"""What training minimises."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from haar_models import picture
from scipy.stats import logistic

from haarchive.codecs.errors import ModelError
from haarchive.codecs.haar import colour
from haarchive.codecs.haar.lifting import split
from haarchive.codecs.haar.objective import HaarFlow, _decorrelated, logistic_bits
from haarchive.codecs.intnet import run_reference


@pytest.mark.parametrize("octaves", [-5.0, -2.0, 0.0, 1.5, 4.0, 12.0])
def test_bits_are_those_of_the_discretised_logistic(octaves: float) -> None:
    s = 2.0**octaves
    distance = np.array([0, 0.25, 0.5, 1, 3.3, 2 * s, 5 * s])
    mass = logistic.sf((distance - 0.5) / s) - logistic.sf((distance + 0.5) / s)
    bits = logistic_bits(torch.from_numpy(distance), torch.tensor(octaves, dtype=torch.float64)).numpy()
    assert bits == pytest.approx(-np.log2(mass), rel=1e-6, abs=1e-9)


def test_bits_stay_finite_far_out() -> None:
    bits = logistic_bits(torch.tensor([0.0, 1e4, 1e6]), torch.tensor(-5.0))
    assert torch.isfinite(bits).all()
    assert bits[2] == pytest.approx(1e6 * 32 / np.log(2), rel=1e-3)


def test_bits_of_all_integers_are_one_distribution() -> None:
    integers = torch.arange(-400, 401, dtype=torch.float64)
    bits = logistic_bits((integers - 0.37).abs(), torch.tensor(3.0, dtype=torch.float64))
    assert torch.exp2(-bits).sum().item() == pytest.approx(1, abs=1e-9)


def example(planes: int = 3) -> torch.Tensor:
    samples = np.moveaxis(picture(32, 48).astype(np.int32), 2, 0)
    x = colour.forward("ycocg-r", np.ascontiguousarray(samples))[:planes]
    x[0] -= 128
    return torch.from_numpy(x[None].copy())


def test_the_loss_has_gradients_for_every_parameter() -> None:
    torch.manual_seed(0)
    flow = HaarFlow("image", 3, 4, 1, (3, 3), 2)
    loss = flow(example())
    loss.backward()
    assert 0 < loss.item() < 20
    for name, parameter in flow.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


def test_the_loss_of_sound_has_gradients_too() -> None:
    torch.manual_seed(0)
    flow = HaarFlow("audio", 1, 4, 1, (1, 5), 3)
    wave = (3000 * np.sin(np.arange(1024) / 9)).astype(np.int32) + np.random.default_rng(0).integers(
        -9, 9, 1024, np.int32
    )
    loss = flow(torch.from_numpy(wave[None, None, None]), torch.full((1, 1, 1, 1), 5, dtype=torch.int32))
    loss.backward()
    assert 0 < loss.item() < 20
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in flow.parameters())


def test_a_picture_that_is_easier_to_predict_costs_fewer_bits() -> None:
    torch.manual_seed(0)
    flow = HaarFlow("image", 3, 4, 1, (3, 3), 2)
    noise = torch.from_numpy(np.random.default_rng(0).integers(-128, 128, (1, 3, 32, 48), np.int32))
    with torch.no_grad():
        assert flow(example()) < 0.8 * flow(noise)


def test_networks_in_training_see_what_they_see_in_the_codec() -> None:
    torch.manual_seed(0)
    flow = HaarFlow("image", 3, 4, 1, (3, 3), 1)
    x = example()
    low, _ = split(x.numpy()[0], 2)
    coarse, _ = split(low, 1)
    network = flow.networks["v"]
    with torch.no_grad():
        trained = network(torch.from_numpy(coarse[None]).float()).numpy()
    assert np.array_equal(trained, run_reference(flow.export()["v"], coarse[None]))


def test_fine_tuning_starts_from_the_networks_of_a_model() -> None:
    torch.manual_seed(1)
    start = HaarFlow("image", 3, 4, 1, (3, 3), 2).export()
    torch.manual_seed(2)
    flow = HaarFlow("image", 3, 4, 1, (3, 3), 2)
    flow.load_integers(start)
    for name, network in flow.export().items():
        assert all(np.array_equal(a, b) for a, b in zip(network.weights, start[name].weights, strict=True))
    with pytest.raises(ModelError):
        HaarFlow("image", 3, 5, 1, (3, 3), 2).load_integers(start)


def errors(seed: int = 0) -> torch.Tensor:
    """What networks leave of three planes that hang together, differently in each of two pictures."""
    rng = np.random.default_rng(seed)
    first, second, third = rng.normal(0, 5, (3, 2, 20, 24))
    share = np.array([0.8, -0.5])[:, None, None]
    return torch.from_numpy(np.stack([first, second + share * first, third - share * second + 2 * first], 1)).float()


def test_what_planes_have_in_common_with_those_before_does_not_count() -> None:
    error = errors()
    rest = _decorrelated(error)
    assert rest.shape == error.shape
    assert torch.equal(rest[:, 0], error[:, 0])
    for picture_errors, left in zip(error.flatten(2).numpy(), rest.flatten(2).numpy(), strict=True):
        for plane in (1, 2):
            before = picture_errors[:plane]
            share = np.linalg.lstsq(before.T, picture_errors[plane], rcond=None)[0]
            assert left[plane] == pytest.approx(picture_errors[plane] - share @ before, abs=0.4)
            correlations = np.corrcoef(np.concatenate([before, left[plane][None]]))[-1, :-1]
            assert np.abs(correlations).max() < 0.02


def test_one_plane_alone_has_nothing_in_common_with_others() -> None:
    error = errors()[:, :1]
    assert torch.equal(_decorrelated(error), error)


def test_gradients_pass_through_what_planes_have_in_common() -> None:
    error = errors().requires_grad_()
    _decorrelated(error)[:, 2].abs().sum().backward()
    assert error.grad is not None
    assert all(error.grad[:, plane].abs().sum() > 0 for plane in range(3))


def test_planes_that_are_all_zero_are_left_as_they_are() -> None:
    assert not _decorrelated(torch.zeros(2, 3, 8, 8)).any()


def test_deep_pictures_are_shown_to_the_networks_as_8_bits() -> None:
    torch.manual_seed(0)
    flow = HaarFlow("image", 3, 4, 1, (3, 3), 2)
    x = example()
    with torch.no_grad():
        plain = flow(x)
        deep = flow(x << 4, torch.full((1, 1, 1, 1), 4, dtype=torch.int32))
    assert deep.item() == pytest.approx(plain.item() + 4, abs=0.25)
