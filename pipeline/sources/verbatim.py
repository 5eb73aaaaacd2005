"""Sources of no format that we take apart: skeleton, and nothing else."""

from __future__ import annotations

from haarchive.pipeline.sources.scan import Scan

__all__ = ["scan_verbatim"]


def scan_verbatim(note: str = "", kind: str = "verbatim") -> Scan:
    """Describe a source whose bytes are stored as they are.

    Parameters
    ----------
    note : str
        Why, where the format would have let one expect otherwise; it ends up in ``layout.attrs["note"]``.
    kind : str
        The format, where it is known.
    """
    return Scan(kind, attrs={"note": note} if note else {})
