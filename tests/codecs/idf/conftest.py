"""Codecs for the tests of idf."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from idf_models import KINDS, made_codec

from haarchive.codecs.idf.codec import IdfCodec


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Small convolutions gain nothing from threads, and lose much where the cores are busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session", params=[(kind, adaptive) for kind in KINDS for adaptive in (False, True)], ids=str)
def made(request: pytest.FixtureRequest) -> IdfCodec:
    """The codec with each small model, with adaptive couplings and without."""
    kind, adaptive = request.param
    return made_codec(kind, adaptive)


@pytest.fixture(scope="session", params=KINDS)
def adapting(request: pytest.FixtureRequest) -> IdfCodec:
    """The codec with each small model, with adaptive couplings."""
    return made_codec(request.param)
