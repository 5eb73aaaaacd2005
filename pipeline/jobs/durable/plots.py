"""Plots of a job as SVG elements for a page; its style may give their classes other colours, for the dark."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from haarchive.pipeline.jobs.durable.axes import Axis, linear, logarithmic
from haarchive.pipeline.jobs.durable.markup import element, text
from haarchive.pipeline.units import human_bytes

__all__ = ["Amount", "Dot", "Span", "bars", "histogram", "rate_over_time", "scatter"]

_WIDTH, _HEIGHT = 640, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 80, 26, 14, 46
_CELL = 4.0
"""Dots that are nearer than this are one, so that a page of a million sources stays small."""
_TOP_RATIO = 1.5
_BINS = 60
_PER_DECADE = 4
_ROW = 44
_LOOKS = {
    "axis": {"fill": "none", "stroke": "#62625d"},
    "grid": {"fill": "none", "stroke": "#deddd8"},
    "limit": {"fill": "none", "stroke": "#8a8a84", "stroke-dasharray": "4 3"},
    "mark": {"fill": "#2a78d6"},
    "dot": {"fill": "#2a78d6", "fill-opacity": ".6"},
    "pale": {"fill": "#b9d2ee"},
    "start": {"fill": "#62625d", "font-size": "12", "text-anchor": "start"},
    "middle": {"fill": "#62625d", "font-size": "12", "text-anchor": "middle"},
    "end": {"fill": "#62625d", "font-size": "12", "text-anchor": "end"},
}
"""How each class looks where the page says nothing else."""


@dataclass(frozen=True)
class Dot:
    """A source: its size, what part of it the archive takes, its name."""

    size: int
    ratio: float
    name: str


@dataclass(frozen=True)
class Span:
    """Bytes that were worked on from one moment to another, in seconds since the start."""

    start: float
    stop: float
    nbytes: int


@dataclass(frozen=True)
class Amount:
    """Bytes before and after, of what has a name."""

    name: str
    raw: int
    coded: int


def scatter(dots: Sequence[Dot]) -> str:
    """Ratio by size; ratios above 1.5 are drawn at the upper end. Empty sources are left out."""
    dots = [dot for dot in dots if dot.size > 0]
    x = logarithmic((dot.size for dot in dots), human_bytes)
    y = linear(min(_TOP_RATIO, max((dot.ratio for dot in dots), default=1.0)), lambda value: f"{value:g}")
    cells: dict[tuple[int, int], list[Dot]] = defaultdict(list)
    for dot in dots:
        left, top = _place(x, y, dot.size, dot.ratio)
        cells[round(left / _CELL), round(top / _CELL)].append(dot)
    marks = []
    for (column, row), near in sorted(cells.items()):
        one = near[0]
        more = f" and {len(near) - 1} more like it" if len(near) > 1 else ""
        title = element("title", text(f"{one.name}: {human_bytes(one.size)}, {one.ratio:.1%}{more}"))
        radius = min(3 + len(near) ** 0.5 / 2, 8)
        marks.append(_part("circle", title, cx=column * _CELL, cy=row * _CELL, r=round(radius, 1), kind="dot"))
    same = _place(x, y, x.low, 1.0)[1]
    if y.high > 1:
        marks.append(_part("path", d=f"M{_LEFT} {same:.1f}H{_WIDTH - _RIGHT}", kind="limit"))
    return _plot("archived bytes by bytes of the source", x, y, "bytes of the source", "archived / source", marks)


def rate_over_time(spans: Sequence[Span], seconds: float, breaks: Sequence[float] = ()) -> str:
    """Bytes a second from 0 to `seconds`, each span's bytes spread evenly over it; dashed lines at `breaks`."""
    seconds = max(seconds, 1.0, *(span.stop for span in spans)) if spans else max(seconds, 1.0)
    width = seconds / _BINS
    bins = [0.0] * _BINS
    for span in spans:
        start, stop = min(span.start, span.stop), max(span.start, span.stop)
        first, last = int(start / width), min(int(stop / width), _BINS - 1)
        for number in range(min(first, last), last + 1):
            shared = min(stop, (number + 1) * width) - max(start, number * width)
            part = shared / (stop - start) if stop > start else 1.0
            bins[number] += span.nbytes * part
    rates = [nbytes / width for nbytes in bins]
    unit, what = (3600.0, "hours") if seconds > 7200 else (60.0, "minutes") if seconds > 120 else (1.0, "seconds")
    x = Axis(
        0, seconds / unit, tuple(t for t in linear(seconds / unit, _plain).ticks if t[0] <= seconds / unit * 1.001)
    )
    y = linear(max(rates), lambda rate: f"{human_bytes(rate)}/s")
    steps = [f"M{_place(x, y, 0, 0)[0]:.1f} {_place(x, y, 0, 0)[1]:.1f}"]
    for number, rate in enumerate(rates):
        left, top = _place(x, y, number * width / unit, rate)
        right = _place(x, y, (number + 1) * width / unit, rate)[0]
        steps.append(f"L{left:.1f} {top:.1f}H{right:.1f}")
    steps.append(f"V{_HEIGHT - _BOTTOM}Z")
    marks = [_part("path", d="".join(steps), kind="mark")]
    for moment in breaks:
        left = _place(x, y, moment / unit, 0)[0]
        marks.append(_part("path", d=f"M{left:.1f} {_TOP}V{_HEIGHT - _BOTTOM}", kind="limit"))
    return _plot("bytes a second over time", x, y, f"{what} of running", "bytes of sources a second", marks)


