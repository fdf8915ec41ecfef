"""Samples, training images and held-out ones compared in one space."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from .memorisation import Memorisation, measure
from .search import Neighbours, Progress, nearest
from .spaces import Space


@dataclass(frozen=True)
class Unseen:
    """What the measure compares: uint8 (n, C, H, W) each.

    Attributes:
        samples: Generated images.
        heldout: Images that were not trained on.
    """

    samples: NDArray[np.uint8]
    heldout: NDArray[np.uint8]


@dataclass(frozen=True)
class Comparison:
    """What was found in one space.

    Attributes:
        space: Where distances were taken.
        neighbours: Of the samples that are shown.
        memorisation: None without held-out images.
    """

    space: Space
    neighbours: Neighbours
    memorisation: Memorisation | None


def compare(
    space: Space,
    training: NDArray[np.uint8],
    shown: NDArray[np.uint8],
    unseen: Unseen | None = None,
    *,
    k: int = 3,
    mirror: bool = False,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> Comparison:
    """Find the nearest training images of the samples that are shown, and measure whether samples are copies.

    Args:
        space: What is compared.
        training: uint8 (N, C, H, W), may be memory-mapped.
        shown: uint8 (n, C, H, W), samples whose neighbours are wanted.
        unseen: For the measure.
        k: Neighbours of each sample.
        mirror: As in `nearest`.
        device: As in `nearest`.
        progress: As in `nearest`.

    Raises:
        ValueError, PluginError: As `nearest`.
    """
    parts = [shown] if unseen is None else [shown, unseen.samples, unseen.heldout]
    found = nearest(np.concatenate(parts), training, space, k=k, mirror=mirror, device=device, progress=progress)
    memorisation = None
    if unseen is not None:
        held = nearest(unseen.samples, unseen.heldout, space, mirror=mirror, device=device)
        end = len(shown) + len(unseen.samples)
        samples = found[len(shown) : end]
        memorisation = measure(
            samples.distances[:, 0],
            found[end:].distances[:, 0],
            to_heldout=held.distances[:, 0],
            nearest=np.stack([samples.indices[:, 0], held.indices[:, 0]], axis=1),
            num_training=len(training),
        )
    return Comparison(space, found[: len(shown)], memorisation)
