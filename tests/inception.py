"""Weights of Inception as they are published, but drawn: the real names and shapes, and values that stay sensible."""

import torch

from facegan.networks.inception import Inception


def drawn_weights(seed=0):
    """A state dict under which variances neither vanish nor explode, and no two layers are alike."""
    dice = torch.Generator().manual_seed(seed)
    with torch.device("meta"):
        layout = Inception().state_dict()
    tensors = {}
    for name, like in layout.items():
        part = name.rpartition(".")[2]
        noise = torch.zeros(like.shape).uniform_(-1, 1, generator=dice)
        if name.endswith("conv.weight"):  # as He et al. 2015, for ReLU
            tensors[name] = noise * (6 / like[0].numel()) ** 0.5
        elif part == "num_batches_tracked":
            tensors[name] = torch.tensor(1)
        elif part in ("running_var", "weight") and name != "fc.weight":
            tensors[name] = 1 + noise * 0.3
        else:
            tensors[name] = noise * 0.2
    return tensors


def block_images(num, size, channels=3, seed=0):
    """uint8 images of large blocks, each of a contrast of its own."""
    dice = torch.Generator().manual_seed(seed)
    blocks = torch.rand(num, channels, 4, 4, generator=dice) - 0.5
    grown = torch.nn.functional.interpolate(blocks, size=size, mode="nearest") + 0.3 * (
        torch.rand(num, channels, *size, generator=dice) - 0.5
    )
    contrasts = torch.linspace(0.3, 1, num).view(-1, 1, 1, 1)
    return (127.5 + 255 * contrasts * grown).clamp(0, 255).to(torch.uint8)
