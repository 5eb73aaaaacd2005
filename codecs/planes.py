"""What the codecs of pictures share: samples as planes, and which of them are predicted together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["common_divisor", "plane_groups"]

_FEW_SAMPLES = 4096


def common_divisor(planes: NDArray[np.int32]) -> int:
    """The greatest common divisor of all samples, at least 1.

    Cameras of 12 bits fill 16 by a shift, converters scale 8 bits by 257, masks are 0 and 255. Most pictures show in a
    few samples that it is 1.
    """
    divisor = int(np.gcd.reduce(planes.ravel()[:_FEW_SAMPLES]))
    return 1 if divisor == 1 else max(1, int(np.gcd.reduce(planes, axis=None)))


def plane_groups(planes: int) -> list[slice]:
    """Planes that are predicted together: the first three, then one by one."""
    together = 3 if planes >= 3 else 0
    first = [slice(0, 3)] if together else []
    return first + [slice(n, n + 1) for n in range(together, planes)]
