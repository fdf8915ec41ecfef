"""Whether samples are nearer to training images than unseen images are."""

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from .search import NearestImages

RESAMPLES = 1000  # of the bootstrap
QUANTILES = (0.05, 0.01)
Z_95, Z_999 = 1.96, 3.29  # standard deviations: exceeded upwards once in 40 times, once in 2,000


class Share(BaseModel):
    """A share from 0 to 1 with its 95 % interval."""

    model_config = ConfigDict(frozen=True)

    value: float
    interval: tuple[float, float]


class Memorisation(BaseModel):
    """How near samples are to the training set, relative to held-out images, in one space.

    `nearer` is the probability that a sample is nearer to its nearest training image than a held-out image is to its
    own; ties count half. 0.5: samples are as near as unseen images; 1: every sample is nearer than all.
    """

    model_config = ConfigDict(frozen=True)

    nearer: Share
    below_5: Share  # of samples nearer than the nearest 5 % of held-out images; 0.05 if they are alike
    below_1: Share  # the same for the nearest 1 %
    seen: float  # share of samples whose nearest image, of training and held-out ones together, is a training one
    seen_by_chance: Share  # of training images among all; 95 % of `seen` if it does not matter which were trained on
    median_sample: float  # distance of samples to their nearest training image
    median_heldout: float  # the same for held-out images

    @property
    def shows(self) -> bool | None:
        """Whether far more samples than by chance are nearest to a training image; None: no share would be more.

        Far more: what chance exceeds once in 2,000 times, since a run that is wrongly accused is thrown away.
        """
        p, (low, high) = self.seen_by_chance.value, self.seen_by_chance.interval
        bound = p + Z_999 / Z_95 * max(high - p, p - low)
        return self.seen > bound if bound < 1 else None


def measure_memorisation(
    samples: NearestImages, heldout: NearestImages, to_heldout: NearestImages, num_training: int
) -> Memorisation:
    """Compare how near samples and held-out images are to the training set, and samples to both sets.

    `nearer` is the Mann-Whitney statistic U / (n m) of both sets of distances. Source: Meehan, Chaudhuri, Dasgupta,
    "A Non-Parametric Test to Detect Data-Copying in Generative Models", AISTATS 2020: their Delta is
    1 - nearer. We report it with a bootstrap interval (percentiles; samples and held-out images are resampled) instead
    of as a z-score, which grows with the number of samples; and over the complete space at once, not cell by cell: the
    shares below quantiles show copies that the rest outweighs.

    `seen` is ours. If samples do not depend on which of the images were trained on, train and held-out are labels
    that could be permuted, each image being a training one with p = N / (N + m). With c_j the number of samples
    whose nearest image is j, the share's variance is about p (1 - p) sum c_j^2 / n^2: a few images that are near to
    many samples make it large. Unlike the other measures it does not depend on blur, which brings a sample nearer to
    training and held-out images alike.

    Args:
        samples: The nearest training images of n samples; only the first of each counts.
        heldout: Those of m held-out images.
        to_heldout: The nearest held-out images of the samples.
        num_training: N.
    """
    to_training, unseen, to_unseen = (each.distances[:, 0] for each in (samples, heldout, to_heldout))
    rng = np.random.default_rng(0)
    estimate = _shares(to_training, np.sort(unseen))
    resampled = [
        _shares(rng.choice(to_training, len(to_training)), np.sort(rng.choice(unseen, len(unseen))))
        for _ in range(RESAMPLES)
    ]
    bounds = np.quantile(resampled, (0.025, 0.975), axis=0).T
    nearer, below_5, below_1 = (
        Share(value=value, interval=tuple(both)) for value, both in zip(estimate, bounds, strict=True)
    )
    p = num_training / (num_training + len(unseen))
    is_trained = to_training <= to_unseen
    chosen = np.where(is_trained, samples.indices[:, 0], num_training + to_heldout.indices[:, 0])
    counts = np.unique(chosen, return_counts=True)[1]
    margin = Z_95 * (p * (1 - p) * float(np.square(counts).sum())) ** 0.5 / len(to_training)
    return Memorisation(
        nearer=nearer,
        below_5=below_5,
        below_1=below_1,
        seen=float(is_trained.mean()),
        seen_by_chance=Share(value=p, interval=(max(0.0, p - margin), min(1.0, p + margin))),
        median_sample=float(np.median(to_training)),
        median_heldout=float(np.median(unseen)),
    )


def _shares(samples: NDArray[np.float64], heldout: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the probability of being nearer, and the shares below both quantiles; `heldout` is sorted."""
    places = np.searchsorted(heldout, samples, "left") + np.searchsorted(heldout, samples, "right")
    nearer = 1 - float(places.mean()) / (2 * len(heldout))
    five, one = (float((samples < quantile).mean()) for quantile in np.quantile(heldout, QUANTILES))
    return nearer, five, one
