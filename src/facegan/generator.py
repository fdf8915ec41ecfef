"""A trained G as an object: latents or seeds in, images out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from . import latents
from .config import RunConfig

MICRO_BATCH = 64


@dataclass(frozen=True)
class Origin:
    """The snapshot that a generator's weights come from."""

    path: Path
    digest: str  # SHA-256 of the file
    step: int  # updates of G at which it was saved
    weights: str  # "G_ema", the moving average, or "G", the current weights
    raw: bool  # the current weights were asked for
    config: RunConfig  # that the snapshot carries


class FaceGenerator:
    """G in eval mode with its latent space and the snapshot it comes from.

    Attributes:
        network: Maps z (N, z_dim) to images (N, C, H, W); values may exceed [-1, 1], which `images` clamps.
        z_dim: Length of a latent vector.
        prior: "normal" or "uniform".
    """

    def __init__(self, network: nn.Module, *, z_dim: int, prior: str, origin: Origin | None = None) -> None:
        """Take a network; `origin` is None while it is being trained."""
        self.network, self.z_dim, self.prior, self._origin = network.eval(), z_dim, prior, origin

    @property
    def origin(self) -> Origin:
        """The snapshot it comes from, which a generator in training does not have."""
        assert self._origin is not None, "a network in training has no snapshot"
        return self._origin

    @property
    def name(self) -> str:
        """Its snapshot's path, for messages."""
        return str(self._origin.path) if self._origin else "the generator"

    @property
    def info(self) -> dict[str, Any]:
        """`origin` as a dict; empty for a network in training."""
        return dict(vars(self._origin)) if self._origin else {}

    def latents(self, seeds: Sequence[int]) -> Tensor:
        """Return the latents of seeds, float32 (len(seeds), z_dim); an image depends on its own seed alone."""
        return latents.from_seeds(seeds, self.z_dim, self.prior)

    def sample(self, seeds: Sequence[int]) -> Tensor:
        """Return the images of seeds, float32 (len(seeds), C, H, W) in [-1, 1], on the CPU."""
        return self.images(self.latents(seeds))

    @torch.no_grad()  # not inference mode, whose tensors allow no further operations
    def images(self, z: Tensor) -> Tensor:
        """Map latents z (N, z_dim), N >= 1, to images, float32 (N, C, H, W) clamped to [-1, 1], on the CPU.

        The network always runs on MICRO_BATCH latents, the last ones padded with zeros: torch chooses kernels by shape,
        so an image is the same to the bit whatever is drawn with it.

        Raises:
            ValueError: z does not have the shape (N, z_dim).
        """
        if z.ndim != 2 or z.shape[1] != self.z_dim or not len(z):
            raise ValueError(f"z has the shape {tuple(z.shape)}; this generator takes (N, {self.z_dim}), N >= 1")
        parameter = next(self.network.parameters())
        parts = []
        for chunk in z.to(parameter.device, parameter.dtype).split(MICRO_BATCH):  # type: ignore[no-untyped-call]
            padded = torch.cat([chunk, chunk.new_zeros(MICRO_BATCH - len(chunk), self.z_dim)])
            parts.append(self.network(padded)[: len(chunk)].float().clamp(-1, 1).cpu().contiguous())
        return torch.cat(parts)
