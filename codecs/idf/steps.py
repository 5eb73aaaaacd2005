r"""The layers of an integer discrete flow, as values that a model file can hold, and what they do to integers.

After "Integer Discrete Flows and Lossless Compression" (Hoogeboom, Peters, van den Berg, Welling, NeurIPS 2019),
sections 3 and 4 and figure 4. A flow is a list of steps, applied in order to encode and backwards to decode; every
one of them maps integers to integers and back exactly:

- `Squeeze` moves the samples of each square of four into channels;
- `Haar` is a fixed coupling of what a squeeze gives: the S-transform;
- `Permute` reorders channels;
- `Coupling` translates the last channels by what a network makes of the others;
- `FactorOut` takes the last channels out, to be coded given the others.

Tensors are ``(N, C, H, W) int32``. Networks see them clamped and, of sources with more than 8 bits, shifted right;
what they give is shifted left again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

import torch
from torch import Tensor

from haarchive.codecs.errors import ModelError
from haarchive.codecs.intnet.training import round_through

__all__ = [
    "COEFFICIENT_BITS",
    "LOCATION_BITS",
    "Coupling",
    "FactorOut",
    "Haar",
    "Permute",
    "Squeeze",
    "Step",
    "n_coefficients",
    "step_from_description",
]

LOCATION_BITS = 4
"""Networks give translations and locations in 1/16."""

COEFFICIENT_BITS = 7
"""Networks give the coefficients of lower triangular couplings in 1/128."""


@dataclass(frozen=True)
class _Described:
    kind: ClassVar[str]

    def describe(self) -> dict[str, Any]:
        """JSON-able."""
        values = {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}
        return {"step": self.kind, **values}


@dataclass(frozen=True)
class Squeeze(_Described):
    """Space to channels (section 4).

    Channel ``(i * columns + j) * C + c`` of the result is channel c of row i and column j of each cell.

    Parameters
    ----------
    rows, columns : int
        Of a cell: 2 and 2 for pictures, 1 and 2 for sound. Where a side is no multiple, its last row or column is
        repeated.
    """

    kind = "squeeze"
    rows: int
    columns: int

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, H, W)`` to ``(N, rows * columns * C, ceil(H / rows), ceil(W / columns))``."""
        n, channels, height, width = x.shape
        down, across = -height % self.rows, -width % self.columns
        if down or across:
            x = torch.cat([x, x[:, :, -1:].expand(-1, -1, down, -1)], 2)
            x = torch.cat([x, x[:, :, :, -1:].expand(-1, -1, -1, across)], 3)
        height, width = height + down, width + across
        x = x.reshape(n, channels, height // self.rows, self.rows, width // self.columns, self.columns)
        return x.permute(0, 3, 5, 1, 2, 4).reshape(n, -1, height // self.rows, width // self.columns)

    def inverse(self, x: Tensor, shape: tuple[int, int]) -> Tensor:
        """Undo `forward` of samples of this height and width."""
        n, channels, height, width = x.shape
        x = x.reshape(n, self.rows, self.columns, channels // (self.rows * self.columns), height, width)
        x = x.permute(0, 3, 4, 1, 5, 2).reshape(n, -1, height * self.rows, width * self.columns)
        return x[:, :, : shape[0], : shape[1]]


@dataclass(frozen=True)
class Haar(_Described):
    """The S-transform (`haarchive.codecs.haar.lifting`) of the cells that a squeeze made: two fixed couplings.

    Of four channels groups a, b, c, d (the cell's samples in reading order) it makes ll, v, he, ho: the low band, the
    vertical detail of the columns' low band, the horizontal details of the upper and of the lower row. Of two, the low
    band and the detail.

    Parameters
    ----------
    cells : int
        Samples of a cell: 4 or 2.
    """

    kind = "haar"
    cells: int

    def forward(self, x: Tensor) -> Tensor:
        """Transform ``(N, cells * C, H, W)``."""
        if self.cells == 2:
            low, high = x.chunk(2, 1)
            high = high - low
            return torch.cat([low + _half(high), high], 1)
        a, b, c, d = x.chunk(4, 1)
        he, ho = b - a, d - c
        upper, lower = a + _half(he), c + _half(ho)
        v = lower - upper
        return torch.cat([upper + _half(v), v, he, ho], 1)

    def inverse(self, x: Tensor) -> Tensor:
        """Undo `forward`."""
        if self.cells == 2:
            low, high = x.chunk(2, 1)
            low = low - _half(high)
            return torch.cat([low, low + high], 1)
        ll, v, he, ho = x.chunk(4, 1)
        upper = ll - _half(v)
        lower = upper + v
        a, c = upper - _half(he), lower - _half(ho)
        return torch.cat([a, a + he, c, c + ho], 1)


@dataclass(frozen=True)
class Permute(_Described):
    """Reorder channels: channel n of the result is channel ``order[n]``."""

    kind = "permute"
    order: tuple[int, ...]

    def forward(self, x: Tensor) -> Tensor:
        """Reorder ``(N, C, H, W)``."""
        return x[:, list(self.order)]

    def inverse(self, x: Tensor) -> Tensor:
        """Undo `forward`."""
        back = [0] * len(self.order)
        for n, source in enumerate(self.order):
            back[source] = n
        return x[:, back]


@dataclass(frozen=True)
class Coupling(_Described):
    r"""Integer discrete coupling (section 3.1): :math:`z_a = x_a, z_b = x_b + \lfloor t(x_a) \rceil`.

    Lower triangular (appendix B): channel i of :math:`x_b` also moves by
    :math:`\sum_{j<i} L_{ij}(x_a)\, x_{b,j}`, inside of the same rounding.

    Parameters
    ----------
    network : str
        From the first `kept` channels to the translations of the `changed` others in 1/16, then (where `triangular`)
        the coefficients below the diagonal, row by row, in 1/128.
    kept, changed : int
    triangular : bool
    """

    kind = "coupling"
    network: str
    kept: int
    changed: int
    triangular: bool

    @property
    def outputs(self) -> int:
        """Channels that the network gives."""
        return self.changed + n_coefficients(self.changed, self.triangular)


@dataclass(frozen=True)
class FactorOut(_Described):
    """Factor-out (sections 2.1 and 3.2): the last channels are coded given the first ones.

    The prior is the discretised logistic, whose location and scale a network gives. A location has a fraction: its
    integer part is the translation of one more coupling, which shares the prior's network; it may be lower triangular.

    Parameters
    ----------
    network : str
        From the first `kept` channels to the locations of the `taken` others in 1/16, their log-scales in 1/64
        octave, then (where `triangular`) coefficients as of a `Coupling`.
    kept, taken : int
    triangular : bool
    """

    kind = "factor-out"
    network: str
    kept: int
    taken: int
    triangular: bool

    @property
    def outputs(self) -> int:
        """Channels that the network gives."""
        return 2 * self.taken + n_coefficients(self.taken, self.triangular)


Step = Squeeze | Haar | Permute | Coupling | FactorOut

_KINDS: dict[str, type[Step]] = {kind.kind: kind for kind in (Squeeze, Haar, Permute, Coupling, FactorOut)}


def step_from_description(description: Mapping[str, Any]) -> Step:
    """Read what `describe` of a step gave.

    Raises
    ------
    ModelError
        If there is no such step, or its parameters are not those.
    """
    kind = _KINDS.get(description.get("step", ""))
    values: dict[str, Any] = {
        name: tuple(v) if isinstance(v, list) else v for name, v in description.items() if name != "step"
    }
    types = {name: type(value).__name__ for name, value in values.items()}
    if kind is None or types != {field.name: str(field.type).partition("[")[0] for field in fields(kind)}:
        raise ModelError(f"a step of the flow is not known: {dict(description)}; update haarchive")
    step: Step = kind(**values)
    return step


def _half(x: Tensor) -> Tensor:
    """Half of integers, rounded down; in training they are floats, whose gradient passes the rounding."""
    return round_through(x * 0.5 - 0.25) if x.is_floating_point() else x >> 1


def n_coefficients(channels: int, triangular: bool) -> int:
    """Coefficients below the diagonal."""
    return channels * (channels - 1) // 2 if triangular else 0
