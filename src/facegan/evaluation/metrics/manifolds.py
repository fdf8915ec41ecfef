"""Precision, recall, density and coverage of Inception's vectors; they share their distances."""

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ...distances import manifolds
from ...distances.estimate import Estimate
from ...distances.manifolds import Neighbours
from ..metric import Measurement
from ..pair import Pair, Sample
from .vectors import VectorMetric


class ManifoldMetric(VectorMetric):
    """A share of one side that lies among the other.

    Attributes:
        k: A ball reaches from a vector to its k-th nearest fellow.
        num_images: Images of either side at most, the first of each.
    """

    better: ClassVar[Literal["lower", "higher", "nearer"]] = "higher"
    space: ClassVar[str] = "inception"
    at_least: ClassVar[int] = 2 * manifolds.MOST
    comparable: ClassVar[str] = "published numbers of Inception's vectors; those of VGG-16's, as in the papers, differ"

    k: int = Field(default=3, ge=1, le=manifolds.MOST)
    num_images: int = Field(default=10_000, ge=2 * manifolds.MOST)

    def measure(self, pair: Pair) -> Measurement:
        """Of the first images of both sides."""
        real, fake = self._vectors(pair.real), self._vectors(pair.fake)
        cross = pair.once(("between", self.num_images), lambda: manifolds.between(real, fake))
        found = self.share(pair, cross)
        return Measurement(found.value, found.interval, {"used_real": len(real), "used_fake": len(fake)})

    def share(self, pair: Pair, cross: NDArray[np.float32]) -> Estimate:
        """The share itself, given the distances of reals to fakes (n, m)."""
        raise NotImplementedError

    def neighbours(self, pair: Pair, side: Literal["real", "fake"]) -> Neighbours:
        """The nearest fellows of each image of one side."""
        sample = pair.real if side == "real" else pair.fake
        return pair.once((side, self.num_images), lambda: manifolds.neighbours(self._vectors(sample)))

    def _vectors(self, sample: Sample) -> NDArray[np.float32]:
        return sample.seen.features[: self.num_images]


class Precision(ManifoldMetric):
    """The share of fakes that lie among the reals: faces that could be real."""

    title: ClassVar[str] = "precision"

    def share(self, pair: Pair, cross: NDArray[np.float32]) -> Estimate:
        """Of the fakes."""
        return manifolds.precision(cross, self.neighbours(pair, "real"), self.k, interval=pair.intervals)


class Recall(ManifoldMetric):
    """The share of reals that lie among the fakes: real faces that the generator could make."""

    title: ClassVar[str] = "recall"

    def share(self, pair: Pair, cross: NDArray[np.float32]) -> Estimate:
        """Of the reals."""
        fake = self.neighbours(pair, "fake")
        return manifolds.recall(cross, fake, self.k, interval=pair.intervals, seed=pair.seed)


class Density(ManifoldMetric):
    """In how many balls of reals a fake lies, divided by k: precision that a single odd real cannot raise."""

    title: ClassVar[str] = "density"

    k: int = Field(default=5, ge=1, le=manifolds.MOST)

    def share(self, pair: Pair, cross: NDArray[np.float32]) -> Estimate:
        """A mean over the fakes; may exceed 1."""
        return manifolds.density(cross, self.neighbours(pair, "real"), self.k, interval=pair.intervals)


class Coverage(ManifoldMetric):
    """The share of reals that have a fake in their ball: recall that a single odd fake cannot raise."""

    title: ClassVar[str] = "coverage"

    k: int = Field(default=5, ge=1, le=manifolds.MOST)

    def share(self, pair: Pair, cross: NDArray[np.float32]) -> Estimate:
        """Of the reals."""
        return manifolds.coverage(cross, self.neighbours(pair, "real"), self.k, interval=pair.intervals)
