"""What a bitstream of dwt begins with."""

from __future__ import annotations

import numpy as np
import pytest
from dwt_models import STEPS
from hypothesis import assume, given
from hypothesis import strategies as st

from haarchive.codecs.dwt.axis import LEVELS, Axis
from haarchive.codecs.dwt.header import MOST_PIXELS, Header, read_header, write_header
from haarchive.codecs.dwt.steps import LARGEST_STEP, Steps
from haarchive.codecs.errors import BitstreamError

FIXED = 53
STEP = st.integers(1 << 10, LARGEST_STEP - 1)


@st.composite
def sides(draw: st.DrawFn) -> Axis:
    period = draw(st.sampled_from([0, 64, 256, 1024, 65472]))
    begin = draw(st.integers(0, (period or 64) - 1))
    return Axis(begin, begin + draw(st.integers(1, 65536)), period)


@given(
    sides(), sides(), st.lists(STEP, min_size=10, max_size=10), st.one_of(st.none(), st.integers(0, 255)), st.booleans()
)
def test_headers_come_back(rows: Axis, columns: Axis, steps: list[int], constant: int | None, outliers: bool) -> None:
    assume(rows.size * columns.size <= MOST_PIXELS)
    header = Header(rows, columns, Steps(tuple(steps[:LEVELS]), tuple(steps[LEVELS:])), constant, outliers)
    data = write_header(header)
    assert len(data) == FIXED + (constant is not None)
    assert read_header(data + b"more") == (header, len(data))


ROWS, COLUMNS = Axis(3, 103, 256), Axis(5, 105, 256)


def header_of(rows: Axis = ROWS, columns: Axis = COLUMNS, steps: Steps = STEPS) -> bytes:
    return write_header(Header(rows, columns, steps, None, False))


@pytest.mark.parametrize(
    "data",
    [
        header_of(rows=Axis(300, 400, 256)),
        header_of(columns=Axis(64, 164, 0)),
        header_of(rows=Axis(3, 103, 250)),
        header_of(columns=Axis(3, 103, 32)),
        header_of(rows=Axis(0, 65536, 0), columns=Axis(0, 257, 0)),
        header_of(steps=Steps((1023,) * LEVELS, STEPS.high)),
        header_of(steps=Steps(STEPS.mixed, (LARGEST_STEP,) * LEVELS)),
        bytes([header_of()[0] | 4]) + header_of()[1:],
    ],
)
def test_what_cannot_be_is_refused(data: bytes) -> None:
    with pytest.raises(BitstreamError, match="damaged"):
        read_header(data)


def test_cut_headers_and_other_versions_are_refused() -> None:
    data = write_header(Header(Axis(3, 103, 256), Axis(5, 105, 256), STEPS, 7, True))
    for length in range(len(data)):
        with pytest.raises(BitstreamError, match="cut short"):
            read_header(data[:length])
    with pytest.raises(BitstreamError, match="update haarchive"):
        read_header(bytes([data[0] + 16]) + data[1:])


def test_components_share_rows_and_chroma_has_half_the_columns() -> None:
    header = Header(Axis(3, 103, 256), Axis(5, 106, 256), STEPS, None, False)
    luma, cb, cr = header.component_axes
    assert luma == (Axis(3, 103, 256), Axis(5, 106, 256))
    assert cb == cr == (Axis(3, 103, 256), Axis(2, 53, 128))
    assert np.array_equal(cb[1].bounds, [2, 53])
