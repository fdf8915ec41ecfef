"""Precision, recall, density, coverage: which images of one side lie among those of the other.

A set's manifold is the union of a ball around every vector, whose radius reaches to its k-th nearest neighbour in the
set. A vector is in a ball when it is nearer than the radius, as in the reference implementation of density and
coverage; on the sphere is outside. So vectors that more than k others repeat have balls of radius 0, which hold
nothing: where a generator makes one image alone, recall is 0 even if the image is a real one, and precision says
whether that image is among the reals.

Distances are taken from float64 products of centred vectors and kept in float32; what may be rounding of the products
counts as 0, the distance of equal vectors.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.stats import binomtest, norm, t

from ..metric import Measurement, Metric, Pair, Sample

NEAREST = 40  # neighbours kept of each vector: far more than any k, so that parts of a set can be left out
MAX_K = 10  # the largest k for which they suffice
BLOCK = 1024  # vectors at a time
_NUM_PARTS = 10  # left out in turn for the interval of recall
_Z = float(norm.ppf(0.975))


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest neighbours of each vector in a set, itself left out.

    Attributes:
        distances: float32 (n, min(NEAREST, n - 1)), ascending.
        rows: int64, of the same shape: which vectors they are.
    """

    distances: NDArray[np.float32]
    rows: NDArray[np.int64]

    def radii(self, k: int) -> NDArray[np.float32]:
        """Return the distances to the k-th nearest neighbours, 1 <= k < n: (n,)."""
        return self.distances[:, k - 1]


def nearest_neighbours(vectors: NDArray[np.floating]) -> Neighbours:
    """Find the neighbours of vectors (n, d), n >= 2, block by block; each distance is computed once for both ends."""
    count = min(NEAREST, len(vectors) - 1)
    distances = np.full((len(vectors), count), np.inf, np.float32)
    rows = np.zeros((len(vectors), count), np.int64)

    def merge(at: slice, block: NDArray[np.float32], first: int) -> None:
        """Merge the distances of the vectors `at` to those from `first` on into their nearest."""
        candidates = np.concatenate([distances[at], block], axis=1)
        best = np.argpartition(candidates, count - 1, axis=1)[:, :count]
        numbers = np.concatenate([rows[at], np.broadcast_to(np.arange(block.shape[1]) + first, block.shape)], axis=1)
        distances[at] = np.take_along_axis(candidates, best, 1)
        rows[at] = np.take_along_axis(numbers, best, 1)

    centred = vectors - vectors.mean(0, dtype=np.float64)
    for upper in range(0, len(vectors), BLOCK):
        here = slice(upper, upper + BLOCK)
        for left in range(0, upper + 1, BLOCK):
            there = slice(left, left + BLOCK)
            block = _block_distances(centred[here], centred[there])
            if left == upper:
                np.fill_diagonal(block, np.inf)
            else:
                merge(there, block.T, upper)
            merge(here, block, left)
    order = np.argsort(distances, axis=1, kind="stable")
    return Neighbours(np.take_along_axis(distances, order, 1), np.take_along_axis(rows, order, 1))


