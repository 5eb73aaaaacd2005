"""The reference for integer networks: plain int64 arithmetic, nothing clever."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.intnet.spec import IntegerNetwork

__all__ = ["run_reference"]


def run_reference(network: IntegerNetwork, x: NDArray[np.integer]) -> NDArray[np.int32]:
    """Evaluate a network in int64.

    Parameters
    ----------
    network : IntegerNetwork
    x : ndarray, shape (N, C, H, W), integer
        Clamped to the network's input range.

    Returns
    -------
    ndarray, shape (N, C', H, W), int32
    """
    y = np.clip(x.astype(np.int64), network.input_low, network.input_high)
    entered = []
    for spec, weight, bias, context in zip(
        network.layers, network.weights, network.biases, network.contexts, strict=True
    ):
        entered.append(y)
        kh, kw = spec.kernel
        height, width = y.shape[2:]
        padded = np.pad(y, ((0, 0), (0, 0), (kh // 2, kh // 2), (kw // 2, kw // 2)))
        total = np.zeros((y.shape[0], spec.out_channels, height, width), np.int64)
        for i in range(kh):
            for j in range(kw):
                window = padded[:, :, i : i + height, j : j + width]
                total += np.einsum("oc,nchw->nohw", weight[:, :, i, j].astype(np.int64), window)
        total += bias.astype(np.int64)[None, :, None, None]
        if spec.residual:
            total += y << spec.shift
        if context is not None:
            total += (y.sum(axis=(2, 3)) // (height * width) @ context.astype(np.int64).T)[:, :, None, None]
        y = np.clip((total + (1 << (spec.shift - 1))) >> spec.shift, spec.low, spec.high)
        if spec.dense:
            y = np.concatenate([entered[-spec.dense], y], axis=1)
    return y.astype(np.int32)
