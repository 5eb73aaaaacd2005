"""Sums of products for integer networks, by algorithms that are known to add just these products."""

from __future__ import annotations

import platform
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["Convolution", "DirectConvolution", "ShiftedProducts", "convolution"]


class Convolution(Protocol):
    """Cross-correlation with zero padding that keeps the size."""

    def __call__(self, x: Tensor) -> Tensor:
        """Sums of products, a new ``(N, O, H, W)`` float32, of an ``(N, C, H, W)`` float32."""


class DirectConvolution:
    """The library's convolution; on x86 CPUs, whose oneDNN torch asks for the direct algorithm.

    Where there is no oneDNN torch unfolds and multiplies matrices, provided that NNPACK is off (`exact_float32`).

    Parameters
    ----------
    weight : Tensor, shape (O, C, kh, kw), float32
    bias : Tensor, shape (O,), float32
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self._weight = weight.contiguous(memory_format=torch.channels_last)
        self._bias = bias
        self._padding = (weight.shape[2] // 2, weight.shape[3] // 2)

    def __call__(self, x: Tensor) -> Tensor:
        """See `Convolution`."""
        if not x.numel():
            return x.new_zeros(x.shape[0], len(self._bias), *x.shape[2:])
        x = x.contiguous(memory_format=torch.channels_last)
        return functional.conv2d(x, self._weight, self._bias, padding=self._padding)


class ShiftedProducts:
    """Matrix products and nothing else: one for each place of the kernel, all added up where they are.

    Convolution libraries choose an algorithm by the shape that they are given. Winograd's and FFT are among cuDNN's,
    MIOpen's and the Arm Compute Library's, so that a network might be exact in a test and not on a batch of slides. A
    product of matrices has no such choice. The padded batch is one matrix with a row for each place, so what a place
    of the kernel sees are the same rows from further on, and need not be copied.

    Parameters
    ----------
    weight : Tensor, shape (O, C, kh, kw), float32
    bias : Tensor, shape (O,), float32
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self._taps = weight.permute(2, 3, 1, 0).contiguous()
        self._bias = bias

    def __call__(self, x: Tensor) -> Tensor:
        """See `Convolution`."""
        n, channels, height, width = x.shape
        down, across, _, outputs = self._taps.shape
        if not x.numel():
            return x.new_zeros(n, outputs, height, width)
        margins = (0, 0, across // 2, across // 2, down // 2, down // 2)
        padded = functional.pad(x.permute(0, 2, 3, 1), margins).contiguous()
        rows, row = padded.view(-1, channels), width + across - 1
        total = x.new_empty(len(rows), outputs)
        # Sums that begin in the last margin are nobody's, nor are those that run over a row's end.
        whole = len(rows) - (down - 1) * row - (across - 1)
        sums = torch.addmm(self._bias, rows[:whole], self._taps[0, 0], out=total[:whole])
        for i in range(down):
            for j in range(across):
                if at := i * row + j:
                    sums.addmm_(rows[at : at + whole], self._taps[i, j])
        return total.view(n, height + down - 1, row, outputs)[:, :height, :width].permute(0, 3, 1, 2)


def convolution(weight: Tensor, bias: Tensor, device: torch.device) -> Convolution:
    """The fastest convolution that is exact on a device.

    Parameters
    ----------
    weight : Tensor, shape (O, C, kh, kw), float32
    bias : Tensor, shape (O,), float32
    device : torch.device
    """
    direct = device.type == "cpu" and platform.machine().lower() in ("x86_64", "amd64")
    return (DirectConvolution if direct else ShiftedProducts)(weight.to(device), bias.to(device))
