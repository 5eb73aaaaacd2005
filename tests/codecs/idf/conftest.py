"""Codecs for the tests of idf."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from idf_models import KINDS, made_codec

from haarchive.codecs.idf.codec import IdfCodec

MADE = [("pyramid", False), ("pyramid", True), ("paper", True), ("coupled", False)]
"""Small models, and whether the codec adapts."""


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Small convolutions gain nothing from threads, and lose much where the cores are busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session", params=MADE, ids=str)
def made(request: pytest.FixtureRequest) -> IdfCodec:
    """The codec with small models of each kind, with adaptive couplings or without."""
    kind, adaptive = request.param
    return made_codec(kind, adaptive)


@pytest.fixture(scope="session", params=KINDS)
def adapting(request: pytest.FixtureRequest) -> IdfCodec:
    """The codec with each small model, with adaptive couplings."""
    return made_codec(request.param)
