"""What the codecs of pictures share: samples as planes, and which of them are predicted together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.distributions.jit import kernel

__all__ = ["common_divisor", "histogram", "plane_groups"]

_FEW_SAMPLES = 4096
_BYTE = 256


def common_divisor(planes: NDArray[np.int32]) -> int:
    """The greatest common divisor of all samples, at least 1.

    Cameras of 12 bits fill 16 by a shift, converters scale 8 bits by 257, masks are 0 and 255. Most pictures show in a
    few samples that it is 1.
    """
    divisor = int(np.gcd.reduce(planes.ravel()[:_FEW_SAMPLES]))
    return 1 if divisor == 1 else max(1, int(np.gcd.reduce(planes, axis=None)))


def histogram(samples: NDArray[np.int32]) -> NDArray[np.int64]:
    """How often each value from 0 to the largest occurs, at least 256 of them.

    Parameters
    ----------
    samples : ndarray, int32
        None negative.
    """
    counts = np.zeros(max(_BYTE, int(samples.max(initial=0)) + 1), np.int64)
    _count(samples.reshape(-1), counts)
    return counts


@kernel
def _count(samples, counts):  # type: ignore[no-untyped-def]
    """As numpy's bincount, which copies the samples into a type twice as wide first."""
    for sample in samples:
        counts[sample] += 1


def plane_groups(planes: int) -> list[slice]:
    """Planes that are predicted together: the first three, then one by one."""
    together = 3 if planes >= 3 else 0
    first = [slice(0, 3)] if together else []
    return first + [slice(n, n + 1) for n in range(together, planes)]
