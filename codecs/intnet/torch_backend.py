"""Integer networks on torch: float32 convolutions that are exact because every sum stays below 2**24."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from haarchive.codecs.intnet.spec import IntegerNetwork

__all__ = ["TorchNetwork"]


class TorchNetwork:
    """An `IntegerNetwork` placed on a torch device.

    Parameters
    ----------
    network : IntegerNetwork
        Proven exact when it was made (`prove_exact`), so that any algorithm that adds the same products in
        any order gives the same integers. TF32 and reduced-precision convolution are switched off around
        every call: they would round the products themselves.
    device : str or torch.device
    """

    def __init__(self, network: IntegerNetwork, device: str | torch.device = "cpu") -> None:
        self.network = network
        self.device = torch.device(device)
        self._layers = []
        for n, spec in enumerate(network.layers):
            weight, bias = network.folded(n)
            # A power of two times an integer is exact, so the shift is folded into the weights.
            scale = 2.0**-spec.shift
            self._layers.append(
                (
                    (torch.from_numpy(weight.astype(np.float32)) * scale)
                    .to(self.device)
                    .contiguous(memory_format=torch.channels_last),
                    (torch.from_numpy(bias.astype(np.float32)) * scale).to(self.device),
                    (spec.kernel[0] // 2, spec.kernel[1] // 2),
                    float(spec.low),
                    float(spec.high),
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
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            y = y.to(torch.float32).contiguous(memory_format=torch.channels_last)
            y = y.clamp(self.network.input_low, self.network.input_high)
            for weight, bias, padding, low, high in self._layers:
                y = functional.conv2d(y, weight, bias, padding=padding).floor_().clamp_(low, high)
        return y

    def integers(self, x: NDArray[np.integer]) -> NDArray[np.int32]:
        """Evaluate the network and bring the result back as integers.

        Returns
        -------
        ndarray, shape (N, C', H, W), int32
        """
        return cast("NDArray[np.int32]", self(x).to(torch.int32).contiguous().cpu().numpy())
