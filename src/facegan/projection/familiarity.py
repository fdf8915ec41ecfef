"""Whether an image is of the kind that a model knows: how far it is from known faces in what D sees.

The error of a projection does not tell: a smooth landscape is easy to come near to, a face under a cap is not.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..features import activations
from ..images import to_float

NUM_FITTED = 2000  # known faces whose traits are fitted
NUM_COMPARED = 1000  # unseen faces that say how far faces are off
LEAST_COMPARED = 50  # fewer say nothing of the farthest hundredth
UNKNOWN_ABOVE = 99.0  # percentile of the unseen faces' distances
_SHRINKAGE = 1e-3  # of the mean variance: fewer faces than traits leave the covariance singular
_BATCH = 100


class Familiarity:
    """The Mahalanobis distance of an image's traits from those of known faces, held against that of unseen faces.

    A trait is one channel of D's normalised hidden activations, averaged over all places.

    Source: Lee et al., "A Simple Unified Framework for Detecting Out-of-Distribution Samples and Adversarial Attacks",
    NeurIPS 2018, section 2, with a single class, and all layers in one vector instead of a weight each.
    """

    def __init__(self, D: nn.Module, known: NDArray[np.uint8], unseen: NDArray[np.uint8]) -> None:
        """Fit the traits of known faces, and measure unseen ones.

        Args:
            D: The run's discriminator, in eval mode.
            known: uint8 (N, C, H, W), N >= 2; at most NUM_FITTED of them are used, evenly spread.
            unseen: uint8 (M, C, H, W), M >= 1; at most NUM_COMPARED of them are used.
        """
        self._D = D
        traits = _traits(D, to_float(torch.from_numpy(_spread(known, NUM_FITTED))))
        self._mean = traits.mean(0)
        centred = traits - self._mean
        covariance = centred.T @ centred / len(centred)
        ridge = _SHRINKAGE * covariance.diagonal().mean().clamp_min(1e-12)
        self._root = torch.linalg.cholesky(covariance + ridge * torch.eye(len(covariance), dtype=torch.float64))
        self.distances = np.sort(self._distance(to_float(torch.from_numpy(_spread(unseen, NUM_COMPARED)))))

    def percentiles(self, pictures: Tensor) -> list[float]:
        """The share of the unseen faces, in percent, that are nearer than each image: (N, C, H, W) in [-1, 1]."""
        places = np.searchsorted(self.distances, self._distance(pictures))
        return [100 * float(place) / len(self.distances) for place in places]

    def _distance(self, pictures: Tensor) -> NDArray[np.float64]:
        centred = (_traits(self._D, pictures) - self._mean).T
        whitened: Tensor = torch.linalg.solve_triangular(self._root, centred, upper=False)
        return np.asarray(whitened.square().sum(0).sqrt())


@torch.no_grad()
def _traits(D: nn.Module, pictures: Tensor) -> Tensor:
    """The traits of images (N, C, H, W): float64 (N, channels of all layers), on the CPU."""
    device = next(D.parameters()).device
    rows = []
    for batch in pictures.split(_BATCH):  # type: ignore[no-untyped-call]
        means = [
            each.mean((2, 3)) * (each.shape[2] * each.shape[3]) ** 0.5 for each in activations(D, batch.to(device))
        ]
        rows.append(torch.cat(means, 1).double().cpu())
    return torch.cat(rows)


def _spread(pictures: NDArray[np.uint8], num: int) -> NDArray[np.uint8]:
    """At most `num` images, evenly spread over all."""
    return np.array(pictures[np.linspace(0, len(pictures) - 1, min(num, len(pictures))).round().astype(int)])
