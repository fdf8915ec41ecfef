"""Spectral norm: a layer's weight divided by its largest singular value.

torch's own parametrization multiplies in the type of autocast; in bf16 the power iteration would lose the digits that
it converges by. This one iterates in float32.

Source: Miyato et al., "Spectral Normalization for Generative Adversarial Networks", ICLR 2018, algorithm 1.
"""

from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.nn.utils import parametrize

Layer = TypeVar("Layer", bound=nn.Module)


class SpectralNorm(nn.Module):
    """W -> W / sigma(W), sigma by one power iteration at each use in training mode."""

    u: Tensor
    v: Tensor

    def __init__(self, weight: Tensor, outputs: int) -> None:
        """Prepare for a weight whose dimension `outputs` counts the layer's outputs."""
        super().__init__()
        self.outputs = outputs
        rows = weight.shape[outputs]
        self.register_buffer("u", normalize(torch.randn(rows), dim=0))
        self.register_buffer("v", normalize(torch.randn(weight.numel() // rows), dim=0))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the weight divided by its largest singular value, as a matrix of outputs x everything else."""
        with torch.autocast(weight.device.type, enabled=False):
            matrix = weight.movedim(self.outputs, 0).flatten(1)
            if self.training:
                with torch.no_grad():
                    self.v.copy_(normalize(matrix.T @ self.u, dim=0))
                    self.u.copy_(normalize(matrix @ self.v, dim=0))
            # Copies, since the next use changes the buffers while this one's graph may still need them.
            return weight / (self.u.clone() @ (matrix @ self.v.clone()))


def spectral(layer: Layer) -> Layer:
    """Give a convolution or linear layer spectral norm, in place; return it."""
    weight = layer.weight
    assert isinstance(weight, Tensor)
    outputs = int(isinstance(layer, nn.ConvTranspose2d))
    parametrize.register_parametrization(layer, "weight", SpectralNorm(weight.detach(), outputs))
    return layer


def weight_of(layer: nn.Module) -> Tensor:
    """Return the weight that a layer is trained by: of one with spectral norm, that before the division."""
    parameters = dict(layer.named_parameters())
    return parameters.get("parametrizations.weight.original", parameters.get("weight"))  # type: ignore[return-value]
