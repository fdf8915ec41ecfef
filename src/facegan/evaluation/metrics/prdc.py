"""Precision, recall, density, coverage: which images of one side lie among those of the other.

A set's manifold is the union of a ball around every vector, whose radius reaches to its k-th nearest neighbour in the
set. A vector is in a ball when it is nearer than the radius, as in the reference implementation of density and
coverage; on the sphere is outside. So vectors that more than k others repeat have balls of radius 0, which hold
nothing: where a generator makes one image alone, recall is 0 even if the image is a real one, and precision says
whether that image is among the reals.

Distances are taken from float64 products of centred vectors and kept in float32; what may be rounding of the products
counts as 0, the distance of equal vectors.

Sources: Kynkäänniemi et al., "Improved precision and recall metric for assessing generative models", NeurIPS 2019,
equation 2, who count the sphere as inside; Naeem et al., "Reliable fidelity and diversity metrics for generative
models", ICML 2020, equations 5 (density) and 6 (coverage).

All four take the distances of n reals to m fakes (n, m), the neighbours of the reals or, for recall, of the fakes, and
k, 1 to MAX_K and below the number of vectors: a ball reaches to the k-th neighbour.
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

Distances = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest neighbours of each vector in a set, itself left out."""

    distances: Distances  # (n, min(NEAREST, n - 1)), ascending
    rows: NDArray[np.int64]  # of the same shape: which vectors they are

    def radii(self, k: int) -> Distances:
        """Return the distances to the k-th nearest neighbours, 1 <= k < n: (n,)."""
        return self.distances[:, k - 1]


def nearest_neighbours(vectors: NDArray[np.floating]) -> Neighbours:
    """Find the neighbours of vectors (n, d), n >= 2, block by block; each distance is computed once for both ends."""
    count = min(NEAREST, len(vectors) - 1)
    distances = np.full((len(vectors), count), np.inf, np.float32)
    rows = np.zeros((len(vectors), count), np.int64)

    def merge(at: slice, block: Distances, first: int) -> None:
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


def cross_distances(real: NDArray[np.floating], fake: NDArray[np.floating]) -> Distances:
    """Return the distances of vectors (n, d) to others (m, d): float32 (n, m), 400 MB for 10,000 on either side."""
    centre = real.mean(0, dtype=np.float64)
    found = np.empty((len(real), len(fake)), np.float32)
    others = fake - centre
    for start in range(0, len(real), BLOCK):
        found[start : start + BLOCK] = _block_distances(real[start : start + BLOCK] - centre, others)
    return found


def precision(cross: Distances, real: Neighbours, k: int) -> Measurement:
    """The share of fakes in the manifold of the reals.

    With the reals given, each fake lies in it or not by itself: the interval is Wilson's for a binomial share.
    """
    inside = _num_balls(cross, real, k) > 0
    low, high = binomtest(int(inside.sum()), len(inside)).proportion_ci(method="wilson")
    return Measurement(float(inside.mean()), (float(low), float(high)))


def density(cross: Distances, real: Neighbours, k: int) -> Measurement:
    """In how many balls of reals a fake lies, on average, divided by k: 1 expected for equal distributions.

    With the reals given, it is a mean over independent fakes: the interval is one of their expectation.
    """
    counts = _num_balls(cross, real, k) / k
    return _estimate(float(counts.mean()), float(counts.std(ddof=1)) / len(counts) ** 0.5, _Z, most=np.inf)


def coverage(cross: Distances, real: Neighbours, k: int) -> Measurement:
    """The share of reals in whose ball a fake lies.

    The interval is the jackknife's: without one fake, the reals whose only fake it is are no longer covered. (The
    bootstrap would be biased: its samples repeat fakes, and so cover less.)
    """
    covered = 0
    alone = np.zeros(cross.shape[1])  # by each fake: reals that no other covers
    for inside in _in_balls(cross, real, k):
        num_inside = inside.sum(1)
        covered += int((num_inside > 0).sum())
        alone += inside[num_inside == 1].sum(0)
    error = alone.std() * (len(alone) - 1) ** 0.5 / len(cross)
    return _estimate(covered / len(cross), float(error), _Z)


def recall(cross: Distances, fake: Neighbours, k: int, *, interval: bool = True, seed: int = 0) -> Measurement:
    """The share of reals in the manifold of the fakes.

    The interval, for k below 0.9 m, is the jackknife's over ten parts of the fakes that the seed draws: without a part,
    its balls are gone and those of the others reach to the k-th nearest of the rest. (In a bootstrap the fakes that it
    repeats would have balls that are too small.)
    """
    value = _inside_any(cross, fake.radii(k))
    if not interval:  # ten times as much work
        return Measurement(value)
    part = np.random.default_rng(seed).permutation(cross.shape[1]) % _NUM_PARTS
    shares = np.empty(_NUM_PARTS)
    for number in range(_NUM_PARTS):
        left = np.cumsum(part[fake.rows] != number, axis=1)  # how many neighbours remain, up to each
        radii = np.take_along_axis(fake.distances, (left >= k).argmax(1)[:, None], 1)[:, 0]
        shares[number] = _inside_any(cross[:, part != number], radii[part != number])
    error = float(shares.std()) * (_NUM_PARTS - 1) ** 0.5
    return _estimate(value, error, float(t.ppf(0.975, _NUM_PARTS - 1)))


