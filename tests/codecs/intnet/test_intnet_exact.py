"""Float32 products stay exact whatever else the process asks of torch."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from made_networks import hidden_layers, random_network

from haarchive.codecs.intnet import run_reference
from haarchive.codecs.intnet.exact import exact_float32
from haarchive.codecs.intnet.torch_backend import TorchNetwork

NETWORK = random_network(hidden_layers(3, 16, 6))
X = np.random.default_rng(0).integers(-600, 600, (24, 3, 32, 32), np.int32)


def state() -> tuple[object, ...]:
    """What the process has set."""
    backends = torch.backends
    settings = (backends.mkldnn.conv, backends.mkldnn.matmul, backends.cuda.matmul, backends.cudnn.conv)
    nnpack = backends.nnpack.set_flags(True)[0]
    backends.nnpack.set_flags(nnpack)
    return (nnpack, *(setting.fp32_precision for setting in settings))


EXACT = (False, "ieee", "ieee", "ieee", "ieee")


@pytest.fixture(params=["highest", "high", "medium"])
def asked(request: pytest.FixtureRequest) -> Iterator[str]:
    """What a program may have asked of all its float32 products."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(request.param)
    yield request.param
    torch.set_float32_matmul_precision(before)


@pytest.fixture
def without_onednn() -> Iterator[None]:
    """As torch is on Macs: convolutions of 16 examples and more go to NNPACK, where it is built in."""
    before = torch.backends.mkldnn.enabled
    torch.backends.mkldnn.enabled = False  # type: ignore[assignment]
    yield
    torch.backends.mkldnn.enabled = before


def test_settings_are_exact_inside_and_as_they_were_outside(asked: str) -> None:
    before = state()
    with exact_float32:
        assert state() == EXACT
    assert state() == before
    assert torch.get_float32_matmul_precision() == asked


def test_settings_come_back_after_an_error() -> None:
    before = state()
    with pytest.raises(ZeroDivisionError), exact_float32:
        raise ZeroDivisionError
    assert state() == before


def test_a_thread_that_leaves_does_not_spoil_what_another_computes(asked: str) -> None:
    before = state()
    entered, leave = threading.Event(), threading.Event()

    def first() -> None:
        with exact_float32:
            entered.set()
            leave.wait(60)

    thread = threading.Thread(target=first)
    thread.start()
    assert entered.wait(60)
    with exact_float32:
        leave.set()
        thread.join(60)
        assert not thread.is_alive()
        assert state() == EXACT
        with exact_float32:
            assert state() == EXACT
        assert state() == EXACT
    assert state() == before


def test_many_threads_at_once_leave_no_trace(asked: str) -> None:
    before = state()
    network, wrong = TorchNetwork(NETWORK), []
    expected = run_reference(NETWORK, X[:2])

    def work() -> None:
        for _ in range(50):
            with exact_float32:
                if state() != EXACT:
                    wrong.append("settings")
            if not np.array_equal(network.integers(X[:2]), expected):
                wrong.append("integers")

    # `state` itself turns NNPACK on and off for a moment, which other threads may see: it is not asked for here.
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "integers" not in wrong
    assert state() == before


@pytest.mark.skipif(not torch.backends.nnpack.is_available(), reason="torch has no NNPACK here")
def test_nnpack_by_itself_is_not_exact(without_onednn: None) -> None:
    # Were it, the context would not be needed for its sake, and the next test could not fail.
    rng = torch.Generator().manual_seed(0)
    x = torch.randint(0, 1024, (16, 48, 64, 64), generator=rng).float()
    weight = torch.randint(-20, 20, (48, 48, 3, 3), generator=rng).float() / 256
    expected = torch.nn.functional.conv2d(x.double(), weight.double(), padding=1)
    assert not torch.equal(torch.nn.functional.conv2d(x, weight, padding=1).double(), expected)
    with exact_float32:
        assert torch.equal(torch.nn.functional.conv2d(x, weight, padding=1).double(), expected)


def test_networks_are_exact_on_cpus_without_onednn(without_onednn: None) -> None:
    assert np.array_equal(TorchNetwork(NETWORK).integers(X), run_reference(NETWORK, X))


def test_networks_are_exact_whatever_precision_a_program_asked_for(asked: str) -> None:
    assert np.array_equal(TorchNetwork(NETWORK).integers(X), run_reference(NETWORK, X))
