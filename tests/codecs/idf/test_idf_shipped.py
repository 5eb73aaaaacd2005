"""The models that ship."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from haarchive.codecs.haar.presets import PRESETS, Preset
from haarchive.codecs.idf.codec import IdfCodec
from haarchive.codecs.intnet.modelfile import ModelFile


@pytest.fixture(scope="module", params=PRESETS)
def shipped(request: pytest.FixtureRequest) -> IdfCodec:
    """The codec as users get it, of each preset."""
    return IdfCodec.load(preset=request.param)


@pytest.fixture(scope="module")
def tissue() -> NDArray[np.uint8]:
    """A real picture, ``(512, 512, 3) uint8``: stained tissue."""
    data = pytest.importorskip("skimage.data")
    image: NDArray[np.uint8] = data.immunohistochemistry()
    return image


def test_real_tissue_comes_back_at_less_than_half_its_size(shipped: IdfCodec, tissue: NDArray[np.uint8]) -> None:
    image = np.ascontiguousarray(tissue[100:356, 100:356])
    (bitstream,) = shipped.encode([image])
    assert np.array_equal(shipped.decode([bitstream])[0], image)
    assert bitstream.nbytes < 0.5 * image.nbytes


@pytest.mark.parametrize("shape", [(1, 1, 3), (80, 80, 3), (33, 47, 1), (20, 31, 4)], ids=str)
def test_pieces_of_real_tissue_come_back(
    shipped: IdfCodec, tissue: NDArray[np.uint8], shape: tuple[int, int, int]
) -> None:
    image = np.concatenate([tissue, tissue[::-1]], 2)[200 : 200 + shape[0], 50 : 50 + shape[1], : shape[2]]
    assert np.array_equal(shipped.decode(shipped.encode([image]))[0], image)
    deep = image.astype(np.uint16) * 200 + 3
    assert np.array_equal(shipped.decode(shipped.encode([deep]))[0], deep)


@pytest.mark.parametrize("value", [0, 1, 200, 255])
def test_flat_pictures_cost_some_tens_of_bytes(shipped: IdfCodec, value: int) -> None:
    image = np.full((80, 80, 3), value, np.uint8)
    (bitstream,) = shipped.encode([image])
    assert np.array_equal(shipped.decode([bitstream])[0], image)
    assert bitstream.nbytes < 200


def test_noise_costs_nearly_nothing_more_than_its_samples(shipped: IdfCodec) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (80, 80, 3), np.uint8)
    (bitstream,) = shipped.encode([noise])
    assert bitstream.nbytes <= 1.001 * noise.nbytes


@pytest.mark.parametrize("reduce", [1, 2, 3, 4])
def test_a_reduced_picture_looks_like_the_picture(shipped: IdfCodec, tissue: NDArray[np.uint8], reduce: int) -> None:
    image = np.ascontiguousarray(tissue[:128, :160])
    (small,) = shipped.decode(shipped.encode([image]), reduce=reduce)
    side = 1 << reduce
    means = image.reshape(128 // side, side, 160 // side, side, 3).mean(axis=(1, 3))
    assert small.shape == means.shape
    assert np.abs(small - means).mean() < 3


def test_adapting_to_a_picture_pays(tissue: NDArray[np.uint8]) -> None:
    image = np.ascontiguousarray(tissue[:256, :256])
    plain, adapted = (IdfCodec.load(adaptive=adaptive).encode([image])[0].nbytes for adaptive in (False, True))
    assert adapted < 0.95 * plain


@pytest.mark.parametrize("preset", PRESETS)
def test_the_model_says_what_it_was_trained_on(preset: Preset) -> None:
    codec = IdfCodec.load(preset=preset)
    assert codec.model is not None
    model = ModelFile.from_bytes(codec.model)
    assert model.codec == "idf"
    assert model.digest == codec.model_digest
    card = json.dumps(dict(model.card))
    assert "histology/train" in card
    assert "test" not in card
    assert set(model.structure["flows"]) == {"p1", "p3"}


def test_the_larger_model_makes_smaller_bitstreams(tissue: NDArray[np.uint8]) -> None:
    sizes = [IdfCodec.load(preset=preset).encode([tissue])[0].nbytes for preset in PRESETS]
    assert sizes == sorted(sizes, reverse=True)