def cross_distances(real: NDArray[np.floating], fake: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return the distances of vectors (n, d) to others (m, d): float32 (n, m), 400 MB for 10,000 on either side."""
    centre = real.mean(0, dtype=np.float64)
    found = np.empty((len(real), len(fake)), np.float32)
    others = fake - centre
    for start in range(0, len(real), BLOCK):
        found[start : start + BLOCK] = _block_distances(real[start : start + BLOCK] - centre, others)
    return found


def precision(cross: NDArray[np.float32], real: Neighbours, k: int, *, interval: bool = True) -> Measurement:
    """The share of fakes in the manifold of the reals.

    With the reals given, each fake lies in it or not by itself: the interval is Wilson's for a binomial share.

    Source: Kynkäänniemi et al., "Improved precision and recall metric for assessing generative models", NeurIPS 2019,
    equation 2; they count the sphere as inside.

    Args:
        cross: Distances of reals to fakes (n, m).
        real: Neighbours of each real.
        k: A ball reaches to the k-th neighbour, 1 to MAX_K and below n.
        interval: Whether to compute an interval.
    """
    inside = _counts(cross, real, k) > 0
    if not interval:
        return Measurement(float(inside.mean()))
    low, high = binomtest(int(inside.sum()), len(inside)).proportion_ci(method="wilson")
    return Measurement(float(inside.mean()), (float(low), float(high)))


def density(cross: NDArray[np.float32], real: Neighbours, k: int, *, interval: bool = True) -> Measurement:
    """In how many balls of reals a fake lies, on average, divided by k: 1 expected for equal distributions.

    With the reals given, it is a mean over independent fakes: the interval is that of a mean.

    Source: Naeem et al., "Reliable fidelity and diversity metrics for generative models", ICML 2020, equation 5.

    Args:
        cross: Distances of reals to fakes (n, m).
        real: Neighbours of each real.
        k: A ball reaches to the k-th neighbour, 1 to MAX_K and below n.
        interval: Whether to compute an interval.
    """
    counts = _counts(cross, real, k) / k
    return _estimate(float(counts.mean()), float(counts.std(ddof=1)) / len(counts) ** 0.5, _Z, interval=interval)


def coverage(cross: NDArray[np.float32], real: Neighbours, k: int, *, interval: bool = True) -> Measurement:
    """The share of reals in whose ball a fake lies.

    The interval is the jackknife's: without one fake, the reals whose only fake it is are no longer covered. (The
    bootstrap would be biased: its samples repeat fakes, and so cover less.)

    Source: Naeem et al., "Reliable fidelity and diversity metrics for generative models", ICML 2020, equation 6.

    Args:
        cross: Distances of reals to fakes (n, m).
        real: Neighbours of each real.
        k: A ball reaches to the k-th neighbour, 1 to MAX_K and below n.
        interval: Whether to compute an interval.
    """
    covered = 0
    alone = np.zeros(cross.shape[1])  # by each fake: reals that no other covers
    for block, radii in _blocks(cross, real.radii(k)):
        inside = block < radii
        num_inside = inside.sum(1)
        covered += int((num_inside > 0).sum())
        alone += inside[num_inside == 1].sum(0)
    error = alone.std() * (len(alone) - 1) ** 0.5 / len(cross)
    return _estimate(covered / len(cross), float(error), _Z, interval=interval, most=1.0)


def recall(
    cross: NDArray[np.float32], fake: Neighbours, k: int, *, interval: bool = True, seed: int = 0
) -> Measurement:
    """The share of reals in the manifold of the fakes.

    The interval is the jackknife's over ten random parts of the fakes: without a part, its balls are gone and
    those of the others reach to the k-th nearest of the rest. (In a bootstrap the fakes that it repeats would have
    balls that are too small.)

    Source: Kynkäänniemi et al., "Improved precision and recall metric for assessing generative models", NeurIPS 2019,
    equation 2; they count the sphere as inside.

    Args:
        cross: Distances of reals to fakes (n, m).
        fake: Neighbours of each fake.
        k: A ball reaches to the k-th neighbour, 1 to MAX_K; for an interval below 0.9 m.
        interval: Whether to compute an interval.
        seed: Seed of the parts.
    """
    value = _inside_any(cross, fake.radii(k))
    if not interval:
        return Measurement(value)
    part = np.random.default_rng(seed).permutation(cross.shape[1]) % _NUM_PARTS
    shares = np.empty(_NUM_PARTS)
    for number in range(_NUM_PARTS):
        left = np.cumsum(part[fake.rows] != number, axis=1)  # how many neighbours remain, up to each
        radii = np.take_along_axis(fake.distances, (left >= k).argmax(1)[:, None], 1)[:, 0]
        shares[number] = _inside_any(cross[:, part != number], radii[part != number])
    error = float(shares.std()) * (_NUM_PARTS - 1) ** 0.5
    return _estimate(value, error, float(t.ppf(0.975, _NUM_PARTS - 1)), interval=True, most=1.0)


def _block_distances(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return |x - y| of vectors (n, d) and (m, d): float32 (n, m)."""
    norms, others = np.square(a).sum(1), np.square(b).sum(1)
    squared = a @ (-2 * b.T)
    squared += norms[:, None]
    squared += others
    squared[squared < 32 * np.finfo(np.float64).eps * (norms.max() + others.max())] = 0
    return np.sqrt(squared, out=squared).astype(np.float32)