def histogram(values: Sequence[float], x_name: str) -> str:
    """How many values lie in each quarter of a decade."""
    edges = logarithmic((max(value, 1e-3) for value in values), _plain)
    count: dict[int, int] = defaultdict(int)
    n_bins = round(_PER_DECADE * _decades(edges))
    for value in values:
        count[min(int(edges.at(max(value, 1e-3)) * n_bins + 1e-9), n_bins - 1)] += 1
    y = linear(max(count.values(), default=1), _plain)
    marks = []
    for number, there in sorted(count.items()):
        low, high = (edges.low * 10 ** ((number + i) / _PER_DECADE) for i in (0, 1))
        left, top = _place(edges, y, low, there)
        right = _place(edges, y, high, there)[0]
        title = element("title", text(f"{low:.3g} to {high:.3g} s: {there} sources"))
        size = {"x": round(left + 1, 1), "y": round(top, 1), "width": round(right - left - 2, 1)}
        marks.append(_part("rect", title, **size, height=round(_HEIGHT - _BOTTOM - top, 1), kind="mark"))
    return _plot("seconds by source", edges, y, x_name, "sources", marks)


def bars(amounts: Sequence[Amount]) -> str:
    """For each name a pale bar of the bytes before, and a full one of those after."""
    height = _TOP + _ROW * max(1, len(amounts)) + _BOTTOM
    x = linear(max((max(one.raw, one.coded) for one in amounts), default=1), human_bytes)
    left = _LEFT + 40
    parts = [
        _part("path", d=f"M{_across(x, tick, left):.1f} {_TOP}V{height - _BOTTOM}", kind="grid") for tick, _ in x.ticks
    ]
    for number, one in enumerate(amounts):
        top = _TOP + number * _ROW + 6
        parts.append(_part("text", text(one.name), x=left - 8, y=top + 20, kind="end"))
        for value, y, kind, what in ((one.raw, top, "pale", "before"), (one.coded, top + 16, "mark", "after")):
            title = element("title", text(f"{one.name}: {human_bytes(value)} {what}"))
            width = round(max(_across(x, value, left) - left, 1), 1)
            parts.append(_part("rect", title, x=left, y=y, width=width, height=14, kind=kind))
    for tick, name in x.ticks:
        place = round(_across(x, tick, left), 1)
        parts.append(_part("text", text(name), x=place, y=height - _BOTTOM + 18, kind="middle"))
    return _svg("bytes by codec", height, parts)


def _plot(title: str, x: Axis, y: Axis, x_name: str, y_name: str, marks: Sequence[str]) -> str:
    foot, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    parts = []
    for value, name in x.ticks:
        left = round(_place(x, y, value, y.low)[0], 1)
        parts.append(_part("path", d=f"M{left} {_TOP}V{foot}", kind="grid"))
        parts.append(_part("text", text(name), x=left, y=foot + 17, kind="middle"))
    for value, name in y.ticks:
        top = round(_place(x, y, x.low, value)[1], 1)
        parts.append(_part("path", d=f"M{_LEFT} {top}H{right}", kind="grid"))
        parts.append(_part("text", text(name), x=_LEFT - 8, y=top + 4, kind="end"))
    parts.append(_part("path", d=f"M{_LEFT} {_TOP}V{foot}H{right}", kind="axis"))
    parts.append(_part("text", text(x_name), x=(_LEFT + right) / 2, y=_HEIGHT - 6, kind="middle"))
    turned = f"rotate(-90 12 {(_TOP + foot) / 2})"
    parts.append(_part("text", text(y_name), x=12, y=(_TOP + foot) / 2, transform=turned, kind="middle"))
    return _svg(title, _HEIGHT, [*parts, *marks])


def _part(name: str, *content: str, kind: str, **attributes: object) -> str:
    return element(name, *content, class_=kind, **_LOOKS[kind], **attributes)


def _svg(title: str, height: float, parts: Sequence[str]) -> str:
    return element("svg", *parts, viewBox=f"0 0 {_WIDTH} {height}", role="img", **{"aria-label": title})


def _place(x: Axis, y: Axis, across: float, up: float) -> tuple[float, float]:
    height = _HEIGHT - _TOP - _BOTTOM
    return _LEFT + x.at(across) * (_WIDTH - _LEFT - _RIGHT), _TOP + (1 - y.at(up)) * height


def _across(x: Axis, value: float, left: float) -> float:
    return left + x.at(value) * (_WIDTH - left - 2 * _RIGHT)


def _decades(axis: Axis) -> int:
    return round(math.log10(axis.high / axis.low))


_plain: Callable[[float], str] = "{:g}".format
