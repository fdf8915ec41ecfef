"""Whether samples are nearer to training images than unseen images are."""

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

RESAMPLES = 1000  # of the bootstrap
QUANTILES = (0.05, 0.01)


USUAL, ACCUSED = 1.96, 3.29  # standard deviations: exceeded upwards once in 40 times, once in 2,000


class Share(BaseModel):
    """A share from 0 to 1 with its 95 % interval."""

    model_config = ConfigDict(frozen=True)

    value: float
    interval: tuple[float, float]


class Memorisation(BaseModel):
    """How near samples are to the training set, measured by held-out images, in one space.

    Attributes:
        nearer: Probability that a sample is nearer to its nearest training image than a held-out image is to its
            own; ties count half. 0.5: samples are as near as unseen images; 1: every sample is nearer than all.
        below_5: Share of samples nearer than the nearest 5 % of held-out images; 0.05 if they are alike.
        below_1: The same of the nearest 1 %.
        seen: Share of samples whose nearest image, of the training and the held-out ones together, is a training
            one.
        seen_by_chance: The share of training images among all, and where `seen` lies in 95 of 100 cases if it does
            not matter for samples which images were trained on.
        median_sample: Median distance of samples to their nearest training image.
        median_heldout: The same of held-out images.
    """

    model_config = ConfigDict(frozen=True)

    nearer: Share
    below_5: Share
    below_1: Share
    seen: float
    seen_by_chance: Share
    median_sample: float
    median_heldout: float

    @property
    def shows(self) -> bool | None:
        """Whether far more samples than by chance are nearest to a training image; None: no share would be more.

        Far more: what chance exceeds once in 2,000 times, as a run that is accused wrongly is thrown away.
        """
        p, (low, high) = self.seen_by_chance.value, self.seen_by_chance.interval
        bound = p + ACCUSED / USUAL * max(high - p, p - low)
        return self.seen > bound if bound < 1 else None


def measure(
    samples: NDArray[np.float64],
    heldout: NDArray[np.float64],
    *,
    to_heldout: NDArray[np.float64],
    nearest: NDArray[np.int64],
    num_training: int,
) -> Memorisation:
    """Compare how near samples and held-out images are to the training set, and samples to both sets.

    `nearer` is the Mann-Whitney statistic U / (n m) of both sets of distances. Source: Meehan, Chaudhuri, Dasgupta,
    "A Non-Parametric Test to Detect Data-Copying in Generative Models", AISTATS 2020: their Delta is
    1 - nearer. We give it with a bootstrap interval (percentiles; samples and held-out images are drawn anew)
    instead of as a z-score, which grows with the number of samples; and over the whole space at once, not cell by
    cell: the shares below quantiles show copies that the whole outweighs.

    `seen` is ours. If samples do not depend on which of the images were trained on, train and held-out are labels
    that could be dealt out anew, each image being a training one with p = N / (N + m). With c_j the number of samples
    that have image j for their nearest, the share's variance is about p (1 - p) sum c_j^2 / n^2: a few images that
    are near to many samples make it large. Unlike the other measures it is not moved by blur, which brings a sample
    nearer to training and held-out images alike.

    Args:
        samples: (n,) distances of samples to their nearest training image.
        heldout: (m,) distances of held-out images to theirs.
        to_heldout: (n,) distances of samples to their nearest held-out image.
        nearest: (n, 2) indices of the nearest training and the nearest held-out image of each sample.
        num_training: N.
    """
    rng = np.random.default_rng(0)
    estimate = _shares(samples, np.sort(heldout))
    resampled = np.array(
        [
            _shares(rng.choice(samples, len(samples)), np.sort(rng.choice(heldout, len(heldout))))
            for _ in range(RESAMPLES)
        ]
    )
    low, high = np.quantile(resampled, (0.025, 0.975), axis=0)
    nearer, below_5, below_1 = (
        Share(value=value, interval=(lower, upper)) for value, lower, upper in zip(estimate, low, high, strict=True)
    )
    p = num_training / (num_training + len(heldout))
    trained = samples <= to_heldout
    chosen = np.where(trained, nearest[:, 0], num_training + nearest[:, 1])
    counts = np.unique(chosen, return_counts=True)[1]
    margin = USUAL * (p * (1 - p) * float(np.square(counts).sum())) ** 0.5 / len(samples)
    return Memorisation(
        nearer=nearer,
        below_5=below_5,
        below_1=below_1,
        seen=float(trained.mean()),
        seen_by_chance=Share(value=p, interval=(max(0.0, p - margin), min(1.0, p + margin))),
        median_sample=float(np.median(samples)),
        median_heldout=float(np.median(heldout)),
    )


def _shares(samples: NDArray[np.float64], heldout: NDArray[np.float64]) -> tuple[float, float, float]:
    """The probability of being nearer, and the shares below both quantiles; `heldout` is sorted."""
    places = np.searchsorted(heldout, samples, "left") + np.searchsorted(heldout, samples, "right")
    nearer = 1 - float(places.mean()) / (2 * len(heldout))
    five, one = (float((samples < quantile).mean()) for quantile in np.quantile(heldout, QUANTILES))
    return nearer, five, one
