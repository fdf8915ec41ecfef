"""Whether samples are nearer to training images than unseen images are."""

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from .search import NearestImages

RESAMPLES = 1000  # of the bootstrap
QUANTILES = (0.05, 0.01)
Z_95, Z_999 = 1.96, 3.29  # standard deviations: exceeded upwards once in 40 times, once in 2,000
ONE_IN = 2000  # trials without memorisation, at most one may be accused
DRAWS = 10 * ONE_IN  # of the people that are held out


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
    seen_by_chance: Share  # of training images among all; 95 % of `seen` if it does not matter who was trained on
    seen_limit: float = Field(exclude=True)  # that `seen` exceeds by chance at most once in 2,000 times
    median_sample: float  # distance of samples to their nearest training image
    median_heldout: float  # the same for held-out images

    @property
    def shows(self) -> bool | None:
        """Whether far more samples than by chance are nearest to a training image; None: no share would be more.

        Far more: what chance exceeds at most once in 2,000 times, since a run that is wrongly accused is thrown away.
        """
        return self.seen > self.seen_limit if self.seen_limit < 1 else None


def measure_memorisation(
    samples: NearestImages,
    heldout: NearestImages,
    to_heldout: NearestImages,
    people: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> Memorisation:
    """Compare how near samples and held-out images are to the training set, and samples to both sets.

    `nearer` is the Mann-Whitney statistic U / (n m) of both sets of distances. Source: Meehan, Chaudhuri, Dasgupta,
    "A Non-Parametric Test to Detect Data-Copying in Generative Models", AISTATS 2020: their Delta is
    1 - nearer. We report it with a bootstrap interval (percentiles; samples and held-out people are resampled) instead
    of as a z-score, which grows with the number of samples; and over the complete space at once, not cell by cell: the
    shares below quantiles show copies that the rest outweighs. Source of the bootstrap of people with all their images:
    Field, Welsh, "Bootstrapping clustered data", JRSS B 69, 2007 (the cluster bootstrap).

    `seen` is ours; `_chance` derives its distribution. Unlike the other measures it does not depend on blur, which
    brings a sample nearer to training and held-out images alike.

    Args:
        samples: The nearest training images of n samples; only the first of each counts.
        heldout: Those of m held-out images.
        to_heldout: The nearest held-out images of the samples.
        people: The number of the person of each of N training and m held-out images, int64 (N,) and (m,), both from 0.
            A split holds out people, not images. Where no person is known, each image has its own number.
    """
    to_training, unseen, to_unseen = (each.distances[:, 0] for each in (samples, heldout, to_heldout))
    estimate = _shares(to_training, np.sort(unseen))
    bounds = np.quantile(_bootstrap(to_training, unseen, people[1]), (0.025, 0.975), axis=0).T
    nearer, below_5, below_1 = (
        Share(value=value, interval=tuple(both)) for value, both in zip(estimate, bounds, strict=True)
    )
    is_trained = to_training <= to_unseen
    chosen = np.where(is_trained, samples.indices[:, 0], len(people[0]) + to_heldout.indices[:, 0])
    by_chance, limit = _chance(chosen, *people)
    return Memorisation(
        nearer=nearer,
        below_5=below_5,
        below_1=below_1,
        seen=float(is_trained.mean()),
        seen_by_chance=by_chance,
        seen_limit=limit,
        median_sample=float(np.median(to_training)),
        median_heldout=float(np.median(unseen)),
    )


def _shares(samples: NDArray[np.float64], heldout: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the probability of being nearer, and the shares below both quantiles; `heldout` is sorted."""
    places = np.searchsorted(heldout, samples, "left") + np.searchsorted(heldout, samples, "right")
    nearer = 1 - float(places.mean()) / (2 * len(heldout))
    five, one = (float((samples < quantile).mean()) for quantile in np.quantile(heldout, QUANTILES))
    return nearer, five, one


def _bootstrap(
    samples: NDArray[np.float64], heldout: NDArray[np.float64], people: NDArray[np.int64]
) -> list[tuple[float, float, float]]:
    """Return the shares of resampled samples and resampled held-out people, each with all images."""
    rng = np.random.default_rng(0)
    order = np.argsort(heldout)
    ordered, owner, num_people = heldout[order], people[order], people.max() + 1
    resampled = []
    for _ in range(RESAMPLES):
        chosen = rng.choice(samples, len(samples))
        times = np.bincount(rng.choice(num_people, num_people), minlength=num_people)
        resampled.append(_shares(chosen, np.repeat(ordered, times[owner])))
    return resampled


def _chance(chosen: NDArray[np.int64], training: NDArray[np.int64], heldout: NDArray[np.int64]) -> tuple[Share, float]:
    """Return the share of training images with the 95 % bounds of `seen`, and the limit of `seen`.

    If samples do not depend on who was trained on, the labels "training" and "held out" of the K people could be
    permuted: each person is a training one with probability q, the share of training people. Of n samples and M images,
    person k has the n_k samples that are nearest to one of their s_k images. A label moves `seen` by n_k / n and the
    share p = N / M of training images by s_k / M. So seen - p = sum d_k T_k with d_k = n_k / n - s_k / M, T_k = 1 for
    training people; its mean is 0, as sum d_k = 0, and its variance q (1 - q) sum d_k^2. Source: Cochran, "Sampling
    Techniques", 3rd edition 1977, section 3.12 (a proportion in clusters of unequal size, as a ratio).

    If each image is its own person, this is p (1 - p) (sum c_j^2 / n^2 - 1 / M), with c_j samples nearest to image j.
    The bounds add 1 / M to the sum, which omits that correction for a finite population: they are slightly too wide.

    A few people with hundreds of images make the distribution skewed and its tail heavier than a normal one. So the
    limit is the larger of the normal limit and that of a randomisation test: the tenth largest of 20,000 draws of T,
    which one more draw exceeds with probability 10 / 20,001 at most. Source: Phipson, Smyth, "Permutation P-values
    Should Never Be Zero", Statistical Applications in Genetics and Molecular Biology 9, 2010: p = (b + 1) / (m + 1).

    Args:
        chosen: The nearest image of each sample: training images, then held-out ones, int64 (n,).
        training: The number of each training image's person, int64 (N,).
        heldout: The same for held-out images, int64 (m,).
    """
    num_trained, num_images = int(training.max()) + 1, len(training) + len(heldout)
    person = np.concatenate([training, num_trained + heldout])
    images = np.bincount(person)
    nearest = np.bincount(person[chosen], minlength=len(images))
    influence = nearest / len(chosen) - images / num_images
    p, q = len(training) / num_images, num_trained / len(images)
    deviation = (q * (1 - q) * (float(np.square(influence).sum()) + 1 / num_images)) ** 0.5
    # People with equal influence are drawn together: their number that is trained on is binomial.
    alike, counts = np.unique(influence, return_counts=True)
    rng, drawn = np.random.default_rng(0), np.zeros(DRAWS)
    for each, count in zip(alike, counts, strict=True):
        drawn += each * rng.binomial(count, q, DRAWS)
    by_chance = Share(value=p, interval=(max(0.0, p - Z_95 * deviation), min(1.0, p + Z_95 * deviation)))
    return by_chance, p + max(Z_999 * deviation, float(np.sort(drawn)[-DRAWS // ONE_IN]))
