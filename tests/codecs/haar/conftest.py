"""Codecs for the tests of haar."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from haar_models import tiny_codec
from numpy.typing import NDArray

from haarchive.codecs.haar.image import HaarCodec
from haarchive.codecs.haar.presets import PRESETS


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Small convolutions gain nothing from threads, and lose much where the cores are busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session", params=PRESETS)
def tiny(request: pytest.FixtureRequest) -> HaarCodec:
    """The image codec with a tiny model, of each preset."""
    return tiny_codec(request.param)


@pytest.fixture(scope="session")
def everything() -> HaarCodec:
    """The image codec with a tiny model and all that a preset can ask for."""
    return tiny_codec("max")


@pytest.fixture(scope="session", params=PRESETS)
def shipped(request: pytest.FixtureRequest) -> HaarCodec:
    """The image codec as users get it, of each preset."""
    return HaarCodec.load(preset=request.param)


@pytest.fixture(scope="session")
def histology() -> NDArray[np.uint8]:
    """A real picture, ``(512, 512, 3) uint8``: stained tissue."""
    data = pytest.importorskip("skimage.data")
    image: NDArray[np.uint8] = data.immunohistochemistry()
    return image
