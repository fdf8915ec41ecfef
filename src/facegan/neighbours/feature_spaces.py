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
    """A map of images to vectors, whose Euclidean distances are compared.

    Attributes:
        name: For people: "pixels", "D's features".
        key: For programs: "pixels", "features".
        unit: Name of the distance.
        rows: Maps images (N, C, H, W) in [-1, 1] to vectors (N, d), float32, on the images' device.
        is_rooted: Whether distances are reported as they are; otherwise squared.
        device: Where images are mapped and products computed.
    """

    name: str
    key: str
    unit: str
    rows: Callable[[Tensor], Tensor]
    is_rooted: bool
    device: torch.device | str = "cpu"

    def distances(self, squared: NDArray[np.float64]) -> NDArray[np.float64]:
        """Convert squared Euclidean distances to this space's unit."""
        return np.sqrt(squared) if self.is_rooted else squared


def pixels(device: torch.device | str = "cpu") -> Space:
    """Return the space of pixels: the root of the mean squared difference of values in [-1, 1], from 0 to 2."""
    return Space("pixels", "pixels", "RMS difference", _normalised_pixels, is_rooted=True, device=device)


def features(D: nn.Module) -> Space:
    """Return the space of D's last hidden activation: squared distances, one layer's perceptual term, from 0 to 4.

    Args:
        D: In eval mode; images are mapped on its device.

    Raises:
        PluginError: While vectors are made: D has no hidden activation that is a module.
    """
    device = next(D.parameters()).device
    return Space(
        "D's features", "features", "squared distance", lambda x: last_activation(D, x), is_rooted=False, device=device
    )


@torch.no_grad()
def _normalised_pixels(images: Tensor) -> Tensor:
    rows: Tensor = images.flatten(1) * images[0].numel() ** -0.5
    return rows  # the squared distance is then the mean of squares
