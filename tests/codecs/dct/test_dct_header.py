"""What a bitstream of dct begins with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from dct_models import made_history
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from haarchive.codecs.dct.header import MOST_PIXELS, read_header, write_header
from haarchive.codecs.dct.history import History
from haarchive.codecs.dct.inverse import INVERSES
from haarchive.codecs.dct.sampling import NO_SEAMS, SAMPLINGS, Seams
from haarchive.codecs.errors import BitstreamError

FIXED = 13


def same(one: History, other: History) -> bool:
    steps = other.steps
    alike = one.steps.dtype == steps.dtype and np.array_equal(one.steps, steps)
    return alike and vars(one) | {"steps": steps} == vars(other)


@settings(max_examples=60)
@given(
    height=st.integers(31, 65536), width=st.integers(31, 65536), quality=st.integers(1, 100),
    kind=st.sampled_from([None, *SAMPLINGS]), grey=st.booleans(), down=st.integers(0, 15), across=st.integers(0, 15),
    inverse=st.sampled_from(INVERSES), outside=st.booleans(),
)  # fmt: skip
def test_histories_come_back(
    height: int,
    width: int,
    quality: int,
    kind: tuple[int, int] | None,
    grey: bool,
    down: int,
    across: int,
    inverse: str,
    outside: bool,
) -> None:
    assume(height * width <= MOST_PIXELS)
    planes = 1 if grey and kind is None else 3
    history = made_history((height, width, planes), quality, kind or (1, 1), (down, across), converted=kind is not None)
    history = replace(history, inverse=inverse, frame_converted=outside and _may_be_converted(history))
    data = write_header(history)
    assert len(data) == FIXED + planes
    back, earlier, end = read_header(data + b"more")
    assert end == len(data)
    assert not earlier
    assert same(back, history)


def _may_be_converted(history: History) -> bool:
    return history.converted and not history.region.is_all_of(history.shape)


def test_steps_that_are_nobodys_come_back() -> None:
    history = made_history((64, 80, 3))
    steps = history.steps.copy()
    steps[1] = np.random.default_rng(0).integers(1, 256, 64)
    steps[2, 63] = 255
    history = replace(history, steps=steps)
    data = write_header(history)
    assert len(data) == FIXED + 1 + 2 * 65
    assert same(read_header(data)[0], history)


def test_units_may_reach_beyond_the_picture_by_less_than_a_whole_one() -> None:
    history = replace(made_history((60, 70, 3), sampling=(2, 2)), origin=(-15, -3), units=(5, 5))
    assert same(read_header(write_header(history))[0], history)
    covered, region = history.covered, history.region
    assert (covered.top, covered.left, covered.bottom, covered.right) == (-15, -3, 65, 77)
    assert (region.top, region.left, region.bottom, region.right) == (0, 0, 60, 70)
    assert history.seen == (slice(15, 75), slice(3, 73))
    luma, chroma = history.cut(0), history.cut(1)
    assert np.flatnonzero(~luma.all(axis=1)).tolist() == [2, 3, 4, 5, 6, 7, 8]
    assert np.flatnonzero(~luma.all(axis=0)).tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    assert np.flatnonzero(~chroma.all(axis=1)).tolist() == [1, 2, 3]
    assert np.flatnonzero(~chroma.all(axis=0)).tolist() == [1, 2, 3]
    for units in ((6, 5), (5, 6)):
        with pytest.raises(BitstreamError):
            read_header(write_header(replace(history, units=units)))


def tiled(rows: Seams, columns: Seams, sampling: tuple[int, int] = (2, 2)) -> History:
    return replace(made_history((130, 150, 3), sampling=sampling, origin=(5, 3)), seams=(rows, columns))


@pytest.mark.parametrize(
    "seams",
    [(Seams(53, 96), NO_SEAMS), (NO_SEAMS, Seams(3 + 64, 0)), (Seams(5 + 16, 16), Seams(3 + 128, 256))], ids=str,
)  # fmt: skip
def test_seams_come_back(seams: tuple[Seams, Seams]) -> None:
    history = tiled(*seams)
    data = write_header(history)
    assert len(data) == FIXED + 8 + 3
    back, _, end = read_header(data + b"more")
    assert end == len(data)
    assert same(back, history)
    for length in range(FIXED, FIXED + 8):
        with pytest.raises(BitstreamError, match="cut short"):
            read_header(data[:length])


def test_seams_before_there_were_any_are_refused() -> None:
    data = write_header(tiled(Seams(53, 96), NO_SEAMS))
    with pytest.raises(BitstreamError, match="header of a dct bitstream is damaged"):
        read_header(bytes([2 << 4 | data[0] & 15]) + data[1:])


@pytest.mark.parametrize(
    "history",
    [
        tiled(Seams(54, 96), NO_SEAMS), tiled(Seams(53, 95), NO_SEAMS), tiled(Seams(5 + 144, 16), NO_SEAMS),
        tiled(Seams(53, 16), Seams(0, 16)), tiled(Seams(53, 0), NO_SEAMS, (1, 2)),
        tiled(NO_SEAMS, Seams(19, 0), (1, 1)),
    ],
    ids=lambda history: f"{history.seams} {history.sampling}",
)  # fmt: skip
def test_seams_where_there_can_be_none_are_refused(history: History) -> None:
    with pytest.raises(BitstreamError, match="header of a dct bitstream is damaged"):
        read_header(write_header(history))


def test_blocks_are_counted_from_the_origin() -> None:
    history = made_history((101, 99, 3), sampling=(2, 2), origin=(13, 2))
    assert history.units == (5, 6)
    region = history.region
    assert (region.top, region.left, region.bottom, region.right) == (13, 2, 93, 98)
    assert history.grid(0) == (10, 12)
    assert history.grid(1) == history.grid(2) == (5, 6)


def changed(**bytes_at: int) -> bytes:
    """The header of a picture in 4:4:4 with some bytes replaced, by ``at<place>``."""
    data = bytearray(write_header(made_history((64, 80, 3))))
    for name, value in bytes_at.items():
        data[int(name[2:])] = value
    return bytes(data)


@pytest.mark.parametrize(
    "data",
    [
        # Flags and planes:
        changed(at0=0x37), changed(at0=0x3F), changed(at0=0x32), changed(at0=0x34), changed(at1=0), changed(at1=1),
        changed(at1=2), changed(at1=4), changed(at1=255),
        # Origin, height and width, units down and across:
        changed(at2=16), changed(at2=0x100 - 16), changed(at3=0x80), changed(at4=47), changed(at6=63),
        changed(at8=0), changed(at8=10), changed(at10=0), changed(at10=12), changed(at11=1),
        # Tables:
        changed(at13=201), changed(at14=255), changed(at15=0), changed(at13=0) + bytes(64),
        changed()[:0], changed()[:11], changed()[:12], changed()[:13], changed()[:15],
    ],
    ids=lambda data: data.hex()[:32],
)  # fmt: skip
def test_damaged_headers_are_refused(data: bytes) -> None:
    with pytest.raises(BitstreamError, match="header of a dct bitstream is"):
        read_header(data)


def test_headers_of_earlier_versions_are_read() -> None:
    data = changed()
    for version, rest in ((1, data[1:12] + data[13:]), (2, data[1:])):
        history, earlier, end = read_header(bytes([version << 4 | data[0] & 15]) + rest)
        assert earlier
        assert end == 1 + len(rest)
        assert same(history, read_header(data)[0])


@pytest.mark.parametrize("version", [0, 4, 15])
def test_other_versions_are_refused(version: int) -> None:
    with pytest.raises(BitstreamError, match=f"version {version} is not one of .*: update"):
        read_header(changed(at0=version << 4 | 1))


def test_a_step_of_zero_is_refused() -> None:
    history = made_history((64, 80, 1))
    steps = np.arange(1, 65)[None]
    data = bytearray(write_header(replace(history, steps=steps)))
    assert read_header(bytes(data))[0].steps.min() == 1
    data[FIXED + 1 + 30] = 0
    with pytest.raises(BitstreamError):
        read_header(bytes(data))
