"""Bitstreams that must stay as they are: archives hold such.

`make_dwt_golden` writes the file, after a deliberate change of the format only. That encoders give these very bytes is
asked of the decoder's part alone: the search is in floating point, and another processor may round it otherwise.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest
from make_dwt_golden import GOLDEN, PICTURES

from haarchive.codecs.base import Bitstream
from haarchive.codecs.dwt.codec import DwtCodec
from haarchive.codecs.dwt.component import Component, code_component
from haarchive.codecs.dwt.header import read_header
from haarchive.codecs.rans.stream import OperationList, WordReader


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    result: dict[str, Any] = json.loads(GOLDEN.read_text())
    return result


@pytest.mark.parametrize("name", PICTURES)
def test_a_bitstream_of_old_decodes_to_its_samples(golden: dict[str, Any], name: str) -> None:
    (decoded,) = DwtCodec().decode([Bitstream((base64.b64decode(golden[name]["band"]),))])
    assert np.array_equal(decoded, PICTURES[name])


@pytest.mark.parametrize("name", ["cut", "whole", "no edge"])  # behind the components "clipped" has outliers
def test_its_components_are_coded_by_the_same_bytes(golden: dict[str, Any], name: str) -> None:
    band = base64.b64decode(golden[name]["band"])
    header, begin = read_header(band)
    reader, again = WordReader(band[begin:]), OperationList()
    components: list[Component] = []
    coded: list[Component] = []
    for axes in header.component_axes:
        components.append(code_component(None, axes, header.steps, components, reader))
        coded.append(code_component(components[-1].pyramid, axes, header.steps, coded, again))
    assert again.to_bytes() == band[begin:]


@pytest.mark.parametrize("name", PICTURES)
def test_todays_encoder_is_not_worse(golden: dict[str, Any], name: str) -> None:
    (bitstream,) = DwtCodec().encode([PICTURES[name]])
    assert bitstream.nbytes <= 1.002 * golden[name]["size"]
