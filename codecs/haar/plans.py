"""What each preset means for pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from haarchive.codecs.haar.band_fit import Effort
from haarchive.codecs.haar.presets import Preset

__all__ = ["PLANS", "Plan"]


@dataclass(frozen=True)
class Plan:
    """What takes part in coding a picture. The bitstream says what a decoder must know of it.

    Parameters
    ----------
    effort : Effort
        How much the encoder searches.
    networks : bool
        Whether integer networks predict, too.
    rich : bool
        Whether predictors choose from the long list of taps, and small bands have fitted ones.
    grids : bool
        Whether periodic grids are looked for.
    trial : bool
        Whether colour transforms are tried on the middle of a picture, or only estimated.
    occurrences : float
        Bits a sample that weights of sample values must save, about, to be used. They cost a tenth of the speed.
    choose : bool
        Whether small pictures are coded without networks, too, and the shorter is taken.
    """

    effort: Effort
    networks: bool
    rich: bool
    grids: bool
    trial: bool
    occurrences: float
    choose: bool = False


PLANS: Mapping[Preset, Plan] = MappingProxyType(
    {
        "fast": Plan(Effort(8192, 1, quick=True), networks=False, rich=False, grids=True, trial=False, occurrences=0.1),
        "balanced": Plan(Effort(16384, 2), networks=False, rich=True, grids=True, trial=True, occurrences=0.01),
        "max": Plan(Effort(65536, 2), networks=True, rich=True, grids=True, trial=True, occurrences=0.01, choose=True),
    }
)
