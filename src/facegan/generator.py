"""A trained G as an object: latents or seeds in, images out."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from . import latents

MICRO_BATCH = 64


class FaceGenerator:
    """G in eval mode with what belongs to it: its latent space, its images' shape, and where it came from.

    Attributes:
        network: Maps z (N, z_dim) to images (N, C, H, W) in [-1, 1].
        z_dim: Length of a latent vector.
        prior: "normal" or "uniform".
        info: What its snapshot says of it: digest, step, configuration, ... (empty for a network in training).
    """

    def __init__(self, network: nn.Module, *, z_dim: int, prior: str, info: dict[str, Any] | None = None) -> None:
        self.network = network.eval()
        self.z_dim = z_dim
        self.prior = prior
        self.info = info or {}

    def latents(self, seeds: Sequence[int]) -> Tensor:
        """The latents of seeds, (len(seeds), z_dim): one seed, one image, in whatever company."""
        return latents.from_seeds(seeds, self.z_dim, self.prior)

    def sample(self, seeds: Sequence[int]) -> Tensor:
        """The images of seeds: float32 (len(seeds), C, H, W) in [-1, 1], on the CPU."""
        return self.images(self.latents(seeds))

    @torch.no_grad()  # not inference mode, whose tensors cannot be worked on
    def images(self, z: Tensor) -> Tensor:
        """Latents z (N, z_dim), N >= 1, to images: float32 (N, C, H, W) in [-1, 1], on the CPU.

        The network always runs on MICRO_BATCH latents, the last ones padded with zeros: kernels are chosen by shape, so
        an image is the same to the bit whatever is asked for with it.

        Raises:
            ValueError: z does not have the shape (N, z_dim).
        """
        if z.ndim != 2 or z.shape[1] != self.z_dim or not len(z):
            raise ValueError(f"z has the shape {tuple(z.shape)}; this generator takes (N, {self.z_dim}), N >= 1")
        parameter = next(self.network.parameters())
        parts = []
        for chunk in z.to(parameter.device, parameter.dtype).split(MICRO_BATCH):  # type: ignore[no-untyped-call]
            padded = torch.cat([chunk, chunk.new_zeros(MICRO_BATCH - len(chunk), self.z_dim)])
            parts.append(self.network(padded)[: len(chunk)].float().cpu().contiguous())
        return torch.cat(parts)
