"""Latent vectors: drawn from a prior, for training in batches or one by one from seeds."""

from collections.abc import Sequence

import torch
from torch import Tensor


def draw(num: int, z_dim: int, prior: str, generator: torch.Generator) -> Tensor:
    """Latents (num, z_dim), float32, on the generator's device.

    Args:
        num: How many.
        z_dim: Length of each.
        prior: "normal" for N(0, 1), "uniform" for U(-1, 1).
        generator: Where the randomness comes from; it is advanced.
    """
    if prior == "uniform":
        return torch.rand(num, z_dim, generator=generator, device=generator.device) * 2 - 1
    return torch.randn(num, z_dim, generator=generator, device=generator.device)


def from_seeds(seeds: Sequence[int], z_dim: int, prior: str) -> Tensor:
    """One latent a seed, (len(seeds), z_dim) on the CPU: a seed's latent is the same in whatever company it is drawn.

    Args:
        seeds: Non-negative and below 2**32 (torch's generator on the CPU is seeded with 32 bits).
        z_dim: Length of each.
        prior: "normal" or "uniform".
    """
    each = [draw(1, z_dim, prior, torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.cat(each) if each else torch.empty(0, z_dim)
