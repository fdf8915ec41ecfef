"""Differentiable augmentation of all images that D sees, real and fake alike.

Source: Zhao et al., "Differentiable Augmentation for Data-Efficient GAN Training", NeurIPS 2020, section 3.
Strengths as in the paper's appendix: brightness +-0.5, saturation x0 to 2, contrast x0.5 to 1.5, translation up to an
eighth of the side with zeros moving in, a cutout of half the side. Each is applied to an image with a probability:
Karras et al., "Training Generative Adversarial Networks with Limited Data", NeurIPS 2020, section 2.2. All of them are
affine in the image, so penalties can be differentiated through them.
"""

import math

import torch
from torch import Tensor

FEW, MANY = 2_000, 200_000  # images of a set that needs augmentation, and of one that needs none
MOST = 0.3  # the probability for few


def default_probability(num_images: int) -> float:
    """Return the probability of each augmentation that suits a set's size: 0.3 up to 2,000 images, 0 from 200,000.

    In between it falls with the logarithm of the size. 0.3 is that of Huang et al., "The GAN is dead; long live the
    GAN!", NeurIPS 2024 (FFHQ), and of our runs on 500 photographs; 200,000 (CelebA) is where augmentation did harm in
    Zhao et al. 2020 and Karras et al. 2020.
    """
    share = math.log(MANY / max(num_images, 1)) / math.log(MANY / FEW)
    return round(MOST * min(max(share, 0.0), 1.0), 3)


def augment(images: Tensor, policy: str, generator: torch.Generator, probability: float | Tensor = 1.0) -> Tensor:
    """Augment each image of a batch (N, C, H, W) at random; the result can leave [-1, 1].

    `policy` names some of `color`, `translation`, `cutout`, separated by commas; empty: no change. Each is applied to
    each image with `probability`, a number or a scalar tensor. The generator is on the images' device.
    """
    for name in filter(None, policy.split(",")):
        changed = _POLICIES[name](images, generator)
        always = isinstance(probability, float) and probability >= 1
        images = changed if always else torch.where(_uniform(images, generator) < probability, changed, images)
    return images


def _uniform(images: Tensor, generator: torch.Generator) -> Tensor:
    """Draw one number in [0, 1) for each image, (N, 1, 1, 1)."""
    return torch.rand(len(images), 1, 1, 1, generator=generator, device=images.device, dtype=torch.float32)


def _color(images: Tensor, generator: torch.Generator) -> Tensor:
    images = images + (_uniform(images, generator) - 0.5)
    grey = images.mean(dim=1, keepdim=True)
    images = grey + (images - grey) * (_uniform(images, generator) * 2)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (images - mean) * (_uniform(images, generator) + 0.5)


def _translation(images: Tensor, generator: torch.Generator) -> Tensor:
    height, width = images.shape[2:]
    rows, row_inside = _shifted(images, height, generator)
    columns, column_inside = _shifted(images, width, generator)
    index = torch.arange(len(images), device=images.device)[:, None, None]
    moved = images.permute(0, 2, 3, 1)[index, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    return moved * (row_inside[:, None, :, None] & column_inside[:, None, None, :])


def _shifted(images: Tensor, side: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return the source of each of `side` positions, (N, side), clamped, and whether it lies inside the image."""
    reach = side // 8
    shift = torch.randint(-reach, reach + 1, (len(images), 1), generator=generator, device=images.device)
    position = torch.arange(side, device=images.device) + shift
    return position.clamp(0, side - 1), (position >= 0) & (position < side)


def _cutout(images: Tensor, generator: torch.Generator) -> Tensor:
    hidden = []
    for side in images.shape[2:]:
        length = side // 2
        centre = torch.randint(0, side + 1, (len(images), 1), generator=generator, device=images.device)
        position = torch.arange(side, device=images.device)
        hidden.append((position >= centre - length // 2) & (position < centre - length // 2 + length))  # (N, side)
    return images * ~(hidden[0][:, None, :, None] & hidden[1][:, None, None, :])


_POLICIES = {"color": _color, "translation": _translation, "cutout": _cutout}
