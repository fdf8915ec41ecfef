"""What images are compared in: their pixels, or what D sees in them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..features.discriminator import last_activation


@dataclass(frozen=True)
class Space:
    """A way of turning images into vectors whose Euclidean distances are what is meant.

    Attributes:
        name: For people: "pixels", "D's features".
        key: For programs: "pixels", "features".
        unit: What a distance is.
        rows: Images (N, C, H, W) in [-1, 1] to vectors (N, d), float32, on the images' device.
        rooted: Whether distances are given as they are; else squared.
    """

    name: str
    key: str
    unit: str
    rows: Callable[[Tensor], Tensor]
    rooted: bool

    def distances(self, squared: NDArray[np.float64]) -> NDArray[np.float64]:
        """Squared Euclidean distances in this space's unit."""
        return np.sqrt(squared) if self.rooted else squared


def pixels() -> Space:
    """Pixel by pixel: the root of the mean squared difference of values in [-1, 1], from 0 to 2."""
    return Space("pixels", "pixels", "RMS difference", _flat, rooted=True)


def features(D: nn.Module) -> Space:
    """D's last hidden activation: squared distances, one layer's term of the perceptual distance, from 0 to 4.

    Args:
        D: In eval mode, on the device of the images to come.

    Raises:
        PluginError: While vectors are made: D has no hidden activation that is a module.
    """
    return Space("D's features", "features", "squared distance", lambda x: last_activation(D, x), False)


@torch.no_grad()
def _flat(images: Tensor) -> Tensor:
    rows: Tensor = images.flatten(1) * images[0].numel() ** -0.5
    return rows  # the squared distance is then the mean of squares
