"""A scatter plot as a small SVG file, written by hand: the benchmarks need no plotting library."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

__all__ = ["Point", "scatter"]

_WIDTH, _HEIGHT = 760, 460
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 110, 20, 60
_LINE = 14
_ROWS = 25
_STYLE = """
text { font: 13px sans-serif; fill: #222 }
.axis { stroke: #222; fill: none }
.grid { stroke: #ddd }
.peer { fill: #777 }
.preset { fill: #c2185b }
.part { fill: #f0a0c0 }
text.preset { font-weight: bold }
.line { stroke: #c2185b; fill: none; stroke-dasharray: 4 3 }
"""


@dataclass(frozen=True)
class Point:
    """A point, its name and its kind: 'peer', 'preset' or 'part'.

    Parts have no label; presets of the same `line` are joined by one.
    """

    x: float
    y: float
    name: str
    kind: str
    line: str = ""


def scatter(points: Sequence[Point], x_title: str, y_title: str, x_unit: str = "MB/s") -> str:
    """Draw points over a logarithmic x axis.

    Returns
    -------
    str
        An SVG document; the same for the same numbers.
    """
    low, high = _down(min(p.x for p in points)), _up(max(p.x for p in points))
    least, most = min(p.y for p in points), max(p.y for p in points)
    step = next(step for step in (0.05, 0.1, 0.2, 0.5, 1, 2, 5) if most - least < _ROWS * step)
    first = math.floor(least / step)
    last = max(math.ceil(most / step), first + 1)
    bottom, top = first * step, last * step

    def place(x: float, y: float) -> tuple[float, float]:
        across = math.log(x / low) / math.log(high / low)
        return (
            _LEFT + across * (_WIDTH - _LEFT - _RIGHT),
            _HEIGHT - _BOTTOM - (y - bottom) / (top - bottom) * (_HEIGHT - _TOP - _BOTTOM),
        )

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}">',
        f"<style>{_STYLE}</style>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
    ]
    for x in _decades(low, high):
        left, foot = place(x, bottom)
        lines.append(f'<path class="grid" d="M{left:.1f} {_TOP}V{foot:.1f}"/>')
        lines.append(f'<text x="{left:.1f}" y="{foot + 18:.1f}" text-anchor="middle">{x:g}</text>')
    for n in range(first, last + 1):
        left, height = place(low, n * step)
        lines.append(f'<path class="grid" d="M{left:.1f} {height:.1f}H{_WIDTH - _RIGHT}"/>')
        lines.append(f'<text x="{left - 8:.1f}" y="{height + 4:.1f}" text-anchor="end">{n * step:.2f}</text>')
    lines.append(f'<path class="axis" d="M{_LEFT} {_TOP}V{_HEIGHT - _BOTTOM}H{_WIDTH - _RIGHT}"/>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    lines.append(f'<text x="{middle}" y="{_HEIGHT - 18}" text-anchor="middle">{escape(x_title)}</text>')
    lines.append(
        f'<text x="20" y="{_HEIGHT / 2}" text-anchor="middle" transform="rotate(-90 20 {_HEIGHT / 2})">'
        f"{escape(y_title)}</text>"
    )
    for line in dict.fromkeys(p.line for p in points):
        presets = [place(p.x, p.y) for p in sorted(points, key=lambda p: p.x) if (p.kind, p.line) == ("preset", line)]
        lines.append(f'<polyline class="line" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in presets)}"/>')
    for point in sorted(points, key=lambda p: ("part", "peer", "preset").index(p.kind)):
        x, y = place(point.x, point.y)
        radius = 3 if point.kind == "part" else 5
        title = f"{point.name}: {point.y:.3f}, {point.x:.2f} {x_unit}"
        circle = f'<circle class="{point.kind}" cx="{x:.1f}" cy="{y:.1f}" r="{radius}">'
        lines.append(f"{circle}<title>{escape(title)}</title></circle>")
    labels: list[tuple[float, float, float]] = []
    for point in sorted((p for p in points if p.kind != "part"), key=lambda p: -p.y):
        x, y = place(point.x, point.y)
        x, y, width = x + 9, y + 4, 7.5 * len(point.name)
        while any(abs(y - b) < _LINE and x < a + w and a < x + width for a, b, w in labels):
            y += 1
        labels.append((x, y, width))
        lines.append(f'<text class="{point.kind}" x="{x:.1f}" y="{y:.1f}">{escape(point.name)}</text>')
    return "\n".join([*lines, "</svg>", ""])


def _decades(low: float, high: float) -> Iterator[float]:
    """1, 2 and 5 times powers of ten from `low` to `high`."""
    for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1):
        for digit in (1, 2, 5):
            x = digit * 10.0**power
            if low * 0.999 <= x <= high * 1.001:
                yield x


def _down(x: float) -> float:
    """The largest of 1, 2 and 5 times a power of ten that is not above x."""
    power = 10.0 ** math.floor(math.log10(x))
    return max(digit * power for digit in (1, 2, 5) if digit * power <= x)


def _up(x: float) -> float:
    """The smallest of 1, 2, 5 and 10 times a power of ten that is not below x."""
    power = 10.0 ** math.floor(math.log10(x))
    return min(digit * power for digit in (1, 2, 5, 10) if digit * power >= x)
