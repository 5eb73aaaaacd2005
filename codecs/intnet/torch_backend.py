"""Integer networks on torch: float32 convolutions that are exact because every sum stays below 2**24."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from haarchive.codecs.intnet.convolution import convolution
from haarchive.codecs.intnet.exact import exact_float32
from haarchive.codecs.intnet.spec import IntegerNetwork

__all__ = ["TorchNetwork", "channel_means"]


class TorchNetwork:
    """An `IntegerNetwork` placed on a torch device.

    Parameters
    ----------
    network : IntegerNetwork
        Proven exact when it was made (`prove_exact`), so that any algorithm that adds the same products in
        any order gives the same integers. `convolution` takes such algorithms only, and `exact_float32` keeps
        the products themselves from being rounded.
    device : str or torch.device
    """

    def __init__(self, network: IntegerNetwork, device: str | torch.device = "cpu") -> None:
        self.network = network
        self.device = torch.device(device)
        self._layers = []
        for n, spec in enumerate(network.layers):
            weight, bias = network.folded(n)
            # A power of two times an integer is exact, so the shift is folded into the weights.
            weights, biases = (torch.from_numpy(each.astype(np.float32)) * 2.0**-spec.shift for each in (weight, bias))
            context = network.contexts[n]
            self._layers.append(
                (
                    convolution(weights, biases, self.device),
                    float(spec.low),
                    float(spec.high),
                    spec.dense,
                    None
                    if context is None
                    else (torch.from_numpy(context.astype(np.float32)) * 2.0**-spec.shift)
                    .T.contiguous()
                    .to(self.device),
                )
            )

    def __call__(self, x: NDArray[np.integer] | torch.Tensor) -> torch.Tensor:
        """Evaluate the network.

        Parameters
        ----------
        x : ndarray or Tensor, shape (N, C, H, W), integer values

        Returns
        -------
        Tensor, shape (N, C', H, W), float32 with integer values, on the network's device
        """
        y = torch.as_tensor(x, device=self.device)
        keep = any(spec.dense for spec in self.network.layers)
        with torch.inference_mode(), exact_float32:
            y = y.to(torch.float32).contiguous(memory_format=torch.channels_last)
            y = y.clamp(self.network.input_low, self.network.input_high)
            entered = []
            for sums, low, high, dense, context in self._layers:
                if keep:  # else each layer's input is free again at once
                    entered.append(y)
                total = sums(y)
                if context is not None:
                    total += (channel_means(y)[:, :, 0, 0] @ context)[:, :, None, None]
                y = total.floor_().clamp_(low, high)
                if dense:
                    y = torch.cat([entered[-dense], y], dim=1)
        return y

    def integers(self, x: NDArray[np.integer]) -> NDArray[np.int32]:
        """Evaluate the network and bring the result back as integers.

        Returns
        -------
        ndarray, shape (N, C', H, W), int32
        """
        return cast("NDArray[np.int32]", self(x).to(torch.int32).contiguous().cpu().numpy())


def channel_means(x: torch.Tensor) -> torch.Tensor:
    """Means of the channels of an integer-valued ``(N, C, H, W)`` float32, rounded down: ``(N, C, 1, 1)`` float32.

    Exact: sums of integers below 2**53 in float64, which is twice as fast as in int64; Apple's GPUs have only that.
    """
    wide = torch.int64 if x.device.type == "mps" else torch.float64
    total = x.sum(dim=(2, 3), keepdim=True, dtype=wide).to(torch.int64)
    return torch.div(total, x.shape[2] * x.shape[3], rounding_mode="floor").to(torch.float32)
