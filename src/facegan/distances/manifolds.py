"""Precision, recall, density, coverage: which images of one side lie among those of the other.

A set's manifold is the union of a ball around every vector, whose radius reaches to its k-th nearest fellow. A vector
is in a ball when it is nearer than the radius, as in the reference implementation of density and coverage; on the
sphere is outside. So vectors that more than k fellows repeat have balls of radius 0, in which nothing lies: where a
generator makes one image alone, recall is 0 even if the image is a real one, and precision says whether that
image is among the reals.

Distances are taken from float64 products of centred vectors and kept in float32; what the products' rounding can
bring about counts as 0, which is what it is for equal vectors.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, norm, t

from .estimate import Estimate

NEAREST = 40  # neighbours kept of each vector: far more than any k, so that groups of vectors can be left out
MOST = 10  # the largest k for which they suffice
_BLOCK = 1024  # vectors at a time
_PARTS = 10  # left out in turn for the interval of recall
_Z = float(norm.ppf(0.975))


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest fellows of each vector in a set, itself left out.

    Attributes:
        distances: float32 (n, min(NEAREST, n - 1)), ascending.
        rows: int64, alike: which vectors they are.
    """

    distances: NDArray[np.float32]
    rows: NDArray[np.int64]

    def radii(self, k: int) -> NDArray[np.float32]:
        """Distances to the k-th nearest, 1 <= k < n: (n,)."""
        return self.distances[:, k - 1]


def neighbours(vectors: NDArray[np.floating]) -> Neighbours:
    """Of vectors (n, d), n >= 2; each distance is computed once for both of its ends, in memory for one block."""
    count = min(NEAREST, len(vectors) - 1)
    distances = np.full((len(vectors), count), np.inf, np.float32)
    rows = np.zeros((len(vectors), count), np.int64)

    def merge(at: slice, block: NDArray[np.float32], first: int) -> None:
        """Bring the distances of the vectors `at` to those from `first` on among their nearest."""
        everything = np.concatenate([distances[at], block], axis=1)
        best = np.argpartition(everything, count - 1, axis=1)[:, :count]
        numbers = np.concatenate([rows[at], np.broadcast_to(np.arange(block.shape[1]) + first, block.shape)], axis=1)
        distances[at] = np.take_along_axis(everything, best, 1)
        rows[at] = np.take_along_axis(numbers, best, 1)

    centred = vectors - vectors.mean(0, dtype=np.float64)
    for upper in range(0, len(vectors), _BLOCK):
        here = slice(upper, upper + _BLOCK)
        for left in range(0, upper + 1, _BLOCK):
            there = slice(left, left + _BLOCK)
            block = _distances(centred[here], centred[there])
            if left == upper:
                np.fill_diagonal(block, np.inf)
            else:
                merge(there, block.T, upper)
            merge(here, block, left)
    order = np.argsort(distances, axis=1, kind="stable")
    return Neighbours(np.take_along_axis(distances, order, 1), np.take_along_axis(rows, order, 1))


def between(real: NDArray[np.floating], fake: NDArray[np.floating]) -> NDArray[np.float32]:
    """Euclidean distances of vectors (n, d) to others (m, d): float32 (n, m), 400 MB for 10,000 on either side."""
    centre = real.mean(0, dtype=np.float64)
    found = np.empty((len(real), len(fake)), np.float32)
    others = fake - centre
    for start in range(0, len(real), _BLOCK):
        found[start : start + _BLOCK] = _distances(real[start : start + _BLOCK] - centre, others)
    return found


def precision(cross: NDArray[np.float32], real: Neighbours, k: int, *, interval: bool = True) -> Estimate:
    """The share of fakes in the manifold of the reals.

    With the reals given, each fake lies in it or not by itself: the interval is Wilson's for a binomial share.

    Source: Kynkäänniemi et al., "Improved precision and recall metric for assessing generative models", NeurIPS 2019,
    equation 2; they count the sphere as inside.

    Args:
        cross: Distances of reals to fakes (n, m).
        real: Of the reals.
        k: Whose radius a ball has, 1 to MOST and below n.
        interval: Whether to give one.
    """
    inside = _counts(cross, real, k) > 0
    if not interval:
        return Estimate(float(inside.mean()))
    low, high = binomtest(int(inside.sum()), len(inside)).proportion_ci(method="wilson")
    return Estimate(float(inside.mean()), (float(low), float(high)))


