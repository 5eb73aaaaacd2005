"""HTML and SVG by small functions; names of files are no markup, whatever is in them."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

__all__ = ["element", "row", "table", "text"]


def text(value: object) -> str:
    """Text as markup. Characters that cannot be seen, or turn the text around, are written as Python would."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(value))
    return escape(shown)


def element(name: str, /, *content: str, class_: str = "", **attributes: object) -> str:
    """An element with content that is markup already. Attributes are text; those that are '' are left out."""
    given = {"class": class_} | attributes
    listed = "".join(f' {key}="{text(value)}"' for key, value in given.items() if value != "")
    return f"<{name}{listed}>{''.join(content)}</{name}>" if content else f"<{name}{listed}/>"


def row(*cells: object, kind: str = "td", numbers: Iterable[int] = ()) -> str:
    """A row of a table; `numbers` are the columns that are set to the right."""
    right = set(numbers)
    made = [element(kind, text(cell) or " ", class_="n" if i in right else "") for i, cell in enumerate(cells)]
    return element("tr", *made)


def table(head: Iterable[object], rows: Iterable[Iterable[object]], numbers: Iterable[int] = ()) -> str:
    """A table of texts."""
    right = tuple(numbers)
    body = [row(*cells, numbers=right) for cells in rows]
    return element("table", element("thead", row(*head, kind="th", numbers=right)), element("tbody", "", *body))
