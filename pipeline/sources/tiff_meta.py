"""What a TIFF file says about its pages: which is which level, what else there is, how large a pixel is."""

from __future__ import annotations

import contextlib
import re
from typing import Any

__all__ = ["page_roles", "slide_facts"]

_INCH, _CENTIMETRE = 2, 3
_VENDORS = {"svs": "aperio", "ndpi": "hamamatsu", "scn": "leica", "bif": "ventana", "philips": "philips"}
_UNITS = {"µm": 1.0, "um": 1.0, "nm": 1e-3, "mm": 1e3, "cm": 1e4, "m": 1e6}


def page_roles(tif: Any) -> dict[int, dict[str, Any]]:
    """Map the offset of each page's directory to ``{"level": n}`` or ``{"associated": name}``.

    The first page of each level of the first series is that level; the others (channels, focal planes,
    labels, ...) are associated images with names of their own.
    """
    roles: dict[int, dict[str, Any]] = {}
    names: set[str] = set()
    for number, series in enumerate(_series(tif)):
        for level, one in enumerate(series.levels):
            for position, page in enumerate(one.pages):
                if page is None or page.offset in roles:
                    continue
                if number == 0 and position == 0:
                    roles[page.offset] = {"level": level}
                    continue
                name = _role_name(series, number, level, position)
                while name in names:
                    name += "-again"
                names.add(name)
                roles[page.offset] = {"associated": name}
    return roles


def slide_facts(tif: Any) -> dict[str, Any]:
    """Facts about the slide as a whole: vendor, axes, microns per pixel."""
    facts: dict[str, Any] = {}
    for kind, vendor in _VENDORS.items():
        if getattr(tif, f"is_{kind}", False):
            facts["vendor"] = vendor
    if getattr(tif, "is_ome", False):
        facts["vendor"] = "ome"
    series = _series(tif)
    if series:
        facts["axes"] = str(series[0].axes)
    with contextlib.suppress(Exception):  # a fact that cannot be read is left out
        mpp = _microns_per_pixel(tif)
        if mpp and 0.01 <= mpp <= 100:
            facts["mpp"] = mpp
    return facts


def _series(tif: Any) -> list[Any]:
    try:
        return list(tif.series)
    except Exception:  # metadata that tifffile cannot make sense of; the pages are still there
        return []


def _role_name(series: Any, number: int, level: int, position: int) -> str:
    name = re.sub(r"\s+", "-", str(series.name or "").strip().lower()) if number else ""
    parts = [name or (f"series-{number}" if number else "")]
    parts += [f"page-{position}"] if position else []
    parts += [f"level-{level}"] if level else []
    return "-".join(part for part in parts if part)


def _microns_per_pixel(tif: Any) -> float | None:
    page = tif.pages.first
    text = str(page.description or "")
    if aperio := re.search(r"\bMPP\s*=\s*([\d.]+)", text):
        return float(aperio[1])
    if ome := re.search(r'PhysicalSizeX="([\d.eE+-]+)"', text):
        unit = re.search(r'PhysicalSizeXUnit="([^"]+)"', text)
        return float(ome[1]) * _UNITS.get(unit[1] if unit else "µm", 0.0)
    unit_tag = page.tags.valueof(296)
    resolution = page.tags.valueof(282)
    if unit_tag in (_INCH, _CENTIMETRE) and resolution and resolution[0]:
        per_unit = float(resolution[0] / resolution[1])
        return (25400.0 if unit_tag == _INCH else 10000.0) / per_unit
    return None
