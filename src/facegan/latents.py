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


def combine(plus: Sequence[Tensor], minus: Sequence[Tensor] = ()) -> Tensor:
    """Arithmetic on faces: the sum of the means of `plus` less the means of `minus`, float32 (z_dim,).

    z = mean(plus_1) - mean(minus_1) + mean(plus_2) - ...

    A single latent is some face with an attribute; the mean of a few that share it is more nearly the attribute itself
    (the paper takes three, and found single ones unstable). The mean of n latents of the prior is 1 / sqrt(n) as long
    as one of them, and what is added or subtracted lengthens the sum: three terms of three latents each are again as
    long as one latent on average, three terms of one latent sqrt(3) times as long.

    Source: Radford, Metz, Chintala, "Unsupervised Representation Learning with Deep Convolutional Generative
    Adversarial Networks", ICLR 2016, section 6.3.2.

    Args:
        plus: One or more terms, each the latents (n, z_dim), n >= 1, that are averaged.
        minus: The terms that are subtracted.
    """
    signed = [(1, term) for term in plus] + [(-1, term) for term in minus]
    return torch.stack([sign * term.double().mean(0) for sign, term in signed]).sum(0).float()


def neighbourhood(z: Tensor, noise: float, seed: int, num: int = 9) -> Tensor:
    """A latent z (z_dim,) among noisy neighbours, float32 (num, z_dim): z itself in the middle row.

    Each neighbour is z plus noise from U(-noise, noise) in every number; 0 gives z itself `num` times.

    Source: as `combine`, which takes noise of 0.25 and nine faces.
    """
    spread = noise * draw(num, len(z), "uniform", torch.Generator().manual_seed(seed))
    spread[num // 2] = 0
    return z + spread


def typical_length(z_dim: int, prior: str) -> float:
    """The length that latents of a prior have but for a few percent: sqrt(z_dim), or sqrt(z_dim / 3) of the uniform."""
    return float((z_dim / (3 if prior == "uniform" else 1)) ** 0.5)
