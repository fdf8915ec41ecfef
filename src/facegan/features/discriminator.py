"""What D sees in a picture: its hidden activations, by which pictures are compared as faces, not pixel by pixel."""

import torch
from torch import Tensor, nn

from ..errors import PluginError
from ..networks.guidelines import ACTIVATIONS


def activations(D: nn.Module, images: Tensor) -> list[Tensor]:
    """D's hidden activations, from the first layer to the last; gradients flow to the images.

    Each is brought to unit length along its channels at every place, and divided by the root of the number of its
    places: the squared Euclidean distance of two pictures' activations, summed over channels and places, is then one
    layer's term of the perceptual distance, with all weights 1.

    Source: Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", CVPR 2018,
    equation 1. They take a classifier's features; D's are what a run has learned of its own faces.

    Args:
        D: A discriminator in eval mode.
        images: (N, C, H, W) in [-1, 1], on D's device.

    Returns:
        Tensors (N, channels, height, width), one a hidden activation.

    Raises:
        PluginError: D has no hidden activation that is a module.
    """
    found: list[Tensor] = []

    def keep(_: nn.Module, __: object, output: Tensor) -> None:
        if output.ndim == 4:
            norm = output.square().sum(1, keepdim=True).add(1e-10).sqrt()
            found.append(output / norm / (output.shape[2] * output.shape[3]) ** 0.5)

    hooks = [module.register_forward_hook(keep) for module in D.modules() if isinstance(module, ACTIVATIONS)]
    try:
        D(images)
    finally:
        for hook in hooks:
            hook.remove()
    if not found:
        raise PluginError(f"{type(D).__name__}: has no hidden activation that is a module; its features are not known")
    return found


@torch.no_grad()
def embedding(D: nn.Module, images: Tensor) -> Tensor:
    """D's last hidden activation, flat: (N, features), float32; its squared distances are those of `activations`."""
    return activations(D, images)[-1].flatten(1).float()
