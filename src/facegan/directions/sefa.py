"""SeFa: directions without labels, those that G's first layer amplifies most.

Source: Shen and Zhou, "Closed-Form Factorization of Latent Semantics in GANs" (SeFa), CVPR 2021, equation 4: the unit
vectors n that make |A n| largest, A the weight that first acts on z, are the first eigenvectors of A^T A.
"""

import torch
from torch import Tensor, nn

from ..errors import PluginError
from ..generator import FaceGenerator
from ..latents import draw
from ..networks.guidelines import PARAMETRISED


def sefa(generator: FaceGenerator, num: int) -> tuple[Tensor, Tensor]:
    """Return the first `num` directions, unit vectors (num, z_dim), and the share of |A|^2 that each explains (num,).

    A vector's sign has no meaning; its largest number is made positive, so that the same weights give the same signs.

    Raises:
        PluginError: G's first layer is not an affine map of z.
    """
    A = first_layer_matrix(generator).double()
    values, vectors = torch.linalg.eigh(A.T @ A)  # ascending
    order = torch.arange(len(values) - 1, -1, -1)[:num]
    directions = vectors.T[order]  # (num, z_dim)
    largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
    return (directions * largest.sign()).float(), (values[order] / values.sum()).float()


@torch.no_grad()
def first_layer_matrix(generator: FaceGenerator) -> Tensor:
    """Return A of z -> A z + b, (outputs, z_dim): G's first layer with weights, read off its outputs for unit vectors.

    So any layer will do, and any shape that it wants z in. Batch norm after it, which scales each feature, is not
    included: on trained generators the directions are the same with it (docs/directions.md).

    Raises:
        PluginError: No layer takes each z separately, or its outputs are not those of an affine map.
    """
    z_dim, network = generator.z_dim, generator.network
    parameter = next(network.parameters())
    probes = draw(2, z_dim, "normal", torch.Generator().manual_seed(0))
    z = torch.cat([torch.zeros(1, z_dim), torch.eye(z_dim), probes]).to(parameter.device, parameter.dtype)
    outputs = _first_layer_outputs(network, z)
    if outputs is None:
        raise PluginError(f"{type(network).__name__}: no layer with weights takes each z separately; SeFa needs one")
    bias, A = outputs[0], (outputs[1 : z_dim + 1] - outputs[0]).T
    expected = bias + probes.double() @ A.T
    if not torch.allclose(outputs[z_dim + 1 :], expected, rtol=1e-2, atol=1e-3 * float(expected.abs().max())):
        raise PluginError(
            f"{type(network).__name__}: its first layer is no linear map of z (z is changed before it); SeFa needs one"
        )
    return A.float()


def _first_layer_outputs(network: nn.Module, z: Tensor) -> Tensor | None:
    """Return the first layer's outputs for latents (N, z_dim), flat (N, outputs) in float64; None: there is none.

    A layer whose weight is parametrised, for instance by spectral norm, is one layer.
    """
    outputs: list[Tensor] = []

    def store(_: nn.Module, __: object, output: object) -> None:
        if not outputs and isinstance(output, Tensor):
            outputs.append(output.detach().double().cpu().clone())  # a later layer may work in place

    hooks = [
        module.register_forward_hook(store)
        for name, module in network.named_modules()
        if PARAMETRISED not in name.split(".")
        and {child for child, _ in module.named_children()} <= {PARAMETRISED}
        and any(True for _ in module.parameters())
    ]
    try:
        network(z)
    finally:
        for hook in hooks:
            hook.remove()
    fits = outputs and outputs[0].ndim > 1 and len(outputs[0]) == len(z)
    return outputs[0].flatten(1) if fits else None
