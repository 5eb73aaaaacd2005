r"""Integer Haar lifting (the S-transform), and the order in which its bands are coded.

One step along an axis takes neighbours :math:`x_0, x_1` to (Calderbank, Daubechies, Sweldens, Yeo, "Wavelet
transforms that map integers to integers", 1998)

.. math:: h = x_1 - x_0, \qquad l = x_0 + \lfloor h / 2 \rfloor

and back by :math:`x_0 = l - \lfloor h / 2 \rfloor, x_1 = x_0 + h`. A last sample without a partner stays in
the low band as it is. Both functions work on NumPy arrays and torch tensors of a signed integer dtype alike.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np

__all__ = ["merge", "split"]

A = TypeVar("A")


def split(x: A, axis: int) -> tuple[A, A]:
    """One lifting step.

    Parameters
    ----------
    x : ndarray or Tensor of a signed integer dtype
        With n samples along `axis`; differences must fit the dtype.
    axis : int

    Returns
    -------
    low, high : of the same kind
        ceil(n / 2) and floor(n / 2) samples along `axis`.
    """
    array: np.ndarray = x  # type: ignore[assignment]  # only operations that torch tensors share are used
    lead = (slice(None),) * (axis % array.ndim)
    even, odd = array[(*lead, slice(0, None, 2))], array[(*lead, slice(1, None, 2))]
    high = odd - even[(*lead, slice(0, odd.shape[axis]))]
    low = even + 0  # a copy, in NumPy and in torch
    low[(*lead, slice(0, odd.shape[axis]))] += high >> 1
    return low, high  # type: ignore[return-value]


def merge(low: np.ndarray, high: np.ndarray, axis: int) -> np.ndarray:
    """Undo `split`.

    Parameters
    ----------
    low, high : ndarray of a signed integer dtype
    axis : int

    Returns
    -------
    ndarray
        With ``low.shape[axis] + high.shape[axis]`` samples along `axis`.
    """
    lead = (slice(None),) * (axis % low.ndim)
    pairs = high.shape[axis]
    shape = list(low.shape)
    shape[axis] += pairs
    x = np.empty(shape, low.dtype)
    even = low.copy()
    even[(*lead, slice(0, pairs))] -= high >> 1
    x[(*lead, slice(0, None, 2))] = even
    x[(*lead, slice(1, None, 2))] = even[(*lead, slice(0, pairs))] + high
    return x
