"""The spaces in which images are compared: their pixels, or D's features."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..features.discriminator import last_activation


@dataclass(frozen=True)
class Space:
    """A map of images to vectors, whose Euclidean distances are compared."""

    name: str  # for people: "pixels", "D's features"
    key: str  # for programs: "pixels", "features"
    unit: str  # name of the distance
    rows: Callable[[Tensor], Tensor]  # images (N, C, H, W) in [-1, 1] to vectors (N, d), float32, on their device
    is_rooted: bool  # whether distances are reported; otherwise their squares
    device: torch.device | str = "cpu"  # where images are mapped and products computed

    def distances(self, squared: NDArray[np.float64]) -> NDArray[np.float64]:
        """Convert squared Euclidean distances to this space's unit."""
        return np.sqrt(squared) if self.is_rooted else squared


def pixels(device: torch.device | str = "cpu") -> Space:
    """Return the space of pixels: the root of the mean squared difference of values in [-1, 1], from 0 to 2."""
    return Space("pixels", "pixels", "RMS difference", _normalised_pixels, is_rooted=True, device=device)


def features(D: nn.Module) -> Space:
    """Return the space of the last hidden activation of D, in eval mode and on its device.

    The distances are squared: one layer's perceptual term, from 0 to 4. A PluginError is raised while vectors are made
    if D has no hidden activation that is a module.
    """
    device = next(D.parameters()).device
    return Space(
        "D's features", "features", "squared distance", lambda x: last_activation(D, x), is_rooted=False, device=device
    )


@torch.no_grad()
def _normalised_pixels(images: Tensor) -> Tensor:
    rows: Tensor = images.flatten(1) * images[0].numel() ** -0.5
    return rows  # the squared distance is then the mean of squares
