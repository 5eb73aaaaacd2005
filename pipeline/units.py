"""Quantities for people."""

from __future__ import annotations

__all__ = ["human_bytes", "human_seconds"]


def human_bytes(n: float) -> str:
    """A size: '1.9 MB', decimal units."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(n) < 999.5:
            return f"{n:.0f} {unit}" if unit == "B" else f"{n:.3g} {unit}"
        n /= 1000
    return f"{n:.4g} TB"


def human_seconds(seconds: float) -> str:
    """A span of time: '0.4 s', '12 min 5 s', '3 h 20 min'."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