def _block_distances(a: NDArray[np.float64], b: NDArray[np.float64]) -> Distances:
    """Return |x - y| of vectors (n, d) and (m, d): float32 (n, m)."""
    norms, others = np.square(a).sum(1), np.square(b).sum(1)
    squared = a @ (-2 * b.T)
    squared += norms[:, None]
    squared += others
    squared[squared < 32 * np.finfo(np.float64).eps * (norms.max() + others.max())] = 0
    return np.sqrt(squared, out=squared).astype(np.float32)


def _in_balls(cross: Distances, real: Neighbours, k: int) -> Iterator[NDArray[np.bool_]]:
    """Yield for a block of reals at a time which fakes lie in the ball of each: (b, m)."""
    radii = real.radii(k)[:, None]
    for start in range(0, len(cross), BLOCK):
        yield cross[start : start + BLOCK] < radii[start : start + BLOCK]


def _num_balls(cross: Distances, real: Neighbours, k: int) -> NDArray[np.int64]:
    """Return in how many balls of reals each fake lies: (m,)."""
    counts = np.zeros(cross.shape[1], np.int64)
    for inside in _in_balls(cross, real, k):
        counts += inside.sum(0)
    return counts


def _inside_any(cross: Distances, radii: Distances) -> float:
    """Return the share of rows that lie in the ball of any column."""
    inside = [(cross[start : start + BLOCK] < radii).any(1) for start in range(0, len(cross), BLOCK)]
    return float(np.concatenate(inside).mean())


def _estimate(value: float, error: float, quantile: float, *, most: float = 1.0) -> Measurement:
    """Return a value with an interval between 0 and `most` from its standard error."""
    return Measurement(value, (max(0.0, value - quantile * error), min(most, value + quantile * error)))


class _Share(Metric):
    """A share of one side that lies among the other; the four metrics share their distances."""

    better: ClassVar[Literal["lower", "higher", "nearer"]] = "higher"
    space: ClassVar[str] = "inception"
    at_least: ClassVar[int] = 2 * MAX_K
    comparable: ClassVar[str] = "published numbers of Inception's vectors; those of VGG-16's, as in the papers, differ"

    k: int = Field(default=3, ge=1, le=MAX_K)  # a ball reaches from a vector to its k-th nearest neighbour
    num_images: int = Field(default=10_000, ge=2 * MAX_K)  # of either side at most, the first of each

    def measure(self, pair: Pair) -> Measurement:
        """Compare the first images of both sides."""
        real, fake = self._vectors(pair.real), self._vectors(pair.fake)
        cross = pair.once(("distances", self.num_images), lambda: cross_distances(real, fake))
        found = self._share(pair, cross)
        return Measurement(found.value, found.interval, {"used_real": len(real), "used_fake": len(fake)})

    def _share(self, pair: Pair, cross: Distances) -> Measurement:
        raise NotImplementedError

    def _neighbours(self, pair: Pair, side: Literal["real", "fake"]) -> Neighbours:
        vectors = self._vectors(pair.real if side == "real" else pair.fake)
        return pair.once((side, self.num_images), lambda: nearest_neighbours(vectors))

    def _vectors(self, sample: Sample) -> NDArray[np.float32]:
        return sample.seen.features[: self.num_images]


class Precision(_Share):
    """The share of fakes that lie among the reals: faces that could be real."""

    title: ClassVar[str] = "precision"

    def _share(self, pair: Pair, cross: Distances) -> Measurement:
        return precision(cross, self._neighbours(pair, "real"), self.k)


class Recall(_Share):
    """The share of reals that lie among the fakes: real faces that the generator could make."""

    title: ClassVar[str] = "recall"

    def _share(self, pair: Pair, cross: Distances) -> Measurement:
        return recall(cross, self._neighbours(pair, "fake"), self.k, interval=pair.intervals, seed=pair.seed)


class Density(_Share):
    """The number of balls of reals that hold a fake, divided by k: precision that a single odd real cannot raise.

    It may exceed 1.
    """

    title: ClassVar[str] = "density"

    k: int = Field(default=5, ge=1, le=MAX_K)

    def _share(self, pair: Pair, cross: Distances) -> Measurement:
        return density(cross, self._neighbours(pair, "real"), self.k)


class Coverage(_Share):
    """The share of reals that have a fake in their ball: recall that a single odd fake cannot raise."""

    title: ClassVar[str] = "coverage"

    k: int = Field(default=5, ge=1, le=MAX_K)

    def _share(self, pair: Pair, cross: Distances) -> Measurement:
        return coverage(cross, self._neighbours(pair, "real"), self.k)
