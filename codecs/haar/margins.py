"""Planes with a margin, so that what looks at neighbours need not ask where the edges are."""

from __future__ import annotations

from haarchive.codecs.distributions.jit import kernel

__all__ = ["MARGIN", "pad"]

MARGIN = 3
"""Rows and columns of padding around every plane that taps look at."""


@kernel
def pad(source, target):  # type: ignore[no-untyped-def]
    """Fill padded planes ``(P, H + 6, W + 6)`` with low bands ``(P, h, w)``, h >= H and w >= W, their edges repeated.

    Where a low band goes on past the plane, its own samples are better than repeated ones.
    """
    _, height, width = source.shape
    across = min(width, target.shape[2] - MARGIN)
    for p in range(target.shape[0]):
        for y in range(target.shape[1]):
            row = source[p, min(max(y - MARGIN, 0), height - 1)]
            out = target[p, y]
            for x in range(MARGIN):
                out[x] = row[0]
            for x in range(across):
                out[MARGIN + x] = row[x]
            for x in range(MARGIN + across, out.size):
                out[x] = row[width - 1]