def _blocks(
    cross: NDArray[np.float32], radii: NDArray[np.float32]
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Yield rows of distances with the radii of their reals, (b, m) and (b, 1) at a time."""
    for start in range(0, len(cross), BLOCK):
        yield cross[start : start + BLOCK], radii[start : start + BLOCK, None]


def _counts(cross: NDArray[np.float32], real: Neighbours, k: int) -> NDArray[np.int64]:
    """Return in how many balls of reals each fake lies: (m,)."""
    counts = np.zeros(cross.shape[1], np.int64)
    for block, radii in _blocks(cross, real.radii(k)):
        counts += (block < radii).sum(0)
    return counts


def _inside_any(cross: NDArray[np.float32], radii: NDArray[np.float32]) -> float:
    """Return the share of rows that lie in the ball of any column."""
    inside = [(cross[start : start + BLOCK] < radii).any(1) for start in range(0, len(cross), BLOCK)]
    return float(np.concatenate(inside).mean())


def _estimate(value: float, error: float, quantile: float, *, interval: bool, most: float = np.inf) -> Measurement:
    """Return a value with an interval between 0 and `most` from its standard error."""
    if not interval:
        return Measurement(value)
    return Measurement(value, (max(0.0, value - quantile * error), min(most, value + quantile * error)))


class _Share(Metric):
    """A share of one side that lies among the other; the four metrics share their distances.

    Attributes:
        k: A ball reaches from a vector to its k-th nearest neighbour.
        num_images: Images of either side at most, the first of each.
    """

    better: ClassVar[Literal["lower", "higher", "nearer"]] = "higher"
    space: ClassVar[str] = "inception"
    at_least: ClassVar[int] = 2 * MAX_K
    comparable: ClassVar[str] = "published numbers of Inception's vectors; those of VGG-16's, as in the papers, differ"

    k: int = Field(default=3, ge=1, le=MAX_K)
    num_images: int = Field(default=10_000, ge=2 * MAX_K)

    def measure(self, pair: Pair) -> Measurement:
        """Compare the first images of both sides."""
        real, fake = self._vectors(pair.real), self._vectors(pair.fake)
        cross = pair.once(("distances", self.num_images), lambda: cross_distances(real, fake))
        found = self.share(pair, cross)
        return Measurement(found.value, found.interval, {"used_real": len(real), "used_fake": len(fake)})

    def share(self, pair: Pair, cross: NDArray[np.float32]) -> Measurement:
        """Return the share itself, given the distances of reals to fakes (n, m)."""
        raise NotImplementedError

    def neighbours(self, pair: Pair, side: Literal["real", "fake"]) -> Neighbours:
        """Return the nearest neighbours of each image among those of its own side."""
        sample = pair.real if side == "real" else pair.fake
        return pair.once((side, self.num_images), lambda: nearest_neighbours(self._vectors(sample)))

    def _vectors(self, sample: Sample) -> NDArray[np.float32]:
        return sample.seen.features[: self.num_images]


class Precision(_Share):
    """The share of fakes that lie among the reals: faces that could be real."""

    title: ClassVar[str] = "precision"

    def share(self, pair: Pair, cross: NDArray[np.float32]) -> Measurement:
        """Return the share of the fakes."""
        return precision(cross, self.neighbours(pair, "real"), self.k, interval=pair.intervals)


class Recall(_Share):
    """The share of reals that lie among the fakes: real faces that the generator could make."""

    title: ClassVar[str] = "recall"

    def share(self, pair: Pair, cross: NDArray[np.float32]) -> Measurement:
        """Return the share of the reals."""
        return recall(cross, self.neighbours(pair, "fake"), self.k, interval=pair.intervals, seed=pair.seed)


class Density(_Share):
    """The number of balls of reals that hold a fake, divided by k: precision that a single odd real cannot raise."""

    title: ClassVar[str] = "density"

    k: int = Field(default=5, ge=1, le=MAX_K)

    def share(self, pair: Pair, cross: NDArray[np.float32]) -> Measurement:
        """Return the mean over the fakes; it may exceed 1."""
        return density(cross, self.neighbours(pair, "real"), self.k, interval=pair.intervals)


class Coverage(_Share):
    """The share of reals that have a fake in their ball: recall that a single odd fake cannot raise."""

    title: ClassVar[str] = "coverage"

    k: int = Field(default=5, ge=1, le=MAX_K)

    def share(self, pair: Pair, cross: NDArray[np.float32]) -> Measurement:
        """Return the share of the reals."""
        return coverage(cross, self.neighbours(pair, "real"), self.k, interval=pair.intervals)
