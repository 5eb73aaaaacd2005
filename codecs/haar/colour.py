"""Reversible colour transforms: integer lifting across the planes of a pixel.

Each transform maps three planes to three and back exactly. Which one suits depends on the scanner and the
stain, so the encoder tries them and writes its choice into the bitstream.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["ORDERS", "TRANSFORMS", "forward", "inverse", "roughness"]

TRANSFORMS = ("none", "ycocg-r", "rgb", "grb", "brg")
"""Transform names by their number in the bitstream; conversions to YCbCr (see `ycbcr`) have the numbers after these.

``ycocg-r`` is Malvar and Sullivan's YCoCg-R (JVT-I014, 2003). The others name the order ``(p, q, r)`` of the
source planes in ``(p, q - p, r - floor((p + q) / 2))``, as in JPEG XL's reversible colour transforms (ISO/IEC
18181-1, annex H.6.3).
"""

ORDERS = {"rgb": (0, 1, 2), "grb": (1, 0, 2), "brg": (2, 0, 1)}
"""Which source plane each plane of a transform tells, given those before it."""


def forward(name: str, x: NDArray[np.int32]) -> NDArray[np.int32]:
    """Decorrelate colour planes.

    Parameters
    ----------
    name : str
        One of `TRANSFORMS`.
    x : ndarray, shape (C, ...), int32
        C is 3 except for 'none'.

    Returns
    -------
    ndarray of the same shape
    """
    if name == "none":
        return x
    y = np.empty_like(x)
    if name == "ycocg-r":
        red, green, blue = x
        co = red - blue
        t = blue + (co >> 1)
        cg = green - t
        y[0], y[1], y[2] = t + (cg >> 1), cg, co
        return y
    p, q, r = (x[i] for i in ORDERS[name])
    y[0], y[1], y[2] = p, q - p, r - ((p + q) >> 1)
    return y


def inverse(name: str, y: NDArray[np.int32]) -> NDArray[np.int32]:
    """Undo `forward`."""
    if name == "none":
        return y
    x = np.empty_like(y)
    if name == "ycocg-r":
        luma, cg, co = y
        t = luma - (cg >> 1)
        x[1] = cg + t
        x[2] = t - (co >> 1)
        x[0] = x[2] + co
        return x
    i, j, k = ORDERS[name]
    x[i] = y[0]
    x[j] = y[1] + y[0]
    x[k] = y[2] + ((x[i] + x[j]) >> 1)
    return x


def roughness(y: NDArray[np.int32]) -> float:
    """An estimate of the bits that planes take: the mean logarithm of their plane-fit residuals; only encoders use it.

    Parameters
    ----------
    y : ndarray, shape (C, H, W), int32
    """
    residual = y[:, 1:, 1:] - y[:, 1:, :-1] - y[:, :-1, 1:] + y[:, :-1, :-1]
    return float(np.log2(np.abs(residual).mean(axis=(1, 2)) + 0.5).sum()) if residual.size else 0.0