def density(cross: NDArray[np.float32], real: Neighbours, k: int, *, interval: bool = True) -> Estimate:
    """In how many balls of reals a fake lies, on average, divided by k: 1 expected for equal distributions.

    With the reals given, it is a mean over independent fakes: the interval is that of a mean.

    Source: Naeem et al., "Reliable fidelity and diversity metrics for generative models", ICML 2020, equation 5.

    Args:
        cross: Distances of reals to fakes (n, m).
        real: Of the reals.
        k: Whose radius a ball has, 1 to MOST and below n.
        interval: Whether to give one.
    """
    counts = _counts(cross, real, k) / k
    return _around(float(counts.mean()), float(counts.std(ddof=1)) / len(counts) ** 0.5, _Z, interval=interval)


def coverage(cross: NDArray[np.float32], real: Neighbours, k: int, *, interval: bool = True) -> Estimate:
    """The share of reals in whose ball a fake lies.

    The interval is the jackknife's: without one fake, the reals whose only fake it is are no longer covered. (The
    bootstrap would be wrong: its samples repeat fakes, and so cover less.)

    Source: Naeem et al., "Reliable fidelity and diversity metrics for generative models", ICML 2020, equation 6.

    Args:
        cross: Distances of reals to fakes (n, m).
        real: Of the reals.
        k: Whose radius a ball has, 1 to MOST and below n.
        interval: Whether to give one.
    """
    covered = 0
    alone = np.zeros(cross.shape[1])  # by each fake: reals that no other covers
    for block, radii in _blocks(cross, real.radii(k)):
        inside = block < radii
        times = inside.sum(1)
        covered += int((times > 0).sum())
        alone += inside[times == 1].sum(0)
    error = alone.std() * (len(alone) - 1) ** 0.5 / len(cross)
    return _around(covered / len(cross), float(error), _Z, interval=interval, most=1.0)


def recall(cross: NDArray[np.float32], fake: Neighbours, k: int, *, interval: bool = True, seed: int = 0) -> Estimate:
    """The share of reals in the manifold of the fakes.

    The interval is the jackknife's over ten parts of the fakes, drawn at random: without a part, its balls are gone
    and the others' reach to the k-th nearest of what is left. (In a bootstrap the fakes that it repeats would have
    balls that are too small.)

    Source: Kynkäänniemi et al., "Improved precision and recall metric for assessing generative models", NeurIPS 2019,
    equation 2; they count the sphere as inside.

    Args:
        cross: Distances of reals to fakes (n, m).
        fake: Of the fakes.
        k: Whose radius a ball has, 1 to MOST; for an interval below 0.9 m.
        interval: Whether to give one.
        seed: Of the parts.
    """
    value = _inside_any(cross, fake.radii(k))
    if not interval:
        return Estimate(value)
    part = np.random.default_rng(seed).permutation(cross.shape[1]) % _PARTS
    shares = np.empty(_PARTS)
    for number in range(_PARTS):
        left = np.cumsum(part[fake.rows] != number, axis=1)  # how many of the nearest are left, up to each
        radii = np.take_along_axis(fake.distances, (left >= k).argmax(1)[:, None], 1)[:, 0]
        shares[number] = _inside_any(cross[:, part != number], radii[part != number])
    error = float(shares.std()) * (_PARTS - 1) ** 0.5
    return _around(value, error, float(t.ppf(0.975, _PARTS - 1)), interval=True, most=1.0)


def _distances(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float32]:
    """|x - y| of vectors (n, d) and (m, d): float32 (n, m)."""
    norms, others = np.square(a).sum(1), np.square(b).sum(1)
    squared = a @ (-2 * b.T)
    squared += norms[:, None]
    squared += others
    squared[squared < 32 * np.finfo(np.float64).eps * (norms.max() + others.max())] = 0
    return np.sqrt(squared, out=squared).astype(np.float32)


def _blocks(
    cross: NDArray[np.float32], radii: NDArray[np.float32]
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Rows of distances with the radii of their reals, (b, m) and (b, 1) at a time."""
    for start in range(0, len(cross), _BLOCK):
        yield cross[start : start + _BLOCK], radii[start : start + _BLOCK, None]


def _counts(cross: NDArray[np.float32], real: Neighbours, k: int) -> NDArray[np.int64]:
    """In how many balls of reals each fake lies: (m,)."""
    counts = np.zeros(cross.shape[1], np.int64)
    for block, radii in _blocks(cross, real.radii(k)):
        counts += (block < radii).sum(0)
    return counts


def _inside_any(cross: NDArray[np.float32], radii: NDArray[np.float32]) -> float:
    """The share of rows that lie in the ball of any column."""
    inside = [(cross[start : start + _BLOCK] < radii).any(1) for start in range(0, len(cross), _BLOCK)]
    return float(np.concatenate(inside).mean())


def _around(value: float, error: float, quantile: float, *, interval: bool, most: float = np.inf) -> Estimate:
    """A value with its standard error as an estimate between 0 and `most`."""
    if not interval:
        return Estimate(value)
    return Estimate(value, (max(0.0, value - quantile * error), min(most, value + quantile * error)))
