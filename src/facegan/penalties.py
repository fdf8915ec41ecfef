"""Penalties on the slope of D: how steeply its logit changes with the image.

A penalty keeps D from an ever steeper boundary between the images and the fakes, without which alternating gradient
steps circle around the equilibrium instead of reaching it. The penalties need D without batch norm to mean what they
say, since the gradient of a mini-batch's summed logits is that of each image's logit only where no image acts on
another's.
"""

from collections.abc import Callable

import torch
from torch import Tensor

Logits = Callable[[Tensor], Tensor]  # images (N, C, H, W) -> logits (N,)


def input_gradient(logits: Tensor, images: Tensor) -> Tensor:
    """Return the gradient of each logit with respect to its image, (N, C, H, W), differentiable in D's weights.

    `images` (N, C, H, W) require gradients and are those that the logits (N,) were computed from, before augmentation.
    """
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient


def zero_centred(gradient: Tensor) -> Tensor:
    """Return the mean of |grad D|^2 / 2: R1 of gradients (N, C, H, W) at real images, R2 of those at fakes.

    Source: Mescheder, Geiger, Nowozin, "Which Training Methods for GANs do actually Converge?", ICML 2018, section 4.1.
    """
    return gradient.square().sum(dim=(1, 2, 3)).mean() / 2


def one_centred(logits: Logits, real: Tensor, fake: Tensor, generator: torch.Generator) -> Tensor:
    """Return the mean of (|grad D| - 1)^2 at random points between pairs of a real image and a fake.

    Source: Gulrajani et al., "Improved Training of Wasserstein GANs", NeurIPS 2017, equation 3 and algorithm 1.
    """
    share = torch.rand(len(real), 1, 1, 1, generator=generator, device=real.device, dtype=real.dtype)
    between = torch.lerp(fake.detach(), real.detach(), share).requires_grad_()
    slopes = input_gradient(logits(between), between).flatten(1).norm(dim=1)
    penalty: Tensor = (slopes - 1).square().mean()
    return penalty
