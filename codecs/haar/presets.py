"""How much time the encoder and the decoder of a flow may take for fewer bytes.

A preset only says what the encoder writes; every bitstream tells its decoder what it needs to know.
"""

from __future__ import annotations

from typing import Literal, get_args

__all__ = ["DEFAULT_PRESET", "PRESETS", "Preset"]

Preset = Literal["fast", "balanced", "max"]

PRESETS: tuple[Preset, ...] = get_args(Preset)
"""From the fastest to the smallest."""

DEFAULT_PRESET: Preset = "balanced"
