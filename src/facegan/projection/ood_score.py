"""Whether an image is in distribution: how far its features in D are from those of known faces.

The error of a projection cannot decide that: a generator comes near to a smooth landscape, but not to a face under a
cap.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..features import activations
from ..images import to_float

NUM_FITTED = 2000  # known faces that the Gaussian is fitted to
NUM_COMPARED = 1000  # unseen faces whose distances make the percentiles
MIN_COMPARED = 50  # fewer say nothing about the farthest hundredth
OUTLIER_PERCENTILE = 99.0  # of the unseen faces' distances; an image beyond it is out of distribution
_SHRINKAGE = 1e-3  # of the mean variance: with fewer faces than features the covariance is singular
_BATCH = 100


class OODScore:
    """The Mahalanobis distance of an image's features from those of known faces, as a percentile of unseen faces.

    A feature is one channel of D's normalised hidden activations, averaged over all positions.

    Source: Lee et al., "A Simple Unified Framework for Detecting Out-of-Distribution Samples and Adversarial Attacks",
    NeurIPS 2018, section 2, with a single class, and all layers in one vector instead of one weight for each.
    """

    def __init__(self, D: nn.Module, known: NDArray[np.uint8], unseen: NDArray[np.uint8]) -> None:
        """Fit the features of known faces, uint8 (N, C, H, W), N >= 2, and measure unseen ones, uint8 (M, C, H, W).

        At most NUM_FITTED of the one and NUM_COMPARED of the others are used, evenly spaced. D is in eval mode.
        """
        self._D = D
        features = _features(D, to_float(torch.from_numpy(evenly_spaced(known, NUM_FITTED))))
        self._mean = features.mean(0)
        centred = features - self._mean
        covariance = centred.T @ centred / len(centred)
        ridge = _SHRINKAGE * covariance.diagonal().mean().clamp_min(1e-12)
        self._root = torch.linalg.cholesky(covariance + ridge * torch.eye(len(covariance), dtype=torch.float64))
        self.distances = np.sort(self._distance(to_float(torch.from_numpy(evenly_spaced(unseen, NUM_COMPARED)))))

    def percentiles(self, images: Tensor) -> list[float]:
        """Return for each image (N, C, H, W) in [-1, 1] the share of the unseen faces, in percent, that are nearer."""
        places = np.searchsorted(self.distances, self._distance(images))
        return [100 * float(place) / len(self.distances) for place in places]

    def _distance(self, images: Tensor) -> NDArray[np.float64]:
        centred = (_features(self._D, images) - self._mean).T
        whitened: Tensor = torch.linalg.solve_triangular(self._root, centred, upper=False)
        return np.asarray(whitened.square().sum(0).sqrt())


def evenly_spaced(images: NDArray[np.uint8], num: int) -> NDArray[np.uint8]:
    """Return a copy of at most `num` images, evenly spaced in the array."""
    return np.array(images[np.linspace(0, len(images) - 1, min(num, len(images))).round().astype(int)])


@torch.no_grad()
def _features(D: nn.Module, images: Tensor) -> Tensor:
    """Return the features of images (N, C, H, W): float64 (N, channels of all layers), on the CPU."""
    device = next(D.parameters()).device
    rows = []
    for batch in images.split(_BATCH):  # type: ignore[no-untyped-call]
        means = [
            each.mean((2, 3)) * (each.shape[2] * each.shape[3]) ** 0.5 for each in activations(D, batch.to(device))
        ]
        rows.append(torch.cat(means, 1).double().cpu())
    return torch.cat(rows)
